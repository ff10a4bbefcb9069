"""Balances at the end of a day, for every data set that looks at who holds what.

`state` keeps the balance at the tip and what each day changed; the balance at the end of an
earlier day is the one at the tip without the changes of the days after it. The result is exact
whatever the order in which blocks arrived.
"""

from sqlalchemy import (
    CTE,
    ColumnElement,
    LargeBinary,
    ScalarSelect,
    and_,
    case,
    false,
    func,
    literal,
    not_,
    or_,
    select,
    true,
)

from onchain_agg.chains import ERC20, EvmChain, chain_named
from onchain_agg.metrics.dataset import Window
from onchain_agg.metrics.rendering import NATIVE
from onchain_agg.warehouse.tables.chain import BLOCK
from onchain_agg.warehouse.tables.ops import ASSET
from onchain_agg.warehouse.tables.state import BALANCE, BALANCE_DELTA

READS = (ASSET, BLOCK, BALANCE, BALANCE_DELTA)


def covered_assets(window: Window) -> CTE:
    """Return the coins and ERC-20 tokens whose balances at the end of the day are complete.

    A token is complete when every block since its ``start_block`` was applied and the window
    reaches that block. The native coin is complete when the chain was applied from block 0 and,
    on an EVM chain, every block up to the window's last is traced and no coin moves outside
    blocks and traces (`EvmChain.native_gap`).

    Columns: ``asset_id``, ``address`` (empty for the native coin), ``symbol``, ``decimals``.
    """
    asset = ASSET.c
    native = asset.address == literal(NATIVE, LargeBinary)
    return (
        select(asset.asset_id, asset.address, asset.symbol, asset.decimals)
        .where(
            asset.chain == window.scope,
            asset.tracked,
            asset.standard == ERC20,
            asset.start_block.between(window.from_height, window.last_height),
            or_(not_(native), _native_is_complete(window)),
        )
        .cte("covered")
    )


def balances_at_day_end(window: Window, assets: CTE) -> CTE:
    """Return the balances of *assets* after the last block of the window's day.

    An address that holds nothing has no row. A negative balance is kept: it says that the token
    moves balances without a transfer (a rebase, a fee on transfer), and the reader decides.

    Columns: ``asset_id``, ``address``, ``balance`` in the asset's smallest unit.
    """
    wanted = select(assets.c.asset_id)
    tip = (
        select(BALANCE.c.asset_id, BALANCE.c.address, BALANCE.c.balance)
        .where(BALANCE.c.asset_id.in_(wanted))
        .subquery("tip")
    )
    change = BALANCE_DELTA.c
    later = (
        select(change.asset_id, change.address, func.sum(change.delta).label("delta"))
        .where(change.asset_id.in_(wanted), change.day > window.day)
        .group_by(change.asset_id, change.address)
        .subquery("later")
    )
    # A full join: who sold everything after the day is no longer in the balances at the tip.
    same = and_(tip.c.asset_id == later.c.asset_id, tip.c.address == later.c.address)
    # Most addresses rest: to subtract nothing from a million balances takes a third of a second.
    balance = case(
        (later.c.delta.is_(None), tip.c.balance),
        else_=func.coalesce(tip.c.balance, 0) - later.c.delta,
    )
    return (
        select(
            func.coalesce(tip.c.asset_id, later.c.asset_id).label("asset_id"),
            func.coalesce(tip.c.address, later.c.address).label("address"),
            balance.label("balance"),
        )
        .select_from(tip.outerjoin(later, same, full=True))
        .where(balance != 0)
        .cte("held")
    )


def holders_at_day_end(window: Window, asset_id: ColumnElement[int]) -> ScalarSelect[int]:
    """Return how many addresses have more than nothing of an asset after the window's last block.

    Those at the tip are counted, and only the addresses that later days changed looked at again.
    """
    tip, change = BALANCE.c, BALANCE_DELTA.c
    later = (
        select(change.address, func.sum(change.delta).label("delta"))
        .where(change.asset_id == asset_id, change.day > window.day)
        .group_by(change.address)
        .subquery("later")
    )
    own = and_(tip.asset_id == asset_id, tip.address == later.c.address)
    held_now = func.coalesce(tip.balance, 0)
    then, now = held_now > later.c.delta, held_now > 0
    corrected = (
        select(func.count().filter(then) - func.count().filter(now))
        .select_from(later.outerjoin(BALANCE, own))
        .scalar_subquery()
    )
    at_tip = select(func.count()).where(tip.asset_id == asset_id, tip.balance > 0)
    return select(at_tip.scalar_subquery() + corrected).scalar_subquery()


def _native_is_complete(window: Window) -> ColumnElement[bool]:
    """Return the condition that the chain's own coin was followed from its first block."""
    chain = chain_named(window.scope)
    if window.from_height > 0:
        return false()
    if not isinstance(chain, EvmChain):
        return true()
    if chain.native_gap and window.last_height >= chain.native_gap_from:
        return false()
    block = BLOCK.c
    untraced = select(block.height).where(
        block.chain == window.scope, not_(block.traced), block.height <= window.last_height
    )
    return not_(untraced.exists())
