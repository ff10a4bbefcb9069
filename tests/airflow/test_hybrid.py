"""Celery workers and the executor of heavy tasks side by side, and workers that go mid-task.

The DAGs lie in the folder ``hybrid``. Their tasks write down what they do and which processes are
above them, so a place is a process that this module started, and an effect is a line of a file.
"""

import base64
import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from redis import Redis

from onchain_agg.local import processes
from onchain_agg.local.broker import Broker
from onchain_agg.local.environment import Site, airflow_environment
from onchain_agg.local.job import running_airflow
from onchain_agg.local.rest import AirflowApi, DagRun
from onchain_agg.local.workers import Worker, local_workers
from onchain_agg.routing.workload_file import PACKAGED, load_workloads
from onchain_agg.settings import load_settings
from tests.fakes.servers_home import AIRFLOW, servers_home

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(240)]

_FOLDER = Path(__file__).with_name("hybrid")
_DAGS = ("kinds", "killed", "drained", "evicted")
_PARTS = ("api-server", "scheduler", "dag-processor")
_TABLE = load_workloads(PACKAGED)
# Three tasks at a time, for the three of the DAG `evicted`.
_LIGHT, _METRICS = (replace(worker, concurrency=3) for worker in local_workers(_TABLE))
_WAIT_S = 90.0
_OPTIONS = {
    "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "15",
    "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "1",
    "CELERY__EXTRA_CELERY_CONFIG": '{"worker_soft_shutdown_timeout": 3}',
    # Workers look every second, not every 100, for messages whose visibility timeout has passed.
    "CELERY_BROKER_TRANSPORT_OPTIONS__UNACKED_RESTORE_INTERVAL": "1",
    "CELERY_BROKER_TRANSPORT_OPTIONS__UNACKED_RESTORE_THROTTLE": "1",
}
# Where the tasks of `kinds` belong, and how often they note it: a sensor looks twice.
_PLACES = {
    "worker-light": Counter(
        {"no_queue": 1, "light": 1, "numbers": 1, "on_ingest_worker": 1, "sensor": 2}
    ),
    "worker-metrics": Counter(
        {
            **dict.fromkeys(("on_whale_worker", "on_nft_worker", "on_market_worker"), 1),
            **dict.fromkeys(("create_whale_table", "light_nft", "coroutine", "classic"), 1),
            **dict.fromkeys(("mapped_light 0", "mapped_light 1"), 1),
            **dict.fromkeys(("per_market.light_member 0", "per_market.light_member 1"), 1),
            "classic_sensor": 2,
        }
    ),
    # LocalExecutor, which stands in for pods, runs tasks below the scheduler.
    "scheduler": Counter(
        {
            **dict.fromkeys(("on_kubernetes", "heavy", "heavy_memory", "bash"), 1),
            **dict.fromkeys(("authors_choice", "mapped_plain 0", "mapped_plain 1"), 1),
            **dict.fromkeys(("mapped_heavy 0", "mapped_heavy 1"), 1),
            **dict.fromkeys(("per_market.heavy_member 0", "per_market.heavy_member 1"), 1),
            "heavy_sensor": 2,
        }
    ),
}


