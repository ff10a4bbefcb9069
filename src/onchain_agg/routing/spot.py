"""Tasks that outlive their node: cleanup, a checkpoint, and another start of the same try.

A spot node that is taken away sends SIGTERM. Airflow passes it to the task, which by default goes
on until it is killed, and a try is spent. Here it ends the task's code by an exception, so that
``finally`` blocks run, and the task is rescheduled, which spends no try.

Limits: a task is interrupted where it runs Python, so one that stays in a library's C code for
longer than the grace is killed as before. Airflow's ``on_kill`` is not called while SIGTERM is
handled here. Airflow also sends SIGTERM to a task that a person stopped; it then refuses the
reschedule, and the task's log says so. In an ``async def`` task `spot_safe` cancels the coroutines;
`resumable` without it waits for the end of the part.
"""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from itertools import islice
from typing import TypeVar

from onchain_agg.errors import ConfigError
from onchain_agg.routing.checkpoint import Checkpoint, checkpoint_key, resumed
from onchain_agg.routing.interruption import (
    Interrupted,
    TaskStart,
    arm,
    disarm,
    ending,
    loop_ending,
    this_start,
)

T = TypeVar("T")

# How interrupted code ends: also by an error of its cleanup, or of a library that turns the
# interruption into one. Airflow's timeout is none of them and fails the try as ever.
_ENDS = (Interrupted, asyncio.CancelledError, Exception)


def spot_safe(*, reschedules: int | None = None) -> AbstractContextManager[None]:
    """Return what runs a task's code so that SIGTERM interrupts it, and reschedules the task.

    The code is interrupted by `Interrupted`. Outside a task this does nothing. Inside another one,
    as in ``@task.heavy``, or a `resumable` loop it only sets *reschedules*.

    Args:
        reschedules: How often one try may be rescheduled; None for what was said before, else 20.
            The interruption after that fails the try like any error, and the next try counts from
            0: how many tries a task is worth is what its ``retries`` say.

    Raises:
        AirflowRescheduleException: At the end; the code was interrupted.
        SourceError: At the end; it was interrupted once more than *reschedules*.
    """
    return _SpotSafe(reschedules)


def resumable(
    parts: Iterable[T], *, name: str = "parts", reschedules: int | None = None
) -> Iterator[T]:
    """Return an iterator over those of *parts* that earlier starts of this task have not done.

    A part is done when the loop asks for the next one. A retry and a reschedule go on with the
    first part that is not; a task that was cleared (or another one of its DAG run), or whose parts
    changed, does all. Keep what a part makes outside the process, for the next start sees only its
    own parts, and let a part be done twice, for a task that is killed or fails forgets up to a
    second of short ones.

    In any task SIGTERM interrupts the loop as `spot_safe` says, but without that around it by
    AirflowRescheduleException, which ``except Exception`` does catch; the loop then raises it again
    at the end of the part. Outside a task this iterates and nothing else.

    Args:
        parts: Values with a repr that is the same in every process, in the same order.
        name: Tells the loops of one task apart.
        reschedules: As in `spot_safe`.

    Raises:
        ConfigError: *name* cannot be one, or another loop of this task has it; or the parts have no
            order or no lasting repr.
        AirflowRescheduleException: The loop was interrupted.
        SourceError: It was interrupted once more than *reschedules*.
    """
    key = checkpoint_key(name)
    if isinstance(parts, set | frozenset):
        raise ConfigError("resumable(…): a set has another order in every process. Sort it first.")
    start = this_start()
    if start is None or start.store is None:
        return iter(parts)
    if key in start.loops:
        raise ConfigError(
            f"resumable(…, name={name!r}): this task has a loop of that name already. "
            "Give each loop a name of its own."
        )
    start.loops.add(key)
    if reschedules is not None:
        start.reschedules = reschedules
    listed = tuple(parts)
    return _walk(start, listed, resumed(start.store, key, listed, start.cleared))


def _walk(start: TaskStart, parts: Sequence[T], checkpoint: Checkpoint) -> Iterator[T]:
    armed = arm(start, lambda: loop_ending(start))
    start.checkpoints.append(checkpoint)
    try:
        start.check()
        for part in islice(parts, checkpoint.done, None):
            yield part
            start.check()
            checkpoint.advance()
        checkpoint.save()
    finally:
        # Not a word to Airflow: the garbage collector may be what ends a loop that was left.
        if armed:
            disarm(start)


# A class: a generator's frames would be contextlib's too, and there the signal's handler could not
# tell the beginning and end of the guarded code from that code.
class _SpotSafe(AbstractContextManager[None]):
    def __init__(self, reschedules: int | None) -> None:
        self._reschedules = reschedules
        self._armed: TaskStart | None = None

    def __enter__(self) -> None:
        start = this_start()
        if start is None:
            return
        if self._reschedules is not None:
            start.reschedules = self._reschedules
        if arm(start, Interrupted):
            self._armed = start

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        start, self._armed = self._armed, None
        if start is None:
            return
        try:
            # From here on SIGTERM would only get in the way of the end.
            start.error = None
            start.save()
            if start.interrupted and (error is None or isinstance(error, _ENDS)):
                raise ending(start) from error
        finally:
            disarm(start)
