"""Coins of a UTXO chain by the day of their creation: what every measure of age and cost shares.

Everything comes from the matrix of creation and spending days in ``state`` and from the vector of
daily prices, never from outputs, so a corrected price or another band is a query over sums.
A coin's age is the number of midnights (UTC) since its creation: 0 on the day of its creation.
An output that a repeated coinbase overwrote (BIP 30) is no longer unspent, and was not spent.
"""

from datetime import date, timedelta
from typing import Any

from sqlalchemy import (
    CTE,
    ColumnElement,
    Date,
    Integer,
    Numeric,
    Select,
    Subquery,
    Text,
    and_,
    case,
    cast,
    func,
    literal,
    not_,
    select,
    true,
    type_coerce,
    union_all,
)

from onchain_agg.chains import Asset, chain_named
from onchain_agg.errors import ConfigError
from onchain_agg.metrics.dataset import Window
from onchain_agg.metrics.formulas import exact, or_zero
from onchain_agg.metrics.market import market_price_daily
from onchain_agg.warehouse.tables.state import (
    CREATED_OUTPUT_DAILY,
    SPENT_OUTPUT_DAILY,
    SPENT_OUTPUT_MONTHLY,
)

MATRIX = (CREATED_OUTPUT_DAILY, SPENT_OUTPUT_DAILY, SPENT_OUTPUT_MONTHLY)
PRICES = market_price_daily.TABLE

DAY_SECONDS = 86_400
# From this age on a coin is its holder's for the long term (Glassnode).
LONG_TERM_DAYS = 155
YEAR_DAYS = 365
_EPOCH = date(1970, 1, 1)


def unspent(window: Window) -> CTE:
    """Return what is unspent at the end of the window's day, by the day of its creation.

    The spends of whole months and of the days since are taken off what was created: a sum over
    months of spending times days of creation instead of days times days.

    Columns: ``created_day``, ``age_days``, ``value`` in the smallest unit, ``outputs``.
    """
    month, day = SPENT_OUTPUT_MONTHLY.c, SPENT_OUTPUT_DAILY.c
    created = CREATED_OUTPUT_DAILY.c
    changes = union_all(
        select(created.day.label("created_day"), created.value, created.outputs).where(
            created.chain == window.scope, created.day <= window.day
        ),
        select(month.created_day, -month.value, -month.outputs).where(_earlier_months(window)),
        select(day.created_day, -day.value, -day.outputs).where(_days_of_month(window)),
    ).subquery("changes")
    value, outputs = func.sum(changes.c.value), func.sum(changes.c.outputs)
    return (
        select(
            changes.c.created_day,
            age_days(window, changes.c.created_day).label("age_days"),
            value.label("value"),
            outputs.label("outputs"),
        )
        .group_by(changes.c.created_day)
        .having(not_(and_(value == 0, outputs == 0)))
        .cte("unspent")
    )


def spent(window: Window) -> CTE:
    """Return what was spent on the window's day, by the day of its creation and by coinbase.

    Columns: ``created_day``, ``age_days``, ``coinbase``, ``value`` and ``value_under_1h`` in the
    smallest unit, ``outputs``, ``coin_seconds`` in the smallest unit times seconds.
    """
    day = SPENT_OUTPUT_DAILY.c
    return (
        select(
            day.created_day,
            age_days(window, day.created_day).label("age_days"),
            day.coinbase,
            day.value,
            day.value_under_1h,
            day.outputs,
            day.coin_seconds,
        )
        .where(day.chain == window.scope, day.spend_day == window.day, not_(day.overwritten))
        .cte("moved")
    )


def lifetime(window: Window) -> Subquery:
    """Return the one row of what coins did from the first block to the end of the window's day.

    Columns: ``supply`` at the end of the day; ``supply_days``, the sum over all days of what was
    unspent at their end; ``coin_seconds`` destroyed. In the smallest unit, times its time.
    """
    month, day, created = SPENT_OUTPUT_MONTHLY.c, SPENT_OUTPUT_DAILY.c, CREATED_OUTPUT_DAILY.c
    destroyed = case((day.overwritten, 0), else_=day.coin_seconds)
    parts = union_all(
        select(
            created.value,
            (created.value * _days_after_epoch(created.day)).label("value_days"),
            literal(0, Numeric).label("coin_seconds"),
        ).where(created.chain == window.scope, created.day <= window.day),
        select(-month.value, -month.value_days, month.coin_seconds).where(_earlier_months(window)),
        select(-day.value, -day.value * _days_after_epoch(day.spend_day), destroyed).where(
            _days_of_month(window)
        ),
    ).subquery("parts")
    supply = or_zero(func.sum(parts.c.value))
    # A coin created on day c and spent on day s was unspent at the end of s - c days, one that is
    # still unspent at the end of as many as it will have been tomorrow.
    tomorrow = (window.day - _EPOCH).days + 1
    return select(
        supply.label("supply"),
        (supply * tomorrow - or_zero(func.sum(parts.c.value_days))).label("supply_days"),
        or_zero(func.sum(parts.c.coin_seconds)).label("coin_seconds"),
    ).subquery("lifetime")