@dataclass(frozen=True)
class _Hybrid:
    """A running Airflow with its Redis, and what its tasks wrote down.

    Attributes:
        notes: The folder of the notes, and of the flags that tasks wait for.
        places: Name of each process that was started, by its id.
    """

    site: Site
    environment: Mapping[str, str]
    api: AirflowApi
    redis: "Redis[bytes]"
    notes: Path
    places: dict[int, str]

    def start_another(self, worker: Worker) -> str:
        """Start one more *worker*, which takes tasks some seconds later; return its part's name."""
        before = processes.running(self.site.home)
        other = replace(worker, name=f"{worker.name}-{len(self.places)}")
        self.remember(processes.start(self.site, self.environment, [other.program], beside=before))
        return other.program.name

    def newest(self, worker: Worker) -> str:
        """Return the name of the part that runs as *worker*, the last one that was started."""
        running = [part.name for part in processes.running(self.site.home)]
        return [name for name in running if name.startswith(worker.program.name)][-1]

    def remember(self, parts: tuple[processes.Part, ...]) -> None:
        self.places.update({part.pid: part.name for part in parts})

    def process(self, name: str) -> psutil.Process:
        running = processes.running(self.site.home)
        return psutil.Process(next(part.pid for part in running if part.name == name))

    def family(self, name: str) -> list[psutil.Process]:
        """Return the part and all below it.

        Its group alone would not do: Airflow gives each task's process a group of its own.
        """
        main = self.process(name)
        return [main, *main.children(recursive=True)]

    def kill(self, family: list[psutil.Process]) -> None:
        """Kill these at once, as the end of a pod or a node does; some may have ended."""
        for process in family:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(family, timeout=10)

    def log(self, name: str) -> str:
        return (self.site.logs / f"{name}.log").read_text(errors="replace")

    def raise_flag(self, name: str) -> None:
        (self.notes / name).touch()

    def noted(self) -> list[dict[str, Any]]:
        """Return all notes in order, with the place where each was written."""
        lines = map(json.loads, (self.notes / "notes.jsonl").read_text().splitlines())
        return [
            {**one, "place": next(self.places[pid] for pid in one["above"] if pid in self.places)}
            for one in lines
        ]

    def did(self, task_id: str) -> list[tuple[str, str, int]]:
        """Return event, place and try of each note of the task."""
        notes = [one for one in self.noted() if one["task_id"] == task_id]
        return [(one["event"], one["place"], one["try_number"]) for one in notes]

    def state(self, run: DagRun, task_id: str) -> str | None:
        tasks = self.api.task_instances(run)
        return next((task["state"] for task in tasks if task["task_id"] == task_id), None)

    def unacknowledged(self, run: DagRun) -> dict[bytes, str]:
        """Return by tag Celery's id of each message of *run* that no worker has acknowledged."""
        held = {tag: json.loads(text)[0] for tag, text in self.redis.hgetall("unacked").items()}
        return {tag: one["headers"]["id"] for tag, one in held.items() if _is_of(one, run)}

    def messages(self, run: DagRun) -> int:
        """Return how many messages of *run* there are, in all queues and with workers."""
        queued = (text for name in _TABLE.queue_names for text in self.redis.lrange(name, 0, -1))
        return sum(_is_of(json.loads(text), run) for text in queued) + len(self.unacknowledged(run))

    def redeliver(self, tags: Mapping[bytes, str]) -> None:
        """Let the visibility timeout of these messages be over."""
        self.redis.zadd("unacked_index", dict.fromkeys(tags, 0))

    def wait(self, condition: Callable[[], bool], what: str, run: DagRun) -> None:
        deadline = time.monotonic() + _WAIT_S
        while not condition():
            if time.monotonic() > deadline:
                tasks = self.api.task_instances(run)
                states = [(one["task_id"], one["map_index"], one["state"]) for one in tasks]
                pytest.fail(
                    f"Not within {_WAIT_S} s: {what}. Tasks: {states}. "
                    f"Unacknowledged: {self.unacknowledged(run)}. Last notes: {self.noted()[-10:]}"
                )
            time.sleep(0.1)

    def finish(self, run: DagRun) -> list[dict[str, Any]]:
        """Return the tasks of *run* once all of them succeeded and no message is left."""
        ended = ("success", "failed")
        self.wait(lambda: run in self.api.runs(*ended), f"the end of {run.dag_id}", run)
        self.wait(lambda: not self.messages(run), "every message acknowledged", run)
        tasks = self.api.task_instances(run)
        assert Counter(task["state"] for task in tasks) == {"success": len(tasks)}
        return tasks


def _is_of(message: Mapping[str, Any], run: DagRun) -> bool:
    return run.run_id.encode() in base64.b64decode(message["body"])


@pytest.fixture(scope="module")
def hybrid(shared_folder) -> Iterator[_Hybrid]:
    """An Airflow with two Celery workers and LocalExecutor, in which all DAGs wait for runs."""
    with ExitStack() as stack:
        home = stack.enter_context(servers_home(shared_folder))
        notes, site, environment = _written(home)
        assert site.broker is not None
        redis = stack.enter_context(closing(Redis.from_url(site.broker.url)))
        workers = (_LIGHT, _METRICS)
        api, parts = stack.enter_context(
            running_airflow(site, environment, home, _PARTS, set(_DAGS), workers)
        )
        made = _Hybrid(site, environment, api, redis, notes, {})
        made.remember(parts)
        for dag_id in _DAGS:
            api.unpause(dag_id)
        yield made


def _written(home: Path) -> tuple[Path, Site, dict[str, str]]:
    """Return the folder of the notes, and the site with its environment."""
    (notes := home / "notes").mkdir()
    (notes / "notes.jsonl").touch()
    # An interrupted task starts again 10 s after its worker's grace.
    (table := home / "workloads.yaml").write_text("grace: 1s\n")
    site = Site(
        home=home / AIRFLOW,
        dags=_FOLDER,
        port=processes.free_port(),
        quick=True,
        broker=Broker(port=processes.free_port()),
    )
    settings = load_settings({"ONCHAIN_AGG_HOME": str(home)})
    environment = {
        **airflow_environment(site, settings, "postgresql+psycopg:///unused"),
        **{f"AIRFLOW__{name}": value for name, value in _OPTIONS.items()},
        "ONCHAIN_AGG_WORKLOADS_FILE": str(table),
        "HYBRID_NOTES": str(notes),
    }
    return notes, site, environment


@pytest.fixture(scope="module")
def kinds(hybrid):
    """Return the tasks of a run of the DAG with all kinds of tasks."""
    return hybrid.finish(hybrid.api.trigger("kinds", {}))


