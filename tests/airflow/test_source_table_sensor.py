"""The sensor for source tables: what it refuses, how it waits, and how it gives up."""

import asyncio
import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from airflow.sdk.exceptions import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    TaskDeferred,
)
from airflow.serialization.serialized_objects import BaseSerialization

from onchain_agg.errors import ConfigError, SourceError
from onchain_agg.operators import SourceTableReadySensor, readiness, triggers
from onchain_agg.operators.readiness import condition_of
from onchain_agg.operators.triggers import SourceTableTrigger

pytestmark = pytest.mark.airflow

_SOURCE = {
    "conn_type": "postgres",
    "host": "db.example",
    "login": "me",
    "password": "p@ss",
    "port": 5433,
    "schema": "src",
    "extra": {"sslmode": "require", "options": "-c evil=on"},
}
_WINDOW = {"dataset": "whale_transfer", "scope": "anvil", "day": "2026-03-01"}
_ROWS = {"table": "trades", "min_rows": 5, "where": None, "watermark": None}
_LATE, _LATER = "2026-03-01T00:00:00+00:00", "2999-01-01T00:00:00+00:00"


@pytest.fixture
def looks(monkeypatch):
    """Return what was looked for, and the answers or errors to come; the last one stays."""
    monkeypatch.setenv("AIRFLOW_CONN_SOURCE", json.dumps(_SOURCE))
    asked, answers = [], []

    def look(condition, url, conn_id):
        asked.append((str(condition), url, conn_id))
        answer = answers[0] if len(answers) == 1 else answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(readiness, "look", look)
    return asked, answers


def _sensor(**given):
    given = given or {"table": "trades", "min_rows": 5}
    return SourceTableReadySensor(task_id="t", **{"conn_id": "source", **given})


def _trigger(deadline=_LATER, conn_id="source", poke_interval=0.0):
    condition = condition_of({"table": "trades", "where": {}, "watermark": None, "min_rows": 5})
    return SourceTableTrigger(
        condition=condition.as_json(),
        conn_id=conn_id,
        poke_interval=poke_interval,
        deadline=deadline,
    )


def _event(trigger):
    async def first():
        return await asyncio.wait_for(anext(trigger.run()), 10)

    return asyncio.run(first()).payload


@pytest.mark.parametrize(
    ("given", "condition"),
    [
        ({"table": "trades", "min_rows": "5"}, "at least 5 rows of trades"),
        (
            {"table": "trades", "min_rows": 1, "where": {"venue": "a", "ok": True, "at": None}},
            "at least 1 row of trades with venue = 'a' and ok = True and at = None",
        ),
        (
            {"table": "trades", "watermark": {"at": datetime(2026, 3, 1, tzinfo=UTC)}},
            "at least 1 row of trades with at >= '2026-03-01T00:00:00+00:00'",
        ),
        (
            {"table": "trades", "watermark": {"price": Decimal("1.50")}},
            "at least 1 row of trades with price >= '1.50'",
        ),
        (
            {"window": {**_WINDOW, "day": date(2026, 3, 1), "final": True}, "conn_id": None},
            (
                "at least 1 row of ops.window with dataset = 'whale_transfer' and scope = 'anvil' "
                "and day = '2026-03-01' and status = 'final'"
            ),
        ),
        (
            {"window": _WINDOW, "conn_id": None},
            (
                "at least 1 row of ops.window with dataset = 'whale_transfer' and scope = 'anvil' "
                "and day = '2026-03-01'"
            ),
        ),
    ],
)
@pytest.mark.parametrize("deferrable", [False, True])
def test_a_table_that_is_ready_already_is_not_waited_for(looks, given, condition, deferrable):
    asked, answers = looks
    answers.append(True)

    assert _sensor(deferrable=deferrable, **given).execute({}) is None

    assert [(told, conn_id) for told, _, conn_id in asked] == [
        (condition, given.get("conn_id", "source"))
    ]


def test_the_connections_address_is_used_and_its_other_extras_are_not(looks):
    asked, answers = looks
    answers.append(True)

    _sensor().execute({})
    assert _event(_trigger()) == {"status": "ready", "message": ""}

    urls = {url.render_as_string(hide_password=False) for _, url, _ in asked}
    assert urls == {"postgresql+psycopg://me:p%40ss@db.example:5433/src?sslmode=require"}


@pytest.mark.parametrize(
    ("connection", "url"),
    [
        ({"conn_type": "sqlite", "host": "/data/s.db"}, "sqlite:////data/s.db"),
        (
            {"conn_type": "mysql", "host": "db", "schema": "src", "extra": {"sslmode": "x"}},
            "mysql://db/src",
        ),
        ({"conn_type": "duckdb", "schema": "f.db"}, "duckdb:///f.db"),
    ],
)
def test_any_database_that_sqlalchemy_knows_is_asked(looks, monkeypatch, connection, url):
    asked, answers = looks
    answers.append(True)
    monkeypatch.setenv("AIRFLOW_CONN_SOURCE", json.dumps(connection))

    _sensor().execute({})

    assert [str(one) for _, one, _ in asked] == [url]


