"""The price of every traded asset in each UTC minute, in US dollar, over all venues.

* ``price_usd`` = Σ quote volume / Σ volume over the venues' markets of the asset, which is the
  mean of the venues' VWAPs weighted by their volumes. Exact until that division.
* ``basis`` says which markets: ``usd``, where BASE/USD is traded in the minute; else the first of
  ``usdt``, ``usdc``, ``dai``, ``fdusd``, ``tusd``, ``usdp``, ``busd``, times that coin's own
  price in dollars, of its own COIN/USD markets in its last traded minute of the same day at or
  before this one. Markets of two bases are never mixed in one minute.
* A venue is cut from a minute where three or more venues quote the same basis and its VWAP is
  more than 5 % off their median; ``venues`` counts those that are left, ``venues_cut`` the others.
* ``volume`` is that of the markets that were used, in whole units of the asset.

``estimated`` is true where a venue told candles without a turnover: its VWAP is then taken as
(high + low + close) / 3.

Known gaps: two venues that disagree are both used, for nobody can tell which one is stale. A
stablecoin that has not been traded for dollars yet on the day converts nothing, so that the first
minutes of a day may have no price. Spot markets only.
Edge cases: a minute without a trade has no row; nothing is filled forward but the stablecoins'
rate. A minute in which only volumes of zero were traded has no row.
"""

from datetime import timedelta
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    Interval,
    Numeric,
    Select,
    Table,
    Text,
    func,
    literal,
    select,
)

from onchain_agg.metrics.dataset import SAME_DAY, SERVING, DataSet, Window
from onchain_agg.metrics.market import market_ohlcv_1m
from onchain_agg.metrics.venue_prices import usd_prices
from onchain_agg.warehouse.types import DAY, NAME, TIME

_MINUTE = timedelta(minutes=1)

TABLE = Table(
    "market_price_1m_v1",
    SERVING,
    Column("day", DAY, primary_key=True, comment="UTC day."),
    Column("asset", NAME, primary_key=True, comment="Symbol."),
    Column("minute_at", TIME, primary_key=True, comment="First instant of the minute."),
    Column("price_usd", Double, nullable=False, comment="US dollar for one whole unit."),
    Column("basis", Text, nullable=False, comment="What the markets are quoted in: usd, usdt, …"),
    Column("volume", Numeric, nullable=False, comment="Whole units, of the markets used."),
    Column("venues", BigInteger, nullable=False, comment="Number of venues used."),
    Column("venues_cut", BigInteger, nullable=False, comment="Number of venues far off."),
    Column("estimated", Boolean, nullable=False, comment="A venue tells no turnover."),
)


def rows(window: Window) -> Select[Any]:
    """Return the prices of the day's minutes."""
    candles = market_ohlcv_1m.TABLE
    minutes = select(
        func.generate_series(
            literal(window.start, TIME),
            literal(window.end - _MINUTE, TIME),
            literal(_MINUTE, Interval),
            type_=TIME,
        ).label("at")
    ).subquery("minute")
    price = usd_prices(window, candles, candles.c.open_at, minutes).c
    return select(
        window.day_label(),
        price.asset,
        price.at.label("minute_at"),
        price.price_usd,
        price.basis,
        price.volume,
        price.venues,
        price.venues_cut,
        price.estimated,
    )


DATASET = DataSet(
    name="market_price_1m",
    table=TABLE,
    family="market",
    scope="global",
    reads=(market_ohlcv_1m.TABLE,),
    reach=SAME_DAY,
    grain="minute",
    workload="market_worker",
    rows=rows,
    highlights=("volume", "asset", "price_usd"),
)
