"""What tasks did: a record a task, queue and executor, made of instances that ended in a period.

Every way to read a history keeps the same instances and computes the same numbers, so the answer
does not depend on the way. Kept is what waited for a worker or pod, ran there and ended by itself:

* an instance counts once, in the period in which it ended, with the times of its last try. Airflow
  keeps those of earlier tries elsewhere and gives them out one instance at a time; a retried task
  costs more starts than is counted here, so what is said to be saved is a lower bound;
* mapped instances count as runs of their one task;
* skipped, removed and upstream-failed instances never ran;
* one that was not queued was ended by the scheduler itself, as an empty task is;
* a sensor waits, and how long says nothing about where to do so;
* one that was deferred keeps its first start and is queued again later: it was queued after it
  started, and spent an unknown part of its time in the triggerer.

Knows neither Airflow nor SQL.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from onchain_agg.routing.workloads import KUBERNETES_QUEUE

SUCCESS, FAILED = "success", "failed"
# A part of the class name of every sensor, decorated ones too.
SENSOR = "Sensor"
MEDIAN, NEARLY_ALL = 0.5, 0.95


@dataclass(frozen=True, kw_only=True)
class Instance:
    """A task instance as Airflow stores it; ``executor`` is None for the deployment's default."""

    dag_id: str
    task_id: str
    queue: str
    executor: str | None
    operator: str | None
    state: str | None
    queued_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class TaskHistory:
    """What one task did on one queue and executor.

    A percentile is a time that a run really took: of the shortest part of runs that is at least so
    large a share, the longest.

    Attributes:
        executor: None for the deployment's default.
        runs: Instances that ended, with success or not.
        failed: Those that failed, after all their tries.
        duration_p50: From start to end, of runs that succeeded; None where none did.
        duration_p95: The same.
        queued_p50: From the queue to the start, of all runs.
        queued_p95: The same.
        first_ended: When the first of the runs ended.
        last_ended: When the last one did. A task that was moved has a record of either place, and
            this tells where it is now.
    """

    dag_id: str
    task_id: str
    queue: str
    executor: str | None
    runs: int
    failed: int
    duration_p50: timedelta | None
    duration_p95: timedelta | None
    queued_p50: timedelta
    queued_p95: timedelta
    first_ended: datetime
    last_ended: datetime

    @property
    def succeeded(self) -> int:
        """Return the number of runs that the durations are of."""
        return self.runs - self.failed


@dataclass(frozen=True, kw_only=True)
class Wait:
    """How long the runs of one executor waited between queue and start, the median.

    Attributes:
        executor: None for the deployment's default.
        unnamed_pods: Whether they are the runs of ``queue="kubernetes"`` that name no executor,
            which are apart from others of the default one: unless it starts pods, they went astray.
    """

    executor: str | None
    unnamed_pods: bool = False
    runs: int
    queued_p50: timedelta


@dataclass(frozen=True, kw_only=True)
class History:
    """What tasks did from ``since`` until before ``until``; tasks and waits in a fixed order."""

    since: datetime
    until: datetime
    tasks: tuple[TaskHistory, ...]
    waits: tuple[Wait, ...]

    @property
    def days(self) -> float:
        """Return the length of the period in days."""
        return (self.until - self.since) / timedelta(days=1)


@dataclass(frozen=True)
class _Run:
    failed: bool
    duration: timedelta
    queued: timedelta
    ended_at: datetime


def history_of(instances: Iterable[Instance], since: datetime, until: datetime) -> History:
    """Return the history of the *instances* that ended from *since* until before *until*."""
    tasks: dict[tuple[str, str, str, str | None], list[_Run]] = defaultdict(list)
    waits: dict[tuple[str | None, bool], list[timedelta]] = defaultdict(list)
    for one in instances:
        run = _kept(one, since, until)
        if run is not None:
            tasks[one.dag_id, one.task_id, one.queue, one.executor].append(run)
            unnamed_pods = one.executor is None and one.queue == KUBERNETES_QUEUE
            waits[one.executor, unnamed_pods].append(run.queued)
    return ordered(
        since,
        until,
        [_task(key, runs) for key, runs in tasks.items()],
        [
            Wait(
                executor=executor,
                unnamed_pods=unnamed_pods,
                runs=len(times),
                queued_p50=percentile(times, MEDIAN),
            )
            for (executor, unnamed_pods), times in waits.items()
        ],
    )


def ordered(
    since: datetime, until: datetime, tasks: Iterable[TaskHistory], waits: Iterable[Wait]
) -> History:
    """Return the history of *tasks* and *waits*, each in the order of its names."""
    return History(
        since=since,
        until=until,
        tasks=tuple(sorted(tasks, key=lambda t: (t.dag_id, t.task_id, t.queue, t.executor or ""))),
        waits=tuple(sorted(waits, key=lambda wait: (wait.executor or "", wait.unnamed_pods))),
    )


def percentile(times: Sequence[timedelta], share: float) -> timedelta:
    """Return the smallest of *times* that at least *share* of them do not exceed.

    It is what ``percentile_disc`` says in SQL; nothing is interpolated, so nothing is rounded.
    """
    return sorted(times)[max(math.ceil(share * len(times)), 1) - 1]


def _kept(one: Instance, since: datetime, until: datetime) -> _Run | None:
    if one.state not in {SUCCESS, FAILED} or SENSOR in (one.operator or ""):
        return None
    if one.queued_at is None or one.started_at is None or one.ended_at is None:
        return None
    if not since <= one.ended_at < until or not one.queued_at <= one.started_at <= one.ended_at:
        return None
    return _Run(
        failed=one.state == FAILED,
        duration=one.ended_at - one.started_at,
        queued=one.started_at - one.queued_at,
        ended_at=one.ended_at,
    )


def _task(key: tuple[str, str, str, str | None], runs: Sequence[_Run]) -> TaskHistory:
    dag_id, task_id, queue, executor = key
    durations = [run.duration for run in runs if not run.failed]
    queued = [run.queued for run in runs]
    return TaskHistory(
        dag_id=dag_id,
        task_id=task_id,
        queue=queue,
        executor=executor,
        runs=len(runs),
        failed=len(runs) - len(durations),
        duration_p50=percentile(durations, MEDIAN) if durations else None,
        duration_p95=percentile(durations, NEARLY_ALL) if durations else None,
        queued_p50=percentile(queued, MEDIAN),
        queued_p95=percentile(queued, NEARLY_ALL),
        first_ended=min(run.ended_at for run in runs),
        last_ended=max(run.ended_at for run in runs),
    )
