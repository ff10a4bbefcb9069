"""The ledger `ops.window`: one row for each published window, with what it was made from."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal

from sqlalchemy import Connection, delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert

from onchain_agg.warehouse.tables.ops import WINDOW

Status = Literal["provisional", "final"]

# A day is final when a final block lies past it. Rows are not touched: readers join this status.
_FINALISE = text(
    "UPDATE ops.window w SET status = 'final' FROM state.tip t"
    " WHERE w.dataset = :dataset AND w.scope = :scope AND w.status = 'provisional'"
    " AND t.chain = w.scope AND EXISTS ("
    "  SELECT 1 FROM chain.block b WHERE b.chain = t.chain AND b.height <= t.final_height"
    "  AND b.day > w.day)"
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


def forget(connection: Connection, dataset: str, scope: str, day: date, at: datetime) -> None:
    """Delete the row of a window that has no blocks any more.

    The publish clock *at* which its rows went must outlive it, so the newest window takes it over.
    """
    columns = WINDOW.c
    same = columns.dataset == dataset, columns.scope == scope
    connection.execute(delete(WINDOW).where(*same, columns.day == day))
    newest = select(func.max(columns.day)).where(*same).scalar_subquery()
    connection.execute(update(WINDOW).where(*same, columns.day == newest).values(computed_at=at))


def last_clock(connection: Connection, dataset: str, scope: str) -> datetime | None:
    """Return the latest publish clock of a data set and scope."""
    latest: datetime | None = connection.scalar(
        select(func.max(WINDOW.c.computed_at)).where(
            WINDOW.c.dataset == dataset, WINDOW.c.scope == scope
        )
    )
    return latest


def finalise(connection: Connection, dataset: str, scope: str) -> int:
    """Mark the closed and clean windows final; return how many became so.

    The caller holds the data set's lock.
    """
    return connection.execute(_FINALISE, {"dataset": dataset, "scope": scope}).rowcount
