"""What a window is made from, so that the same inputs are never computed twice."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime
from functools import cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Select,
    Subquery,
    Text,
    and_,
    cast,
    func,
    literal,
    or_,
    select,
    text,
    union_all,
)
from sqlalchemy.dialects.postgresql import aggregate_order_by

from onchain_agg.chains import all_chains
from onchain_agg.metrics.dataset import DataSet, Window
from onchain_agg.metrics.wiring import Input, fact_inputs, published_as, reads_blocks, served_inputs
from onchain_agg.warehouse.tables.chain import BLOCK
from onchain_agg.warehouse.tables.ops import ASSET, FACT_DAY, WINDOW
from onchain_agg.warehouse.tables.state import TIP
from onchain_agg.warehouse.types import DIALECT

_ASSETS = text(
    "SELECT md5(coalesce(string_agg(row(address, symbol, decimals, start_block, whale_threshold,"
    " noncompliant, standard, wraps, bluechip)::text, ',' ORDER BY address), '')) FROM ops.asset"
    " WHERE chain = :chain AND tracked"
)


def window_of(connection: Connection, dataset: DataSet, scope: str, day: date) -> Window:
    """Return the window of *day* as far as blocks were applied; empty when there are none.

    Outside of chains a day is never empty. A day that is computed at its close is empty on a
    chain that was thrown back into it.
    """
    if dataset.scope != "chain":
        return Window(scope, day)
    window = chain_window(connection, scope, day)
    if dataset.at_close and open_day(connection, scope) == day:
        return replace(window, first_height=0, last_height=-1)
    return window


def chain_window(connection: Connection, chain: str, day: date) -> Window:
    """Return the window of *day* of *chain* as far as blocks were applied."""
    query = (
        select(
            func.min(BLOCK.c.height).label("first"),
            func.max(BLOCK.c.height).label("last"),
            func.max(TIP.c.from_height).label("since"),
        )
        .join(TIP, TIP.c.chain == BLOCK.c.chain)
        .where(
            BLOCK.c.chain == chain,
            BLOCK.c.day == day,
            BLOCK.c.height.between(TIP.c.from_height, TIP.c.height),
        )
    )
    row = connection.execute(query).one()
    if row.first is None:
        return Window(chain, day, 0, -1, 0)
    return Window(chain, day, row.first, row.last, row.since)


def open_day(connection: Connection, chain: str) -> date | None:
    """Return the day of the last applied block, which the next block may still belong to."""
    day: date | None = connection.scalar(select(TIP.c.day).where(TIP.c.chain == chain))
    return day


def is_being_applied(connection: Connection, dataset: DataSet, window: Window) -> bool:
    """Return whether the next block of the window's day is stored and links up, but is not applied.

    So it is while the state is built again, or between loading and applying.
    """
    if not reads_blocks(dataset) or (dataset.at_close and window.is_empty):
        return False
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
    far back they are known; the rest is what people, exchanges and other data sets change.
    """
    inputs: dict[str, Any] = {"definition": definition_hash(dataset)}
    if dataset.scope == "chain":
        last_hash: bytes | None = connection.scalar(
            select(BLOCK.c.block_hash).where(
                BLOCK.c.chain == window.scope, BLOCK.c.height == window.last_height
            )
        )
        inputs["last_block"] = last_hash.hex() if last_hash and not window.is_empty else None
        inputs["from_height"] = window.from_height
    if ASSET in dataset.reads:
        inputs["assets"] = connection.scalar(_ASSETS, {"chain": window.scope})
    if recorded := _inputs(dataset):
        first = dataset.reach.first_day(window.day)
        rows = _recorded(recorded, window.scope, first, window.day)
        same_day = [one.name for one in recorded if one.same_day]
        counts = or_(rows.c.day == window.day, rows.c.input.not_in(same_day))
        line = rows.c.input + rows.c.scope + cast(rows.c.day, Text) + rows.c.mark
        key = (rows.c.input, rows.c.scope, rows.c.day)
        digest = func.md5(func.string_agg(line, aggregate_order_by(literal(","), *key)))
        inputs["recorded"] = connection.scalar(select(digest).where(counts))
    return inputs


