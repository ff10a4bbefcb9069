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
        woken: Whether a DAG is one that the job's runs may wake.
        release: Called when the job's own runs have ended.
        observe: Takes a snapshot of the warehouse.
        check: Raises where an Airflow process has ended.
        asked: Blocks that the job was told to read; None where that is open.
        old: Runs that had failed before the job began.
    """

    api: AirflowApi
    logs: Path
    woken: Callable[[str], bool]
    release: Callable[[], None]
    observe: Callable[[], Snapshot]
    check: Callable[[], None]
    bars: Bars
    asked: int | None
    old: frozenset[DagRun]
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
    swept = False
    while True:
        now = _wait_until_quiet(watch, frozenset(runs), before)
        if not now.dirty or swept or SWEEPER not in watch.api.dag_ids():
            return now
        watch.api.trigger(SWEEPER, {})
        swept = True


def _wait_until_quiet(watch: Watch, started: frozenset[DagRun], before: Snapshot) -> Snapshot:
    quiet_from: float | None = None
    reading = True
    while True:
        watch.check()
        active = _active(watch, started)
        _raise_for_failure(watch, started)
        now = watch.observe()
        if reading and started.isdisjoint(active):
            reading = False
            watch.release()
        watch.bars.show(before, now, watch.asked, reading)
        if active:
            quiet_from = None
            _tell_of_retries(watch)
        elif quiet_from is None:
            quiet_from = time.monotonic()
        elif time.monotonic() - quiet_from >= _WAKE_S:
            return now
        time.sleep(_POLL_S)


def _active(watch: Watch, started: frozenset[DagRun]) -> set[DagRun]:
    """Return the job's runs that are not done; the ingest DAGs' own schedule is not waited for."""
    runs = watch.api.runs("queued", "running")
    return {run for run in runs if run in started or watch.woken(run.dag_id)}


def _raise_for_failure(watch: Watch, started: frozenset[DagRun]) -> None:
    for run in watch.api.runs("failed"):
        if run not in watch.old and (run in started or watch.woken(run.dag_id)):
            raise RunFailedError(explained(watch.api, run, watch.logs))


def _tell_of_retries(watch: Watch) -> None:
    """Say once of each task that waits for its next try what went wrong."""
    for task in watch.api.waiting_tasks():
        text = _retry_text(task, watch.logs)
        if text not in watch.told:
            watch.told.add(text)
            watch.bars.say(text)


def _retry_text(task: Mapping[str, object], logs: Path) -> str:
    error = error_line(log_of(task, logs))
    return f"{task['dag_id']}.{named(task)} will be tried again (try {task['try_number']}): {error}"
