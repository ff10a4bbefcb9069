"""What a window is made from, so that the same inputs are never computed twice."""

import hashlib
from datetime import date
from functools import cache
from typing import Any

from sqlalchemy import Connection, func, select, text

from onchain_agg.chains import all_chains
from onchain_agg.metrics.dataset import DataSet, Window
from onchain_agg.warehouse.tables.chain import BLOCK
from onchain_agg.warehouse.tables.ops import ASSET
from onchain_agg.warehouse.tables.state import TIP
from onchain_agg.warehouse.types import DIALECT

_ASSETS = text(
    "SELECT md5(coalesce(string_agg(row(address, symbol, decimals, start_block, whale_threshold,"
    " noncompliant)::text, ',' ORDER BY address), '')) FROM ops.asset WHERE chain = :chain AND tracked"
)


def window_of(connection: Connection, scope: str, day: date) -> Window:
    """Return the window of *day* as far as blocks were applied; empty when there are none."""
    query = (
        select(
            func.min(BLOCK.c.height).label("first"),
            func.max(BLOCK.c.height).label("last"),
            func.max(TIP.c.from_height).label("since"),
        )
        .join(TIP, TIP.c.chain == BLOCK.c.chain)
        .where(
            BLOCK.c.chain == scope,
            BLOCK.c.day == day,
            BLOCK.c.height.between(TIP.c.from_height, TIP.c.height),
        )
    )
    row = connection.execute(query).one()
    if row.first is None:
        return Window(scope, day, 0, -1, 0)
    return Window(scope, day, row.first, row.last, row.since)


def is_being_applied(connection: Connection, window: Window) -> bool:
    """Return whether the next block of the window's day is stored and links up, but is not applied.

    So it is while the state is built again, or between loading and applying.
    """
    block, last = BLOCK.c, BLOCK.alias("last").c
    of_day = select(block.height).where(block.chain == window.scope, block.day == window.day)
    if not window.is_empty:
        of_day = of_day.where(
            block.height == window.last_height + 1,
            last.chain == window.scope,
            last.height == window.last_height,
            last.block_hash == block.parent_hash,
        )
    return connection.scalar(of_day.limit(1)) is not None


def inputs_of(connection: Connection, dataset: DataSet, window: Window) -> dict[str, Any]:
    """Return what the window's rows follow from.

    The hash of its last block stands for every block before it; the first applied block says how
    far back they are known; the rest is what people change.
    """
    last_hash: bytes | None = connection.scalar(
        select(BLOCK.c.block_hash).where(
            BLOCK.c.chain == window.scope, BLOCK.c.height == window.last_height
        )
    )
    inputs: dict[str, Any] = {
        "last_block": last_hash.hex() if last_hash else None,
        "from_height": window.from_height,
        "definition": definition_hash(dataset),
    }
    if ASSET in dataset.reads:
        inputs["assets"] = connection.scalar(_ASSETS, {"chain": window.scope})
    return inputs


@cache
def definition_hash(dataset: DataSet) -> str:
    """Return a hash of the data set's columns, key and query; comments and layout are not in it."""
    # A query may differ by the kind of chain.
    samples = {
        type(chain): Window(chain.name, date(2001, 1, 1), 1, 2, 0)
        for chain in reversed(all_chains().values())
        if dataset.covers(chain)
    }
    parts: list[str] = []
    for sample in samples.values():
        query = dataset.rows(sample).compile(dialect=DIALECT)
        parts += [str(query), str(sorted((k, str(v)) for k, v in query.params.items()))]
    parts += [f"{c.name} {c.type} {c.primary_key} {c.nullable}" for c in dataset.table.columns]
    parts += [str(column) for column in dataset.derived]
    parts.append(f"{dataset.table.name} {dataset.reach.days} {dataset.grain}")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
