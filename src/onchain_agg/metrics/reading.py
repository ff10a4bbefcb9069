"""Reads served rows, as an API would, for people and notebooks."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, Over, column, func, select, table, text, true
from sqlalchemy.exc import ProgrammingError

from onchain_agg.errors import ConfigError
from onchain_agg.metrics.dataset import DataSet
from onchain_agg.warehouse import versions


@dataclass(frozen=True)
class Rows:
    """Rows of one data set, with the names of their columns."""

    names: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]


def newest(
    connection: Connection,
    dataset: DataSet,
    *,
    scope: str | None = None,
    day: date | None = None,
    limit: int = 20,
) -> Rows:
    """Return rows of the readers' view, newest days first and then by key.

    Args:
        connection: A connection to the warehouse.
        dataset: The data set.
        scope: Only this chain or venue.
        day: Only this UTC day.
        limit: Most rows to return.

    Raises:
        ConfigError: The data set's tables do not exist yet.
    """
    names = [c.name for c in dataset.table.columns]
    names += [str(c.name) for c in dataset.derived] + ["status", "known_from"]
    view = table(dataset.name, *(column(name) for name in names), schema="serving")
    query = select(view)
    of = dataset.scope_column
    if scope is not None and of is not None:
        query = query.where(view.c[of] == scope)
    if day is not None:
        query = query.where(view.c.day == day)
    # A rank that the view derives orders better than the key does.
    order = [view.c[of]] if of is not None else []
    order += [view.c[str(c.name)] for c in dataset.derived if isinstance(c.element, Over)]
    order += [view.c[c.name] for c in dataset.table.primary_key]
    query = query.order_by(view.c.day.desc(), *order).limit(limit)
    try:
        rows = connection.execute(query)
        return Rows(tuple(names), tuple(tuple(row) for row in rows))
    except ProgrammingError as error:
        raise ConfigError(
            f"Data set {dataset.name} has no table yet. Run `onchain-agg init`."
        ) from error


def as_of(connection: Connection, dataset: DataSet, moment: datetime, limit: int = 20) -> Rows:
    """Return the rows that readers saw at *moment*, newest days first."""
    rows = versions.as_of(connection, dataset.table, moment, limit)
    names = tuple(c.name for c in dataset.table.columns)
    return Rows(names, tuple(tuple(row) for row in rows))


@dataclass(frozen=True)
class Overview:
    """A data set on one chain or venue, or as a whole, in a line.

    Attributes:
        highlights: Its telling columns by name, from the newest day's largest row.
    """

    dataset: str
    scope: str
    rows: int
    latest: date
    status: str
    highlights: dict[str, Any]


def overview(connection: Connection, dataset: DataSet) -> list[Overview]:
    """Return a line for each scope that *dataset* has windows of."""
    ledger = connection.execute(
        text(
            "SELECT DISTINCT ON (scope) scope, day, status, sum(rows) OVER (PARTITION BY scope)"
            " AS total FROM ops.window WHERE dataset = :dataset ORDER BY scope, day DESC"
        ),
        {"dataset": dataset.name},
    ).all()
    serving = versions.twins(dataset.table).serving
    found: list[Overview] = []
    for window in ledger:
        shown = [serving.c[name] for name in dataset.highlights]
        of = dataset.scope_column
        here = true() if of is None else serving.c[of] == window.scope
        latest = connection.scalar(select(func.max(serving.c.day)).where(here))
        row = connection.execute(
            select(*shown)
            .where(here, serving.c.day == latest)
            .order_by(shown[0].desc().nulls_last())
            .limit(1)
        ).first()
        values = dict(zip(dataset.highlights, row or (), strict=False))
        found.append(
            Overview(
                dataset.name, window.scope, int(window.total), window.day, window.status, values
            )
        )
    return found
