"""Formulas that several data sets share, as SQL expressions.

Every one but `exact` and `or_zero` returns a double, and NULL where a value is missing or the
denominator is zero: a ratio is never infinite, and a missing value never counts as 0. Exact
amounts become doubles here, in the last step.
"""

from typing import Any

from sqlalchemy import ColumnElement, Double, Numeric, Text, case, cast, func
from sqlalchemy.dialects.postgresql import aggregate_order_by

Expression = ColumnElement[Any]


def ratio(numerator: Expression, denominator: Expression) -> ColumnElement[float]:
    """Return *numerator* / *denominator*; NULL where the denominator is zero."""
    return _double(numerator) / func.nullif(_double(denominator), 0, type_=Double)


def exact_ratio(part: Expression, whole: Expression) -> ColumnElement[float]:
    """Return *part* / *whole* divided exactly, and only then a double; NULL where whole is zero."""
    # Numeric, because two counts would be divided as integers.
    return cast(cast(part, Numeric) / func.nullif(whole, 0), Double)


def or_zero(total: Any) -> ColumnElement[Any]:
    """Return *total*, a sum or a scalar query, and 0 where nothing was added up."""
    return func.coalesce(total, 0)


def exact(value: Expression) -> ColumnElement[Any]:
    """Return the double *value* as a numeric: the shortest decimal that stands for that double.

    PostgreSQL's own conversion keeps its first 15 digits only; its text has all that it needs.
    """
    return cast(cast(value, Text), Numeric)


def change(now: Expression, before: Expression) -> ColumnElement[float]:
    """Return by which fraction of *before* the value grew: 0.05 for five per cent."""
    return ratio(now, before) - 1


def log_return(now: Expression, before: Expression) -> ColumnElement[float]:
    """Return ln(now / before); NULL where that is not above zero."""
    quotient = ratio(now, before)
    # The logarithm of zero is an error, which a NULL is not.
    return func.ln(case((quotient > 0, quotient)), type_=Double)


def market_cap(supply: Expression, price_usd: Expression) -> ColumnElement[float]:
    """Return what all units are worth, US dollar; *supply* in whole units (Coin Metrics)."""
    return _double(supply) * _double(price_usd)


def mvrv(market_cap_usd: Expression, realized_cap_usd: Expression) -> ColumnElement[float]:
    """Return market cap / realised cap (Coin Metrics CapMVRVCur)."""
    return ratio(market_cap_usd, realized_cap_usd)


def nupl(market_cap_usd: Expression, realized_cap_usd: Expression) -> ColumnElement[float]:
    """Return net unrealised profit and loss as a fraction of the market cap: 1 - 1 / MVRV."""
    return ratio(_double(market_cap_usd) - _double(realized_cap_usd), market_cap_usd)


def mvrv_z(
    market_cap_usd: Expression, realized_cap_usd: Expression, deviation: Expression
) -> ColumnElement[float]:
    """Return MVRV-Z (Glassnode).

    *deviation* is the market cap's standard deviation with ddof 0 over every day since the first,
    as `deviation_of_caps` returns it.
    """
    return ratio(_double(market_cap_usd) - _double(realized_cap_usd), deviation)


def deviation_of_caps(caps: Expression, day: Expression, last: Expression) -> ColumnElement[float]:
    """Return the standard deviation, ddof 0, of the market caps of all days, for `mvrv_z`.

    NULL unless every day from the first one with a cap to *last* has one: a gap is not a day like
    the others. In a group there is one row at most of each *day*.
    """
    first = func.min(day).filter(caps.is_not(None))
    whole = func.count(caps) == last - first + 1
    # In order, so that the last digits do not depend on how the rows were read.
    deviation = func.stddev_pop(aggregate_order_by(caps, day))
    return case((whole, _double(deviation)))


def nvt(market_cap_usd: Expression, transfer_value_usd: Expression) -> ColumnElement[float]:
    """Return market cap / value transferred, of one day or a mean of days (NVTAdj, NVTAdj90)."""
    return ratio(market_cap_usd, transfer_value_usd)


def _double(value: Expression) -> ColumnElement[float]:
    return cast(value, Double)
