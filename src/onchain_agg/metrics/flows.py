"""What moves to and from exchanges, transaction by transaction.

The labels of a day decide that day's flows. A transfer inside one exchange is no flow. In three
variants:

* ``per_exchange``: a row for each exchange; another exchange is a stranger like any other.
* ``including``: the flows of all exchanges added up, those between two exchanges included.
* ``excluding``: all exchanges are one, so what moves between them is no flow.

On an EVM chain each transfer is a flow of its own; mints to an exchange and burns by it count. On
a UTXO chain what an exchange's addresses receive and spend in one transaction is netted, because
change comes back in it: a transaction that spends 10 of A and pays 5 to B and 5 to a stranger is an
outflow of 10 for A and an inflow of 5 for B; ``excluding`` has an outflow of 5 (Coin Metrics). What
an exchange loses there includes the fee. A coinbase that pays an exchange is an inflow.
"""

from typing import Any

from sqlalchemy import (
    CTE,
    ColumnElement,
    LargeBinary,
    Numeric,
    Select,
    Text,
    Values,
    and_,
    case,
    column,
    func,
    literal,
    not_,
    or_,
    select,
    true,
    union_all,
    values,
)

from onchain_agg.chains import EvmChain, chain_named
from onchain_agg.metrics import owners, pricing, transfers
from onchain_agg.metrics.candles import begin_of
from onchain_agg.metrics.dataset import Window
from onchain_agg.metrics.rendering import NATIVE
from onchain_agg.warehouse.tables.chain import BLOCK, UTXO_OUTPUT
from onchain_agg.warehouse.tables.state import SPENT_OUTPUT

READS = (*transfers.READS, *owners.READS)
PRICED_READS = (*READS, *pricing.READS)
ALL = "all"
PER_EXCHANGE, INCLUDING, EXCLUDING = "per_exchange", "including", "excluding"


def is_evm(window: Window) -> bool:
    """Return whether the window's chain knows senders and recipients, not inputs and outputs."""
    return isinstance(chain_named(window.scope), EvmChain)


def flows(window: Window, assets: CTE) -> CTE:
    """Return what each transaction moved to and from exchanges.

    Args:
        window: The day.
        assets: The assets to look at, as `transfers.tracked_assets` returns them.

    Columns: ``asset_id``, ``height``, ``tx_no`` (its index; below zero where a transfer belongs to
    no transaction), ``variant``, ``exchange`` (``all`` but for ``per_exchange``), ``inflow`` and
    ``outflow`` in the smallest unit, one of them above zero.
    """
    owner = owners.exchanges_on(window)
    parts = (
        _of_transfers(window, assets, owner)
        if is_evm(window)
        else _of_outputs(window, assets, owner)
    )
    part = parts.subquery("part").c
    key = (part.asset_id, part.height, part.tx_no, part.variant, part.exchange)
    return (
        select(*key, func.sum(part.inflow).label("inflow"), func.sum(part.outflow).label("outflow"))
        .where(or_(part.inflow > 0, part.outflow > 0))
        .group_by(*key)
        .cte("flow")
    )


def timed_flows(window: Window, assets: CTE) -> CTE:
    """Return `flows` with the minute of their block, and what is known of the asset.

    Columns: also ``minute_at``, and ``address``, ``symbol`` and ``unit`` of the asset.
    """
    flow = flows(window, assets)
    return (
        select(
            *flow.c,
            begin_of("minute", BLOCK.c.block_at).label("minute_at"),
            assets.c.address,
            assets.c.symbol,
            assets.c.unit,
        )
        .join_from(flow, assets, flow.c.asset_id == assets.c.asset_id)
        .join(BLOCK, and_(BLOCK.c.chain == window.scope, BLOCK.c.height == flow.c.height))
        .cte("timed")
    )


def priced_flows(window: Window, assets: CTE) -> CTE:
    """Return `timed_flows` added up by minute, which has one price.

    Columns: ``asset_id``, ``address``, ``symbol``, ``unit``, ``variant``, ``exchange``,
    ``minute_at``, ``inflow`` and ``outflow``; ``transactions``, and how many of them have an inflow
    (``inflow_transactions``) and an outflow; ``price_usd``, NULL where there is none.
    """
    timed = timed_flows(window, assets).c
    key = (timed.asset_id, timed.address, timed.symbol, timed.unit, timed.minute_at)
    added_up = (
        select(
            *key,
            timed.variant,
            timed.exchange,
            func.sum(timed.inflow).label("inflow"),
            func.sum(timed.outflow).label("outflow"),
            func.count().label("transactions"),
            func.count().filter(timed.inflow > 0).label("inflow_transactions"),
            func.count().filter(timed.outflow > 0).label("outflow_transactions"),
        )
        .group_by(*key, timed.variant, timed.exchange)
        .cte("by_minute")
    )
    moments = select(added_up.c.symbol, added_up.c.minute_at).distinct().cte("moment")
    price = pricing.prices_at(window, moments)
    same = and_(price.c.symbol == added_up.c.symbol, price.c.minute_at == added_up.c.minute_at)
    return (
        select(*added_up.c, price.c.price_usd)
        # Full is the same as left, as every price is of one of the minutes; but PostgreSQL, which
        # expects few of them, cannot look for the price again for each.
        .outerjoin_from(added_up, price, same, full=True)
        .cte("valued")
    )


