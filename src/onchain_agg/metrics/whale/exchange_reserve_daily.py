"""What exchanges hold at the end of each UTC day, and how it follows from the day before.

* ``reserve``: the sum of the balances, after the day's last block, of the addresses that the
  exchange's labels name on the day (CryptoQuant Exchange Reserve).
* ``reserve_before``: the same at the end of the day before, by the labels of that day.
* ``netflow``: that of `exchange_flow_daily`, from the transfers.
* ``fees``: what the addresses lost without a transfer. EVM: fees paid less tips received. UTXO:
  outputs that a repeated coinbase overwrote (BIP 30); fees are part of the netflow there.
* ``relabelled``: what the addresses whose label began on the day had at the end of the day before,
  less what those had whose label ended. A label moves no money, so it is in no flow.

So reserve - reserve_before = netflow - fees + relabelled, exact, for each exchange and for ``all``;
a day that breaks it is not published. ``all`` stands for all exchanges as one; its netflow is the
same with and without the flows between them. ``supply_ratio`` = reserve / supply, the supply being
the sum of all balances.

It is apart from `exchange_flow_daily` because earlier blocks and labels change every later reserve,
but a price changes no reserve, and no flow of another day.

Known gaps: only assets whose balances are complete, as `holder_distribution_daily` says. Outputs
without an address are in no balance.
Edge cases: an exchange that holds nothing, and where nothing changed, has no row; a supply of 0 has
a NULL ratio. An exchange must not be named ``all``.
"""

from datetime import timedelta
from typing import Any

from sqlalchemy import (
    CTE,
    Column,
    ColumnElement,
    Double,
    LargeBinary,
    Numeric,
    Select,
    Table,
    Text,
    case,
    cast,
    column,
    func,
    literal,
    null,
    or_,
    select,
    true,
    union_all,
    values,
)

from onchain_agg.metrics import balances, flows, owners, transfers
from onchain_agg.metrics.dataset import ALL_LATER, SERVING, DataSet, Invariant, Window
from onchain_agg.metrics.formulas import ratio
from onchain_agg.metrics.rendering import NATIVE, asset_text
from onchain_agg.warehouse.tables.chain import NATIVE_TRANSFER
from onchain_agg.warehouse.tables.state import BALANCE, BALANCE_DELTA, SPENT_OUTPUT
from onchain_agg.warehouse.types import BIG, DAY, NAME

# Or PostgreSQL would add up again for each use of the result.
_ONCE = "MATERIALIZED"
_AMOUNTS = ("reserve", "reserve_before", "netflow", "fees", "relabelled")

TABLE = Table(
    "exchange_reserve_daily_v1",
    SERVING,
    Column("chain", NAME, primary_key=True, comment="Name of the chain."),
    Column("day", DAY, primary_key=True, comment="UTC day."),
    Column("asset", NAME, primary_key=True, comment="0x… of the token, or native."),
    Column("exchange", NAME, primary_key=True, comment="Who, or all: all exchanges as one."),
    Column("symbol", Text, nullable=False, comment="For people; the asset is the identity."),
    Column("reserve", BIG, nullable=False, comment="At the day's end, smallest unit."),
    Column("reserve_before", BIG, nullable=False, comment="A day earlier, smallest unit."),
    Column("netflow", BIG, nullable=False, comment="Inflow - outflow, smallest unit."),
    Column("fees", BIG, nullable=False, comment="Lost without a transfer, smallest unit."),
    Column("relabelled", BIG, nullable=False, comment="Labels that began - ended, smallest unit."),
    Column("supply", BIG, nullable=False, comment="Sum of all balances, smallest unit."),
    Column("supply_ratio", Double, comment="reserve / supply; NULL where the supply is 0."),
)


