"""Real task processes that lose their node: SIGTERM goes to the supervisor, as in a pod."""

import os
import signal
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from onchain_agg.local import processes
from onchain_agg.local.environment import Site, airflow_environment
from onchain_agg.local.job import running_airflow
from onchain_agg.local.rest import AirflowApi, DagRun
from onchain_agg.settings import load_settings
from tests.fakes.servers_home import AIRFLOW, servers_home

pytestmark = pytest.mark.airflow

_PARTS = ("api-server", "scheduler", "dag-processor")
_WAIT_S = 90.0
_INTERRUPTED = ("guarded", "plain", "waiting", "bounded")
# A grace of 1 s and the margin.
_DELAY_S = 11.0
_DAG = '''
    """Tasks of four parts. Part 2 hangs until it is interrupted, as often as the task says."""

    import asyncio
    import os
    import time
    from contextlib import contextmanager
    from datetime import timedelta
    from pathlib import Path

    from airflow.sdk import dag, get_current_context, task

    from onchain_agg.routing.spot import resumable, spot_safe

    NOTES = Path({notes!r})


    def note(name, text):
        with (NOTES / name).open("a") as file:
            file.write(text + "\\n")


    @contextmanager
    def noted(name, part):
        (NOTES / f"{{name}}.pid").write_text(str(os.getpid()))
        note(name, f"begin {{part}}")
        try:
            yield
        except BaseException:
            note(name, "cleanup")
            raise
        note(name, f"done {{part}}")


    def hangs(name, part, times):
        return part == 2 and (NOTES / name).read_text().count("begin 2") <= times


    def work(name, part, times):
        with noted(name, part):
            time.sleep(300 if hangs(name, part, times) else 0)


    @dag(schedule=None)
    def spot():
        @task.heavy(pool="default_pool")
        def guarded():
            for part in resumable(range(4)):
                work("guarded", part, 1)

        @task(queue="kubernetes")
        def plain():
            for part in resumable(range(4)):
                try:
                    work("plain", part, 1)
                except Exception:
                    note("plain", "swallowed")

        @task
        async def waiting():
            with spot_safe():
                for part in resumable(range(4)):
                    with noted("waiting", part):
                        await asyncio.sleep(300 if hangs("waiting", part, 1) else 0)

        @task(retries=1, retry_delay=timedelta(seconds=0))
        def bounded():
            context = get_current_context()
            tries = (context["ti"].try_number, context["task_reschedule_count"])
            note("bounded", "try {{}}, reschedules {{}}".format(*tries))
            with spot_safe(reschedules=1):
                for part in resumable(range(4)):
                    work("bounded", part, 2)

        @task
        def stopped():
            with spot_safe():
                work("stopped", 2, 1)

        @task(execution_timeout=timedelta(seconds=1))
        def timed():
            with spot_safe():
                work("timed", 2, 1)

        @task(retry_delay=timedelta(seconds=0))
        def restarted():
            with spot_safe():
                for part in resumable(range(4)):
                    work("restarted", part, 1)

        guarded(), plain(), waiting(), bounded(), stopped(), timed(), restarted()


    spot()
'''


@dataclass(frozen=True)
class _Spot:
    """A run of the DAG, and what its tasks noted."""

    api: AirflowApi
    run: DagRun
    notes: Path
    scheduler: int

    def noted(self, name: str) -> list[str]:
        path = self.notes / name
        return path.read_text().splitlines() if path.exists() else []

    def task(self, name: str) -> dict[str, Any]:
        return next(one for one in self.api.task_instances(self.run) if one["task_id"] == name)

    def await_state(self, name: str, state: str) -> dict[str, Any]:
        _wait(lambda: self.task(name)["state"] == state, lambda: f"{name}: {self.task(name)}")
        return self.task(name)

    def await_hanging(self, name: str, times: int) -> psutil.Process:
        """Return the task's process once part 2 hangs for that many times."""
        _wait(
            lambda: self.noted(name).count("begin 2") == times,
            lambda: f"{name}: {self.noted(name)}, {self.task(name)}",
        )
        return psutil.Process(int((self.notes / f"{name}.pid").read_text()))

    def interrupt(self, name: str, times: int = 1) -> None:
        """Send SIGTERM to the supervisor of the task, a child of the scheduler."""
        supervisor = self.await_hanging(name, times).parent()
        assert supervisor is not None
        assert supervisor.ppid() == self.scheduler
        os.kill(supervisor.pid, signal.SIGTERM)

    def call(self, method: str, path: str, body: dict[str, Any]) -> None:
        self.api._call(method, f"/api/v2/dags/spot/{path}", body)

    def clear(self, name: str) -> None:
        """Clear the task, as a person does."""
        chosen = {"dag_run_id": self.run.run_id, "task_ids": [name]}
        self.call("POST", "clearTaskInstances", chosen | {"dry_run": False, "only_failed": False})


