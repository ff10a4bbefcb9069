"""An Airflow home of the tests' own."""

import os
import tempfile

# Airflow reads its home as it is imported, and writes a configuration file there.
os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp(prefix="onchain-agg-airflow-"))
