"""A database that accepts a connection and then says nothing: each look and each wait end."""

import asyncio
import json
import socket
import struct
import threading
import time
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text

from onchain_agg.errors import SourceError
from onchain_agg.hooks.asking import asked
from onchain_agg.operators import SourceTableReadySensor, looks, readiness, source_engine, triggers
from onchain_agg.operators.readiness import Condition, look
from onchain_agg.operators.source_engine import limits_of
from onchain_agg.operators.triggers import SourceTableTrigger

pytestmark = pytest.mark.airflow

_ROWS = Condition(table="trades", where={}, watermark=None, min_rows=1)
_READY = (
    (b"R", struct.pack("!I", 0)),
    (b"S", b"server_version\0" + b"16.0\0"),
    (b"S", b"client_encoding\0UTF8\0"),
    (b"S", b"standard_conforming_strings\0on\0"),
    (b"Z", b"I"),
)
_LIBPQ = {
    "connect_timeout": 10,
    "keepalives": 1,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}


def _greet(line):
    """Take the client in as PostgreSQL does, without a password."""
    code = None
    while code != 3 << 16:
        size = struct.unpack("!I", line.recv(4))[0]
        code = struct.unpack("!I", line.recv(size - 4)[:4])[0]
        # No to encryption, which is asked for first.
        if code != 3 << 16:
            line.sendall(b"N")
    line.sendall(b"".join(kind + struct.pack("!I", len(body) + 4) + body for kind, body in _READY))


@contextmanager
def _silent(greet=lambda _: None):
    """Yield a port, and the connections to it, which stay open and silent while the block runs."""
    lines = []

    def accept():
        with suppress(OSError):
            while True:
                line, _ = server.accept()
                lines.append(line)
                greet(line)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield server.getsockname()[1], lines
        finally:
            # Closing alone does not wake who accepts.
            server.shutdown(socket.SHUT_RDWR)
            for line in lines:
                line.close()
            thread.join(5)


@pytest.fixture
def silent(monkeypatch):
    """Return the connections to a silent server, which the connection ``source`` names."""
    monkeypatch.setattr(looks, "LOOK_S", 0.2)
    monkeypatch.setattr(triggers, "_LAST_LOOK_S", 0.1)
    with _silent() as (port, lines):
        source = {"conn_type": "postgres", "host": "127.0.0.1", "port": port, "login": "me"}
        monkeypatch.setenv("AIRFLOW_CONN_SOURCE", json.dumps(source))
        yield lines


def _trigger(seconds):
    deadline = datetime.now(UTC) + timedelta(seconds=seconds)  # noqa: TID251 - the clock's
    return SourceTableTrigger(
        condition=_ROWS.as_json(),
        conn_id="source",
        poke_interval=0.01,
        deadline=deadline.isoformat(),
    )


def _open_files():
    return len([*Path("/proc/self/fd").iterdir()])


async def _event(trigger):
    return (await asyncio.wait_for(anext(trigger.run()), 10)).payload


def test_a_poke_ends_at_a_silent_database_and_waits_on(silent):
    sensor = SourceTableReadySensor(task_id="t", table="trades", min_rows=1, conn_id="source")
    start = time.monotonic()

    assert sensor.poke({}) is False

    assert time.monotonic() - start < 5
    assert len(silent) == 1


@pytest.mark.parametrize(
    ("conn_id", "place"), [("source", "connection 'source'"), (None, "the warehouse")]
)
def test_it_is_told_for_how_long_nothing_was_said(monkeypatch, conn_id, place):
    never = threading.Event()
    monkeypatch.setattr(looks, "LOOK_S", 0.1)
    monkeypatch.setattr(readiness, "look", lambda *_: never.wait(5))

    with pytest.raises(SourceError) as raised:
        looks.look_in_time(_ROWS, None, conn_id)

    assert str(raised.value) == f"The database of {place} has not answered within 0.1 s."
    never.set()


