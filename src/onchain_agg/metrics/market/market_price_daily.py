"""The price of every asset at the end of each UTC day, in US dollar.

``close_usd`` is the first of these that exists; ``basis`` and ``priced_at`` say which one it is:

1. The price of the day's last traded minute in `market_price_1m`; ``basis`` is that minute's
   (``usd``, ``usdt``, …), ``priced_at`` the minute. ``vwap_usd`` = Σ price times volume / Σ volume
   over the day's minutes.
2. The venues' closes in `market_ohlcv_1d`, weighted by volume, with stale venues cut and
   stablecoins converted as in `market_price_1m`; ``priced_at`` is the day's first instant, and
   ``vwap_usd`` the venues' VWAPs weighted by volume.
3. The imported reference price with the last ``priced_at`` of the day; ``basis`` is
   ``reference``; ``vwap_usd``, ``volume`` and ``estimated`` are NULL. Where sources have a price
   of the same instant, the first source by name counts.

``estimated`` is true where one of the venues that ``vwap_usd`` is made of told no turnover, so
that (high + low + close) / 3 stands for its VWAP.

Known gaps: a day whose trades were read in part only closes with the last minute that is known.
Edge cases: a day without any price has no row. No price is filled forward from another day.
"""

from typing import Any

from sqlalchemy import (
    ARRAY,
    Boolean,
    Column,
    ColumnElement,
    Double,
    Numeric,
    Select,
    Table,
    Text,
    cast,
    func,
    literal,
    null,
    select,
    union_all,
)
from sqlalchemy.dialects.postgresql import aggregate_order_by, distinct_on
from sqlalchemy.types import TypeEngine

from onchain_agg.metrics.dataset import SAME_DAY, SERVING, DataSet, Window
from onchain_agg.metrics.formulas import exact, ratio
from onchain_agg.metrics.market import market_ohlcv_1d, market_price_1m
from onchain_agg.metrics.venue_prices import usd_prices
from onchain_agg.warehouse.tables.market import REFERENCE_PRICE
from onchain_agg.warehouse.types import DAY, NAME, TIME

TABLE = Table(
    "market_price_daily_v1",
    SERVING,
    Column("day", DAY, primary_key=True, comment="UTC day."),
    Column("asset", NAME, primary_key=True, comment="Symbol."),
    Column("close_usd", Double, nullable=False, comment="US dollar for one whole unit."),
    Column("vwap_usd", Double, comment="US dollar for one whole unit; NULL without trades."),
    Column("volume", Numeric, comment="Whole units, of the markets used; NULL without trades."),
    Column("basis", Text, nullable=False, comment="usd, usdt, … of the markets, or reference."),
    Column("priced_at", TIME, nullable=False, comment="Start of the interval of close_usd."),
    Column("estimated", Boolean, comment="A venue tells no turnover; NULL without trades."),
)


def rows(window: Window) -> Select[Any]:
    """Return the price of each asset that has one on the day."""
    ways = [_of_minutes(window), _of_days(window), _of_references(window)]
    numbered = [way.add_columns(literal(n).label("way")) for n, way in enumerate(ways)]
    every = union_all(*numbered).subquery("every")
    return (
        select(window.day_label(), *(c for c in every.c if c.name != "way"))
        .ext(distinct_on(every.c.asset))
        .order_by(every.c.asset, every.c.way)
    )


def _of_minutes(window: Window) -> Select[Any]:
    minute = market_price_1m.TABLE.c
    # As numerics, so that the sum does not depend on the order of the rows.
    value = func.sum(exact(minute.price_usd) * minute.volume)
    volume = func.sum(minute.volume)
    return (
        select(
            minute.asset,
            _last(minute.price_usd, minute.minute_at, Double()).label("close_usd"),
            ratio(value, volume).label("vwap_usd"),
            volume.label("volume"),
            _last(minute.basis, minute.minute_at, Text()).label("basis"),
            func.max(minute.minute_at).label("priced_at"),
            func.bool_or(minute.estimated).label("estimated"),
        )
        .where(minute.day == window.day)
        .group_by(minute.asset)
    )


def _of_days(window: Window) -> Select[Any]:
    midnight = literal(window.start, TIME)
    price = usd_prices(
        window, market_ohlcv_1d.TABLE, midnight, select(midnight.label("at")).subquery("midnight")
    ).c
    return select(
        price.asset,
        price.close_usd,
        price.price_usd.label("vwap_usd"),
        price.volume,
        price.basis,
        price.at.label("priced_at"),
        price.estimated,
    )


def _of_references(window: Window) -> Select[Any]:
    reference = REFERENCE_PRICE.c
    newest = (
        select(
            reference.asset,
            cast(reference.price_usd, Double).label("close_usd"),
            reference.priced_at,
        )
        .where(reference.day == window.day)
        .ext(distinct_on(reference.asset))
        .order_by(reference.asset, reference.priced_at.desc(), reference.source)
        .subquery("newest")
    )
    return select(
        newest.c.asset,
        newest.c.close_usd,
        cast(null(), Double).label("vwap_usd"),
        cast(null(), Numeric).label("volume"),
        literal("reference", Text).label("basis"),
        newest.c.priced_at,
        cast(null(), Boolean).label("estimated"),
    )


def _last(
    value: ColumnElement[Any], at: ColumnElement[Any], kind: TypeEngine[Any]
) -> ColumnElement[Any]:
    """Return the *value* of a group that has the latest *at*."""
    newest_first = func.array_agg(aggregate_order_by(value, at.desc()), type_=ARRAY(kind))
    return newest_first[1]


DATASET = DataSet(
    name="market_price_daily",
    table=TABLE,
    family="market",
    scope="global",
    reads=(market_price_1m.TABLE, market_ohlcv_1d.TABLE, REFERENCE_PRICE),
    reach=SAME_DAY,
    grain="day",
    workload="market_worker",
    rows=rows,
    highlights=("close_usd", "asset", "basis"),
)
