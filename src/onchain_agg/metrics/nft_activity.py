"""What NFT trades add up to, for every data set that sums them: by collection, hour or market.

A trade is a row of `nft_trade`: one token of one sale, its part of a bundle's price included. The
native coin stands for its wrapped form too. Sums are exact; ratios alone are doubles. A sum over no
trade is NULL, never 0.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    CTE,
    BigInteger,
    Column,
    ColumnElement,
    Double,
    FromClause,
    Label,
    Numeric,
    Select,
    Subquery,
    Table,
    and_,
    case,
    false,
    func,
    literal,
    or_,
    select,
    true,
    union_all,
)
from sqlalchemy.dialects.postgresql import ARRAY, aggregate_order_by

from onchain_agg.metrics.candles import begin_of
from onchain_agg.metrics.dataset import Invariant, Window
from onchain_agg.metrics.formulas import ratio
from onchain_agg.metrics.nft.nft_trade import TABLE as TRADE
from onchain_agg.metrics.nft.nft_wash_trade import TABLE as WASH
from onchain_agg.metrics.pricing import money
from onchain_agg.warehouse.types import BIG

READS = (TRADE, WASH)

# Quantiles, in hundredths.
FLOOR, MEDIAN = 5, 50
_KEY = ("chain", "day", "block_hash", "log_index", "item_index")
# Decimals of the product before it is divided: more than a price and a smallest unit have together.
_DECIMALS = 60


def trade_columns() -> tuple[Column[Any], ...]:
    """Return the columns of counts and volumes, as `activity` fills them."""
    return (
        Column("trades", BigInteger, nullable=False, comment="Tokens sold: rows of nft_trade."),
        Column("items", BIG, nullable=False, comment="Sum of their quantities."),
        Column("unpriced_trades", BigInteger, nullable=False, comment="Of trades: no price told."),
        Column(
            "native_trades",
            BigInteger,
            nullable=False,
            comment="Of trades: paid in the native coin or its wrapped form.",
        ),
        Column("usd_trades", BigInteger, nullable=False, comment="Of trades: worth is known."),
        Column("wash_trades", BigInteger, nullable=False, comment="Of trades: in nft_wash_trade."),
        Column("volume_native", BIG, comment="Of native_trades, wei, fees included."),
        Column("volume_native_ex_wash", BIG, comment="Without wash trades, wei."),
        Column("volume_native_ex_royalty", BIG, comment="Less the royalties that logs tell, wei."),
        Column("volume_usd", BIG, comment="Of usd_trades, US dollar, fees included."),
        Column("volume_usd_ex_wash", BIG, comment="Without wash trades, US dollar."),
        Column("volume_usd_ex_royalty", BIG, comment="Less the royalties told, US dollar."),
        Column("wash_share", Double, comment="Part of volume_native from wash trades, 0..1."),
        Column("platform_fees", BIG, comment="Of native_trades whose fee is told, wei."),
        Column("platform_fee_percent", Double, comment="Of the price of the same trades, percent."),
        Column("royalties", BIG, comment="Of native_trades whose royalty is told, wei."),
        Column("royalty_percent", Double, comment="Of the price of the same trades, percent."),
        Column("buyers", BigInteger, nullable=False, comment="Different addresses."),
        Column("sellers", BigInteger, nullable=False, comment="Different addresses."),
        Column("traders", BigInteger, nullable=False, comment="Different addresses of both."),
    )


def price_columns() -> tuple[Column[Any], ...]:
    """Return the columns of prices, as `activity` fills them."""
    return (
        Column("floor_p5", BIG, comment="5th percentile without wash trades, wei of one item."),
        Column("floor_min_ex_wash", BIG, comment="Lowest without wash trades, wei of one item."),
        Column("average", Double, comment="volume_native / their items, wei of one item."),
        Column("average_ex_wash", Double, comment="The same without wash trades, wei."),
        Column("median", BIG, comment="Of single items sold above 0, wei."),
        Column("median_ex_wash", BIG, comment="The same without wash trades, wei."),
    )


# Counts are 0 without a trade; everything else is NULL.
COUNTS = tuple(column.name for column in trade_columns() if not column.nullable)


def day_trades(window: Window) -> CTE:
    """Return the day's trades with their wash flag.

    Columns: ``collection``, ``market``, ``aggregator``, ``hour_at``, ``buyer``, ``seller``,
    ``quantity``, ``price``, ``price_native``, ``usd_value``, ``royalty_usd``, ``platform_fee``,
    ``royalty`` (both in the trade's currency), ``is_wash``, ``single`` (the price of a single item
    sold above 0 in the native coin; else NULL).
    """
    trade = TRADE.c
    wash = select(*(WASH.c[name] for name in _KEY)).where(*_of(window, WASH)).subquery("wash").c
    is_single = and_(trade.bundle_size == 1, trade.quantity == 1, trade.price_native > 0)
    return (
        select(
            trade.collection,
            trade.market,
            trade.aggregator,
            begin_of("hour", trade.block_at).label("hour_at"),
            trade.buyer,
            trade.seller,
            trade.quantity,
            trade.price,
            trade.price_native,
            trade.usd_value,
            _royalty_usd().label("royalty_usd"),
            trade.platform_fee,
            trade.royalty,
            wash.day.is_not(None).label("is_wash"),
            case((is_single, trade.price_native)).label("single"),
        )
        .outerjoin_from(TRADE, wash.day.table, and_(*(trade[n] == wash[n] for n in _KEY)))
        .where(*_of(window, TRADE))
        .cte("trade")
    )


def activity(trades: FromClause, key: Sequence[str], *, prices: bool) -> Subquery:
    """Return the sums of *trades* for each value of the columns *key*.

    Args:
        trades: With the columns of `day_trades`.
        key: Names of columns that are never NULL.
        prices: Whether the columns of `price_columns` are wanted too.

    Columns: *key* and those of `trade_columns`.
    """
    keys = [trades.c[name] for name in key]
    sums = (
        select(*keys, *_sums(trades.c), *(_sorted_prices(trades.c) if prices else ()))
        .group_by(*keys)
        .subquery("sums")
    )
    people = _people(trades, key)
    # A full join is never a nested loop, which the planner would choose for a day without
    # statistics.
    same = and_(*(sums.c[name] == people.c[name] for name in key))
    skip = {"native_items", "native_items_ex_wash", "told_fee", "told_royalty", "singles", "clean"}
    return (
        select(
            *(column for column in sums.c if column.name not in skip),
            *_ratios(sums.c),
            *(_prices(sums.c) if prices else ()),
            *(people.c[name] for name in ("buyers", "sellers", "traders")),
        )
        .select_from(sums.outerjoin(people, same, full=True))
        .subquery("activity")
    )


def sound(*, prices: bool) -> Invariant:
    """Return the gate that the columns of one row agree with each other."""

    def broken(stage: Table, _window: Window) -> Select[Any]:
        row = stage.c
        rules = [
            row.volume_native_ex_wash > row.volume_native,
            row.volume_usd_ex_wash > row.volume_usd,
            row.volume_native_ex_royalty > row.volume_native,
            row.volume_usd_ex_royalty > row.volume_usd,
            row.traders > row.buyers + row.sellers,
            row.traders < func.greatest(row.buyers, row.sellers),
            row.native_trades + row.unpriced_trades > row.trades,
            and_(row.native_trades == 0, row.volume_native.is_not(None)),
        ]
        if prices:
            rules += [row.floor_min_ex_wash <= 0, row.floor_p5 < row.floor_min_ex_wash]
        key = [row[column.name] for column in stage.columns if column.name in _SHOWN]
        return select(*key, row.trades, row.volume_native).where(or_(*rules))

    return Invariant("no part is above its whole, and a floor is above 0", broken)


def complete(*names: str) -> Invariant:
    """Return the gate that the rows have every trade of the day, once.

    Args:
        names: Values of the column ``kind`` whose rows have them; none: all rows.
    """

    def broken(stage: Table, window: Window) -> Select[Any]:
        row, trade = stage.c, TRADE.c
        counts = row.kind.in_(names) if names else true()
        there = (
            select(
                func.coalesce(func.sum(row.trades), 0).label("trades"),
                func.coalesce(func.sum(row.volume_native), 0).label("volume_native"),
            )
            .where(counts)
            .subquery("there")
            .c
        )
        given = (
            select(
                func.count().label("sold"),
                func.coalesce(func.sum(trade.price_native), 0).label("paid"),
            )
            .where(*_of(window, TRADE))
            .subquery("given")
            .c
        )
        return (
            select(there.trades, given.sold, there.volume_native, given.paid)
            .join_from(there.trades.table, given.sold.table, true())
            .where(or_(there.trades != given.sold, there.volume_native != given.paid))
        )

    return Invariant("the rows add up to the trades of the day", broken)


_SHOWN = ("collection", "hour_at", "kind", "name")


def _of(window: Window, table: Table) -> tuple[ColumnElement[bool], ...]:
    return table.c.chain == window.scope, table.c.day == window.day


def _royalty_usd() -> ColumnElement[Any]:
    """Return the royalty in US dollar, exact: worth of the price times its part of the price."""
    trade = TRADE.c
    product = func.round(trade.usd_value * trade.royalty, _DECIMALS, type_=Numeric)
    share = func.trim_scale(product / func.nullif(trade.price, 0, type_=Numeric), type_=Numeric)
    return case((trade.royalty > 0, share), else_=0)


def _sums(trade: Any) -> list[Label[Any]]:
    clean, native = ~trade.is_wash, trade.price_native
    royalty = func.coalesce(trade.royalty, 0)
    is_native = native.is_not(None)
    return [
        func.count().label("trades"),
        func.sum(trade.quantity).label("items"),
        func.count().filter(trade.price.is_(None)).label("unpriced_trades"),
        func.count(native).label("native_trades"),
        func.count(trade.usd_value).label("usd_trades"),
        func.count().filter(trade.is_wash).label("wash_trades"),
        func.sum(native).label("volume_native"),
        func.sum(native).filter(clean).label("volume_native_ex_wash"),
        func.sum(native - royalty).label("volume_native_ex_royalty"),
        money(func.sum(trade.usd_value)).label("volume_usd"),
        money(func.sum(trade.usd_value).filter(clean)).label("volume_usd_ex_wash"),
        money(func.sum(trade.usd_value - trade.royalty_usd)).label("volume_usd_ex_royalty"),
        func.sum(trade.platform_fee).filter(is_native).label("platform_fees"),
        func.sum(trade.royalty).filter(is_native).label("royalties"),
        func.sum(native).filter(trade.platform_fee.is_not(None)).label("told_fee"),
        func.sum(native).filter(trade.royalty.is_not(None)).label("told_royalty"),
        func.sum(trade.quantity).filter(is_native).label("native_items"),
        func.sum(trade.quantity).filter(is_native, clean).label("native_items_ex_wash"),
    ]


def _sorted_prices(trade: Any) -> list[Label[Any]]:
    prices = func.array_agg(aggregate_order_by(trade.single, trade.single), type_=ARRAY(Numeric))
    is_single = trade.single.is_not(None)
    return [
        prices.filter(is_single).label("singles"),
        prices.filter(is_single, ~trade.is_wash).label("clean"),
    ]


def _ratios(sums: Any) -> list[Label[Any]]:
    clean = func.coalesce(sums.volume_native_ex_wash, 0)
    return [
        ratio(sums.volume_native - clean, sums.volume_native).label("wash_share"),
        (100 * ratio(sums.platform_fees, sums.told_fee)).label("platform_fee_percent"),
        (100 * ratio(sums.royalties, sums.told_royalty)).label("royalty_percent"),
    ]


def _prices(sums: Any) -> list[Label[Any]]:
    return [
        _quantile(sums.clean, FLOOR).label("floor_p5"),
        sums.clean[1].label("floor_min_ex_wash"),
        ratio(sums.volume_native, sums.native_items).label("average"),
        ratio(sums.volume_native_ex_wash, sums.native_items_ex_wash).label("average_ex_wash"),
        _quantile(sums.singles, MEDIAN).label("median"),
        _quantile(sums.clean, MEDIAN).label("median_ex_wash"),
    ]


def _quantile(ordered: ColumnElement[Any], hundredths: int) -> ColumnElement[Any]:
    """Return what percentile_cont would, exact, where that takes doubles; NULL of no array."""
    rank = (func.cardinality(ordered, type_=BigInteger) - 1) * hundredths
    below = rank // 100
    low = ordered[below + 1]
    high = func.coalesce(ordered[below + 2], low, type_=Numeric)
    part = func.mod(rank, 100, type_=BigInteger) * literal(Decimal("0.01"), Numeric)
    return money(low + (high - low) * part)


def _people(trades: FromClause, key: Sequence[str]) -> Subquery:
    """Return how many different addresses bought, sold, or either, by *key*."""

    def side(address: ColumnElement[str], *, buys: bool) -> Select[Any]:
        bought = true() if buys else false()
        keys = [trades.c[name] for name in key]
        return select(*keys, address.label("address"), bought.label("buys"))

    sides = union_all(side(trades.c.buyer, buys=True), side(trades.c.seller, buys=False)).subquery()
    keys = [sides.c[name] for name in key]
    person = (
        select(
            *keys,
            func.bool_or(sides.c.buys).label("buys"),
            func.bool_or(~sides.c.buys).label("sells"),
        )
        .group_by(*keys, sides.c.address)
        .subquery("person")
        .c
    )
    keys = [person[name] for name in key]
    return (
        select(
            *keys,
            func.count().filter(person.buys).label("buyers"),
            func.count().filter(person.sells).label("sellers"),
            func.count().label("traders"),
        )
        .group_by(*keys)
        .subquery("people")
    )
