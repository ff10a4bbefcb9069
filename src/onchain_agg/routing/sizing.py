"""How much the table asks of a cluster: a worker, a namespace's quota, a node group's limit.

Knows no Airflow and no Kubernetes.
"""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

from onchain_agg.routing.workloads import CeleryQueue, PodSize, Workloads

_MEBIBYTES = {"Mi": 1, "Gi": 1024, "Ti": 1024 * 1024}


@dataclass(frozen=True, kw_only=True)
class Amount:
    """Thousandths of a CPU, mebibytes of memory and of disk, and pods."""

    cpu: int = 0
    memory: int = 0
    disk: int = 0
    pods: int = 0

    def __add__(self, other: "Amount") -> "Amount":
        return Amount(
            cpu=self.cpu + other.cpu,
            memory=self.memory + other.memory,
            disk=self.disk + other.disk,
            pods=self.pods + other.pods,
        )

    def __mul__(self, times: int) -> "Amount":
        return Amount(
            cpu=self.cpu * times,
            memory=self.memory * times,
            disk=self.disk * times,
            pods=self.pods * times,
        )


# What git-sync asks for, in a pod of either kind.
GIT_SYNC = Amount(cpu=100, memory=128)
# The processes that are there whatever the queues: schedulers, API servers, DAG processors,
# triggerer, PgBouncer, Redis, and as many again while a release replaces them.
CORE = Amount(cpu=20_000, memory=64 * 1024, disk=100 * 1024, pods=40)

# A worker's parent holds what tasks import; a task is a fork that adds the rows it works on.
_PARENT = Amount(cpu=250, memory=1024, disk=5 * 1024, pods=1)
_TASK = Amount(cpu=125, memory=384)
# What the system and DaemonSets take of a node, a quarter on small ones.
_OVERHEAD = 1.25


def of_worker(queue: CeleryQueue) -> Amount:
    """Return what the container of one Celery worker of *queue* asks for."""
    return _PARENT + _TASK * queue.concurrency


def of_pod(size: PodSize) -> Amount:
    """Return what the task's container in a pod of *size* asks for."""
    return Amount(
        cpu=_thousandths(size.cpu),
        memory=_mebibytes(size.memory),
        disk=_mebibytes(size.disk),
        pods=1,
    )


def of_namespace(table: Workloads) -> Amount:
    """Return the most that a deployment of *table* asks for, a release's surge included."""
    surging = [(of_worker(queue), queue.autoscale.max + 1) for queue in table.queues.values()]
    return _total([*surging, *_pods(table, table.sizes.values())]) + CORE


def of_node_group(table: Workloads, group: str) -> Amount:
    """Return what the nodes of *group* must be able to hold, their own share included."""
    workers = [
        (of_worker(queue), queue.autoscale.max + 1)
        for queue in table.queues.values()
        if queue.node_group == group
    ]
    sizes = [size for size in table.sizes.values() if size.node_group == group]
    needed = _total([*workers, *_pods(table, sizes)])
    return Amount(
        cpu=_more(needed.cpu), memory=_more(needed.memory), disk=needed.disk, pods=needed.pods
    )


def largest_disk(table: Workloads, group: str) -> int:
    """Return the mebibytes of disk that the largest pod on *group* asks for."""
    sizes = [of_pod(size).disk for size in table.sizes.values() if size.node_group == group]
    workers = [of_worker(one).disk for one in table.queues.values() if one.node_group == group]
    return max([*sizes, *workers])


def _pods(table: Workloads, sizes: Iterable[PodSize]) -> list[tuple[Amount, int]]:
    """Return the dearest pod of each pool, and how many of it the pool lets run at a time.

    A pool that is not in the table is Airflow's own, with as many slots as workers have.
    """
    on_workers = sum(one.concurrency * one.autoscale.max for one in table.queues.values())
    dearest: dict[str, tuple[Amount, int]] = {}
    for size in sizes:
        slots = table.pools[size.pool].slots if size.pool in table.pools else on_workers
        amount, before = of_pod(size), dearest.get(size.pool, (Amount(), 0))
        dearest[size.pool] = (_larger(amount, before[0]), max(slots // size.slots, before[1]))
    return list(dearest.values())


def _larger(one: Amount, other: Amount) -> Amount:
    return Amount(
        cpu=max(one.cpu, other.cpu),
        memory=max(one.memory, other.memory),
        disk=max(one.disk, other.disk),
        pods=1,
    )


def _total(wanted: Iterable[tuple[Amount, int]]) -> Amount:
    total = Amount()
    for amount, times in wanted:
        total = total + (amount + GIT_SYNC) * times
    return total


def _more(amount: int) -> int:
    return math.ceil(amount * _OVERHEAD)


def _thousandths(cpu: str) -> int:
    return int(cpu[:-1]) if cpu.endswith("m") else int(cpu) * 1000


def _mebibytes(size: str) -> int:
    number, unit = re.fullmatch(r"(\d+)(\w\w)", size).groups()  # type: ignore[union-attr] # the table has checked it
    return int(number) * _MEBIBYTES[unit]
