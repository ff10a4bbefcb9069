"""The table of queues and sizes of pod, as code reads it.

`onchain_agg.routing.workload_file` makes it of YAML. Knows no Airflow.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from onchain_agg.errors import UnknownNameError

KUBERNETES_QUEUE = "kubernetes"
DEFAULT_POOL = "default_pool"

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def duration(value: Any) -> timedelta:
    """Return the time that text such as ``90s``, ``10m``, ``3h`` or ``1d`` stands for.

    Raises:
        ValueError: It stands for none above 0; says how to write one.
    """
    found = re.fullmatch(r"([1-9]\d*)([smhd])", value) if isinstance(value, str) else None
    if not found:
        raise ValueError("write a duration above 0 such as 30s, 10m, 3h or 1d")
    return timedelta(seconds=int(found[1]) * _UNITS[found[2]])


Duration = Annotated[timedelta, BeforeValidator(duration)]
Count = Annotated[int, Field(ge=1, strict=True)]
Cpu = Annotated[str, Field(pattern=r"^([1-9]\d*|[1-9]\d*m)$")]
Bytes = Annotated[str, Field(pattern=r"^[1-9]\d*[MGT]i$")]


class Entry(BaseModel):
    """An entry of the table: it never changes, and has no field that is not named."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Pool(Entry):
    """An Airflow pool: how many slots it has, and what for."""

    slots: Count
    description: str


class NodeGroup(Entry):
    """Nodes of one kind; ``spot`` ones are taken away with 120 s of notice."""

    capacity: Literal["spot", "on-demand"]


class Autoscale(Entry):
    """The fewest and the most workers of a queue."""

    min: Annotated[int, Field(ge=0, strict=True)]
    max: Count

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min > self.max:
            raise ValueError(f"min {self.min} is above max {self.max}; swap them")
        return self


class Workload(Entry):
    """What queues and sizes have in common.

    Attributes:
        name: The queue, or the size of pod.
        pool: The Airflow pool that its tasks take slots of.
        slots: Slots that one task takes.
        timeout: A task that runs for longer is stopped.
        retries: Further tries of a task that failed.
        retry_delay: Wait before the first of them.
        node_group: The nodes that its workers or pods run on.
    """

    name: str
    executor: Literal["celery", "kubernetes"]
    pool: str = DEFAULT_POOL
    slots: Count = 1
    timeout: Duration
    retries: Annotated[int, Field(ge=0, strict=True)]
    retry_delay: Duration
    node_group: str


class CeleryQueue(Workload):
    """A queue that Celery workers of its own serve; ``concurrency`` tasks at a time on each."""

    executor: Literal["celery"]
    concurrency: Count
    autoscale: Autoscale


class PodSize(Workload):
    """A size of pod: its template's file name, and what the pod asks for."""

    executor: Literal["kubernetes"]
    pod_template: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]*\.yaml$")]
    cpu: Cpu
    memory: Bytes
    disk: Bytes


@dataclass(frozen=True, kw_only=True)
class Workloads:
    """The whole table.

    Attributes:
        queues: Celery queues by name.
        sizes: Sizes of pod by name.
        pools: Airflow pools by name; ``default_pool`` is Airflow's own and not among them.
        node_groups: By name.
        default_size: The size of a task that says ``queue="kubernetes"`` and nothing else.
        grace: Between a worker pod's SIGTERM and its SIGKILL.
    """

    queues: Mapping[str, CeleryQueue]
    sizes: Mapping[str, PodSize]
    pools: Mapping[str, Pool]
    node_groups: Mapping[str, NodeGroup]
    default_size: str
    grace: timedelta

    def queue(self, name: str) -> CeleryQueue:
        """Return the Celery queue *name*.

        Raises:
            UnknownNameError: There is none; lists those that there are.
        """
        if name not in self.queues:
            raise UnknownNameError("queue", name, self.queues)
        return self.queues[name]

    def size(self, name: str) -> PodSize:
        """Return the size of pod *name*.

        Raises:
            UnknownNameError: There is none; lists those that there are.
        """
        if name not in self.sizes:
            raise UnknownNameError("size of pod", name, self.sizes)
        return self.sizes[name]

    def named(self, name: str) -> CeleryQueue | PodSize:
        """Return the queue or size *name*.

        Raises:
            UnknownNameError: There is neither; lists both.
        """
        if name in self.queues:
            return self.queues[name]
        if name in self.sizes:
            return self.sizes[name]
        raise UnknownNameError("queue or size of pod", name, [*self.queues, *self.sizes])

    @property
    def queue_names(self) -> tuple[str, ...]:
        """Return every queue that a task may name, ``kubernetes`` last."""
        return (*self.queues, KUBERNETES_QUEUE)
