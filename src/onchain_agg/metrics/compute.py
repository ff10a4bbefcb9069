"""Computes the dirty days of a data set and publishes them.

The one way to a served row, whoever asks: a DAG, the command line, a notebook or a rebuild.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from sqlalchemy import Connection, Engine, func, select, update
from sqlalchemy.exc import DBAPIError

from onchain_agg.errors import DataSetError
from onchain_agg.metrics.dataset import DataSet, Window
from onchain_agg.metrics.inputs import inputs_of, window_of
from onchain_agg.metrics.todo import Todo, applied_days, todo
from onchain_agg.warehouse import dirty, ledger, versions
from onchain_agg.warehouse.archive import DayStore, readable
from onchain_agg.warehouse.locks import publishing
from onchain_agg.warehouse.tables.ops import WINDOW

NO_THROTTLE = timedelta(0)

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
    """Publish every dirty day of *dataset* in *scope*, oldest first.

    Each window is one transaction under the data set's lock, with its ledger row; the dirty rows
    whose reach ends with a window are cleared in it. A run that dies is made up for by the next.

    Args:
        engine: The warehouse.
        dataset: What to compute.
        scope: Name of the chain.
        refresh: The newest day is left dirty while its last computation is younger than this.
        clock: Publish clock; by default the database's, read under the lock.
        progress: Called after each window.
        archive: Where days are read that left the fact tables.

    Returns:
        The windows looked at; none when nothing was dirty or the newest day is to wait.

    Raises:
        ConfigError: A day is archived, and no *archive* was given.
        DataSetError: The query breaks the table's contract; that window stays as it was.
    """
    with engine.begin() as connection:
        now = _time(connection, clock)
        work = todo(connection, dataset, scope, refresh=refresh, now=now)
        dirty.clear(connection, work.claim, work.nothing_to_do)
    done: list[Published] = []
    for day in work.days:
        with readable(engine, dataset.reads, scope, day, archive):
            done.append(_publish(engine, dataset, scope, day, work, clock))
        if progress is not None:
            progress(done[-1])
    with publishing(engine, dataset.name, scope) as connection:
        ledger.finalise(connection, dataset.name, scope)
    return done


def dirty_scopes(engine: Engine, dataset: str | None = None) -> list[tuple[str, str]]:
    """Return each data set and scope that has dirty days; of one data set, or of all."""
    with engine.connect() as connection:
        return dirty.dirty_scopes(connection, dataset)


def backfill(
    engine: Engine,
    dataset: DataSet,
    scope: str,
    first_day: date,
    last_day: date,
    *,
    force: bool = False,
) -> int:
    """Mark the days from *first_day* to *last_day*, both included, dirty; return how many.

    Only days that have applied blocks count.

    Args:
        engine: The warehouse.
        dataset: What is to be computed again.
        scope: Name of the chain.
        first_day: Oldest day.
        last_day: Newest day.
        force: Compute also where the inputs are the same; equal rows still stay as they are.
    """
    # A publish that runs would collide with a ledger row that changes after its snapshot.
    with publishing(engine, dataset.name, scope) as connection:
        days = [d for d in applied_days(connection, scope, first_day) if d <= last_day]
        if force:
            columns = WINDOW.c
            connection.execute(
                update(WINDOW)
                .where(
                    columns.dataset == dataset.name, columns.scope == scope, columns.day.in_(days)
                )
                .values(inputs={})
            )
        return dirty.mark(connection, dataset.name, scope, days)


def _time(connection: Connection, clock: Clock | None) -> datetime:
    if clock is not None:
        return clock()
    now: datetime = connection.scalars(select(func.clock_timestamp())).one()
    return now


def _publish(
    engine: Engine, dataset: DataSet, scope: str, day: date, work: Todo, clock: Clock | None
) -> Published:
    with publishing(engine, dataset.name, scope) as connection:
        window = window_of(connection, scope, day)
        inputs = inputs_of(connection, dataset, window)
        before = ledger.entry_of(connection, dataset.name, scope, day)
        dirty.clear(connection, work.claim, work.ends.get(day, ()))
        if before is not None and before.inputs == inputs:
            return Published(dataset.name, scope, day, before.rows, 0)
        last = ledger.last_clock(connection, dataset.name, scope)
        at = versions.next_clock(last, _time(connection, clock))
        change = _compare(connection, dataset, window, at)
        if window.is_empty:
            ledger.forget(connection, dataset.name, scope, day, at)
        else:
            is_new = before is None or change.arrived or change.moved
            entry = ledger.Entry(
                dataset=dataset.name,
                scope=scope,
                day=day,
                grain=dataset.grain,
                rows=change.rows,
                checksum=change.checksum,
                inputs=inputs,
                changed_at=at if is_new or before is None else before.changed_at,
                computed_at=at,
            )
            ledger.write(connection, entry)
    return Published(dataset.name, scope, day, change.rows, max(change.arrived, change.moved))


def _compare(
    connection: Connection, dataset: DataSet, window: Window, at: datetime
) -> versions.Change:
    rows = None if window.is_empty else dataset.rows(window)
    try:
        return versions.publish(
            connection, dataset.table, rows, {"chain": window.scope, "day": window.day}, at
        )
    except DBAPIError as error:
        raise DataSetError(
            f"{dataset.name}: computing {window.scope} {window.day} failed:"
            f" {str(error.orig).splitlines()[0]}"
        ) from error
