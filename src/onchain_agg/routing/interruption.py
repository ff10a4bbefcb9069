"""SIGTERM → an exception in the task's code, and from it the end that Airflow understands.

`onchain_agg.routing.spot` is what tasks use.
"""

import _thread
import asyncio
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import FrameType
from typing import Any

from airflow.sdk import get_current_context
from airflow.sdk.exceptions import AirflowRescheduleException

from onchain_agg.errors import SourceError
from onchain_agg.routing.checkpoint import Checkpoint, Store
from onchain_agg.routing.workload_file import configured_workloads

_log = logging.getLogger(__name__)

# A task that is interrupted for ever would spend no try, and nobody would hear of it.
_RESCHEDULES = 20
# After a pod's grace: the executor must hear that the pod ended before the task is queued again,
# or it takes that for the end of the new start.
_MARGIN = timedelta(seconds=10)
# Where a task waits for an answer of its supervisor. To leave it there would give that answer to
# the next question.
_COMMS = "airflow.sdk.execution_time.comms"
# Where the guarded code has not begun yet, or has ended: an exception would pass what handles it.
_GUARDS = (__name__, "onchain_agg.routing.spot")
# What it calls of an author's may take long, and is guarded code.
_LISTS_PARTS = "resumable"
_AGAIN_S = 0.05


class Interrupted(BaseException):
    """SIGTERM arrived; like KeyboardInterrupt, ``except Exception`` does not catch it."""


@dataclass(kw_only=True)
class TaskStart:
    """One start of a task in this process, and what became of it.

    Attributes:
        key: Tells it from the other starts that this process may see.
        store: Where checkpoints are kept; None where there is no such place.
        cleared: As `times_cleared` says.
        spent: Reschedules of this try so far, as Airflow counts them.
        delay: From an interruption to the next start.
        reschedules: Reschedules that one try allows.
        checkpoints: Of the loops that began.
        loops: The keys of all loops.
        error: What an interruption raises; None while SIGTERM is not handled here.
        interrupted: Whether SIGTERM arrived.
        previous: The handler of SIGTERM before.
    """

    key: tuple[str, int]
    store: Store | None
    cleared: list[int]
    spent: int
    delay: timedelta
    reschedules: int = _RESCHEDULES
    checkpoints: list[Checkpoint] = field(default_factory=list)
    loops: set[str] = field(default_factory=set)
    error: Callable[[], BaseException] | None = None
    interrupted: bool = False
    previous: Any = None

    def save(self) -> None:
        """Write what the checkpoints have not told the store yet."""
        for checkpoint in self.checkpoints:
            checkpoint.save()

    def exhausted(self) -> bool:
        """Return whether this try has no reschedule left."""
        return self.spent >= self.reschedules

    def check(self) -> None:
        """Raise the interruption again where code swallowed it, or where it hit another thread."""
        if self.interrupted and self.error is not None:
            raise self.error()


_current: TaskStart | None = None


def this_start() -> TaskStart | None:
    """Return the start of the task that runs in this process; None outside a task.

    Raises:
        ConfigError: The table of queues and sizes, which holds the grace, is wrong.
    """
    global _current  # noqa: PLW0603 - a signal belongs to the process, and so does its task
    try:
        context = get_current_context()
    except RuntimeError:
        return None
    task = context["ti"]
    spent = context.get("task_reschedule_count") or 0
    key = (str(task.id), spent)
    if _current is None or _current.key != key:
        _current = TaskStart(
            key=key,
            store=context.get("task_state_store"),
            cleared=times_cleared(context),
            spent=spent,
            delay=configured_workloads().grace + _MARGIN,
        )
    return _current


def times_cleared(context: Mapping[str, Any]) -> list[int]:
    """Return numbers, as JSON has them, that change as the task of *context* is cleared.

    They are how often tasks of its run were cleared, which clearing with ``reset_dag_runs`` off
    leaves alone, and the number of the last try that Airflow allows, which clearing leaves as it is
    for some tasks that run and for some whose ``retries`` were lowered. Retries and reschedules
    change neither.
    """
    return [context["dag_run"].clear_number or 0, context["ti"].max_tries]