def prices(window: Window) -> CTE:
    """Return the daily prices of the chain's own coin up to the window's day.

    Columns: ``day``; ``price`` in US dollar for a whole coin, the decimal that the served double
    prints as, so that sums do not depend on the order of rows.
    """
    price = PRICES.c
    return (
        select(price.day, exact(price.close_usd).label("price"))
        .where(price.asset == native_coin(window).symbol, price.day <= window.day)
        .cte("prices")
    )


def priced(coins: CTE, vector: CTE) -> Subquery:
    """Return *coins* with the column ``price``, that of the day of their creation.

    It is 0 before the first day that has a price. It is NULL where a later day has none, and on
    every day while there is no price at all.
    """
    first = select(func.min(vector.c.day)).scalar_subquery()
    before = case((coins.c.created_day < first, literal(0, Numeric)))
    return (
        select(*coins.c, func.coalesce(vector.c.price, before).label("price"))
        .select_from(coins.outerjoin(vector, vector.c.day == coins.c.created_day))
        .subquery(f"{coins.name}_priced")
    )


def cost(coins: Subquery, condition: ColumnElement[bool] | None = None) -> ColumnElement[Any]:
    """Return the sum of value times price of *coins* that meet *condition*; one price gap: NULL.

    In US dollar for a whole coin times the smallest unit; see `coin_size`.
    """
    meets = true() if condition is None else condition
    gaps = func.count().filter(coins.c.price.is_(None), coins.c.value != 0, meets)
    total = func.sum(coins.c.value * coins.c.price).filter(meets)
    return case((gaps == 0, or_zero(total)))


def price_today(window: Window, vector: CTE) -> ColumnElement[Any]:
    """Return the price of the window's day; NULL where it has none."""
    query: Select[Any] = select(vector.c.price).where(vector.c.day == window.day)
    return query.scalar_subquery()


def age_days(window: Window, created_day: ColumnElement[Any]) -> ColumnElement[int]:
    """Return the age in whole days that coins of *created_day* have on the window's day."""
    return type_coerce(literal(window.day, Date) - created_day, Integer)


def since(window: Window, days: int) -> date:
    """Return the first of the *days* days that end with the window's."""
    return window.day - timedelta(days=days - 1)


def native_coin(window: Window) -> Asset:
    """Return the chain's own coin.

    Raises:
        ConfigError: The chain's definition tracks none.
    """
    for asset in chain_named(window.scope).tracked_assets:
        if asset.address is None:
            return asset
    raise ConfigError(
        f"Chain {window.scope} tracks no coin of its own. Add an Asset without an address to it."
    )


def coin_size(window: Window) -> ColumnElement[Any]:
    """Return what the smallest unit is of a whole coin, such as 0.00000001; exact."""
    return cast(literal(f"1e-{native_coin(window).decimals}", Text), Numeric)


def is_computed(window: Window) -> ColumnElement[bool]:
    """Return whether the chain was read from block 0 and the window has a block."""
    return literal(window.from_height == 0 and not window.is_empty)


def _earlier_months(window: Window) -> ColumnElement[bool]:
    month = SPENT_OUTPUT_MONTHLY.c
    return and_(month.chain == window.scope, month.spend_month < window.day.replace(day=1))


def _days_of_month(window: Window) -> ColumnElement[bool]:
    day = SPENT_OUTPUT_DAILY.c
    first = window.day.replace(day=1)
    return and_(day.chain == window.scope, day.spend_day.between(first, window.day))


def _days_after_epoch(column: ColumnElement[Any]) -> ColumnElement[int]:
    return type_coerce(column - literal(_EPOCH, Date), Integer)
