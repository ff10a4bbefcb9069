"""One PostgreSQL for the session, and a migrated database of its own for each test."""

import itertools
import os
import shutil
import tempfile
from pathlib import Path

import pytest
from sqlalchemy import URL, create_engine, make_url

from onchain_agg.warehouse.embedded import embedded_url, stop
from onchain_agg.warehouse.engine import engine_for
from onchain_agg.warehouse.schema import migrate

_numbers = itertools.count()


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
        yield make_url(embedded_url(home, "postgres"))
    finally:
        stop(home)
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def template(server_url):
    """Yield the name of a migrated database that nobody is connected to."""
    name = f"oagg_template_{os.getpid()}"
    _run(server_url, f"CREATE DATABASE {name}")
    engine = engine_for(_url_of(server_url, name))
    migrate(engine)
    engine.dispose()
    yield name
    _run(server_url, f"DROP DATABASE {name}")


@pytest.fixture
def engine(server_url, template):
    """Yield an engine on a fresh, migrated database."""
    name = f"oagg_{os.getpid()}_{next(_numbers)}"
    _run(server_url, f"CREATE DATABASE {name} TEMPLATE {template}")
    engine = engine_for(_url_of(server_url, name))
    yield engine
    engine.dispose()
    _run(server_url, f"DROP DATABASE {name} WITH (FORCE)")


def _url_of(server: URL, database: str) -> str:
    return server.set(database=database).render_as_string(hide_password=False)


def _run(server: URL, statement: str) -> None:
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(statement)
    engine.dispose()
