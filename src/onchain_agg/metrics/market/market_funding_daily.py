"""What holders of perpetuals paid each other, by asset and UTC day, over all venues.

A funding rate is a fraction of the position that longs pay shorts at its time, for an interval that
differs between venues: 8 hours, 4, 1.

* Of one market: ``sum`` of the day's rates, and their mean for 8 hours: sum of the rates times
  8 / sum of their intervals in hours. So 24 rates of an hour and 3 of eight hours compare.
* ``funding_sum`` and ``funding_mean_8h`` = the markets' values weighted by open interest: each
  market's mean of the day, US dollar. Where it is not told with one of the rates, or zero of all
  markets, every market weighs the same and ``equal_weights`` is true. The weighting is our choice;
  venues and vendors publish none.
* ``annualised`` = funding_mean_8h * 3 * 365.

Known gaps: no compounding. A market with some of the day's rates only counts with these.
Edge cases: an asset without a rate on the day has no row; a rate at 00:00 belongs to the day that
begins then; negative rates (shorts pay) keep their sign.
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Double,
    Numeric,
    Select,
    Subquery,
    Table,
    case,
    func,
    or_,
    select,
)

from onchain_agg.metrics.dataset import SAME_DAY, SERVING, DataSet, Window
from onchain_agg.metrics.formulas import ratio
from onchain_agg.warehouse.tables.market import FUNDING_RATE
from onchain_agg.warehouse.types import DAY, NAME

TABLE = Table(
    "market_funding_daily_v1",
    SERVING,
    Column("day", DAY, primary_key=True, comment="UTC day."),
    Column("asset", NAME, primary_key=True, comment="Symbol, the base of the perpetual."),
    Column("funding_sum", Double, nullable=False, comment="Of the day, a fraction of a position."),
    Column("funding_mean_8h", Double, nullable=False, comment="Of 8 hours, a fraction."),
    Column("annualised", Double, nullable=False, comment="Of 365 days, a fraction."),
    Column("rates", BigInteger, nullable=False, comment="Number of rates of the day."),
    Column("markets", BigInteger, nullable=False, comment="Number of perpetuals."),
    Column("venues", BigInteger, nullable=False, comment="Number of venues."),
    Column("open_interest_usd", Numeric, comment="US dollar; NULL where not told with every rate."),
    Column("equal_weights", Boolean, nullable=False, comment="Not weighted by open interest."),
)


def rows(window: Window) -> Select[Any]:
    """Return the funding of each asset."""
    market = _markets(window)
    interest = market.c.open_interest_usd
    unknown = or_(func.count(interest) < func.count(), func.sum(interest) == 0)
    total = _weighted(market.c.total, interest, unknown)
    mean = _weighted(market.c.mean, interest, unknown)
    return select(
        window.day_label(),
        market.c.asset,
        total.label("funding_sum"),
        mean.label("funding_mean_8h"),
        (mean * 3 * 365).label("annualised"),
        func.sum(market.c.rates).label("rates"),
        func.count().label("markets"),
        func.count(market.c.venue.distinct()).label("venues"),
        case((func.count(interest) == func.count(), func.sum(interest))).label("open_interest_usd"),
        unknown.label("equal_weights"),
    ).group_by(market.c.asset)


def _markets(window: Window) -> Subquery:
    """Return the day's sum and mean of each perpetual."""
    funding = FUNDING_RATE.c
    paid, interest = func.sum(funding.rate), funding.open_interest_usd
    told = func.count(interest) == func.count()
    return (
        select(
            funding.venue,
            func.split_part(funding.market, "/", 1).label("asset"),
            paid.label("total"),
            (paid * 8 / func.sum(funding.interval_hours)).label("mean"),
            func.count().label("rates"),
            case((told, func.avg(interest))).label("open_interest_usd"),
        )
        .where(funding.day == window.day, funding.interval_hours > 0)
        .group_by(funding.venue, funding.market)
        .subquery("perpetual")
    )


def _weighted(
    value: ColumnElement[Any], weight: ColumnElement[Any], unknown: ColumnElement[bool]
) -> ColumnElement[float]:
    return case(
        (unknown, ratio(func.sum(value), func.count())),
        else_=ratio(func.sum(value * weight), func.sum(weight)),
    )


DATASET = DataSet(
    name="market_funding_daily",
    table=TABLE,
    family="market",
    scope="global",
    reads=(FUNDING_RATE,),
    reach=SAME_DAY,
    grain="day",
    workload="market_worker",
    rows=rows,
    highlights=("open_interest_usd", "asset", "annualised"),
)
