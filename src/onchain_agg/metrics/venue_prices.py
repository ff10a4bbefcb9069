"""How the quotes of many venues become one price in US dollar."""

from typing import Any

from sqlalchemy import (
    CTE,
    ColumnElement,
    Double,
    Subquery,
    Table,
    Text,
    and_,
    case,
    column,
    func,
    literal,
    or_,
    select,
    true,
    values,
)
from sqlalchemy.dialects.postgresql import distinct_on

from onchain_agg.metrics.dataset import Window
from onchain_agg.metrics.formulas import ratio

# What a price in US dollar may be quoted in, the best first.
USD = "USD"
STABLECOINS = ("USDT", "USDC", "DAI", "FDUSD", "TUSD", "USDP", "BUSD")
# A venue this far off the median is stale or broken; three venues are needed to tell which one.
_MOST_OFF = 0.05
_ENOUGH_VENUES = 3


def usd_prices(
    window: Window, candles: Table, at: ColumnElement[Any], moments: Subquery
) -> Subquery:
    """Return prices: asset, at, price_usd, close_usd, volume, venues, venues_cut, basis, estimated.

    Args:
        window: The day.
        candles: The table of candles.
        at: The column that says which moment a candle is of.
        moments: Every moment of the day, in a column ``at``.
    """
    pool = _pooled(_without_stale(_quotes(window, candles, at)))
    rates = _dollars_of_stablecoins(pool, moments)
    rate = case((pool.c.quote == USD, 1), else_=rates.c.value)
    per = case((pool.c.quote == USD, 1), else_=rates.c.volume)
    denominator = pool.c.volume * per
    return (
        select(
            pool.c.asset,
            pool.c.at,
            ratio(pool.c.value * rate, denominator).label("price_usd"),
            ratio(pool.c.close_value * rate, denominator).label("close_usd"),
            pool.c.volume,
            pool.c.venues,
            pool.c.venues_cut,
            func.lower(pool.c.quote).label("basis"),
            pool.c.estimated,
        )
        .outerjoin_from(pool, rates, and_(rates.c.coin == pool.c.quote, rates.c.at == pool.c.at))
        .where(or_(pool.c.quote == USD, rates.c.volume.is_not(None)))
        .ext(distinct_on(pool.c.asset, pool.c.at))
        .order_by(pool.c.asset, pool.c.at, _rank(pool.c.quote))
        .subquery("price")
    )


def _quotes(window: Window, candles: Table, at: ColumnElement[Any]) -> CTE:
    """Return the candles of spot markets in dollars or stablecoins, with their exact turnover."""
    candle = candles.c
    typical = (candle.high + candle.low + candle.close) / 3
    quote = func.split_part(candle.market, "/", 2)
    return (
        select(
            candle.venue,
            func.split_part(candle.market, "/", 1).label("asset"),
            quote.label("quote"),
            at.label("at"),
            candle.volume,
            func.coalesce(candle.quote_volume, candle.volume * typical).label("value"),
            (candle.close * candle.volume).label("close_value"),
            candle.quote_volume.is_(None).label("estimated"),
        )
        # A perpetual's quote is QUOTE:SETTLE, which is none of these.
        .where(candle.day == window.day, candle.volume > 0, quote.in_((USD, *STABLECOINS)))
        .cte("quoted")
    )


def _without_stale(quoted: CTE) -> Subquery:
    """Return the quotes without those of venues that are far off the median of their moment."""
    price = ratio(quoted.c.value, quoted.c.volume)
    same = (quoted.c.asset, quoted.c.quote, quoted.c.at)
    middle = (
        select(
            *same,
            func.count().label("asked"),
            # One of the quotes itself, so that never all are cut.
            func.percentile_disc(0.5).within_group(price).label("median"),
        )
        .group_by(*same)
        .subquery("middle")
    )
    off = func.abs(price - middle.c.median)
    few = middle.c.asked < _ENOUGH_VENUES
    return (
        select(*quoted.c, middle.c.asked)
        .join_from(quoted, middle, and_(*(middle.c[c.name] == c for c in same)))
        .where(or_(few, off <= middle.c.median * literal(_MOST_OFF, Double)))
        .subquery("kept")
    )


def _pooled(kept: Subquery) -> CTE:
    """Return one row for each asset, quote and moment: the sums over the venues."""
    key = (kept.c.asset, kept.c.quote, kept.c.at)
    return (
        select(
            *key,
            func.sum(kept.c.value).label("value"),
            func.sum(kept.c.close_value).label("close_value"),
            func.sum(kept.c.volume).label("volume"),
            func.count().label("venues"),
            (func.max(kept.c.asked) - func.count()).label("venues_cut"),
            func.bool_or(kept.c.estimated).label("estimated"),
        )
        .group_by(*key)
        .cte("pool")
    )


def _dollars_of_stablecoins(pool: CTE, moments: Subquery) -> Subquery:
    """Return each stablecoin's last turnover in dollars at or before each moment of the day."""
    coins = values(column("coin", Text), name="stablecoin").data([(coin,) for coin in STABLECOINS])
    traded = and_(pool.c.asset == coins.c.coin, pool.c.quote == USD, pool.c.at == moments.c.at)
    # Counts up where the coin is traded, so a number stands for a trade and the silence after it.
    since = func.count(pool.c.volume).over(partition_by=coins.c.coin, order_by=moments.c.at)
    spans = (
        select(coins.c.coin, moments.c.at, pool.c.value, pool.c.volume, since.label("since"))
        .select_from(moments.join(coins, true()).outerjoin(pool, traded))
        .subquery("span")
    )
    span = (spans.c.coin, spans.c.since)
    return select(
        spans.c.coin,
        spans.c.at,
        func.max(spans.c.value).over(partition_by=span).label("value"),
        func.max(spans.c.volume).over(partition_by=span).label("volume"),
    ).subquery("rate")


def _rank(quote: ColumnElement[str]) -> ColumnElement[int]:
    ranks = {name: number for number, name in enumerate((USD, *STABLECOINS))}
    return case(ranks, value=quote)
