"""Dirty days: rows that say what must be computed again.

Rows are only ever added, so two loaders never wait for each other, and a run deletes exactly the
sequence numbers that it claimed: a day marked again while it was computed stays dirty.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from sqlalchemy import Connection, bindparam, delete, select, text
from sqlalchemy.dialects.postgresql import ARRAY

from onchain_agg.warehouse.tables.ops import DIRTY
from onchain_agg.warehouse.types import DAY

# The input of every data set that reads what blocks carry.
BLOCKS = "blocks"

_MARK_READERS = text(
    "INSERT INTO ops.dirty (dataset, scope, day)"
    " SELECT DISTINCT dataset, coalesce(scope, :scope), day"
    " FROM ops.reader, unnest(:days) AS day"
    " WHERE input = :input AND coalesce(input_scope, :scope) = :scope"
).bindparams(bindparam("days", type_=ARRAY(DAY)))


@dataclass(frozen=True)
class Claim:
    """The dirty days of one data set and scope, with the rows that said so."""

    days: tuple[date, ...]
    rows: dict[date, tuple[int, ...]]


def mark_chain(connection: Connection, chain: str, days: Iterable[date]) -> None:
    """Mark *days* dirty in every data set that reads the blocks of *chain*."""
    mark_input(connection, BLOCKS, chain, days)


def mark_input(connection: Connection, name: str, scope: str, days: Iterable[date]) -> None:
    """Mark *days* dirty in every data set and scope that reads the input *name* of *scope*."""
    unique = sorted(set(days))
    if unique:
        connection.execute(_MARK_READERS, {"input": name, "scope": scope, "days": unique})


def mark(connection: Connection, dataset: str, scope: str, days: Iterable[date]) -> int:
    """Mark *days* of one data set and scope dirty; return how many."""
    rows = [{"dataset": dataset, "scope": scope, "day": day} for day in sorted(set(days))]
    if rows:
        connection.execute(DIRTY.insert(), rows)
    return len(rows)


def mark_and_claim(connection: Connection, dataset: str, scope: str, days: Iterable[date]) -> Claim:
    """Mark *days* of one data set and scope dirty; return the claim of these marks alone."""
    rows: dict[date, tuple[int, ...]] = {}
    for day in sorted(set(days)):
        values = {"dataset": dataset, "scope": scope, "day": day}
        rows[day] = tuple(connection.scalars(DIRTY.insert().values(values).returning(DIRTY.c.seq)))
    return Claim(tuple(rows), rows)


def claim(connection: Connection, dataset: str, scope: str) -> Claim:
    """Return the dirty days, oldest first. Nothing is cleared yet."""
    rows: dict[date, list[int]] = defaultdict(list)
    query = select(DIRTY.c.day, DIRTY.c.seq).where(
        DIRTY.c.dataset == dataset, DIRTY.c.scope == scope
    )
    for day, seq in connection.execute(query):
        rows[day].append(seq)
    return Claim(tuple(sorted(rows)), {day: tuple(seqs) for day, seqs in rows.items()})


def clear(connection: Connection, claimed: Claim, days: Iterable[date]) -> None:
    """Delete the claimed rows of *days*; rows added since stay."""
    seqs = [seq for day in days for seq in claimed.rows[day]]
    if seqs:
        connection.execute(
            delete(DIRTY).where(DIRTY.c.seq == bindparam("row")), [{"row": s} for s in seqs]
        )


def dirty_scopes(connection: Connection, dataset: str | None = None) -> list[tuple[str, str]]:
    """Return each data set and scope that has dirty days."""
    query = (
        select(DIRTY.c.dataset, DIRTY.c.scope).distinct().order_by(DIRTY.c.dataset, DIRTY.c.scope)
    )
    if dataset is not None:
        query = query.where(DIRTY.c.dataset == dataset)
    return [(name, scope) for name, scope in connection.execute(query)]