def test_each_kind_of_task_runs_where_its_queue_says(hybrid, kinds):
    places = {name: Counter() for name in _PLACES}
    for one in hybrid.noted():
        if one["dag_id"] == "kinds":
            index = f" {one['map_index']}" if one["map_index"] >= 0 else ""
            places[one["place"]][one["task_id"] + index] += 1

    assert places == _PLACES
    assert len(kinds) == sum(map(len, _PLACES.values()))
    assert {task["try_number"] for task in kinds} == {1}


def test_only_what_is_for_pods_or_says_so_has_an_executor(kinds):
    executors = {task["task_id"]: task["executor"] for task in kinds}

    local = {name.partition(" ")[0] for name in _PLACES["scheduler"]}
    assert executors == {name: "LocalExecutor" if name in local else None for name in executors}


def test_every_pool_of_the_table_exists_and_no_other_is_used(hybrid, kinds):
    pools = {one["name"]: one["slots"] for one in hybrid.api._pages("/api/v2/pools", {}, "pools")}

    workers = sum(queue.concurrency * queue.autoscale.max for queue in _TABLE.queues.values())
    assert pools == {"default_pool": workers, "heavy": 16}
    assert {task["pool"] for task in kinds} == set(pools)


@dataclass(frozen=True)
class _Lost:
    """A run whose task lost its worker: the workers before and after, and the task's message."""

    run: DagRun
    old: str
    new: str
    message: dict[bytes, str]


@pytest.fixture(scope="module")
def lost(hybrid):
    run = hybrid.api.trigger("killed", {})
    hybrid.wait(lambda: len(hybrid.did("transfers")) == 1, "the first try", run)
    old = hybrid.newest(_METRICS)
    hybrid.kill(hybrid.family(old))
    message = hybrid.unacknowledged(run)
    return _Lost(run, old, hybrid.start_another(_METRICS), message)


# The heartbeat of the task that is lost runs out meanwhile.
@pytest.mark.usefixtures("lost")
def test_a_worker_that_got_sigterm_ends_its_tasks_and_takes_no_other(hybrid):
    run = hybrid.api.trigger("drained", {})
    hybrid.wait(lambda: len(hybrid.did("blocks")) == 3, "three of four tasks", run)
    old = hybrid.newest(_LIGHT)
    process = hybrid.process(old)

    process.terminate()
    hybrid.wait(lambda: "Warm shutdown" in hybrid.log(old), "the shutdown", run)
    new = hybrid.start_another(_LIGHT)
    hybrid.raise_flag("drain")
    code = process.wait(_WAIT_S)
    tasks = hybrid.finish(run)

    assert code == 0
    assert [task["try_number"] for task in tasks] == [1, 1, 1, 1]
    assert Counter(hybrid.did("blocks")) == {
        ("begin", old, 1): 3,
        ("done", old, 1): 3,
        ("begin", new, 1): 1,
        ("done", new, 1): 1,
    }


def test_a_task_whose_worker_was_killed_is_tried_again_and_ends_once(hybrid, lost):
    run, old, new = lost.run, lost.old, lost.new
    (number,) = lost.message.values()
    refused = f"Task execute_workload[{number}] raised unexpected: ServerResponseError"

    hybrid.wait(lambda: len(hybrid.did("transfers")) == 2, "the second try", run)
    hybrid.redeliver(lost.message)
    hybrid.wait(lambda: refused in hybrid.log(new), "the first try's message again", run)
    hybrid.raise_flag("seen_again")
    (task,) = hybrid.finish(run)

    assert task["try_number"] == 2
    assert hybrid.did("transfers") == [("begin", old, 1), ("begin", new, 2), ("done", new, 2)]


def test_a_worker_that_must_go_at_once_loses_no_task(hybrid):
    run = hybrid.api.trigger("evicted", {})
    names = ("deaf", "parts", "short")
    hybrid.wait(lambda: sum(len(hybrid.did(name)) for name in names) == 5, "three tasks", run)
    old = hybrid.newest(_METRICS)

    # As a pod that is evicted: time to finish, then SIGTERM to the tasks, then the kill.
    family = hybrid.family(old)
    os.kill(family[0].pid, signal.SIGQUIT)
    hybrid.raise_flag("evict")
    new = hybrid.start_another(_METRICS)
    hybrid.wait(lambda: hybrid.state(run, "short") == "success", "the short task's end", run)
    hybrid.wait(lambda: hybrid.state(run, "parts") == "up_for_reschedule", "SIGTERM", run)
    hybrid.kill(family)
    hybrid.redeliver(hybrid.unacknowledged(run))
    tries = {task["task_id"]: task["try_number"] for task in hybrid.finish(run)}

    assert tries == {"short": 1, "parts": 1, "deaf": 2}
    assert hybrid.did("short") == [("begin", old, 1), ("done", old, 1)]
    assert hybrid.did("parts") == [
        *(("begin 0", old, 1), ("done 0", old, 1), ("begin 1", old, 1)),
        *((event, new, 1) for event in ("begin 1", "done 1", "begin 2", "done 2")),
    ]
    assert hybrid.did("deaf") == [("begin", old, 1), ("begin", new, 2), ("done", new, 2)]
