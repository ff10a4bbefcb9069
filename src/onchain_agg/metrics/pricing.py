"""What an amount was worth in US dollar when it moved.

The price of a moment is that of the asset's last traded minute at or before it in
`market_price_1m`: of the same UTC day, else the last one of the day before, if it is not more than
24 hours old. Money is numeric, never a double, and exact: amount times price.
"""

from datetime import timedelta
from typing import Any

from sqlalchemy import (
    CTE,
    ColumnElement,
    Interval,
    and_,
    func,
    literal,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import distinct_on

from onchain_agg.metrics.dataset import Reach, Window
from onchain_agg.metrics.formulas import exact
from onchain_agg.metrics.market.market_price_1m import TABLE as PRICE
from onchain_agg.warehouse.types import BIG

READS = (PRICE,)
# The day itself and the one before it.
REACH = Reach(2)
_OLDEST = timedelta(hours=24)


def prices_at(window: Window, moments: CTE) -> CTE:
    """Return the price of each of *moments* that has one.

    Args:
        window: The day of the moments.
        moments: Different pairs of ``symbol`` and ``minute_at``, the first instant of a minute.

    Columns: ``symbol``, ``minute_at``, ``price_usd`` (numeric, for one whole unit), ``price_at``.
    """
    price, moment = PRICE.c, moments.c
    today = (
        select(price.minute_at, price.price_usd)
        .where(
            price.day == window.day,
            price.asset == moment.symbol,
            price.minute_at <= moment.minute_at,
        )
        .order_by(price.minute_at.desc())
        .limit(1)
        .lateral("today")
    )
    before = (
        select(price.asset, price.minute_at, price.price_usd)
        .where(price.day == window.day - timedelta(days=1), price.asset.in_(select(moment.symbol)))
        .ext(distinct_on(price.asset))
        .order_by(price.asset, price.minute_at.desc())
        .subquery("before")
    )
    is_fresh = before.c.minute_at >= moment.minute_at - literal(_OLDEST, Interval)
    found = func.coalesce(today.c.price_usd, before.c.price_usd)
    return (
        select(
            moment.symbol,
            moment.minute_at,
            exact(found).label("price_usd"),
            func.coalesce(today.c.minute_at, before.c.minute_at).label("price_at"),
        )
        .select_from(
            moments.outerjoin(today, true()).outerjoin(
                before, and_(before.c.asset == moment.symbol, is_fresh)
            )
        )
        .where(found.is_not(None))
        .cte("priced")
    )


def highest_price(window: Window, symbol: ColumnElement[str]) -> ColumnElement[Any]:
    """Return the highest price that a moment of the window can have; NULL without any."""
    price = PRICE.c
    days = price.day.in_([window.day - timedelta(days=1), window.day])
    highest = select(func.max(price.price_usd)).where(days, price.asset == symbol)
    return exact(highest.scalar_subquery())


def usd_of(
    amount: ColumnElement[Any], unit: ColumnElement[Any], price_usd: ColumnElement[Any]
) -> ColumnElement[Any]:
    """Return what *amount* is worth, US dollar, exact; NULL without price.

    Args:
        amount: In the asset's smallest unit.
        unit: The smallest unit in whole ones, as `transfers.tracked_assets` tells it.
        price_usd: For one whole unit.
    """
    return money(amount * unit * price_usd)


def money(value: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return *value* without zeros at its end, so that equal values are equal as text too."""
    return func.trim_scale(value, type_=BIG)
