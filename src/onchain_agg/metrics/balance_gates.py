"""What rows made from balances are held against, before readers see them.

Each function adds up once more, straight from state, what the rows of an asset must add up to.
"""

from typing import Any

from sqlalchemy import (
    CTE,
    ScalarSelect,
    Select,
    Subquery,
    Table,
    and_,
    case,
    false,
    func,
    not_,
    select,
    true,
)

from onchain_agg.metrics.balances import FUNGIBLE, balances_at_day_end
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
CHANGES = "balances = sum of their daily changes"


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
        .where(ASSET.c.chain == window.scope, ASSET.c.tracked, ASSET.c.standard == FUNGIBLE)
        .subquery("stored")
    )


def in_debt(stage: Table, window: Window) -> Select[Any]:
    """Return the assets of *stage* that may not owe anything, with how many addresses owe some."""
    assets = _staged(stage, window)
    held = balances_at_day_end(window, assets)
    debtors = func.count().label("addresses_below_zero")
    return (
        select(asset_text(assets.c.address).label("asset"), assets.c.symbol, debtors)
        .join_from(assets, held, held.c.asset_id == assets.c.asset_id)
        .where(held.c.balance < 0, not_(assets.c.noncompliant))
        .group_by(assets.c.address, assets.c.symbol)
    )


def unexplained(stage: Table, window: Window, supplies: Table) -> Select[Any]:
    """Return the assets of *stage* whose balances are not what their daily changes add up to.

    The balances are those of `stored_balances`, the changes those of every day up to the window's.
    To add up years of them takes seconds for an asset of a million holders, so what *supplies* says
    of the newest day before stands for the changes up to then. Where that does not explain the
    balances, all changes are added up, and they alone decide: *supplies* may be out of date.

    Args:
        stage: Rows with an ``asset``.
        window: Their window.
        supplies: Published rows with ``supply`` and ``addresses_below_zero`` of each asset's day.
    """
    change, supply = BALANCE_DELTA.c, supplies.alias("before").c
    assets = _staged(stage, window)
    later = and_(change.asset_id == assets.c.asset_id, change.day > window.day)
    tip = select(func.sum(BALANCE.c.balance)).where(BALANCE.c.asset_id == assets.c.asset_id)
    held = (
        select(
            assets.c.asset_id,
            asset_text(assets.c.address).label("asset"),
            assets.c.symbol,
            (_or_zero(tip) - _or_zero(select(func.sum(change.delta)).where(later))).label(
                "balances"
            ),
        )
        .cte("accounted")
        .prefix_with("MATERIALIZED")
    )
    changes = select(func.sum(change.delta)).where(
        change.asset_id == held.c.asset_id, change.day <= window.day
    )
    before = (
        select(supply.day, supply.supply)
        .where(supply.chain == window.scope, supply.asset == held.c.asset)
        .where(supply.day < window.day, supply.addresses_below_zero == 0)
        .order_by(supply.day.desc())
        .limit(1)
        .lateral("newest")
    )
    since = _or_zero(changes.where(change.day > before.c.day))
    # A case looks at its later branch only where the first does not answer.
    wrong = case(
        (before.c.supply + since == held.c.balances, false()),
        else_=held.c.balances != _or_zero(changes),
    )
    return (
        select(held.c.asset, held.c.symbol, held.c.balances, _or_zero(changes).label("changes"))
        .select_from(held.outerjoin(before, true()))
        .where(wrong)
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


def _staged(stage: Table, window: Window) -> CTE:
    """Return the assets that the staged rows are about."""
    asset = ASSET.c
    return (
        select(asset.asset_id, asset.address, asset.symbol, asset.noncompliant)
        .where(asset.chain == window.scope, asset.tracked)
        .where(asset_text(asset.address).in_(select(stage.c.asset)))
        .cte("staged")
    )


def _or_zero(total: Select[Any]) -> Any:
    scalar: ScalarSelect[Any] = total.scalar_subquery()
    return func.coalesce(scalar, 0)
