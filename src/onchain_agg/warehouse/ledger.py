"""The ledger `ops.window`: one row for each published window, with what it was made from."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, delete, exists, func, select, text, update
from sqlalchemy.dialects.postgresql import insert

from onchain_agg.warehouse.tables.ops import DIRTY, PUBLISH_CLOCK, WINDOW

# A day is final when a final block lies past it. Rows are not touched: readers join this status.
_FINALISE = text(
    "UPDATE ops.window w SET status = 'final' FROM state.tip t"
    " WHERE w.dataset = :dataset AND w.scope = :scope AND w.status = 'provisional'"
    " AND t.chain = w.scope AND EXISTS ("
    "  SELECT 1 FROM chain.block b WHERE b.chain = t.chain AND b.height <= t.final_height"
    "  AND b.day > w.day)"
    # A chain that was begun in the middle of a day lacks that day's first blocks.
    " AND (t.from_height = 0 OR EXISTS (SELECT 1 FROM chain.block b WHERE b.chain = t.chain"
    "  AND b.height = t.from_height AND b.day < w.day))"
    " AND NOT EXISTS (SELECT 1 FROM ops.dirty d"
    "  WHERE d.dataset = w.dataset AND d.scope = w.scope AND d.day <= w.day)"
)


@dataclass(frozen=True)
class Entry:
    """A published window."""

    dataset: str
    scope: str
    day: date
    grain: str
    rows: int
    checksum: str
    inputs: Mapping[str, Any]
    changed_at: datetime
    computed_at: datetime


def entry_of(connection: Connection, dataset: str, scope: str, day: date) -> Entry | None:
    """Return the ledger's row of a window, or None when it was never published."""
    columns = WINDOW.c
    row = connection.execute(
        select(WINDOW).where(columns.dataset == dataset, columns.scope == scope, columns.day == day)
    ).first()
    if row is None:
        return None
    values = dict(row._mapping)  # noqa: SLF001  SQLAlchemy's documented mapping view
    values.pop("status")
    return Entry(**values)


def write(connection: Connection, entry: Entry) -> None:
    """Record a window; it is provisional until `finalise` says otherwise."""
    statement = insert(WINDOW).values(
        dataset=entry.dataset,
        scope=entry.scope,
        day=entry.day,
        grain=entry.grain,
        rows=entry.rows,
        checksum=entry.checksum,
        status="provisional",
        inputs=dict(entry.inputs),
        changed_at=entry.changed_at,
        computed_at=entry.computed_at,
    )
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=[WINDOW.c.dataset, WINDOW.c.scope, WINDOW.c.day],
            set_=statement.excluded,
        )
    )


def forget(connection: Connection, dataset: str, scope: str, day: date) -> None:
    """Delete the row of a window that has no blocks any more."""
    columns = WINDOW.c
    connection.execute(
        delete(WINDOW).where(columns.dataset == dataset, columns.scope == scope, columns.day == day)
    )


def tick(connection: Connection, dataset: str, scope: str, now: datetime) -> datetime:
    """Return the publish clock of a data set and scope at *now*, later than it ever was.

    Where the machine's clock went back, that is just after the last time. The caller holds the
    data set's lock.
    """
    statement = insert(PUBLISH_CLOCK).values(dataset=dataset, scope=scope, at=now)
    after_the_last = PUBLISH_CLOCK.c.at + timedelta(microseconds=1)
    at: datetime = connection.scalars(
        statement.on_conflict_do_update(
            index_elements=[PUBLISH_CLOCK.c.dataset, PUBLISH_CLOCK.c.scope],
            set_={"at": func.greatest(statement.excluded.at, after_the_last)},
        ).returning(PUBLISH_CLOCK.c.at)
    ).one()
    return at


def reopen(connection: Connection, scope: str, since: date) -> None:
    """Mark the windows from *since* on provisional: their blocks were dropped."""
    columns = WINDOW.c
    connection.execute(
        update(WINDOW)
        .where(columns.scope == scope, columns.day >= since, columns.status == "final")
        .values(status="provisional")
    )


def forget_inputs(connection: Connection, scope: str, since: date) -> None:
    """Let the windows from *since* on be computed when next due, also from the same inputs."""
    columns = WINDOW.c
    connection.execute(
        update(WINDOW).where(columns.scope == scope, columns.day >= since).values(inputs={})
    )


def forget_inputs_of(
    connection: Connection, dataset: str, scope: str, days: Iterable[date]
) -> list[date]:
    """Let windows of one data set be computed when next due, also from the same inputs.

    Returns:
        Those of *days* that have a window.
    """
    columns = WINDOW.c
    forgotten = connection.scalars(
        update(WINDOW)
        .where(columns.dataset == dataset, columns.scope == scope, columns.day.in_(list(days)))
        .values(inputs={})
        .returning(columns.day)
    )
    return sorted(forgotten)


def finalise(connection: Connection, dataset: str, scope: str) -> int:
    """Mark the closed and clean windows final; return how many became so.

    The caller holds the data set's lock.
    """
    return connection.execute(_FINALISE, {"dataset": dataset, "scope": scope}).rowcount


def finalise_before(connection: Connection, dataset: str, scope: str, day: date) -> int:
    """Mark the clean windows before *day* final, where no chain decides it; return how many.

    The caller holds the data set's lock.
    """
    columns = WINDOW.c
    unclean = exists().where(
        DIRTY.c.dataset == columns.dataset,
        DIRTY.c.scope == columns.scope,
        DIRTY.c.day <= columns.day,
    )
    return connection.execute(
        update(WINDOW)
        .where(
            columns.dataset == dataset,
            columns.scope == scope,
            columns.day < day,
            columns.status == "provisional",
            ~unclean,
        )
        .values(status="final"),
        execution_options={"preserve_rowcount": True},
    ).rowcount