def _of_transfers(window: Window, assets: CTE, owner: CTE) -> Select[Any]:
    moved = transfers.transfers(window, assets).subquery("moved")
    sender, recipient = owner.alias("sender"), owner.alias("recipient")
    sent, received = sender.c.entity, recipient.c.entity
    owned = (
        select(
            moved.c.asset_id,
            moved.c.height,
            # Rewards and withdrawals belong to no transaction.
            func.coalesce(moved.c.tx_index, -1 - moved.c.position).label("tx_no"),
            sent.label("sent_by"),
            received.label("received_by"),
            moved.c.amount,
        )
        .select_from(
            moved.outerjoin(sender, sender.c.address == moved.c.sender).outerjoin(
                recipient, recipient.c.address == moved.c.recipient
            )
        )
        .where(sent.is_distinct_from(received))
        .subquery("owned")
    )
    amount, by, to = owned.c.amount, owned.c.sent_by, owned.c.received_by
    part = _parts(
        (PER_EXCHANGE, to, amount, 0),
        (PER_EXCHANGE, by, 0, amount),
        (INCLUDING, ALL, _if(to.is_not(None), amount), _if(by.is_not(None), amount)),
        (EXCLUDING, ALL, _if(by.is_(None), amount), _if(to.is_(None), amount)),
    )
    return (
        select(owned.c.asset_id, owned.c.height, owned.c.tx_no, *part.c)
        .select_from(owned.join(part, true()))
        .where(part.c.exchange.is_not(None))
    )


def _of_outputs(window: Window, assets: CTE, owner: CTE) -> Select[Any]:
    net = _net_by_entity(window, assets, owner).cte("net")
    gained, lost = func.greatest(net.c.amount, 0), func.greatest(-net.c.amount, 0)
    each = _parts((PER_EXCHANGE, net.c.entity, gained, lost), (INCLUDING, ALL, gained, lost))
    key = (net.c.asset_id, net.c.height, net.c.tx_no)
    as_one = select(*key, func.sum(net.c.amount).label("amount")).group_by(*key).subquery("as_one")
    both = union_all(
        select(*key, *each.c).select_from(net.join(each, true())),
        select(
            as_one.c.asset_id,
            as_one.c.height,
            as_one.c.tx_no,
            literal(EXCLUDING, Text),
            literal(ALL, Text),
            func.greatest(as_one.c.amount, 0),
            func.greatest(-as_one.c.amount, 0),
        ),
    )
    return select(*both.subquery("netted").c)


def _net_by_entity(window: Window, assets: CTE, owner: CTE) -> Select[Any]:
    """Return what each exchange gained, or lost, in each UTXO transaction."""
    output, spent = UTXO_OUTPUT.c, SPENT_OUTPUT.c
    # Each side meets the labels on its own: of a union PostgreSQL knows no addresses, and expects
    # a thousand times as many rows.
    moved = union_all(
        select(output.height, output.tx_index.label("tx_no"), owner.c.entity, output.value)
        .join(owner, owner.c.address == output.address)
        .where(window.of(UTXO_OUTPUT), output.spendable),
        select(spent.height, spent.tx_index, owner.c.entity, -spent.value)
        .join(owner, owner.c.address == spent.address)
        .where(window.of(SPENT_OUTPUT), not_(spent.overwritten)),
    ).subquery("moved")
    key = (assets.c.asset_id, moved.c.height, moved.c.tx_no, moved.c.entity)
    return (
        select(*key, func.sum(moved.c.value).label("amount"))
        .select_from(moved.join(assets, assets.c.address == literal(NATIVE, LargeBinary)))
        .group_by(*key)
    )


def _parts(*rows: tuple[Any, ...]) -> Values:
    """Return one row for each flow that a transfer, or what a transaction nets to, stands for."""
    return (
        values(
            column("variant", Text),
            column("exchange", Text),
            column("inflow", Numeric),
            column("outflow", Numeric),
            name="part",
        )
        .data(list(rows))
        .lateral()
    )


def _if(condition: ColumnElement[bool], amount: ColumnElement[Any]) -> ColumnElement[Any]:
    return case((condition, amount), else_=0)