def _wait(condition: Callable[[], bool], what: Callable[[], str]) -> None:
    deadline = time.monotonic() + _WAIT_S
    while not condition():
        assert time.monotonic() < deadline, what()
        time.sleep(0.1)


@pytest.fixture(scope="module")
def spot(shared_folder) -> Iterator[_Spot]:
    """A run on an Airflow of its own, whose table says a grace of one second."""
    with ExitStack() as stack:
        home = stack.enter_context(servers_home(shared_folder))
        (notes := home / "notes").mkdir()
        (dags := home / "dags").mkdir()
        (dags / "spot.py").write_text(textwrap.dedent(_DAG).format(notes=str(notes)))
        (table := home / "workloads.yaml").write_text("grace: 1s\n")
        site = Site(home=home / AIRFLOW, dags=dags, port=processes.free_port(), quick=True)
        settings = load_settings({"ONCHAIN_AGG_HOME": str(home)})
        environment = airflow_environment(site, settings, "postgresql+psycopg:///unused") | {
            "ONCHAIN_AGG_WORKLOADS_FILE": str(table),
            "AIRFLOW__CORE__PARALLELISM": "7",
        }
        api, started = stack.enter_context(
            running_airflow(site, environment, home, _PARTS, {"spot"})
        )
        scheduler = next(part.pid for part in started if part.name == "scheduler")
        run = api.trigger("spot", {})
        api.unpause("spot")
        yield _Spot(api, run, notes, scheduler)


def test_an_interrupted_task_tidies_up_and_goes_on_in_the_same_try(spot):
    one_interruption = [
        *("begin 0", "done 0", "begin 1", "done 1", "begin 2", "cleanup"),
        *("begin 2", "done 2", "begin 3", "done 3"),
    ]

    # All of them hang before the first is interrupted, so that no state is over before it is seen.
    for name in _INTERRUPTED:
        spot.await_hanging(name, 1)
    began = time.monotonic()
    for name in _INTERRUPTED:
        spot.interrupt(name)
    states = {name: spot.await_state(name, "up_for_reschedule") for name in ("guarded", "plain")}
    ends = {name: spot.await_state(name, "success") for name in ("guarded", "plain", "waiting")}

    assert time.monotonic() - began > _DELAY_S
    assert [one["try_number"] for one in states.values()] == [1, 1]
    assert {name: one["try_number"] for name, one in ends.items()} == {
        "guarded": 1,
        "plain": 1,
        "waiting": 1,
    }
    assert spot.noted("guarded") == one_interruption
    assert spot.noted("waiting") == one_interruption
    assert spot.noted("plain") == [*one_interruption[:6], "swallowed", *one_interruption[6:]]


def test_an_interruption_beyond_the_bound_spends_a_try_and_the_next_try_goes_on(spot):
    spot.interrupt("bounded", times=2)
    end = spot.await_state("bounded", "success")

    assert end["try_number"] == 2
    assert spot.noted("bounded") == [
        *("try 1, reschedules 0", "begin 0", "done 0", "begin 1", "done 1", "begin 2", "cleanup"),
        *("try 1, reschedules 1", "begin 2", "cleanup"),
        *("try 2, reschedules 0", "begin 2", "done 2", "begin 3", "done 3"),
    ]


def test_a_task_that_a_person_failed_tidies_up_and_stays_failed(spot):
    process = spot.await_hanging("stopped", 1)

    spot.call("PATCH", f"dagRuns/{spot.run.run_id}/taskInstances/stopped", {"new_state": "failed"})
    process.wait(_WAIT_S)

    _wait(lambda: spot.noted("stopped") == ["begin 2", "cleanup"], lambda: "no cleanup")
    assert spot.task("stopped")["state"] == "failed"


def test_a_task_that_was_cleared_as_it_ran_tidies_up_and_does_every_part_again(spot):
    spot.await_hanging("restarted", 1)

    spot.clear("restarted")
    end = spot.await_state("restarted", "success")

    assert end["try_number"] == 2
    assert spot.noted("restarted") == [
        *("begin 0", "done 0", "begin 1", "done 1", "begin 2", "cleanup"),
        *(f"{what} {part}" for part in range(4) for what in ("begin", "done")),
    ]


def test_a_timeout_ends_a_guarded_task_as_any_other(spot):
    end = spot.await_state("timed", "failed")

    assert end["try_number"] == 1
    assert spot.noted("timed") == ["begin 2", "cleanup"]


def test_a_task_that_was_cleared_after_its_success_does_every_part_again(spot):
    # The other tests' tasks are over. What is cleared as Airflow ends its run may never start.
    _wait(lambda: spot.run in spot.api.runs("failed"), lambda: str(spot.api.runs("running")))
    before = len(spot.noted("guarded"))

    spot.clear("guarded")
    _wait(lambda: spot.task("guarded")["try_number"] == 2, lambda: "not cleared")
    spot.await_state("guarded", "success")

    assert spot.noted("guarded")[before:] == [
        f"{what} {part}" for part in range(4) for what in ("begin", "done")
    ]
