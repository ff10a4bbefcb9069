"""What was read of a folder of DAGs, as plain data. Knows no Airflow."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from onchain_agg.routing.executors import LOCAL


@dataclass(frozen=True, kw_only=True)
class TaskFacts:
    """A task after the cluster policies, as Airflow would schedule it.

    Attributes:
        file: The DAG file, relative to the folder that was read.
        line: Where the task is written in *file*; None where that was not found.
        operator: The operator's class.
        executor: None for the deployment's first one.
        pod_template: Path in its ``executor_config``; None where it names none.
        config_fault: Why KubernetesExecutor refuses its ``executor_config``, or None.
        execution_timeout: None where a task may run for good.
        sensor_timeout: How long a sensor waits, at most where it is mapped, and zero where another
            task's result decides; None for what is no sensor.
        reschedule_interval: Between two looks of a sensor that leaves its worker meanwhile; None
            for any other task.
        is_empty: Airflow marks it as done without running it.
    """

    dag_id: str
    task_id: str
    file: str
    line: int | None
    operator: str
    queue: str
    executor: str | None
    pod_template: str | None
    config_fault: str | None
    pool: str
    retries: int
    owner: str
    execution_timeout: timedelta | None
    sensor_timeout: timedelta | None
    reschedule_interval: timedelta | None
    is_mapped: bool
    is_empty: bool


@dataclass(frozen=True, kw_only=True)
class DagFacts:
    """A DAG.

    Attributes:
        line: Where the DAG is written in its file; None where that was not found.
        interval: Between two of its runs, as a mean over a day; zero where one follows the other
            without a pause, None where the clock starts none.
        start_dates: Of the DAG and of its tasks, each once.
    """

    dag_id: str
    file: str
    line: int | None
    interval: timedelta | None
    start_dates: tuple[datetime, ...]
    tasks: tuple[TaskFacts, ...]


@dataclass(frozen=True)
class Deed:
    """What a file did while it was read: a module that it loaded, or a call to the outside."""

    what: str
    line: int


@dataclass(frozen=True, kw_only=True)
class Waived:
    """A rule that an author waives; *task_id* is None where it is waived for the DAG."""

    dag_id: str
    task_id: str | None
    rule: str
    reason: str
    line: int


@dataclass(frozen=True, kw_only=True)
class DagFile:
    """A file of the folder.

    Attributes:
        path: Absolute.
        name: Relative to the folder, with slashes.
        seconds: That reading it took, at best.
        read_from: When the fastest read began.
        read_to: When it ended.
        errors: Why Airflow would not import it, or one of its DAGs; tracebacks.
        loads: Modules that it loaded and Airflow had not.
        calls: Calls to the network, a database, a program or Airflow's own tables.
    """

    path: Path
    name: str
    seconds: float
    read_from: datetime
    read_to: datetime
    errors: tuple[str, ...] = ()
    loads: tuple[Deed, ...] = ()
    calls: tuple[Deed, ...] = ()
    dags: tuple[DagFacts, ...] = ()
    waivers: tuple[Waived, ...] = ()

    @property
    def tasks(self) -> tuple[TaskFacts, ...]:
        """Return the tasks of all DAGs of the file."""
        return tuple(task for dag in self.dags for task in dag.tasks)


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """What the folder was read for: Airflow's configuration and the table of workloads.

    Attributes:
        executors: Every name that a task may give an executor, with the executor's import path;
            the first is the default.
        assumed_executors: What was taken for ``[core] executor``, where it is not set; or None.
        kubernetes_executor: What ``queue="kubernetes"`` stands for.
        queues: Those that a task may name.
        sizes: Of pod, which are no queues.
        pools: Those that a task may name.
        spot_queues: Celery queues whose workers are on spot nodes.
        spot_templates: File names of the pod templates of sizes on spot nodes.
        pod_templates: Their folder where the scheduler reads them.
        default_owner: What Airflow names where an author names no owner.
        default_sensor_timeout: How long a sensor waits where an author says nothing.
    """

    executors: Mapping[str, str]
    assumed_executors: str | None
    kubernetes_executor: str
    queues: tuple[str, ...]
    sizes: tuple[str, ...]
    pools: tuple[str, ...]
    spot_queues: frozenset[str]
    spot_templates: frozenset[str]
    pod_templates: Path
    default_owner: str
    default_sensor_timeout: timedelta

    @property
    def assumption(self) -> str | None:
        """Return the sentence that says what was taken for ``[core] executor``, if anything."""
        if self.assumed_executors is None:
            return None
        return (
            "[core] executor is not set here, so the folder was read for "
            f"{self.assumed_executors}; set AIRFLOW__CORE__EXECUTOR to the deployment's."
        )

    @property
    def has_kubernetes(self) -> bool:
        """Return whether the executor of ``queue="kubernetes"`` is configured."""
        return self.kubernetes_executor in self.executors

    def is_kubernetes(self, executor: str | None) -> bool:
        """Return whether *executor*, or the default one for None, runs ``queue="kubernetes"``."""
        path = self._path(executor)
        return path is not None and path == self.executors.get(self.kubernetes_executor)

    def has_workers(self, executor: str | None) -> bool:
        """Return whether *executor*, or the default one for None, has workers for each queue."""
        is_local = (self._path(executor) or "").endswith(f".{LOCAL}")
        return not (is_local or self.is_kubernetes(executor))

    def _path(self, executor: str | None) -> str | None:
        return self.executors.get(executor) if executor else next(iter(self.executors.values()))


@dataclass(frozen=True)
class Reading:
    """A folder that was read.

    Attributes:
        pod_templates: A folder that stands in for the scheduler's; None for none.
    """

    folder: Path
    files: tuple[DagFile, ...]
    deployment: Deployment
    pod_templates: Path | None = None

    def template_at(self, path: str) -> Path | None:
        """Return where the pod template *path* is on this machine; None where its folder is not."""
        if self.pod_templates and self.is_sizes_template(path):
            return self.pod_templates / Path(path).relative_to(self.deployment.pod_templates)
        return Path(path) if Path(path).parent.is_dir() else None

    def is_sizes_template(self, path: str) -> bool:
        """Return whether the pod template *path* is in the folder of those of the sizes."""
        return Path(path).is_relative_to(self.deployment.pod_templates)


def plain_text(value: Any) -> str:
    """Return *value* as a plain str; of a text of an author's own class, as an Enum, what it says.

    The fork that reads a file hands its facts on, and the author's class is known there alone.
    """
    return str.__str__(value) if isinstance(value, str) else str(value)