def rows(window: Window) -> Select[Any]:
    """Return what each exchange holds of each asset, and what changed it."""
    assets = balances.covered_assets(window)
    own = _owned(window, assets)
    parts = union_all(_held(own), _flowed(window), _paid(window)).subquery("part").c
    total = (
        select(
            parts.asset_id,
            parts.exchange,
            *(func.sum(parts[name]).label(name) for name in _AMOUNTS),
        )
        .group_by(parts.asset_id, parts.exchange)
        .having(or_(*(func.sum(parts[name]) != 0 for name in _AMOUNTS)))
        .subquery("total")
    )
    supply = _supply(assets, own)
    return (
        select(
            *window.labels(),
            asset_text(assets.c.address).label("asset"),
            total.c.exchange,
            assets.c.symbol,
            *(total.c[name] for name in _AMOUNTS),
            supply.c.supply,
            ratio(total.c.reserve, supply.c.supply).label("supply_ratio"),
        )
        .join_from(total, assets, assets.c.asset_id == total.c.asset_id)
        .join(supply, supply.c.asset_id == assets.c.asset_id)
    )


def _held(own: CTE) -> Select[Any]:
    """Return what each exchange had and has, and what labels moved."""
    had, has, was, now = own.c.had, own.c.has, own.c.entity_before, own.c.entity_after
    moved = was.is_distinct_from(now)
    part = (
        values(
            column("exchange", Text),
            column("reserve", Numeric),
            column("reserve_before", Numeric),
            column("relabelled", Numeric),
            name="side",
        )
        .data(
            [
                (now, has, 0, _if(moved, had)),
                (was, 0, had, _if(moved, -had)),
                (
                    literal(flows.ALL, Text),
                    _if(now.is_not(None), has),
                    _if(was.is_not(None), had),
                    _if(was.is_(None), had) + _if(now.is_(None), -had),
                ),
            ]
        )
        .lateral()
    )
    return (
        select(
            own.c.asset_id,
            part.c.exchange,
            part.c.reserve,
            part.c.reserve_before,
            *_zeros("netflow", "fees"),
            part.c.relabelled,
        )
        .select_from(own.join(part, true()))
        .where(part.c.exchange.is_not(None))
    )


def _flowed(window: Window) -> Select[Any]:
    flow = flows.flows(window, transfers.tracked_assets(window)).c
    return select(
        flow.asset_id,
        flow.exchange,
        *_zeros("reserve", "reserve_before"),
        (flow.inflow - flow.outflow).label("netflow"),
        *_zeros("fees", "relabelled"),
    ).where(flow.variant != flows.INCLUDING)


def _paid(window: Window) -> Select[Any]:
    """Return what labelled addresses lost, or got, other than by a transfer."""
    owner = owners.exchanges_on(window)
    lost = (_overwritten(window) if not flows.is_evm(window) else _for_blocks(window)).subquery()
    each = (
        values(column("exchange", Text), name="side")
        .data([(owner.c.entity,), (literal(flows.ALL, Text),)])
        .lateral()
    )
    coin = transfers.tracked_assets(window).alias("coin")
    return select(
        coin.c.asset_id,
        each.c.exchange,
        *_zeros("reserve", "reserve_before", "netflow"),
        lost.c.amount.label("fees"),
        *_zeros("relabelled"),
    ).select_from(
        lost.join(owner, owner.c.address == lost.c.address)
        .join(each, true())
        .join(coin, coin.c.address == literal(NATIVE, LargeBinary))
    )


def _for_blocks(window: Window) -> Select[Any]:
    """Return what addresses of an EVM chain paid for blocks, and what they got for them."""
    transfer = NATIVE_TRANSFER.c
    is_fee = transfer.kind.not_in(transfers.NATIVE_KINDS)
    both = union_all(
        select(transfer.sender.label("address"), transfer.amount).where(
            window.of(NATIVE_TRANSFER), is_fee
        ),
        select(transfer.recipient, -transfer.amount).where(window.of(NATIVE_TRANSFER), is_fee),
    ).subquery("fee")
    return select(both.c.address, both.c.amount)


def _overwritten(window: Window) -> Select[Any]:
    spent = SPENT_OUTPUT.c
    return select(spent.address, spent.value.label("amount")).where(
        window.of(SPENT_OUTPUT), spent.overwritten
    )


