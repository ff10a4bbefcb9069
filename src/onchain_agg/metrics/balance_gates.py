"""What rows made from balances are held against, before readers see them.

Each function adds up once more, straight from state, what the rows of an asset must add up to.
"""

from typing import Any

from sqlalchemy import (
    CTE,
    ColumnElement,
    FromClause,
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

from onchain_agg.chains import ERC20
from onchain_agg.metrics.balances import balances_at_day_end
from onchain_agg.metrics.dataset import Window
from onchain_agg.metrics.formulas import or_zero
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
    today = select(func.sum(change.delta)).where(
        change.asset_id == ASSET.c.asset_id, change.day == window.day
    )
    return (
        select(
            asset_text(ASSET.c.address).label("asset"),
            ASSET.c.noncompliant,
            _stored(ASSET.c.asset_id, window).label("balances"),
            _total(today).label("change"),
        )
        .where(ASSET.c.chain == window.scope, ASSET.c.tracked, ASSET.c.standard == ERC20)
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


def unexplained(
    stage: Table, window: Window, supplies: Table, *, has_supply: bool = False
) -> Select[Any]:
    """Return the assets of *stage* whose balances are not what their daily changes add up to.

    The balances are those of `stored_balances`, the changes those of every day up to the window's.
    To add up years of them takes seconds for an asset of a million holders, so what *supplies* says
    of the newest day before stands for the changes up to then. Where that does not explain the
    balances, all changes are added up, and they alone decide: *supplies* may be out of date.

    Args:
        stage: Rows with an ``asset``.
        window: Their window.
        supplies: Published rows with ``supply`` and ``addresses_below_zero`` of each asset's day.
        has_supply: Whether *stage* has these too, one row an asset, and another gate holds them
            against the stored balances: where the supply is explained, the balances are.
    """
    change = BALANCE_DELTA.c
    accounted = _accounted(stage, window, has_supply=has_supply)
    account = accounted.c
    balances = _stored(account.asset_id, window) if has_supply else account.told
    changes = select(func.sum(change.delta)).where(
        change.asset_id == account.asset_id, change.day <= window.day
    )
    before = _newest_before(supplies, window, account.asset)
    since = _total(changes.where(change.day > before.c.day))
    # A case looks at its later branch only where the first does not answer.
    wrong = case(
        (before.c.supply + since == account.told, false()), else_=balances != _total(changes)
    )
    columns = (balances.label("balances"), _total(changes).label("changes"))
    return (
        select(account.asset, account.symbol, *columns)
        .select_from(accounted.outerjoin(before, true()))
        .where(wrong)
    )


def _accounted(stage: Table, window: Window, *, has_supply: bool) -> CTE:
    """Return the staged assets with what their balances are ``told`` to be, NULL beside debts."""
    assets = _staged(stage, window)
    name = asset_text(assets.c.address).label("asset")
    held = select(assets.c.asset_id, name, assets.c.symbol)
    if has_supply:
        told = case((stage.c.addresses_below_zero == 0, stage.c.supply))
        held = held.join(stage, stage.c.asset == name)
    else:
        told = _stored(assets.c.asset_id, window)
    return held.add_columns(told.label("told")).cte("accounted").prefix_with("MATERIALIZED")


def _newest_before(supplies: Table, window: Window, asset: ColumnElement[str]) -> FromClause:
    """Return the newest day before the window's without debts, and its supply."""
    supply = supplies.alias("before").c
    return (
        select(supply.day, supply.supply)
        .where(supply.chain == window.scope, supply.asset == asset)
        .where(supply.day < window.day, supply.addresses_below_zero == 0)
        .order_by(supply.day.desc())
        .limit(1)
        .lateral("newest")
    )


def _stored(asset_id: ColumnElement[int], window: Window) -> Any:
    """Return what the balances of an asset add up to at the end of the window's day."""
    change = BALANCE_DELTA.c
    tip = select(func.sum(BALANCE.c.balance)).where(BALANCE.c.asset_id == asset_id)
    later = and_(change.asset_id == asset_id, change.day > window.day)
    return _total(tip) - _total(select(func.sum(change.delta)).where(later))


def unspent(window: Window) -> Any:
    """Return what a UTXO chain has unspent at the end of the window's day, addresses or not.

    It comes from the matrix of creation and spending, not from balances. Smallest unit.
    """
    created, day, month = CREATED_OUTPUT_DAILY.c, SPENT_OUTPUT_DAILY.c, SPENT_OUTPUT_MONTHLY.c
    first_of_month = window.day.replace(day=1)
    return (
        _total(
            select(func.sum(created.value)).where(
                created.chain == window.scope, created.day <= window.day
            )
        )
        - _total(
            select(func.sum(month.value)).where(
                month.chain == window.scope, month.spend_month < first_of_month
            )
        )
        - _total(
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


def _total(query: Select[Any]) -> Any:
    return or_zero(query.scalar_subquery())
