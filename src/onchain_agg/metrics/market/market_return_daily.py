"""Returns and volatility of every priced asset, of each UTC day.

With p(t) = ``close_usd`` of `market_price_daily` on day t:

* ``ret_1d`` = p(t) / p(t-1) - 1; ``logret`` = ln(p(t) / p(t-1)).
* ``roi_30d`` = p(t) / p(t-30) - 1; ``roi_1y`` = p(t) / p(t-365) - 1 (Coin Metrics' ROI30d and
  ROI1yr, which are these times 100).
* ``vol_30d``, ``vol_60d``, ``vol_180d`` = the standard deviation of the last 30, 60, 180 daily
  log returns, t's included, with n - 1 in the denominator (ddof 1), **not annualised**; so each
  needs one price more (Coin Metrics' VtyDayRet30d, …).

All are fractions: 0.05 is five per cent. Every one is NULL where a price that it needs is missing
or zero: a volatility needs every single day of its span, for a gap is not a calm day.

Known gaps: where the kind of price changes (`market_price_daily` says ``basis``), so does what the
return is of.
Edge cases: an asset without a price on the day has no row.
"""

from datetime import timedelta
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Double,
    Select,
    Subquery,
    Table,
    case,
    func,
    literal,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import aggregate_order_by

from onchain_agg.metrics.dataset import SERVING, DataSet, Reach, Window
from onchain_agg.metrics.formulas import change, log_return
from onchain_agg.metrics.market import market_price_daily
from onchain_agg.warehouse.types import DAY, NAME

_LONGEST_SPAN = 180
_YEAR = 365

TABLE = Table(
    "market_return_daily_v1",
    SERVING,
    Column("day", DAY, primary_key=True, comment="UTC day."),
    Column("asset", NAME, primary_key=True, comment="Symbol."),
    Column("ret_1d", Double, comment="Since the day before, as a fraction."),
    Column("logret", Double, comment="Natural logarithm of the price's ratio to the day before."),
    Column("roi_30d", Double, comment="Since 30 days before, as a fraction."),
    Column("roi_1y", Double, comment="Since 365 days before, as a fraction."),
    Column("vol_30d", Double, comment="Standard deviation of 30 log returns, ddof 1, of a day."),
    Column("vol_60d", Double, comment="Standard deviation of 60 log returns, ddof 1, of a day."),
    Column("vol_180d", Double, comment="Standard deviation of 180 log returns, ddof 1, of a day."),
)


def rows(window: Window) -> Select[Any]:
    """Return the figures of each asset that has a price on the day."""
    prices = _prices(window)
    today, yesterday = _price_of(prices, window, 0), _price_of(prices, window, 1)
    return (
        select(
            window.day_label(),
            prices.c.asset,
            change(today, yesterday).label("ret_1d"),
            log_return(today, yesterday).label("logret"),
            change(today, _price_of(prices, window, 30)).label("roi_30d"),
            change(today, _price_of(prices, window, _YEAR)).label("roi_1y"),
            _volatility(prices, window, 30).label("vol_30d"),
            _volatility(prices, window, 60).label("vol_60d"),
            _volatility(prices, window, _LONGEST_SPAN).label("vol_180d"),
        )
        .group_by(prices.c.asset)
        .having(func.max(prices.c.day) == window.day)
    )


def _prices(window: Window) -> Subquery:
    """Return the prices that the day's figures need, with the log return since the day before."""
    price = market_price_daily.TABLE.c
    before = func.lag(price.close_usd).over(partition_by=price.asset, order_by=price.day)
    day_before = func.lag(price.day).over(partition_by=price.asset, order_by=price.day)
    follows = day_before == price.day - 1
    return (
        select(
            price.asset,
            price.day,
            price.close_usd,
            case((follows, log_return(price.close_usd, before))).label("logret"),
        )
        .where(
            price.day <= window.day,
            or_(
                price.day >= window.day - timedelta(days=_LONGEST_SPAN),
                price.day == window.day - timedelta(days=_YEAR),
            ),
        )
        .subquery("price")
    )


def _price_of(prices: Subquery, window: Window, days_ago: int) -> ColumnElement[float]:
    day = window.day - timedelta(days=days_ago)
    return func.max(prices.c.close_usd).filter(prices.c.day == day)


def _volatility(prices: Subquery, window: Window, days: int) -> ColumnElement[float]:
    """Return the deviation of the last returns; NULL unless there are as many as *days*."""
    recent = prices.c.day > window.day - timedelta(days=days)
    # In order, so that the last digits do not depend on how the rows were read.
    returns = aggregate_order_by(prices.c.logret, prices.c.day)
    deviation = func.stddev_samp(returns, type_=Double).filter(recent)
    complete = func.count(prices.c.logret).filter(recent) == literal(days)
    return case((complete, deviation))


DATASET = DataSet(
    name="market_return_daily",
    table=TABLE,
    family="market",
    scope="global",
    reads=(market_price_daily.TABLE,),
    reach=Reach(_YEAR + 1),
    grain="day",
    workload="market_worker",
    rows=rows,
    highlights=("ret_1d", "asset", "vol_30d"),
)
