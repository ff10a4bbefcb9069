"""How much more an asset costs on one market than on another, at the end of each UTC day.

``fraction`` = ``price`` / (``other_price`` * ``rate``) - 1: 0.05 is five per cent. ``rate`` brings
the other price into the currency of the first. ``premium`` names the two:

* ``kimchi_<venue>``: the venue's close in Korean won, of every venue with a market in won (upbit,
  bithumb, …), against ``close_usd`` of `market_price_daily` times USD/KRW.
* ``kimchi_vwap``: Σ quote volume / Σ volume of all markets in won, against ``vwap_usd`` times
  USD/KRW (the form that CryptoQuant describes).
* ``usdt_krw``: USDT in won, the venues' closes weighted by volume, against USD/KRW itself, a
  dollar for a USDT.
* ``coinbase``: the close of ASSET/USD on Coinbase against that of ASSET/USDT on Binance.
* ``coinbase_usdt_adjusted``: the same with a USDT at its own price in dollars.

USD/KRW is that of the day; on a weekend or holiday the last one of the seven days before, and
``fx_day`` says which day's it is. Where sources tell one of the same day, the first by name counts.

Known gaps: closes are those of the UTC day, while exchange rates are fixed once a banking day.
Edge cases: ``fraction`` is NULL where a price is missing, or the exchange rate is older than seven
days or not known at all; it is never taken as constant. A price that was not asked for in won or on
Coinbase has no row.
"""

from datetime import timedelta
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Date,
    Double,
    Select,
    Subquery,
    Table,
    Text,
    case,
    cast,
    func,
    literal,
    null,
    select,
    true,
    union_all,
)

from onchain_agg.metrics.dataset import SERVING, DataSet, Reach, Window
from onchain_agg.metrics.formulas import change, ratio
from onchain_agg.metrics.market import market_ohlcv_1d, market_price_daily
from onchain_agg.warehouse.tables.market import FX_RATE
from onchain_agg.warehouse.types import DAY, NAME

_FX_FILLED_DAYS = 7

TABLE = Table(
    "market_premium_daily_v1",
    SERVING,
    Column("day", DAY, primary_key=True, comment="UTC day."),
    Column("asset", NAME, primary_key=True, comment="Symbol."),
    Column("premium", NAME, primary_key=True, comment="Which market against which other."),
    Column("fraction", Double, comment="Price over the other price, less 1."),
    Column("price", Double, comment="In the currency of the market."),
    Column("other_price", Double, comment="In the currency of the other market."),
    Column("rate", Double, comment="Currency of the market for one of the other market's."),
    Column("fx_day", DAY, comment="UTC day of the exchange rate; NULL where none is used."),
)


def rows(window: Window) -> Select[Any]:
    """Return every premium of the day."""
    won = _spot(window, "KRW", "in_won")
    fx = _exchange_rate(window)
    price = (
        select(market_price_daily.TABLE)
        .where(market_price_daily.TABLE.c.day == window.day)
        .subquery("in_dollars")
    )
    forms = (
        _kimchi_by_venue(won, price, fx),
        _kimchi_vwap(won, price, fx),
        _usdt_in_won(won, fx),
        *_coinbase(window, price),
    )
    every = union_all(*forms).subquery("form")
    return select(
        window.day_label(),
        every.c.asset,
        every.c.premium,
        change(every.c.price, every.c.other_price * every.c.rate).label("fraction"),
        every.c.price,
        every.c.other_price,
        every.c.rate,
        every.c.fx_day,
    )


def _spot(window: Window, quote: str, name: str, venue: str | None = None) -> Subquery:
    """Return the day's candles of the markets in *quote*, of one *venue* or of all."""
    candle = market_ohlcv_1d.TABLE.c
    return (
        select(
            candle.venue,
            func.split_part(candle.market, "/", 1).label("asset"),
            candle.close,
            candle.volume,
            candle.quote_volume,
        )
        .where(
            candle.day == window.day,
            func.split_part(candle.market, "/", 2) == quote,
            true() if venue is None else candle.venue == venue,
        )
        .subquery(name)
    )


