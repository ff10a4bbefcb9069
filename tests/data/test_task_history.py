import sqlite3
from contextlib import closing
from dataclasses import astuple, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import URL, create_engine, text

from onchain_agg.errors import ConfigError, SourceError
from onchain_agg.routing import history_database
from onchain_agg.routing.history import Instance, history_of
from onchain_agg.routing.history_database import read_database

pytestmark = pytest.mark.data

SINCE, UNTIL = datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 11, 8, tzinfo=UTC)
COLUMNS = (
    *("dag_id", "task_id", "queue", "executor", "operator", "state"),
    *("queued_dttm", "start_date", "end_date"),
)
_FORM = "postgresql://user:password@host:5432/airflow."
_ONLY = (
    ", but only PostgreSQL and a SQLite file can be read. Name the API server with --api instead."
)
_TOO_MANY = "--database has an @ too many. Write one of a password as %40."
HOURS = st.timedeltas(timedelta(hours=-1), timedelta(days=7, hours=1))
MOMENTS = st.none() | HOURS.map(lambda after: SINCE + after)
RUNS = st.builds(
    Instance,
    dag_id=st.sampled_from(["whales", "nfts"]),
    task_id=st.sampled_from(["load", "Rebuild", "größe"]),
    queue=st.sampled_from(["default", "kubernetes"]),
    executor=st.sampled_from([None, "KubernetesExecutor"]),
    operator=st.sampled_from([None, "BashOperator", "TimeSensor", "sensors"]),
    state=st.sampled_from([None, "success", "success", "failed", "skipped"]),
    queued_at=MOMENTS,
    started_at=MOMENTS,
    ended_at=MOMENTS,
)


def _ended(instance, at, ran, waited):
    return replace(
        instance, queued_at=at - ran - waited, started_at=at - ran, ended_at=at, state="success"
    )


SHORT = st.timedeltas(timedelta(0), timedelta(minutes=9))
ENDED = st.builds(_ended, RUNS, HOURS.map(lambda after: SINCE + after), SHORT, SHORT)
INSTANCES = st.lists(RUNS | ENDED, max_size=60)


@pytest.fixture(scope="module")
def metadata_url(new_database):
    """Yield the URL of a PostgreSQL with the columns of Airflow's table that are read."""
    with new_database() as engine:
        with engine.begin() as connection:
            connection.execute(text(_table("timestamptz")))
        yield engine.url.render_as_string(hide_password=False)


@given(INSTANCES)
@settings(max_examples=25)
def test_postgresql_tells_the_same_as_the_instances_themselves(metadata_url, instances):
    engine = create_engine(metadata_url)
    names = ", ".join(f":{name}" for name in COLUMNS)
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM task_instance"))
        for instance in instances:
            row = dict(zip(COLUMNS, astuple(instance), strict=True))
            connection.execute(text(f"INSERT INTO task_instance VALUES ({names})"), row)
    engine.dispose()

    assert read_database(metadata_url, SINCE, UNTIL) == history_of(instances, SINCE, UNTIL)


@given(INSTANCES)
@settings(max_examples=25)
def test_sqlite_tells_the_same_as_the_instances_themselves(tmp_path_factory, instances):
    file = tmp_path_factory.mktemp("metadata") / "airflow.db"
    _fill(file, instances)

    found = read_database(f"sqlite:///{file}", SINCE, UNTIL)

    assert found == history_of(instances, SINCE, UNTIL)


def test_a_period_may_be_given_in_any_time_zone(tmp_path):
    file = tmp_path / "100% my airflow?.db"
    ended = SINCE + timedelta(minutes=1)
    _fill(file, [_run(SINCE, SINCE, ended)])
    east = datetime.fromisoformat("2026-11-01T05:01:00+05:00")

    url = URL.create("sqlite", database=str(file))
    found = read_database(url.render_as_string(), east, east + timedelta(seconds=1))

    assert [task.runs for task in found.tasks] == [1]


def test_reading_changes_nothing_in_sqlite(tmp_path):
    missing = tmp_path / "airflow.db"

    with pytest.raises(SourceError) as failed:
        read_database(f"sqlite:///{missing}", SINCE, UNTIL)

    assert str(failed.value) == (
        f"Airflow's database sqlite:///{missing} cannot be read: unable to open database file. "
        "Correct --database, start the server, or ask for fewer --days."
    )
    assert not missing.exists()


