"""Where a drill takes place: a stack of a cluster, its nodes and an Airflow, and who can be hit."""

import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import psutil

from onchain_agg.local import processes
from onchain_agg.local.workers import Worker, answering
from tests.e2e.control_plane import LocalControlPlane
from tests.e2e.stack import Stack

_GONE_S = 15.0
_EXECUTOR = "kubernetes_executor=True"


@dataclass(frozen=True, kw_only=True)
class Field:
    """A running stack under fire.

    Attributes:
        group: Node group of the drill's pods.
        pods_a_node: How many pods a node takes.
        worker: The Celery worker that serves the drill's tasks; another one of its kind follows it.
        grace_s: Between SIGTERM and SIGKILL.
        drawing: Chooses the victims.
    """

    plane: LocalControlPlane
    stack: Stack
    group: str
    pods_a_node: int
    worker: Worker
    grace_s: int
    drawing: random.Random

    def pods(self, wanted: Callable[[Any], bool]) -> list[Any]:
        """Return the task pods that are *wanted* and not on their way out, by name."""
        core, namespace = self.stack.core, self.stack.namespace
        found = core.list_namespaced_pod(namespace, label_selector=_EXECUTOR).items
        alive = [pod for pod in found if pod.metadata.deletion_timestamp is None and wanted(pod)]
        return sorted(alive, key=lambda pod: str(pod.metadata.name))

    def one_of(self, victims: list[Any]) -> Any | None:
        """Return one of *victims* by chance; None where there is none."""
        return self.drawing.choice(victims) if victims else None

    def part(self, name: str) -> processes.Part | None:
        """Return the newest part of Airflow whose name begins with *name*."""
        parts = processes.running(self.stack.site.home)
        return next((part for part in reversed(parts) if part.name.startswith(name)), None)

    def start_node(self) -> str:
        """Start one more node; return its name."""
        return self.stack.nodes.start(self.group, "--pod-capacity", str(self.pods_a_node))

    def start_worker(self, worker: Worker) -> None:
        """Start one more Celery worker, which takes tasks some seconds later."""
        site = self.stack.site
        before = processes.running(site.home)
        processes.start(site, self.stack.environment, [worker.program], beside=before)

    def takes_tasks(self, worker: Worker) -> bool:
        """Return whether that Celery worker answers."""
        broker = self.stack.site.broker
        return broker is not None and worker.name in answering(broker)


def family(pid: int) -> list[psutil.Process]:
    """Return the process and all below it."""
    with suppress(psutil.NoSuchProcess):
        main = psutil.Process(pid)
        return [main, *main.children(recursive=True)]
    return []


def container_of(pod: Any) -> list[psutil.Process]:
    """Return the first process of the pod's container, with which all others in it end."""
    described = f"/{pod.metadata.uid}/containers/base/container.json"
    for process in psutil.process_iter(["cmdline"]):
        if (process.info["cmdline"] or [""])[-1].endswith(described):
            with suppress(psutil.NoSuchProcess):
                return list(process.children())
    return []


def kill(these: list[psutil.Process]) -> None:
    """Kill these at once, as the end of a machine does; some may have ended."""
    for process in these:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(these, timeout=_GONE_S)
