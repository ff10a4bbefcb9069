"""A short table of everything that is served, for the end of a run."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from rich.console import Group
from rich.table import Table
from sqlalchemy import Connection, Engine, text

from onchain_agg.metrics.reading import Rows, overview
from onchain_agg.metrics.registry import all_datasets

_CHAINS = text(
    "SELECT b.chain, count(*) AS blocks, min(b.height) AS first, max(b.height) AS last,"
    " max(t.height) AS applied, max(t.final_height) AS final,"
    " count(*) FILTER (WHERE t.chain IS NULL OR b.height NOT BETWEEN t.from_height AND t.height)"
    " AS waiting FROM chain.block b LEFT JOIN state.tip t ON t.chain = b.chain"
    " GROUP BY b.chain ORDER BY b.chain"
)


def summary(engine: Engine) -> Group:
    """Return a table of the chains and one of the data sets, ready to print."""
    with engine.connect() as connection:
        return Group(_chains(connection), _datasets(connection))


def _chains(connection: Connection) -> Table:
    table = Table("chain", "blocks", "from", "to", "applied to", "final to", "waiting")
    for row in connection.execute(_CHAINS):
        cells = (row.blocks, row.first, row.last, row.applied, row.final, row.waiting)
        table.add_row(row.chain, *(shown(cell) for cell in cells))
    return table


def _datasets(connection: Connection) -> Table:
    table = Table("data set", "scope", "rows", "latest day", "status", "newest values")
    for dataset in all_datasets().values():
        for line in overview(connection, dataset):
            values = "  ".join(f"{name} {shown(v)}" for name, v in line.highlights.items())
            table.add_row(
                dataset.name, line.scope, f"{line.rows:,}", str(line.latest), line.status, values
            )
    return table


def table_of(rows: Rows) -> Table:
    """Return *rows* as a table to print, or side by side per column where there are many."""
    if len(rows.names) <= _MOST_COLUMNS:
        table = _folding(rows.names)
        for row in rows.rows:
            table.add_row(*(shown(cell, full=True) for cell in row))
        return table
    table = _folding(["column", *("" for _ in rows.rows[:_MOST_ACROSS])])
    for position, name in enumerate(rows.names):
        table.add_row(name, *(shown(row[position], full=True) for row in rows.rows[:_MOST_ACROSS]))
    return table


def _folding(names: Sequence[str]) -> Table:
    """Return a table that breaks long values instead of cutting them off."""
    table = Table()
    for name in names:
        table.add_column(name, overflow="fold")
    return table


_MOST_COLUMNS, _MOST_ACROSS = 12, 4
_LONG = 24


def shown(value: Any, *, full: bool = False) -> str:
    """Return *value* as a person reads it; a long text or number in part, unless *full*."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S} UTC"
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        digits = f"{value:,}" if not isinstance(value, Decimal) else f"{value:,f}"
        # An amount in the smallest unit can have 78 digits; its size says enough here.
        return digits if full or len(digits) <= _LONG else f"{value:.4e}"
    line = value.hex() if isinstance(value, bytes) else str(value)
    return line if full or len(line) <= _LONG else f"{line[:10]}…{line[-6:]}"