def test_a_trigger_tells_its_deadline_in_time_and_looks_once_at_a_time(silent):
    trigger = _trigger(seconds=0.7)
    start = time.monotonic()

    event = asyncio.run(_event(trigger))

    assert time.monotonic() - start < 5
    assert event["status"] == "late"
    assert event["message"].startswith(
        f"There were not at least 1 row of trades until {trigger.deadline}. The last look failed: "
        "The database of connection 'source' has not answered within 0."
    )
    assert len(silent) == 1


@pytest.mark.usefixtures("silent")
def test_a_look_that_is_under_way_does_not_outlast_the_deadline_by_much(monkeypatch):
    monkeypatch.setattr(looks, "LOOK_S", 60)
    start = time.monotonic()

    event = asyncio.run(_event(_trigger(seconds=0.3)))

    assert event["status"] == "late"
    # Sooner than libpq gives up by itself, after 10 s.
    assert time.monotonic() - start < 5


def test_a_trigger_looks_again_once_the_silent_look_has_ended(silent, monkeypatch):
    asked, speak = [], threading.Event()

    def quiet_at_first(*_):
        asked.append(None)
        if len(asked) == 1:
            speak.wait(5)
            raise SourceError("The line was cut.")
        return True

    monkeypatch.setattr(readiness, "look", quiet_at_first)

    async def run():
        asyncio.get_running_loop().call_later(0.5, speak.set)
        return await _event(_trigger(seconds=60))

    assert asyncio.run(run())["status"] == "ready"
    assert len(asked) == 2


def test_the_look_itself_ends_when_postgresql_falls_silent(monkeypatch):
    monkeypatch.setattr(source_engine, "_CUT_S", 0.2)

    with _silent(_greet) as (port, lines):
        url = make_url(f"postgresql+psycopg://me@127.0.0.1:{port}/db")
        with pytest.raises(SourceError, match=r"^The database of connection 'source' failed: "):
            asked(partial(look, _ROWS, url, "source")).result(5)

    assert len(lines) == 1


def test_the_look_itself_ends_when_the_warehouse_falls_silent(new_database, monkeypatch):
    monkeypatch.setattr(source_engine, "_CUT_S", 0.2)
    monkeypatch.setattr(
        readiness, "_holds", lambda connection, _: connection.execute(text("SELECT pg_sleep(8)"))
    )
    with new_database() as engine:

        @contextmanager
        def warehouse():
            yield engine

        monkeypatch.setattr(source_engine, "configured_warehouse", warehouse)
        with pytest.raises(SourceError, match=r"^The database of the warehouse failed: "):
            asked(partial(look, _ROWS, None, None)).result(5)


def test_a_look_leaves_no_file_and_no_thread_behind(new_database):
    with new_database() as engine:
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE trades (id int)"))
        url = engine.url
        look(_ROWS, url, "source")
        before = _open_files(), threading.active_count()

        for _ in range(3):
            assert look(_ROWS, url, "source") is False

        for thread in threading.enumerate():
            if isinstance(thread, threading.Timer):
                thread.join(5)
        assert _open_files() <= before[0]
        assert threading.active_count() <= before[1]


@pytest.mark.parametrize(
    ("url", "limits"),
    [
        ("postgresql+psycopg://db", _LIBPQ),
        ("postgresql+psycopg2://db", _LIBPQ),
        ("mysql://db", {"connect_timeout": 10, "read_timeout": 60, "write_timeout": 60}),
        ("mysql+pymysql://db", {"connect_timeout": 10, "read_timeout": 60, "write_timeout": 60}),
        ("mysql+mysqlconnector://db", {"connection_timeout": 10}),
        ("mssql+pymssql://db", {"login_timeout": 10, "timeout": 60}),
        ("sqlite:///db", {}),
    ],
)
def test_each_driver_is_given_the_limits_that_it_knows(url, limits):
    assert limits_of(make_url(url)) == limits


def test_postgresql_takes_every_limit(new_database):
    with new_database() as engine:
        limited = create_engine(engine.url, connect_args=limits_of(engine.url))
        with limited.connect() as connection:
            told = connection.connection.driver_connection.info.get_parameters()
        limited.dispose()

    # Keepalives are on by default, which libpq does not repeat.
    expected = {name: str(limit) for name, limit in _LIBPQ.items() if name != "keepalives"}
    assert {name: told.get(name) for name in expected} == expected
