"""Computes the dirty days of a data set and publishes them.

The one way to a served row, whoever asks: a DAG, the command line, a notebook or a rebuild.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, Table, func, select, text
from sqlalchemy.exc import DataError, IntegrityError, OperationalError, ProgrammingError

from onchain_agg.errors import DataSetError, SourceError
from onchain_agg.metrics.dataset import DataSet, Window
from onchain_agg.metrics.inputs import inputs_of, is_being_applied, window_of
from onchain_agg.metrics.invariants import check_invariants
from onchain_agg.metrics.registry import all_datasets
from onchain_agg.metrics.todo import Todo, days_of, todo
from onchain_agg.metrics.wiring import published_as
from onchain_agg.warehouse import dirty, ledger, versions
from onchain_agg.warehouse.archive import DayStore, readable
from onchain_agg.warehouse.locks import publishing

NO_THROTTLE = timedelta(0)
# Days of a run whose broken contracts an error shows; it names the others.
_TOLD_IN_FULL = 5
# Facts outside of blocks have no finality; a correction that comes later opens the day again.
_LATE_FACTS = timedelta(days=1)

Clock = Callable[[], datetime]


@dataclass(frozen=True)
class Published:
    """One window that a run looked at.

    Attributes:
        rows: Rows in the window now.
        changed: Rows that arrived, changed or vanished; 0 when the window was up to date.
    """

    dataset: str
    scope: str
    day: date
    rows: int
    changed: int


Progress = Callable[[Published], None]


def compute(
    engine: Engine,
    dataset: DataSet,
    scope: str,
    *,
    refresh: timedelta = NO_THROTTLE,
    clock: Clock | None = None,
    progress: Progress | None = None,
    archive: DayStore | None = None,
) -> list[Published]:
    """Publish every dirty day of *dataset* in *scope*, oldest first, then those they tell of.

    Each window is one transaction under the data set's lock, with its ledger row; the dirty rows
    whose reach ends with a window are cleared in it. A run that dies is made up for by the next.
    A window whose rows break their contract stays as it was, and dirty; the later ones go on.
    The days that `DataSet.elsewhere` names are dirty from then on, and computed in the same call.

    Args:
        engine: The warehouse.
        dataset: What to compute.
        scope: Name of the chain or venue, or ``global``.
        refresh: The newest day is left dirty while its last computation is younger than this.
        clock: Publish clock; by default the database's, read under the lock.
        progress: Called after each window.
        archive: Where days are read that left the fact tables.

    Returns:
        The windows looked at; none when nothing was dirty or the newest day is to wait.

    Raises:
        ConfigError: A day is archived, and no *archive* was given.
        DataSetError: Rows break the table's contract; names every day that they do so on. Every
            other day was published.
        SourceError: The database failed; what was published stays, and the rest is still dirty.
    """
    snapshot = engine.execution_options(isolation_level="REPEATABLE READ")
    with _retryable(dataset), snapshot.begin() as connection:
        now = _time(connection, clock)
        work = todo(connection, dataset, scope, refresh=refresh, now=now)
        dirty.clear(connection, work.claim, work.nothing_to_do)
    done: list[Published] = []
    refused: dict[date, DataSetError] = {}
    while work.days:
        again: dict[date, tuple[int, ...]] = {}
        for position, day in enumerate(work.days):
            waiting = {*work.days[position + 1 :], *again, *refused}
            try:
                with _retryable(dataset), _readable(engine, dataset, scope, day, archive):
                    window, marks = _publish(engine, dataset, scope, day, work, clock, waiting)
            except DataSetError as error:
                refused[day] = error
                work = work.without(day)
            else:
                done.append(window)
                again.update(marks)
                if progress is not None:
                    progress(window)
        work = Todo.again(dirty.Claim(tuple(sorted(again)), again))
    _finalise(engine, dataset, scope, clock)
    _raise_together(dataset, scope, refused)
    return done


def dirty_scopes(engine: Engine, dataset: str | None = None) -> list[tuple[str, str]]:
    """Return each data set and scope that has dirty days, each after those that it reads.

    Publishing one may make later ones dirty.
    """
    with engine.connect() as connection:
        found = dirty.dirty_scopes(connection, dataset)
    order = list(all_datasets())
    return sorted(found, key=lambda pair: (order.index(pair[0]), pair[1]))


def backfill(
    engine: Engine,
    dataset: DataSet,
    scope: str,
    first_day: date = date.min,
    last_day: date = date.max,
    *,
    force: bool = False,
) -> int:
    """Mark the days from *first_day* to *last_day*, both included, dirty; return how many.

    Only days that can be computed count.

    Args:
        engine: The warehouse.
        dataset: What is to be computed again.
        scope: Name of the chain or venue, or ``global``.
        first_day: Oldest day; by default every day counts.
        last_day: Newest day.
        force: Compute also where the inputs are the same; equal rows still stay as they are.
    """
    # A publish that runs would collide with a ledger row that changes after its snapshot.
    with publishing(engine, dataset.name, scope) as connection:
        days = [d for d in days_of(connection, dataset, scope, first_day) if d <= last_day]
        if force:
            ledger.forget_inputs_of(connection, dataset.name, scope, days)
        return dirty.mark(connection, dataset.name, scope, days)


def _finalise(engine: Engine, dataset: DataSet, scope: str, clock: Clock | None) -> None:
    with publishing(engine, dataset.name, scope) as connection:
        if dataset.scope == "chain":
            ledger.finalise(connection, dataset.name, scope)
        else:
            settled = _time(connection, clock) - _LATE_FACTS
            ledger.finalise_before(connection, dataset.name, scope, settled.date())


def _raise_together(dataset: DataSet, scope: str, refused: dict[date, DataSetError]) -> None:
    if len(refused) == 1:
        raise next(iter(refused.values()))
    if refused:
        told = [str(error) for error in list(refused.values())[:_TOLD_IN_FULL]]
        if others := [str(day) for day in list(refused)[_TOLD_IN_FULL:]]:
            told.append(f"Nor were: {', '.join(others)}.")
        raise DataSetError(
            f"{dataset.name}: {len(refused)} days of {scope} were not published.\n"
            + "\n".join(told)
        )


def _readable(
    engine: Engine, dataset: DataSet, scope: str, day: date, archive: DayStore | None
) -> AbstractContextManager[None]:
    """Return the context in which every fact that a window reads is in its table.

    A data set that reaches all later days reads the facts of its own day, and older ones as state.
    """
    first = day if dataset.reach.days is None else dataset.reach.first_day(day)
    return readable(engine, dataset.reads, scope, day, archive, first_day=first)


@contextmanager
def _retryable(dataset: DataSet) -> Iterator[None]:
    """Turn a lost connection, a time-out or a conflict between transactions into SourceError."""
    try:
        yield
    except OperationalError as error:
        reason = str(error.orig).splitlines()[0]
        raise SourceError(f"{dataset.name}: PostgreSQL gave up: {reason}. Run it again.") from error


def _time(connection: Connection, clock: Clock | None) -> datetime:
    if clock is not None:
        return clock()
    now: datetime = connection.scalars(select(func.clock_timestamp())).one()
    return now


def _publish(
    engine: Engine,
    dataset: DataSet,
    scope: str,
    day: date,
    work: Todo,
    clock: Clock | None,
    waiting: Collection[date],
) -> tuple[Published, Mapping[date, tuple[int, ...]]]:
    """Publish a day; return that, and the other days that are dirty because of it but *waiting*."""
    with publishing(engine, dataset.name, scope) as connection:
        window = window_of(connection, dataset, scope, day)
        before = ledger.entry_of(connection, dataset.name, scope, day)
        rows = 0 if before is None else before.rows
        if is_being_applied(connection, dataset, window):
            # Applying marks the day dirty again; until then what is served stays.
            return Published(dataset.name, scope, day, rows, 0), {}
        inputs = inputs_of(connection, dataset, window)
        dirty.clear(connection, work.claim, work.ends.get(day, ()))
        if before is not None and before.inputs == inputs:
            return Published(dataset.name, scope, day, rows, 0), {}
        if dataset.elsewhere is not None:
            # Days differ much in what else they reach; a plan for any day is none for this one.
            connection.execute(text("SET LOCAL plan_cache_mode = force_custom_plan"))
        change = _compare(connection, dataset, window, clock)
        if change.arrived or change.moved:
            dirty.mark_input(connection, published_as(dataset.name), scope, [day])
        if window.is_empty:
            ledger.forget(connection, dataset.name, scope, day)
        else:
            _enter(connection, dataset, window, inputs, before, change)
        marks = _mark_elsewhere(connection, dataset, window, waiting)
    changed = max(change.arrived, change.moved)
    return Published(dataset.name, scope, day, change.rows, changed), marks


def _mark_elsewhere(
    connection: Connection, dataset: DataSet, window: Window, waiting: Collection[date]
) -> Mapping[date, tuple[int, ...]]:
    """Mark the other days dirty that the window tells something of, and return the marks.

    Those *waiting* are dirty already; they only must not be passed over for their equal inputs.
    """
    if dataset.elsewhere is None:
        return {}
    with _clear_errors(dataset, window):
        days = connection.scalars(dataset.elsewhere(window)).all()
    served = ledger.forget_inputs_of(connection, dataset.name, window.scope, days)
    new = set(served).difference(waiting)
    return dirty.mark_and_claim(connection, dataset.name, window.scope, new).rows


def _enter(
    connection: Connection,
    dataset: DataSet,
    window: Window,
    inputs: dict[str, Any],
    before: ledger.Entry | None,
    change: versions.Change,
) -> None:
    is_new = before is None or change.arrived or change.moved
    entry = ledger.Entry(
        dataset=dataset.name,
        scope=window.scope,
        day=window.day,
        grain=dataset.grain,
        rows=change.rows,
        checksum=change.checksum,
        inputs=inputs,
        changed_at=change.at if is_new or before is None else before.changed_at,
        computed_at=change.at,
    )
    ledger.write(connection, entry)


def _compare(
    connection: Connection, dataset: DataSet, window: Window, clock: Clock | None
) -> versions.Change:
    def at() -> datetime:
        return ledger.tick(connection, dataset.name, window.scope, _time(connection, clock))

    def check(stage: Table) -> None:
        check_invariants(connection, dataset, window, stage)

    rows = None if window.is_empty else dataset.rows(window)
    with _clear_errors(dataset, window):
        return versions.publish(connection, dataset.table, rows, dataset.key_of(window), at, check)


@contextmanager
def _clear_errors(dataset: DataSet, window: Window) -> Iterator[None]:
    """Turn what PostgreSQL refuses to compute into DataSetError."""
    try:
        yield
    except (DataError, IntegrityError, ProgrammingError) as error:
        raise DataSetError(
            f"{dataset.name}: computing {window.scope} {window.day} failed:"
            f" {str(error.orig).splitlines()[0]}"
        ) from error
