"""What the candles of every span share: their columns, and how one comes from shorter ones."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Double,
    Numeric,
    Select,
    Table,
    case,
    false,
    func,
    literal,
    not_,
    or_,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import aggregate_order_by

from onchain_agg.metrics.dataset import SERVING, Invariant, Window
from onchain_agg.metrics.formulas import ratio
from onchain_agg.warehouse.tables.market import CANDLE, TRADE
from onchain_agg.warehouse.types import DAY, NAME, TIME


def candle_table(name: str, *open_at: Column[Any]) -> Table:
    """Return a table of candles, with *open_at* in its key where a day has several."""
    return Table(
        name,
        SERVING,
        Column("venue", NAME, primary_key=True, comment="The exchange."),
        Column("day", DAY, primary_key=True, comment="UTC day."),
        Column("market", NAME, primary_key=True, comment="BASE/QUOTE, or BASE/QUOTE:SETTLE."),
        *open_at,
        Column("open", Numeric, nullable=False, comment="First price, quote for one base."),
        Column("high", Numeric, nullable=False, comment="Highest price, quote for one base."),
        Column("low", Numeric, nullable=False, comment="Lowest price, quote for one base."),
        Column("close", Numeric, nullable=False, comment="Last price, quote for one base."),
        Column("volume", Numeric, nullable=False, comment="Base."),
        Column("quote_volume", Numeric, comment="Quote; NULL: the venue does not tell."),
        Column("trades", BigInteger, comment="Number; NULL: the venue does not tell."),
        Column("vwap", Double, comment="Quote volume / volume; NULL where unknown or zero."),
        Column("from_candle", Boolean, nullable=False, comment="Told by the venue, not counted."),
    )


def open_at(span: str) -> Column[Any]:
    """Return the key column that says when a candle of *span* begins."""
    return Column("open_at", TIME, primary_key=True, comment=f"First instant of the {span}.")


def told_by_venue(
    window: Window, span: str, key: Iterable[ColumnElement[Any]], better: Table
) -> Select[Any]:
    """Return the venue's own candles of *span*, of markets that have no row of the day in *better*.

    Venues repeat the last price while nothing is traded; such a candle without volume is left out.
    """
    candle = CANDLE.c
    known = select(better.c.market).where(window.of(better), better.c.market == candle.market)
    return select(
        *window.venue_labels(),
        candle.market,
        *key,
        candle.open,
        candle.high,
        candle.low,
        candle.close,
        candle.volume,
        candle.quote_volume,
        candle.trades,
        ratio(candle.quote_volume, candle.volume).label("vwap"),
        true().label("from_candle"),
    ).where(
        window.of(CANDLE),
        candle.span == span,
        candle.volume > 0,
        not_(known.correlate(CANDLE).exists()),
    )


def folded(window: Window, shorter: Table, *key: ColumnElement[Any]) -> Select[Any]:
    """Return longer candles, one for each market and *key*, made of the *shorter* ones."""
    part = shorter.c
    first, _ = _first_and_last(part.open, part.open_at)
    _, last = _first_and_last(part.close, part.open_at)
    volume, quote_volume = func.sum(part.volume), _sum_of_all(part.quote_volume)
    return (
        select(
            *window.venue_labels(),
            part.market,
            *key,
            first.label("open"),
            func.max(part.high).label("high"),
            func.min(part.low).label("low"),
            last.label("close"),
            volume.label("volume"),
            quote_volume.label("quote_volume"),
            _sum_of_all(part.trades).label("trades"),
            ratio(quote_volume, volume).label("vwap"),
            func.bool_or(part.from_candle).label("from_candle"),
        )
        .where(window.of(shorter))
        .group_by(part.market, *key)
    )


def traded(window: Window, *key: ColumnElement[Any]) -> Select[Any]:
    """Return candles, one for each market and *key*, counted from the trades.

    Trades of one instant are in the order of their numbers, which grow in length before they grow
    in letters.
    """
    trade = TRADE.c
    first, last = _first_and_last(
        trade.price, trade.traded_at, func.length(trade.trade_id), trade.trade_id.collate("C")
    )
    volume, quote_volume = func.sum(trade.amount), func.sum(trade.price * trade.amount)
    return (
        select(
            *window.venue_labels(),
            trade.market,
            *key,
            first.label("open"),
            func.max(trade.price).label("high"),
            func.min(trade.price).label("low"),
            last.label("close"),
            volume.label("volume"),
            quote_volume.label("quote_volume"),
            func.count().label("trades"),
            ratio(quote_volume, volume).label("vwap"),
            false().label("from_candle"),
        )
        .where(window.of(TRADE))
        .group_by(trade.market, *key)
    )


def begin_of(unit: str, moment: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return the first instant of the UTC minute or hour (*unit*) of *moment*."""
    # Without the zone it would be the session's.
    return func.date_trunc(unit, moment, literal("UTC"), type_=TIME)


def _sum_of_all(value: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return the sum, or NULL where a value is missing."""
    return case((func.count(value) == func.count(), func.sum(value)))


def _first_and_last(
    value: ColumnElement[Any], *order: ColumnElement[Any]
) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
    """Return the first and the last *value* of a group, in *order*."""
    ordered = func.array_agg(aggregate_order_by(value, *order), type_=ARRAY(Numeric))
    # PostgreSQL computes the same aggregate once.
    return ordered[1], ordered[func.count()]


def _broken(stage: Table, _: Window) -> Select[Any]:
    """Return the staged candles whose prices or volume cannot be."""
    candle = stage.c
    at = [candle.open_at] if "open_at" in candle else []
    return select(
        candle.market, *at, candle.open, candle.high, candle.low, candle.close, candle.volume
    ).where(
        or_(
            candle.low > func.least(candle.open, candle.close),
            candle.high < func.greatest(candle.open, candle.close),
            candle.volume < 0,
        )
    )


WHOLE_CANDLES = Invariant("low <= open, close <= high; volume >= 0", _broken)
