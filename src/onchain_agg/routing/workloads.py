"""The table of queues and sizes of pod, as code reads it.

`onchain_agg.routing.workload_file` makes it of YAML. Knows no Airflow.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from onchain_agg.durations import duration
from onchain_agg.errors import ConfigError, UnknownNameError

# What editors offer: the names of the packaged table. A deployment may have others.
QueueName = Literal["default", "ingest_worker", "whale_worker", "nft_worker", "market_worker"]
SizeName = Literal["small", "memory", "cpu", "on-demand"]

KUBERNETES_QUEUE = "kubernetes"
DEFAULT_POOL = "default_pool"


def _written(pattern: str, example: str) -> BeforeValidator:
    """Return the check of text, which says *example* where the text does not fit *pattern*."""

    def check(value: Any) -> str:
        if not isinstance(value, str) or not re.fullmatch(pattern, value):
            raise ValueError(f"write {example}")
        return value

    return BeforeValidator(check)


def _cpus(value: Any) -> Any:
    # YAML takes the 2 of `cpu: 2` for a number, and nobody means another thing by it.
    return str(value) if type(value) is int else value


Duration = Annotated[timedelta, BeforeValidator(duration)]
Count = Annotated[int, Field(ge=1, strict=True)]
# The last validator is the first to run.
Cpu = Annotated[str, _written(r"[1-9]\d*m?", "CPUs such as 500m or 2"), BeforeValidator(_cpus)]
Bytes = Annotated[str, _written(r"[1-9]\d*[MGT]i", "a size such as 24Gi")]
FileName = Annotated[
    str,
    _written(
        r"[a-z0-9][a-z0-9.-]*\.yaml",
        "a file name such as memory.yaml, without capitals or folders",
    ),
]


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
    pod_template: FileName
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
            ConfigError: It is for pods.
            UnknownNameError: There is none; lists those that there are.
        """
        if name in self.queues:
            return self.queues[name]
        if name == KUBERNETES_QUEUE or name in self.sizes:
            what = "the queue of pods" if name == KUBERNETES_QUEUE else "a size of pod"
            raise ConfigError(
                f"{name!r} is {what}: each task gets a pod of its own, and no worker serves it. "
                f"Name one of {', '.join(self.queues)}."
            )
        raise UnknownNameError("queue", name, self.queue_names)

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
