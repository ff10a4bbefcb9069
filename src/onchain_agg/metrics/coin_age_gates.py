"""What rows made from the matrix of creation and spending days are held against."""

from typing import Any

from sqlalchemy import ColumnElement, Select, Table, and_, func, or_, select

from onchain_agg.metrics import balance_gates, coin_age
from onchain_agg.metrics.dataset import Invariant, Window
from onchain_agg.warehouse.tables.chain import BLOCK
from onchain_agg.warehouse.tables.ops import WINDOW
from onchain_agg.warehouse.tables.state import SPENT_OUTPUT_DAILY

# Shares are doubles; their sum is off by as many roundings as there are rows.
_MOST_OFF = 1e-9


def is_published_as_of(window: Window, dataset: str) -> ColumnElement[bool]:
    """Return whether *dataset* was computed for the same last block as the window."""
    tip_hash = func.encode(BLOCK.c.block_hash, "hex")
    return (
        select(WINDOW.c.day)
        .join(BLOCK, and_(BLOCK.c.chain == WINDOW.c.scope, BLOCK.c.height == window.last_height))
        .where(
            WINDOW.c.dataset == dataset,
            WINDOW.c.scope == window.scope,
            WINDOW.c.day == window.day,
            WINDOW.c.inputs["last_block"].astext == tip_hash,
            WINDOW.c.inputs["from_height"].as_integer() == window.from_height,
        )
        .exists()
    )


def _below_zero(stage: Table, window: Window) -> Select[Any]:
    del stage
    coins = coin_age.unspent(window).c
    return (
        select(coins.created_day, coins.value, coins.outputs)
        .where(or_(coins.value < 0, coins.outputs < 0))
        .order_by(coins.created_day)
    )


NOTHING_BELOW_ZERO = Invariant("of no day more is spent than was created", _below_zero)


def adds_up_to_unspent(column: str) -> Invariant:
    """Return the gate that *column* of all rows adds up to what is unspent."""

    def broken(stage: Table, window: Window) -> Select[Any]:
        return _unequal(stage, column, balance_gates.unspent(window), "unspent")

    return Invariant(f"{column} adds up to what is unspent", broken)


def adds_up_to_spent(column: str) -> Invariant:
    """Return the gate that *column* of all rows adds up to what was spent on the day."""

    def broken(stage: Table, window: Window) -> Select[Any]:
        day = SPENT_OUTPUT_DAILY.c
        total = select(func.coalesce(func.sum(day.value), 0)).where(
            day.chain == window.scope, day.spend_day == window.day, ~day.overwritten
        )
        return _unequal(stage, column, total.scalar_subquery(), "spent")

    return Invariant(f"{column} adds up to what was spent", broken)


def adds_up_to_one(column: str) -> Invariant:
    """Return the gate that *column*, where it has values, adds up to 1."""

    def broken(stage: Table, window: Window) -> Select[Any]:
        del window
        total = func.sum(stage.c[column])
        return select(total.label(column)).having(func.abs(total - 1) > _MOST_OFF)

    return Invariant(f"{column} adds up to 1", broken)


def _unequal(stage: Table, column: str, total: Any, name: str) -> Select[Any]:
    found = func.sum(stage.c[column])
    # No row at all: the chain is not read from its first block, or the day has none.
    return select(found.label(column), total.label(name)).having(found != total)
