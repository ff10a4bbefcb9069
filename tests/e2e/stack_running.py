"""A running Airflow as tests see it: its runs, tasks and pods, and what can be done to it."""

import json
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from sqlalchemy import Engine

from onchain_agg.local import processes
from onchain_agg.local.environment import Site
from onchain_agg.local.rest import AirflowApi, DagRun
from tests.e2e.stack_nodes import Nodes
from tests.e2e.stack_pods import PodRecorder, SeenPod

if TYPE_CHECKING:
    from tests.e2e.control_plane import ControlPlane

# A run and its tasks by name.
Once = tuple[DagRun, dict[str, dict[str, Any]]]

_WAIT_S = 240.0
_PAUSE_S = 0.1
# Asset events of tasks that ended become runs in the scheduler's next loops.
_WAKE_S = 3.0


@dataclass(frozen=True)
class Stack:
    """A running Airflow with its nodes.

    Attributes:
        core: The cluster's core API, as its admin.
        engine: The warehouse.
        notes: The folder of what tasks noted, and of the flags that they wait for.
        pods: What pods there were.
    """

    plane: "ControlPlane"
    namespace: str
    core: Any
    site: Site
    environment: Mapping[str, str]
    api: AirflowApi
    engine: Engine
    notes: Path
    nodes: Nodes
    pods: PodRecorder

    def trigger(self, dag_id: str, **conf: Any) -> DagRun:
        """Start a run of *dag_id*, and let its runs start."""
        run = self.api.trigger(dag_id, conf)
        self.api.unpause(dag_id)
        return run

    def finish(
        self, run: DagRun, state: str = "success", within_s: float = _WAIT_S
    ) -> dict[str, dict[str, Any]]:
        """Return the tasks of *run*, mapped ones as ``name index``, once it ended in *state*."""
        ended = ("success", "failed")
        self.wait(lambda: run in self.api.runs(*ended), "the run's end", run, within_s)
        tasks = self.tasks(run)
        told = {name: task["state"] for name, task in tasks.items()}
        assert run in self.api.runs(state), f"{run.dag_id} ended otherwise: {told}"
        return tasks

    def once(self, dag_id: str, state: str = "success", **conf: Any) -> Once:
        """Run *dag_id* once, with a run of its own schedule that this may let loose; pause it."""
        run = self.trigger(dag_id, **conf)
        tasks = self.finish(run, state)
        left = ("queued", "running")
        self.wait(
            lambda: all(other.dag_id != dag_id for other in self.api.runs(*left)),
            f"the end of all runs of {dag_id}",
        )
        self.api.pause(dag_id)
        return run, tasks

    def settle(self) -> None:
        """Wait until asset events are runs, and no run of a DAG that is on is left."""
        quiet_since = None
        deadline = time.monotonic() + _WAIT_S
        while quiet_since is None or time.monotonic() - quiet_since < _WAKE_S:
            left = [r for r in self.api.runs("queued", "running") if not _is_ingest(r)]
            if left or quiet_since is None:
                quiet_since = None if left else time.monotonic()
            assert time.monotonic() < deadline, f"runs are left after {_WAIT_S} s: {left}"
            time.sleep(_PAUSE_S)

    def tasks(self, run: DagRun) -> dict[str, dict[str, Any]]:
        """Return the task instances of *run*, mapped ones as ``name index``."""
        return {_name(one): one for one in self.api.task_instances(run)}

    def pods_of(self, run: DagRun, task_id: str) -> list[SeenPod]:
        """Return the pods that one task of *run* had, the first one first."""
        return self.pods.of(run.run_id, task_id)

    def noted(self, run: DagRun) -> list[tuple[str, int]]:
        """Return event and try of what tasks of *run* noted, in order."""
        lines = map(json.loads, (self.notes / "notes.jsonl").read_text().splitlines())
        return [(one["event"], one["try"]) for one in lines if one["run_id"] == run.run_id]

    def release(self, run: DagRun) -> None:
        """Let the waiting tasks of *run* go on."""
        (self.notes / run.run_id).touch()

    def scheduler_log(self) -> str:
        """Return what the scheduler that was started last has logged so far."""
        return (self.site.logs / "scheduler.log").read_text(errors="replace")

    def has_scheduler(self) -> bool:
        """Return whether a scheduler runs."""
        return any(part.name == "scheduler" for part in processes.running(self.site.home))

    def start_scheduler(self, **options: str) -> None:
        """Start a scheduler whose environment has these variables on top."""
        others = processes.running(self.site.home)
        environment = {**self.environment, **options}
        processes.start(self.site, environment, ["scheduler"], beside=others)

    def kill_scheduler(self) -> None:
        """End the scheduler and all below it at once, as the loss of its node does."""
        part = next(p for p in processes.running(self.site.home) if p.name == "scheduler")
        main = psutil.Process(part.pid)
        family = [main, *main.children(recursive=True)]
        for process in family:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(family, timeout=10)

    def wait(
        self,
        condition: Callable[[], bool],
        what: str,
        run: DagRun | None = None,
        within_s: float = _WAIT_S,
    ) -> None:
        """Return once *condition* holds; fails the test where it does not *within_s*."""
        deadline = time.monotonic() + within_s
        while not condition():
            if time.monotonic() > deadline:
                told = self._told(run) if run else ""
                pytest.fail(f"Not within {within_s} s: {what}. {told}Logs: {self.site.logs}")
            time.sleep(_PAUSE_S)

    def _told(self, run: DagRun) -> str:
        states = {name: task["state"] for name, task in self.tasks(run).items()}
        seen = [pod for pod in self.pods.all() if pod.run_id == run.run_id]
        return f"Tasks: {states}. Noted: {self.noted(run)}. Pods: {seen}. "

    def memory_mb(self) -> int:
        """Return the proportional memory of Airflow's processes, Redis and the nodes' pods."""
        roots = [part.pid for part in processes.running(self.site.home)]
        roots += self.nodes.pids
        return sum(map(_family_mb, roots))


def _is_ingest(run: DagRun) -> bool:
    # Paused, its scheduled runs wait for good.
    return run.dag_id.startswith("ingest_")


def _name(task: Mapping[str, Any]) -> str:
    index = task["map_index"]
    return task["task_id"] if index < 0 else f"{task['task_id']} {index}"


def _family_mb(pid: int) -> int:
    total = 0
    with suppress(psutil.Error):
        main = psutil.Process(pid)
        for process in (main, *main.children(recursive=True)):
            with suppress(psutil.Error):
                total += process.memory_full_info().pss
    return total // 2**20