def _labelled(window: Window) -> CTE:
    """Return every address that has a label on the day or had one the day before."""
    before = owners.exchanges_on(window, window.day - timedelta(days=1))
    after = owners.exchanges_on(window)
    nobody = null().cast(Text)
    # Not a full join: PostgreSQL would expect fifty times as many addresses.
    either = union_all(
        select(before.c.address, before.c.entity.label("entity_before"), nobody.label("after")),
        select(after.c.address, nobody, after.c.entity),
    ).subquery("either")
    return (
        select(
            either.c.address,
            func.min(either.c.entity_before).label("entity_before"),
            func.min(either.c.after).label("entity_after"),
        )
        .group_by(either.c.address)
        .cte("labelled")
    )


def _owned(window: Window, assets: CTE) -> CTE:
    """Return what everybody has after the day (``has``) and had before it (``had``).

    By who owned the addresses before and after; NULL: no exchange. The supply needs every balance,
    so all of them are read once, and labels met on the way.
    """
    labelled, change = _labelled(window), BALANCE_DELTA.c
    later = func.sum(change.delta).filter(change.day > window.day)
    today = func.sum(change.delta).filter(change.day == window.day)
    tips = _by_owner(BALANCE, assets, labelled, func.sum(BALANCE.c.balance), 0, 0)
    changes = _by_owner(BALANCE_DELTA, assets, labelled, 0, later, today)
    part = union_all(tips, changes.where(change.day >= window.day)).subquery("part").c
    owner = (part.asset_id, part.entity_before, part.entity_after)
    has = func.sum(part.tip) - func.sum(part.later)
    return (
        select(*owner, has.label("has"), (has - func.sum(part.today)).label("had"))
        .group_by(*owner)
        .cte("own")
        .prefix_with(_ONCE)
    )


def _by_owner(table: Table, assets: CTE, labelled: CTE, *sums: Any) -> Select[Any]:
    """Return *sums* over the rows of *table*, by asset and by who owned the address."""
    owner = (table.c.asset_id, labelled.c.entity_before, labelled.c.entity_after)
    names = ("tip", "later", "today")
    return (
        select(
            *owner,
            *(func.coalesce(one, 0).label(name) for name, one in zip(names, sums, strict=True)),
        )
        .join_from(table, assets, assets.c.asset_id == table.c.asset_id)
        .outerjoin(labelled, labelled.c.address == table.c.address)
        .group_by(*owner)
    )


def _supply(assets: CTE, own: CTE) -> CTE:
    supply = func.coalesce(func.sum(own.c.has), 0).label("supply")
    return (
        select(assets.c.asset_id, supply)
        .outerjoin_from(assets, own, own.c.asset_id == assets.c.asset_id)
        .group_by(assets.c.asset_id)
        .cte("supply")
    )


def _zeros(*names: str) -> tuple[ColumnElement[Any], ...]:
    return tuple(cast(0, Numeric).label(name) for name in names)


def _if(condition: ColumnElement[bool], amount: ColumnElement[Any]) -> ColumnElement[Any]:
    return case((condition, amount), else_=0)


def _unexplained(stage: Table, _window: Window) -> Select[Any]:
    row = stage.c
    explained = row.netflow - row.fees + row.relabelled
    return (
        select(row.asset, row.exchange, *(row[name] for name in _AMOUNTS))
        .where(row.reserve - row.reserve_before != explained)
        .order_by(row.asset, row.exchange)
    )


def _not_added_up(stage: Table, _window: Window) -> Select[Any]:
    together = func.sum(stage.c.reserve).filter(stage.c.exchange == flows.ALL)
    added = func.sum(stage.c.reserve).filter(stage.c.exchange != flows.ALL)
    whole, single = func.coalesce(together, 0), func.coalesce(added, 0)
    return (
        select(stage.c.asset, whole.label("reserve_of_all"), single.label("added_up"))
        .group_by(stage.c.asset)
        .having(whole != single)
    )


DATASET = DataSet(
    name="exchange_reserve_daily",
    table=TABLE,
    family="whale",
    chain_families=("evm", "utxo"),
    reads=tuple(dict.fromkeys((*flows.READS, *balances.READS))),
    reach=ALL_LATER,
    grain="day",
    workload="whale_worker",
    rows=rows,
    highlights=("reserve", "symbol", "exchange"),
    invariants=(
        Invariant("reserve - reserve_before = netflow - fees + relabelled", _unexplained),
        Invariant("reserves of exchanges add up to that of all", _not_added_up),
    ),
)
