"""What rows made from balances are held against, before readers see them.

Each function adds up once more, straight from state, what the rows of an asset must add up to.
"""

from typing import Any

from sqlalchemy import ScalarSelect, Select, Subquery, func, select

from onchain_agg.metrics.dataset import Window
from onchain_agg.metrics.rendering import asset_text
from onchain_agg.warehouse.tables.ops import ASSET
from onchain_agg.warehouse.tables.state import (
    BALANCE,
    BALANCE_DELTA,
    CREATED_OUTPUT_DAILY,
    SPENT_OUTPUT_DAILY,
    SPENT_OUTPUT_MONTHLY,
)

# Names of invariants, which errors show: what holds, and what the cure may be.
NO_DEBT = "no balance is below zero, unless its asset is marked noncompliant"
SUM = "supply = sum of the stored balances"


def stored_balances(window: Window) -> Subquery:
    """Return what the balances of each asset add up to at the end of the window's day.

    Columns: ``asset`` as rows name it; ``noncompliant``; ``balances``, debts taken off, and
    ``change`` of the day, both in the asset's smallest unit.
    """
    change = BALANCE_DELTA.c
    tip = select(func.sum(BALANCE.c.balance)).where(BALANCE.c.asset_id == ASSET.c.asset_id)
    deltas = select(func.sum(change.delta)).where(change.asset_id == ASSET.c.asset_id)
    later, today = deltas.where(change.day > window.day), deltas.where(change.day == window.day)
    return (
        select(
            asset_text(ASSET.c.address).label("asset"),
            ASSET.c.noncompliant,
            (_or_zero(tip) - _or_zero(later)).label("balances"),
            _or_zero(today).label("change"),
        )
        .where(ASSET.c.chain == window.scope, ASSET.c.tracked)
        .subquery("stored")
    )


def unspent(window: Window) -> Any:
    """Return what a UTXO chain has unspent at the end of the window's day, addresses or not.

    It comes from the matrix of creation and spending, not from balances. Smallest unit.
    """
    created, day, month = CREATED_OUTPUT_DAILY.c, SPENT_OUTPUT_DAILY.c, SPENT_OUTPUT_MONTHLY.c
    first_of_month = window.day.replace(day=1)
    return (
        _or_zero(
            select(func.sum(created.value)).where(
                created.chain == window.scope, created.day <= window.day
            )
        )
        - _or_zero(
            select(func.sum(month.value)).where(
                month.chain == window.scope, month.spend_month < first_of_month
            )
        )
        - _or_zero(
            select(func.sum(day.value)).where(
                day.chain == window.scope, day.spend_day.between(first_of_month, window.day)
            )
        )
    )


def _or_zero(total: Select[Any]) -> Any:
    scalar: ScalarSelect[Any] = total.scalar_subquery()
    return func.coalesce(scalar, 0)