def days_of_less_past(window: Window, name: str) -> Select[Any]:
    """Return the query of the days that data set *name* served before earlier blocks were known.

    For `DataSet.elsewhere` of what looks at all earlier blocks: they may come after later ones.
    """
    served = WINDOW.c
    known_from = cast(served.inputs["from_height"].astext, BigInteger)
    return select(served.day).where(
        served.dataset == name,
        served.scope == window.scope,
        served.day != window.day,
        known_from > window.from_height,
        # A day without blocks does not know where they begin.
        literal(not window.is_empty),
    )


def recorded_days(
    connection: Connection, dataset: DataSet, scope: str, since: date = date.min
) -> list[date]:
    """Return the days from *since* on that have facts or rows for *dataset*, oldest first."""
    rows = _recorded(_inputs(dataset), scope, since, date.max)
    return list(connection.scalars(select(rows.c.day).distinct().order_by(rows.c.day)))


def recorded_scopes(connection: Connection, dataset: DataSet) -> list[str]:
    """Return the venues that have facts or rows for *dataset*."""
    everywhere = [replace(one, same_scope=False) for one in _inputs(dataset)]
    rows = _recorded(everywhere, "", date.min, date.max)
    return list(connection.scalars(select(rows.c.scope).distinct().order_by(rows.c.scope)))


def is_over(day: date, now: datetime) -> bool:
    """Return whether *day* ended before *now*."""
    return day < now.date()


@cache
def definition_hash(dataset: DataSet) -> str:
    """Return a hash of the data set's columns, key and query; comments and layout are not in it."""
    day = date(2001, 1, 1)
    # A query may differ by the kind of chain.
    by_family = {
        type(chain): Window(chain.name, day, 1, 2, 0)
        for chain in reversed(all_chains().values())
        if dataset.covers(chain)
    }
    parts: list[str] = []
    for sample in by_family.values() or [Window("sample", day)]:
        query = dataset.rows(sample).compile(dialect=DIALECT)
        parts += [str(query), str(sorted((k, str(v)) for k, v in query.params.items()))]
    parts += [f"{c.name} {c.type} {c.primary_key} {c.nullable}" for c in dataset.table.columns]
    parts += [str(column) for column in dataset.derived]
    parts.append(f"{dataset.table.name} {dataset.reach.days} {dataset.grain} {dataset.at_close}")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _inputs(dataset: DataSet) -> tuple[Input, ...]:
    return fact_inputs(dataset) + served_inputs(dataset)


def _recorded(inputs: Sequence[Input], scope: str, first: date, last: date) -> Subquery:
    """Return the days of *inputs*: input, scope, day, and a mark that changes with the contents."""
    facts, windows = FACT_DAY.c, WINDOW.c
    of_facts = _is_one_of(inputs, scope, facts.input, facts.scope)
    served = literal(published_as(""), Text) + windows.dataset
    both = union_all(
        select(
            facts.input.label("input"),
            facts.scope,
            facts.day,
            cast(facts.version, Text).label("mark"),
        ).where(of_facts, facts.day.between(first, last)),
        select(served.label("input"), windows.scope, windows.day, windows.checksum).where(
            _is_one_of(inputs, scope, served, windows.scope), windows.day.between(first, last)
        ),
    )
    return both.subquery("recorded")


def _is_one_of(
    inputs: Sequence[Input], scope: str, name: ColumnElement[str], of: ColumnElement[str]
) -> ColumnElement[bool]:
    same = [one.name for one in inputs if one.same_scope]
    anywhere = [one.name for one in inputs if not one.same_scope]
    return or_(and_(name.in_(same), of == scope), name.in_(anywhere))
