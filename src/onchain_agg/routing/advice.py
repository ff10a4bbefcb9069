"""Which tasks run on the wrong side: on a worker though they are long, in a pod though short.

The model, all times in seconds:

* ``P``, the start of a pod: the median wait from queued to running of the runs in pods, where there
  are at least `MIN_RUNS`; else what was given, or ``pod_start`` of the cost inputs.
* ``W``, the same for workers; where there are too few runs, what ``starts`` of those inputs
  measured. What they measured of pods is shown, as the least that a pod can take, and decides
  nothing: it had neither an image to pull nor a node to start.
* ``d``, a task's median duration, of runs that succeeded.
* The break-even is ``k * P``: a task belongs in a pod when ``d`` is at least that. A shorter one
  wastes its pod on starting; a longer one holds a worker's slot while short tasks wait.
* ``k`` is 5. Around the break-even lies a band of a quarter in which a task stays where it is, so
  that advice does not turn round with each week's numbers. A task leaves its pod below ``3.75 P``,
  where starting is more than a fifth of the pod's life, and a worker above ``6.25 P``, where it
  would be less than a seventh.

Judged is where a task is now, on the queue and executor of the run that ended last: one that was
moved in the period is not told to move again. What moving it saves on a day with ``n`` runs:

* pod to worker: ``n * (P - W)``, time that its runs no longer wait and that no pod is paid for.
* worker to pod: ``n * d`` of worker slots, free for others.
* money, only with both prices: ``n * ((P + d) * pod - d * slot)`` for the first move, its opposite
  for the second. It is below 0 where a move costs money.

``n`` is the runs of the period divided by its days. Of a task that was moved it is the runs where
it is now, divided by the days from the end of the last run elsewhere to the end of the period; from
the first end here, where that is sooner; and by one day at least. A task that is new has more runs
a day than this says, so what is said to be saved is a lower bound.

Not judged are tasks with too few runs, and those whose author named another executor than the
queue's. One of ``queue="kubernetes"`` that has no executor of its own went to the default one,
which starts no pods: to move it saves nothing, its route is what must be repaired. Memory is no
part of the model: a short task that no worker can hold belongs in a pod, whatever is said here.

Knows neither Airflow nor SQL: it reads `onchain_agg.routing.history` and that input.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum

from onchain_agg.costs.inputs import Starts, packaged_pod_start, packaged_starts
from onchain_agg.errors import ConfigError
from onchain_agg.routing.executors import CELERY, Executors
from onchain_agg.routing.history import History, TaskHistory, Wait
from onchain_agg.routing.workloads import KUBERNETES_QUEUE

BREAK_EVEN = 5.0
BAND = 0.25
# Below this many runs the 95th percentile is simply the longest run.
MIN_RUNS = 20

# A task as long as a thousand starts belongs in a pod by any measure.
_MOST_STARTS = 1000
_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)


class Verdict(StrEnum):
    """What is said about a task."""

    NOT_ROUTED = "not routed"
    TO_WORKERS = "to workers"
    STAYS = "stays"
    TO_POD = "to a pod"
    TOO_FEW_RUNS = "too few runs"
    AUTHORS_CHOICE = "author's choice"


@dataclass(frozen=True, kw_only=True)
class Prices:
    """What an hour of a worker's slot and of a pod cost, in one currency."""

    slot_hour: float
    pod_hour: float


@dataclass(frozen=True, kw_only=True)
class Model:
    """What advice is based on; see the module.

    Attributes:
        pod_start: Start of a pod where too few were seen.
        measured: What starts took when they were measured apart from any deployment.
        break_even: Duration from which a task belongs in a pod, in starts of a pod.
        prices: None where they are not known.
        executors: What the history's names of executors mean. Where ``queue="kubernetes"`` stands
            for a stand-in on one machine, its waits say nothing of pods.
    """

    pod_start: timedelta = field(default_factory=packaged_pod_start)
    measured: Starts = field(default_factory=packaged_starts)
    break_even: float = BREAK_EVEN
    prices: Prices | None = None
    executors: Executors = field(default_factory=Executors)

    def __post_init__(self) -> None:
        """Refuse numbers that make no sense, by the option that set them."""
        prices = (self.prices.slot_hour, self.prices.pod_hour) if self.prices else ()
        if self.pod_start <= timedelta(0):
            raise ConfigError("--pod-start must be above 0. Correct it.")
        if not 0 < self.break_even <= _MOST_STARTS:
            raise ConfigError(
                f"--break-even must be above 0 and at most {_MOST_STARTS}. Correct it."
            )
        if not all(0 <= price < math.inf for price in prices):
            raise ConfigError("--slot-hour and --pod-hour must be at least 0. Correct them.")


@dataclass(frozen=True, kw_only=True)
class Start:
    """How long a start takes, and of how many runs that is the median; 0 where too few ran."""

    time: timedelta
    runs: int


@dataclass(frozen=True, kw_only=True)
class Advice:
    """What is said about one task.

    Attributes:
        task: What it did where it ran last.
        saves: Time a day: of waiting and pods for `Verdict.TO_WORKERS`, of worker slots for
            `Verdict.TO_POD`, else none.
        money: What the move saves a day, in the currency of the prices; None without prices or
            where nothing moves.
    """

    task: TaskHistory
    runs_per_day: float
    verdict: Verdict
    saves: timedelta
    money: float | None


