"""What every layer of tests shares: one PostgreSQL a session, a database of its own a test."""

import itertools
import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from sqlalchemy import URL, create_engine, make_url

from onchain_agg.metrics.definitions import sync
from onchain_agg.warehouse.embedded import embedded_url, stop
from onchain_agg.warehouse.engine import engine_for
from onchain_agg.warehouse.schema import migrate
from tests.order import LongFilesFirst, long_first

# `ci` is what `make test` runs; `thorough` is for a night: HYPOTHESIS_PROFILE=thorough.
_SLOW_IS_FINE = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
settings.register_profile(
    "ci", max_examples=12, deadline=None, derandomize=True, suppress_health_check=_SLOW_IS_FINE
)
settings.register_profile(
    "thorough", max_examples=300, deadline=None, suppress_health_check=_SLOW_IS_FINE
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

# A machine that stops in the middle of a test has no data to lose.
_NOTHING_TO_LOSE = (
    "ALTER SYSTEM SET fsync = off",
    "ALTER SYSTEM SET full_page_writes = off",
    "ALTER SYSTEM SET synchronous_commit = off",
    "SELECT pg_reload_conf()",
)

_CHECKOUT = Path(__file__).parents[1]
REAL_DATA = Path(os.environ.get("ONCHAIN_AGG_REAL_DATA", _CHECKOUT / "../shared/data"))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Hand out files in the order of `tests.order`."""
    return LongFilesFirst(config, log) if config.getvalue("dist") == "loadfile" else None


def pytest_collection_modifyitems(config, items):
    """Sort tests for the processes of xdist only: else the fast layers come first."""
    if hasattr(config, "workerinput"):
        long_first(items)


@pytest.fixture(scope="session")
def real_data():
    """Return the folder of real chain data, or skip."""
    if not REAL_DATA.is_dir():
        pytest.skip(f"no real data at {REAL_DATA}; set ONCHAIN_AGG_REAL_DATA to its folder")
    return REAL_DATA


@pytest.fixture(scope="session")
def server_url():
    """Yield the URL of a server on which databases may be created."""
    given = os.environ.get("ONCHAIN_AGG_TEST_DATABASE_URL")
    if given:
        yield make_url(given)
        return
    # Not pytest's folder: a Unix socket's path must be short.
    home = Path(tempfile.mkdtemp(prefix="oagg-"))
    try:
        url = make_url(embedded_url(home, "postgres"))
        for statement in _NOTHING_TO_LOSE:
            _run(url, statement)
        yield url
    finally:
        stop(home)
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def new_database(server_url):
    """Return a context manager that yields an engine on a fresh, migrated database."""
    with _template(server_url, "migrated") as (engine, fresh):
        migrate(engine)
        engine.dispose()
        yield fresh


@pytest.fixture(scope="session")
def new_warehouse(server_url):
    """Return a context manager that yields an engine on a database that knows the definitions."""
    with _template(server_url, "defined") as (engine, fresh):
        migrate(engine)
        sync(engine)
        engine.dispose()
        yield fresh


@contextmanager
def _template(server_url, kind):
    """Yield an engine on a database, and a context manager that yields one on a copy of it."""
    template = f"oagg_{kind}_{os.getpid()}"
    _run(server_url, f"CREATE DATABASE {template}")
    numbers = itertools.count()

    @contextmanager
    def fresh():
        name = f"{template}_{next(numbers)}"
        _run(server_url, f"CREATE DATABASE {name} TEMPLATE {template}")
        engine = engine_for(_url_of(server_url, name))
        yield engine
        engine.dispose()
        _run(server_url, f"DROP DATABASE {name} WITH (FORCE)")

    yield engine_for(_url_of(server_url, template)), fresh
    _run(server_url, f"DROP DATABASE {template}")


@pytest.fixture
def engine(new_database):
    """Yield an engine on a database of the test's own."""
    with new_database() as engine:
        yield engine


def _url_of(server: URL, database: str) -> str:
    return server.set(database=database).render_as_string(hide_password=False)


def _run(server: URL, statement: str) -> None:
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(statement)
    engine.dispose()