def test_a_table_that_is_not_ready_is_left_to_the_triggerer(looks):
    _, answers = looks
    answers.append(False)
    before = datetime.now(UTC)  # noqa: TID251 - the deadline is the clock's

    with pytest.raises(TaskDeferred) as deferred:
        _sensor(
            table="trades", watermark={"at": "2026-03-01T00:00:00Z"}, deferrable=True, timeout=60
        ).execute({})

    path, arguments = deferred.value.trigger.serialize()
    deadline = datetime.fromisoformat(arguments.pop("deadline"))
    assert path == "onchain_agg.operators.triggers.SourceTableTrigger"
    assert arguments == {
        "condition": {
            "table": "trades",
            "where": {},
            "watermark": ["at", "2026-03-01T00:00:00Z"],
            "min_rows": 1,
        },
        "conn_id": "source",
        "poke_interval": 60.0,
    }
    assert timedelta(seconds=60) <= deadline - before < timedelta(seconds=90)
    assert deferred.value.timeout == timedelta(minutes=6)
    assert deferred.value.method_name == "execute_complete"


def test_a_trigger_is_the_same_after_the_triggerer_restarts(looks):
    asked, answers = looks
    answers.append(True)
    _, arguments = _trigger().serialize()

    stored = BaseSerialization.deserialize(BaseSerialization.serialize(arguments))
    again = SourceTableTrigger(**stored)

    assert again.serialize()[1] == arguments
    assert _event(again) == {"status": "ready", "message": ""}
    assert [told for told, *_ in asked] == ["at least 5 rows of trades"]


def test_a_trigger_waits_for_rows_and_for_a_database_that_is_down(looks):
    asked, answers = looks
    answers.extend([False, SourceError("down"), False, True])

    assert _event(_trigger()) == {"status": "ready", "message": ""}
    assert len(asked) == 4


@pytest.mark.parametrize(
    ("answer", "event"),
    [
        (
            False,
            {
                "status": "late",
                "message": f"There were not at least 5 rows of trades until {_LATE}.",
            },
        ),
        (
            SourceError("The server is down."),
            {
                "status": "late",
                "message": f"There were not at least 5 rows of trades until {_LATE}. The last "
                "look failed: The server is down.",
            },
        ),
        (ConfigError("No such table."), {"status": "failed", "message": "No such table."}),
    ],
)
def test_a_trigger_gives_up_with_the_reason(looks, answer, event):
    looks[1].append(answer)

    assert _event(_trigger(deadline=_LATE)) == event


def test_a_trigger_looks_once_more_at_its_deadline(looks, monkeypatch):
    asked, answers = looks
    answers.append(False)
    start = datetime(2026, 3, 1, tzinfo=UTC)
    slept = []

    async def sleep(seconds):
        slept.append(seconds)

    monkeypatch.setattr(triggers.asyncio, "sleep", sleep)
    monkeypatch.setattr(triggers.timezone, "utcnow", lambda: start + timedelta(seconds=sum(slept)))
    deadline = (start + timedelta(seconds=25)).isoformat()

    assert _event(_trigger(deadline=deadline, poke_interval=10))["status"] == "late"

    assert (slept, len(asked)) == ([10, 10, 5], 4)


def test_a_connection_that_cannot_be_found_now_is_looked_up_again(looks, monkeypatch):
    asked, _ = looks
    monkeypatch.delenv("AIRFLOW_CONN_SOURCE")

    assert _event(_trigger(deadline=_LATE))["message"] == (
        f"There were not at least 5 rows of trades until {_LATE}. The last look failed: "
        "Connection 'source' cannot be found now."
    )
    assert asked == []


def test_a_slow_look_does_not_hold_up_other_triggers(looks, monkeypatch):
    began = asyncio.Event()

    def slow(*_):
        loop.call_soon_threadsafe(began.set)
        assert asyncio.run_coroutine_threadsafe(_seen(), loop).result(5) == "the loop runs"
        return True

    async def _seen():
        return "the loop runs"

    monkeypatch.setattr(readiness, "look", slow)

    async def run():
        nonlocal loop
        loop = asyncio.get_running_loop()
        return (await asyncio.wait_for(anext(_trigger().run()), 10)).payload

    loop = None
    assert asyncio.run(run())["status"] == "ready"
    assert began.is_set()


def test_a_poking_sensor_waits_for_a_database_that_is_down(looks):
    asked, answers = looks
    answers.extend([SourceError("down"), False, True])

    _sensor(table="trades", min_rows=5, deferrable=False, poke_interval=0.01).execute({})

    assert len(asked) == 3


@pytest.mark.parametrize("deferrable", [False, True])
@pytest.mark.parametrize(
    ("soft_fail", "raised"), [(False, AirflowFailException), (True, AirflowSkipException)]
)
def test_a_mistake_fails_or_skips_as_the_author_chose(looks, deferrable, soft_fail, raised):
    looks[1].append(ConfigError("No such table."))
    sensor = _sensor(table="trades", min_rows=5, deferrable=deferrable, soft_fail=soft_fail)

    with pytest.raises(raised):
        sensor.execute({})


@pytest.mark.parametrize("soft_fail", [False, True])
@pytest.mark.parametrize(
    ("status", "error"), [("failed", AirflowFailException), ("late", AirflowSensorTimeout)]
)
def test_what_the_trigger_says_fails_or_skips_as_the_author_chose(soft_fail, status, error):
    sensor = _sensor(table="trades", min_rows=5, soft_fail=soft_fail)
    event = {"event": {"status": status, "message": "why"}}

    with pytest.raises(AirflowSkipException if soft_fail else error) as raised:
        sensor.resume_execution("execute_complete", event, {})

    told = raised.value.__cause__ if soft_fail else raised.value
    assert (type(told), str(told)) == (error, "why")


def test_a_ready_event_ends_the_task_well():
    event = {"event": {"status": "ready", "message": ""}}

    assert _sensor().resume_execution("execute_complete", event, {}) is None