def _exchange_rate(window: Window) -> Subquery:
    """Return USD/KRW and its day, in one row: of NULLs where none is young enough."""
    fx = FX_RATE.c
    newest = (
        select(fx.rate, fx.day)
        .where(
            fx.base == "USD",
            fx.quote == "KRW",
            fx.day.between(window.day - timedelta(days=_FX_FILLED_DAYS), window.day),
        )
        .order_by(fx.day.desc(), fx.source)
        .limit(1)
        .subquery("newest")
    )
    # An aggregate has a row also where there is nothing.
    return select(
        cast(func.max(newest.c.rate), Double).label("rate"), func.max(newest.c.day).label("fx_day")
    ).subquery("fx")


def _kimchi_by_venue(won: Subquery, price: Subquery, fx: Subquery) -> Select[Any]:
    name = literal("kimchi_", Text) + won.c.venue
    return select(
        *_form(won.c.asset, name, won.c.close, price.c.close_usd, fx.c.rate, fx.c.fx_day)
    ).select_from(won.outerjoin(price, price.c.asset == won.c.asset).join(fx, true()))


def _kimchi_vwap(won: Subquery, price: Subquery, fx: Subquery) -> Select[Any]:
    told = func.count(won.c.quote_volume) == func.count()
    vwap = case((told, ratio(func.sum(won.c.quote_volume), func.sum(won.c.volume))))
    korea = select(won.c.asset, vwap.label("vwap")).group_by(won.c.asset).subquery("korea")
    name = literal("kimchi_vwap", Text)
    return select(
        *_form(korea.c.asset, name, korea.c.vwap, price.c.vwap_usd, fx.c.rate, fx.c.fx_day)
    ).select_from(korea.outerjoin(price, price.c.asset == korea.c.asset).join(fx, true()))


def _usdt_in_won(won: Subquery, fx: Subquery) -> Select[Any]:
    mean = ratio(func.sum(won.c.close * won.c.volume), func.sum(won.c.volume))
    usdt = (
        select(won.c.asset, mean.label("close"))
        .where(won.c.asset == "USDT")
        .group_by(won.c.asset)
        .subquery("usdt")
    )
    name, dollar = literal("usdt_krw", Text), literal(1)
    return select(
        *_form(usdt.c.asset, name, usdt.c.close, dollar, fx.c.rate, fx.c.fx_day)
    ).select_from(usdt.join(fx, true()))


def _coinbase(window: Window, price: Subquery) -> tuple[Select[Any], Select[Any]]:
    """Return the premium with a USDT as a dollar, and with a USDT at its price."""
    dollar = _spot(window, "USD", "coinbase", "coinbase")
    tether = _spot(window, "USDT", "binance", "binance")
    both = dollar.outerjoin(tether, tether.c.asset == dollar.c.asset)
    of_usdt = select(price.c.close_usd).where(price.c.asset == "USDT").scalar_subquery()
    asset, close, other = dollar.c.asset, dollar.c.close, tether.c.close
    no_day = cast(null(), Date)
    plain = _form(asset, literal("coinbase", Text), close, other, literal(1), no_day)
    name = literal("coinbase_usdt_adjusted", Text)
    adjusted = _form(asset, name, close, other, of_usdt, no_day)
    return select(*plain).select_from(both), select(*adjusted).select_from(both)


def _form(*columns: ColumnElement[Any]) -> tuple[ColumnElement[Any], ...]:
    """Return the columns that every premium is made of, in their order."""
    asset, premium, price, other_price, rate, fx_day = columns
    return (
        asset.label("asset"),
        premium.label("premium"),
        cast(price, Double).label("price"),
        cast(other_price, Double).label("other_price"),
        cast(rate, Double).label("rate"),
        fx_day.label("fx_day"),
    )


DATASET = DataSet(
    name="market_premium_daily",
    table=TABLE,
    family="market",
    scope="global",
    reads=(market_ohlcv_1d.TABLE, market_price_daily.TABLE, FX_RATE),
    reach=Reach(_FX_FILLED_DAYS + 1),
    same_day=(market_ohlcv_1d.TABLE, market_price_daily.TABLE),
    grain="day",
    workload="market_worker",
    rows=rows,
    highlights=("fraction", "asset", "premium"),
)
