"""The drill's tasks, in pods and on Celery workers, spot-safe and not.

A task does its parts one after the other, and keeps what each makes in the warehouse, as the
project's own long tasks do. The table `drill.result` has no key on purpose: what is written twice
is there twice.
"""

import os
import socket
import time
from contextlib import contextmanager
from datetime import timedelta

from airflow.sdk import dag, get_current_context, task
from sqlalchemy import text

from onchain_agg.operators.session import warehouse
from onchain_agg.routing.spot import resumable

# A drill counts the tries that are spent, so none may end a task.
_TRIES = {"retries": 40, "retry_delay": timedelta(seconds=1)}
_SLOWLY_S = 2.0
_PARAMS = {"tasks": 4, "parts": 20, "part_s": 1.0, "lines": 100}


@contextmanager
def _started(number):
    """Yield the warehouse and what names this start of the task there."""
    context = get_current_context()
    ti = context["ti"]
    named = {
        "run": context["run_id"],
        "task": number,
        "try": ti.try_number,
        "reschedules": context["task_reschedule_count"] or 0,
        "place": os.environ.get("HOSTNAME") or socket.gethostname(),
    }
    with warehouse() as engine, engine.connect() as session:
        session.execution_options(isolation_level="AUTOCOMMIT")
        named["is_alone"] = _is_alone(session, named)
        named["start"] = _scalar(session, _START, named)
        yield engine, named


def _is_alone(session, named):
    """Return whether no other process does this task now; the lock lasts as long as the process."""
    deadline = time.monotonic() + _SLOWLY_S
    # The server may take a moment to notice that a killed process has gone.
    while not _scalar(session, _LOCK, named):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _do(engine, named, part):
    params = get_current_context()["params"]
    named = {**named, "part": part, "lines": params["lines"]}
    with engine.begin() as connection:
        named["work"] = _scalar(connection, _BEGIN, named)
    # Stands for a query that takes its time.
    time.sleep(params["part_s"])
    with engine.begin() as connection:
        for statement in (_FORGET, _WRITE, _DONE):
            _run(connection, statement, named)


def _end(engine, named):
    with engine.begin() as connection:
        _run(connection, _END, named)


def _run(connection, statement, named):
    return connection.execute(text(statement), named)


def _scalar(connection, statement, named):
    return _run(connection, statement, named).scalar_one()


def _all_parts():
    return range(get_current_context()["params"]["parts"])


def safe(number):
    with _started(number) as (engine, named):
        for part in resumable(_all_parts()):
            _do(engine, named, part)
        _end(engine, named)


def plain(number):
    with _started(number) as (engine, named):
        for part in _all_parts():
            _do(engine, named, part)
        _end(engine, named)


@task(**_TRIES)
def numbers():
    return list(range(get_current_context()["params"]["tasks"]))


def _drill(name, placed):
    @dag(dag_id=name, schedule=None, params=_PARAMS, max_active_tasks=100)
    def drilled():
        placed.expand(number=numbers())

    return drilled()


_LOCK = "SELECT pg_try_advisory_lock(hashtextextended(:run, :task))"
_START = """
    INSERT INTO drill.start (run, task, try, reschedules, place, is_alone)
    VALUES (:run, :task, :try, :reschedules, :place, :is_alone) RETURNING id
"""
_BEGIN = """
    INSERT INTO drill.work (start_id, run, task, part)
    VALUES (:start, :run, :task, :part) RETURNING id
"""
_FORGET = "DELETE FROM drill.result WHERE run = :run AND task = :task AND part = :part"
_WRITE = """
    INSERT INTO drill.result (run, task, part, line, value)
    SELECT :run, :task, :part, line, md5(concat_ws('/', :task, :part, line))
    FROM generate_series(1, :lines) AS line
"""
_DONE = "UPDATE drill.work SET done = clock_timestamp() WHERE id = :work"
_END = "UPDATE drill.start SET ended = clock_timestamp() WHERE id = :start"

drill_pods = _drill("drill_pods", task.heavy(size="small", task_id="parts", **_TRIES)(safe))
drill_pods_plain = _drill(
    "drill_pods_plain",
    task(queue="kubernetes", pool="heavy", task_id="parts", **_TRIES)(plain),
)
drill_workers = _drill(
    "drill_workers", task.light(queue="whale_worker", task_id="parts", **_TRIES)(safe)
)
drill_workers_plain = _drill(
    "drill_workers_plain", task.light(queue="whale_worker", task_id="parts", **_TRIES)(plain)
)