@dataclass(frozen=True, kw_only=True)
class Report:
    """All advice and the starts that it is based on; first what is not routed, then by savings."""

    pod: Start
    worker: Start
    measured: Starts
    break_even: timedelta
    stays_from: timedelta
    stays_to: timedelta
    advice: tuple[Advice, ...]

    def count(self, verdict: Verdict) -> int:
        """Return how many tasks *verdict* is said about."""
        return sum(one.verdict is verdict for one in self.advice)

    def saved(self, verdict: Verdict) -> timedelta:
        """Return the time a day that all moves of *verdict* save."""
        return sum((one.saves for one in self.advice if one.verdict is verdict), start=timedelta(0))


def advise(history: History, model: Model) -> Report:
    """Return what *model* says about each task of *history*, where it ran last."""
    kind, pods = model.executors.kind, model.executors.pods
    in_pods = [wait for wait in history.waits if kind(wait.executor) == pods]
    pod = _start(in_pods if model.executors.starts_pods else [], model.pod_start)
    others = [wait for wait in history.waits if wait not in in_pods]
    worker = _start([wait for wait in others if _on_worker(wait, kind)], model.measured.worker.time)
    advice = [_advice(task, rate, model, pod, worker) for task, rate in _latest(history)]
    break_even = pod.time * model.break_even
    return Report(
        pod=pod,
        worker=worker,
        measured=model.measured,
        break_even=break_even,
        stays_from=break_even * (1 - BAND),
        stays_to=break_even * (1 + BAND),
        # Stable: what saves nothing keeps the order of its names.
        advice=tuple(sorted(advice, key=_urgency, reverse=True)),
    )


def _urgency(one: Advice) -> tuple[bool, timedelta]:
    return one.verdict is Verdict.NOT_ROUTED, one.saves


def _on_worker(wait: Wait, kind: Callable[[str | None], str]) -> bool:
    # The wait of what went astray is no worker's: there may be none that serves its queue.
    is_default = wait.executor is None and not wait.unnamed_pods
    return is_default or (wait.executor is not None and kind(wait.executor) == CELERY)


def _latest(history: History) -> Iterator[tuple[TaskHistory, float]]:
    """Yield what each task of *history* did where it ran last, and its runs a day there."""
    places: dict[tuple[str, str], list[TaskHistory]] = defaultdict(list)
    for task in history.tasks:
        places[task.dag_id, task.task_id].append(task)
    for found in places.values():
        *former, latest = sorted(found, key=lambda task: (task.last_ended, task.first_ended))
        days = history.days
        if former:
            since = min(former[-1].last_ended, latest.first_ended)
            # Runs of less than a day, carried over to a whole one, would be a guess.
            days = max((history.until - since) / _DAY, 1.0)
        yield latest, latest.runs / days


def _start(waits: Sequence[Wait], assumed: timedelta) -> Start:
    """Return the start of the executor with the most runs of *waits*, where there are enough."""
    most = max(waits, key=lambda wait: wait.runs, default=None)
    if most is None or most.runs < MIN_RUNS:
        return Start(time=assumed, runs=0)
    return Start(time=most.queued_p50, runs=most.runs)


def _advice(task: TaskHistory, per_day: float, model: Model, pod: Start, worker: Start) -> Advice:
    side = _side(task, model.executors)
    verdict = _verdict(task, model, side, pod.time, worker.time)
    duration = task.duration_p50 or timedelta(0)
    saves, money = timedelta(0), None
    if verdict is Verdict.TO_WORKERS:
        saves = (pod.time - worker.time) * per_day
    elif verdict is Verdict.TO_POD:
        saves = duration * per_day
    if model.prices and saves:
        in_pod = (pod.time + duration) / _HOUR * model.prices.pod_hour
        on_worker = duration / _HOUR * model.prices.slot_hour
        money = per_day * (in_pod - on_worker) * (1 if side is _Side.POD else -1)
    return Advice(task=task, runs_per_day=per_day, verdict=verdict, saves=saves, money=money)


class _Side(StrEnum):
    WORKER = "worker"
    POD = "pod"


def _side(task: TaskHistory, executors: Executors) -> _Side | Verdict:
    """Return where *task* ran, or what is said of one that did not run where its queue says."""
    kind = executors.kind(task.executor)
    if task.queue == KUBERNETES_QUEUE:
        if kind == executors.pods:
            return _Side.POD
        # The policy names no other executor for this queue, so one that is named is the author's.
        return Verdict.NOT_ROUTED if task.executor is None else Verdict.AUTHORS_CHOICE
    if task.executor is None:
        only_pods = executors.starts_pods and kind == executors.pods
        return _Side.POD if only_pods else _Side.WORKER
    # The policy names Celery where it is not the default.
    return _Side.WORKER if kind == CELERY else Verdict.AUTHORS_CHOICE


def _verdict(
    task: TaskHistory, model: Model, side: _Side | Verdict, pod: timedelta, worker: timedelta
) -> Verdict:
    if isinstance(side, Verdict):
        return side
    if task.duration_p50 is None or task.succeeded < MIN_RUNS:
        return Verdict.TOO_FEW_RUNS
    break_even = pod * model.break_even
    if side is _Side.WORKER:
        is_long = task.duration_p50 > break_even * (1 + BAND)
        return Verdict.TO_POD if is_long else Verdict.STAYS
    # Where workers are so full that a pod is there sooner, nothing is won by leaving it.
    is_short = task.duration_p50 < break_even * (1 - BAND) and pod > worker
    return Verdict.TO_WORKERS if is_short else Verdict.STAYS