def arm(start: TaskStart, error: Callable[[], BaseException]) -> bool:
    """Let SIGTERM raise *error* in the task's code; return whether the caller must `disarm`.

    It need not where SIGTERM is handled already, or cannot be, which is logged.
    """
    if start.error is not None:
        return False
    if threading.current_thread() is not threading.main_thread():
        _log.warning(
            "The task's code runs outside the main thread, where SIGTERM cannot be handled: "
            "an interruption will spend a try."
        )
        return False
    start.error = error
    start.previous = signal.signal(signal.SIGTERM, _handler(start))
    return True


def disarm(start: TaskStart) -> None:
    """Give SIGTERM back to the handler before."""
    start.error = None
    # Python says ValueError where the garbage collector ends a loop in another thread.
    with suppress(ValueError):
        signal.signal(signal.SIGTERM, start.previous)


def ending(start: TaskStart) -> Exception:
    """Return what ends an interrupted task, whose checkpoints it writes."""
    start.save()
    if start.exhausted():
        return too_often(start)
    return AirflowRescheduleException(_next_start(start))  # type: ignore[no-untyped-call] # Airflow's


def loop_ending(start: TaskStart) -> Exception:
    """Return the same for a signal's handler, which must not speak to Airflow."""
    return too_often(start) if start.exhausted() else _LateReschedule(start)


def too_often(start: TaskStart) -> SourceError:
    """Return the error of a task that was interrupted once more than its try allows."""
    return SourceError(
        f"SIGTERM interrupted this try {start.spent + 1} times, and it may be rescheduled "
        f"{start.reschedules} times. Run the task on nodes that are not taken away "
        "(size 'on-demand'), make it shorter, or allow more: resumable(…, reschedules=…)."
    )


class _LateReschedule(AirflowRescheduleException):
    """Writes the checkpoints when Airflow asks for the date: after the task's cleanup."""

    def __init__(self, start: TaskStart) -> None:
        # Not the base's own, which sets the date.
        Exception.__init__(self, "interrupted by SIGTERM")
        self._start = start

    @property
    def reschedule_date(self) -> datetime:
        """Return the moment at which the task may start again."""
        self._start.save()
        return _next_start(self._start)


def _next_start(start: TaskStart) -> datetime:
    _log.info(
        "SIGTERM interrupted the task. Unless a person stopped it, it starts again in %d s and "
        "spends no try (reschedule %d of %d).",
        start.delay.total_seconds(),
        start.spent + 1,
        start.reschedules,
    )
    # A pod ends by the wall clock, whatever the run's window is.
    return datetime.now(UTC) + start.delay  # noqa: TID251 - see above


def _handler(start: TaskStart) -> Callable[[int, FrameType | None], None]:
    pid = os.getpid()

    def interrupt(number: int, frame: FrameType | None) -> None:
        if os.getpid() != pid:
            # A process that the task forked ends as if there were no handler.
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        elif start.interrupted:
            # Cleanup is under way, and must not be cut short.
            return
        elif _must_not_raise(frame):
            # The threading module may be what was interrupted, with its locks held.
            _thread.start_new_thread(_send_again, (pid, number))
        elif start.error is None:
            # The handler before could not be restored.
            return
        elif loop := _running_loop():
            start.interrupted = True
            if start.error is Interrupted:
                loop.call_soon_threadsafe(_cancel_all, loop)
        else:
            start.interrupted = True
            raise start.error()

    return interrupt


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _cancel_all(loop: asyncio.AbstractEventLoop) -> None:
    """Interrupt every coroutine; an exception in the loop's own code would reach none of them."""
    for task in asyncio.all_tasks(loop):
        task.cancel()


def _must_not_raise(frame: FrameType | None) -> bool:
    """Return whether an exception in *frame* would leave a question open or pass its handler."""
    while frame is not None:
        module = frame.f_globals.get("__name__")
        if module == _COMMS or (module in _GUARDS and frame.f_code.co_name != _LISTS_PARTS):
            return True
        frame = frame.f_back
    return False


def _send_again(pid: int, number: int) -> None:
    time.sleep(_AGAIN_S)
    os.kill(pid, number)
