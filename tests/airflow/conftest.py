"""An Airflow home of the tests' own."""

import os
import tempfile

import pytest

# Airflow reads its home as it is imported, and writes a configuration file there.
os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp(prefix="onchain-agg-airflow-"))


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory):
    """Return a folder that all processes of this run of tests share."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
