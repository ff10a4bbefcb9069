"""A small drill from its start to its end, and what its comparison notices."""

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from tests.e2e.binaries import MissingProgramError, programs
from tests.e2e.drill.interruptions import POD_KINDS
from tests.e2e.drill.ledger import Counts, differences
from tests.e2e.drill.plan import planned
from tests.e2e.drill.report import faults
from tests.e2e.drill.running import Run
from tests.e2e.drill.trouble import Made

_ROOT = Path(__file__).parents[2]
# A node lost, a pod drained, one evicted, the scheduler killed; and a worker that gets SIGQUIT.
_SMALL = shlex.split("--tasks 6 --interruptions 4 --worker-tasks 4 --parts 6 --seed 16")
_ROWS = [(task, part, 1, f"{task}/{part}") for task in range(2) for part in range(3)]
_RUN = Run(
    name="drill",
    seconds=10.0,
    states={0: "success", 1: "success"},
    tries={0: 1, 1: 2},
    made=(Made(1.0, "killed", "a pod"),),
    not_made=(),
    rows=_ROWS,
    counts=Counts(starts=3, places=3, begun=7, done=6, reschedules=0, task_s=20.0),
    at_once=[],
    ended_schedulers=0,
    peak_mb=0,
)


def test_the_same_seed_plans_the_same_and_every_kind_is_among_many():
    kinds = sorted(POD_KINDS)

    plan = planned(kinds, 30, 100.0, 1)

    assert plan == planned(kinds, 30, 100.0, 1) != planned(kinds, 30, 100.0, 2)
    assert {one.kind for one in plan} == set(kinds)
    assert len(plan) == 30
    assert [one.at_s for one in plan] == sorted(one.at_s for one in plan)
    assert 8.0 <= plan[0].at_s < plan[-1].at_s <= 80.0


def test_few_interruptions_are_of_different_kinds():
    plan = planned(sorted(POD_KINDS), 4, 100.0, 1)

    assert len({one.kind for one in plan}) == 4


def test_a_run_that_left_the_same_rows_has_no_fault():
    assert faults(_RUN, _RUN, 1) == []


@pytest.mark.parametrize(
    ("rows", "line"),
    [
        pytest.param(_ROWS[1:], "task 0: parts lost [0], doubled [], foreign []", id="lost"),
        pytest.param(
            [*_ROWS[:4], *_ROWS[3:]], "task 1: parts lost [], doubled [0], foreign []", id="doubled"
        ),
        pytest.param(
            [*_ROWS[:5], (1, 2, 1, "other")],
            "task 1: parts lost [2], doubled [], foreign [2]",
            id="another value",
        ),
        pytest.param(
            [*_ROWS, (2, 0, 1, "2/0")],
            "task 2: parts lost [], doubled [], foreign [0]",
            id="another task",
        ),
    ],
)
def test_rows_that_differ_are_named_by_task_and_part(rows, line):
    assert differences(_ROWS, rows) == [line]


@pytest.mark.parametrize(
    ("run", "line"),
    [
        pytest.param(
            replace(_RUN, states={0: "success", 1: "failed"}),
            "drill: task 1: failed, not success",
            id="failed",
        ),
        pytest.param(replace(_RUN, states={0: "success"}), "drill: tasks: 1, not 2", id="missing"),
        pytest.param(
            replace(_RUN, at_once=[1]), "drill: task 1: two processes at once", id="at once"
        ),
        pytest.param(
            replace(_RUN, made=(), not_made=("killed",)),
            "drill: 0 interruptions of 1; no victim for killed",
            id="not made",
        ),
    ],
)
def test_what_else_must_not_be_is_named(run, line):
    assert faults(_RUN, run, 1) == [line]


@pytest.fixture
def drill():
    """Start a drill when called; at the end it is stopped if it still runs."""
    try:
        programs()
    except MissingProgramError as error:
        pytest.skip(str(error))
    started = []

    def start():
        command = [sys.executable, "-m", "tests.e2e.drill", *_SMALL]
        environment = {k: v for k, v in os.environ.items() if k != "KUBECONFIG"}
        process = subprocess.Popen(
            command,
            cwd=_ROOT,
            env=environment | {"PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.terminate()
            process.wait(60)


@pytest.mark.timeout(540)
def test_a_small_drill_finds_every_task_done_once(drill):
    process = drill()
    seen = {}

    printed = _read(process, lambda: _note_family(process.pid, seen))

    assert process.wait(10) == 0, printed
    assert printed.splitlines()[-1] == (
        "Every task was done once in effect, and the tables are equal."
    )
    assert _cells(printed, "tasks") == [["6", "6"], ["4", "4"]]
    assert _cells(printed, "succeeded") == [["6", "6"], ["4", "4"]]
    assert _cells(printed, "interruptions") == [["0", "4"], ["0", "1"]]
    assert _cells(printed, "rows left") == [["3,600", "3,600"], ["2,400", "2,400"]]
    assert _alive(seen) == []


@pytest.mark.timeout(360)
def test_a_drill_that_is_interrupted_leaves_no_process(drill):
    process = drill()
    seen = {}
    # Control plane, DAG repository, Redis, workers and Airflow: most of what it ever starts.
    while len(seen) < 12 and process.poll() is None:
        _note_family(process.pid, seen)
        time.sleep(0.2)

    process.send_signal(signal.SIGINT)
    code = process.wait(60)

    assert code not in (0, None)
    assert len(seen) >= 12
    assert _alive(seen) == []


def _read(process, look):
    lines = []
    for line in process.stdout:
        lines.append(line)
        look()
    return "".join(lines)


def _note_family(pid, seen):
    try:
        for one in psutil.Process(pid).children(recursive=True):
            seen[one.pid] = one.create_time()
    except psutil.NoSuchProcess:
        return


def _alive(seen):
    deadline = time.monotonic() + 10
    while left := [pid for pid, created in seen.items() if _is(pid, created)]:
        if time.monotonic() > deadline:
            return left
        time.sleep(0.1)
    return []


def _is(pid, created):
    try:
        process = psutil.Process(pid)
        return process.create_time() == created and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _cells(printed, measure):
    """Return the cells of each table's row *measure*."""
    rows = [re.split(r"\s*[│┃|]\s*", line.strip(" │┃|")) for line in printed.splitlines()]
    return [row[1:] for row in rows if row[0] == measure]