def test_more_rows_than_can_be_held_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(history_database, "_MAX_ROWS", 2)
    file = tmp_path / "airflow.db"
    moment = SINCE + timedelta(days=1)
    one = _run(moment, moment, moment)
    _fill(file, [one, one, one])

    with pytest.raises(ConfigError) as refused:
        read_database(f"sqlite:///{file}", SINCE, UNTIL)

    assert str(refused.value) == (
        f"sqlite:///{file} has more than 2 task instances in the period. Ask for fewer --days."
    )


def test_a_database_of_something_else_is_refused(engine):
    url = engine.url.render_as_string(hide_password=False)

    with pytest.raises(ConfigError) as refused:
        read_database(url, SINCE, UNTIL)

    shown = engine.url.render_as_string(hide_password=True)
    assert str(refused.value) == (
        f"{shown} is not Airflow's database: it has no table task_instance. Name the one that "
        "[database] sql_alchemy_conn of the deployment names."
    )


def test_a_database_of_an_older_airflow_is_refused(tmp_path):
    file = tmp_path / "airflow.db"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE task_instance (dag_id text, task_id text, queue text)")

    with pytest.raises(ConfigError) as refused:
        read_database(f"sqlite:///{file}", SINCE, UNTIL)

    assert str(refused.value) == (
        f"sqlite:///{file} is not of Airflow 3.3: task_instance has no end_date, executor, "
        "operator, queued_dttm, start_date, state. Run `airflow db migrate` on it, or name "
        "another."
    )


def test_the_database_is_only_read(metadata_url, monkeypatch):
    monkeypatch.setattr(
        history_database,
        "_task_statement",
        lambda *_period: text(
            "INSERT INTO task_instance (dag_id) VALUES ('written') RETURNING dag_id"
        ),
    )

    with pytest.raises(SourceError) as failed:
        read_database(metadata_url, SINCE, UNTIL)

    assert "cannot execute INSERT in a read-only transaction" in str(failed.value)


def test_an_address_is_shown_without_its_passwords():
    url = (
        "postgresql+psycopg2://ana:s3cret@127.0.0.1:1/airflow"
        "?password=s3cret&sslpassword=s3cret&connect_timeout=3"
    )

    with pytest.raises(SourceError) as failed:
        read_database(url, SINCE, UNTIL)

    told = str(failed.value)
    assert told.startswith(
        "Airflow's database postgresql+psycopg2://ana:***@127.0.0.1:1/airflow cannot be read: "
    )
    assert told.endswith("Correct --database, start the server, or ask for fewer --days.")
    assert "s3cret" not in told


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("airflow.db", "--database is not a database URL. Write it as " + _FORM),
        (
            "postgresql://ana:s3c@ret@h:x/db",
            "--database is not a database URL. Write it as " + _FORM,
        ),
        ("postgresql://ana:s3c@ret@host/airflow", _TOO_MANY),
        ("postgresql://ana:s3c@ret/1@host/airflow", _TOO_MANY),
        ("mysql://ana:s3cret@host/airflow", "--database is mysql://ana:***@host/airflow" + _ONLY),
        ("sqlite://", "--database is sqlite://" + _ONLY),
    ],
)
def test_what_cannot_be_read_is_refused_before_it_is_asked(url, message):
    with pytest.raises(ConfigError) as refused:
        read_database(url, SINCE, UNTIL)

    assert str(refused.value) == message


def _table(moment):
    moments = ("queued_dttm", "start_date", "end_date")
    columns = (f"{name} {moment if name in moments else 'text'}" for name in COLUMNS)
    return f"CREATE TABLE task_instance ({', '.join(columns)})"


def _fill(file, instances):
    """Make a SQLite file as Airflow's: times in UTC, without saying so."""
    rows = [
        [f"{cell:%Y-%m-%d %H:%M:%S.%f}" if isinstance(cell, datetime) else cell for cell in row]
        for row in map(astuple, instances)
    ]
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute(_table("text"))
        marks = ", ".join("?" for _ in COLUMNS)
        connection.executemany(f"INSERT INTO task_instance VALUES ({marks})", rows)


def _run(queued_at, started_at, ended_at):
    return Instance(
        dag_id="whales",
        task_id="load",
        queue="default",
        executor=None,
        operator=None,
        state="success",
        queued_at=queued_at,
        started_at=started_at,
        ended_at=ended_at,
    )
