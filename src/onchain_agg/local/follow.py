"""Following DAG runs, and the runs that they wake, until the warehouse has nothing left to do."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from onchain_agg.errors import DataSetError
from onchain_agg.local.failure import error_line, explained, log_of, named
from onchain_agg.local.progress import Bars, Snapshot
from onchain_agg.local.rest import AirflowApi, DagRun

_POLL_S = 0.7
# A finished run's asset events become runs in the scheduler's next loops.
_WAKE_S = 3.0
SWEEPER = "sweep"


class RunFailedError(DataSetError):
    """A DAG run failed; the message names its task, its error and its log."""


@dataclass(frozen=True, kw_only=True)
class Watch:
    """What is followed.

    Attributes:
        mine: Whether the runs of a DAG belong to the job.
        observe: Takes a snapshot of the warehouse.
        check: Raises where an Airflow process has ended.
        asked: Blocks that the job was told to read; None where that is open.
    """

    api: AirflowApi
    logs: Path
    mine: Callable[[str], bool]
    observe: Callable[[], Snapshot]
    check: Callable[[], None]
    bars: Bars
    asked: int | None
    told: set[str] = field(default_factory=set)


def follow(watch: Watch, runs: Sequence[DagRun], before: Snapshot) -> Snapshot:
    """Return the warehouse once *runs* and all that they woke are done.

    Where days are still dirty then, the sweeper runs once; what is dirty after it waits for its
    next refresh.

    Raises:
        RunFailedError: A run failed.
        ConfigError: An Airflow process ended.
        SourceError: The API server does not answer.
    """
    since = min(run.run_after for run in runs)
    started = {(run.dag_id, run.run_id) for run in runs}
    swept = False
    while True:
        now = _wait_until_quiet(watch, since, started, before)
        if not now.dirty or swept or SWEEPER not in watch.api.dag_ids():
            return now
        watch.api.trigger(SWEEPER, {})
        swept = True


def _wait_until_quiet(
    watch: Watch, since: str, started: set[tuple[str, str]], before: Snapshot
) -> Snapshot:
    quiet_from: float | None = None
    while True:
        watch.check()
        active = _active(watch)
        _raise_for_failure(watch, since)
        now = watch.observe()
        watch.bars.show(before, now, watch.asked, not started.isdisjoint(active))
        if active:
            quiet_from = None
            _tell_of_retries(watch)
        elif quiet_from is None:
            quiet_from = time.monotonic()
        elif time.monotonic() - quiet_from >= _WAKE_S:
            return now
        time.sleep(_POLL_S)


def _active(watch: Watch) -> set[tuple[str, str]]:
    runs = watch.api.runs("queued", "running")
    return {(run.dag_id, run.run_id) for run in runs if watch.mine(run.dag_id)}


def _raise_for_failure(watch: Watch, since: str) -> None:
    for run in watch.api.runs("failed", since=since):
        if watch.mine(run.dag_id):
            raise RunFailedError(explained(watch.api, run, watch.logs))


def _tell_of_retries(watch: Watch) -> None:
    """Say once of each task that waits for its next try what went wrong."""
    for task in watch.api.waiting_tasks():
        text = _retry_text(task, watch.logs)
        if watch.mine(task["dag_id"]) and text not in watch.told:
            watch.told.add(text)
            watch.bars.say(text)


def _retry_text(task: Mapping[str, object], logs: Path) -> str:
    error = error_line(log_of(task, logs))
    return f"{task['dag_id']}.{named(task)} will be tried again (try {task['try_number']}): {error}"
