"""At which prices the coins of a Bitcoin-family chain were last moved: its URPD.

One row is one span of prices on one UTC day (unspent realised price distribution): what is unspent
at the day's end and was created on days whose closing price (`market_price_daily`) lies in it. It
comes from the matrix of creation and spending days; no output is read.

A span holds the prices that share their first two digits: 1,200 up to 1,300, or 0.051 up to 0.052;
90 spans between a price and ten times it, each 1 to 10 % wide. ``bucket`` is the lower end as text,
so a coin keeps its bucket from day to day, whatever the price does; readers add buckets up to wider
ones. Two buckets have no ends: ``before_prices`` for coins from before the first price, and
``unpriced`` for coins of a later day without a price, which is a gap and never filled. Every
unspent coin is in one bucket, so values add up to the supply.

``share`` = value / supply. ``outputs`` are the unspent outputs. Outputs of coinbases count; outputs
lost to a repeated coinbase (BIP 30) do not.

Known gaps: a day counts when a block lies past it, so the open day has no row. All coins of a day
have its closing price; a price below 10^-12 US dollar is told with fewer digits.
Edge cases: a bucket without coins has no row; while there is no price at all, everything is
``before_prices``. A day without a block has no row. Computed only when the chain was read from
block 0.
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Double,
    Numeric,
    Select,
    Subquery,
    Table,
    Text,
    case,
    cast,
    func,
    literal,
    or_,
    select,
)

from onchain_agg.metrics import coin_age, coin_age_gates
from onchain_agg.metrics.dataset import ALL_LATER, SERVING, DataSet, Window
from onchain_agg.metrics.formulas import ratio
from onchain_agg.warehouse.tables.chain import BLOCK
from onchain_agg.warehouse.types import BIG, DAY, NAME

_DIGITS = 2
# Makes every price a number above 1, whose digits before the point can be counted.
_SHIFT = 12

TABLE = Table(
    "bitcoin_urpd_daily_v1",
    SERVING,
    Column("chain", NAME, primary_key=True, comment="Name of the chain."),
    Column("day", DAY, primary_key=True, comment="UTC day of the median-time-past."),
    Column(
        "bucket",
        Text,
        primary_key=True,
        comment="Lowest price as text, US dollar; or before_prices, unpriced.",
    ),
    Column("price_from", Numeric, comment="Lowest price, US dollar a coin; NULL: no price."),
    Column("price_to", Numeric, comment="First price past the bucket, US dollar; NULL: no price."),
    Column("value", BIG, nullable=False, comment="Unspent at the day's end, smallest unit."),
    Column("outputs", BigInteger, nullable=False, comment="Unspent outputs at the day's end."),
    Column("share", Double, comment="Of the supply, 0..1; NULL without a supply."),
)


def rows(window: Window) -> Select[Any]:
    """Return one row per span of prices that coins were created at."""
    coin = _placed(window).c
    value = func.sum(coin.value)
    return (
        select(
            *window.labels(),
            coin.bucket,
            coin.price_from,
            coin.price_to,
            value.label("value"),
            func.sum(coin.outputs).label("outputs"),
            ratio(value, func.sum(value).over()).label("share"),
        )
        .where(coin_age.is_computed(window))
        .group_by(coin.bucket, coin.price_from, coin.price_to)
    )


def _placed(window: Window) -> Subquery:
    """Return what is unspent by day of creation, with its bucket and the bucket's ends."""
    vector = coin_age.prices(window)
    coins = coin_age.priced(coin_age.unspent(window), vector)
    has_price = coins.c.price > 0
    lowest, width = _span(coins.c.price)
    price_from = case((has_price, lowest))
    name = case(
        (has_price, cast(price_from, Text)),
        (or_(coins.c.price == 0, ~select(vector.c.day).exists()), literal("before_prices", Text)),
        else_=literal("unpriced", Text),
    )
    return select(
        name.label("bucket"),
        price_from.label("price_from"),
        case((has_price, func.trim_scale(lowest + width))).label("price_to"),
        coins.c.value,
        coins.c.outputs,
    ).subquery("placed")


def _span(price: ColumnElement[Any]) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
    """Return the lowest price with the same first digits, and how wide their span is; exact."""
    shift = cast(literal(f"1e{_SHIFT}", Text), Numeric)
    shifted = price * shift
    rest = func.length(cast(func.trunc(shifted), Text)) - _DIGITS
    width = func.power(cast(10, Numeric), rest) / shift
    lowest = func.trunc(shifted, -rest, type_=Numeric) / shift
    return func.trim_scale(lowest, type_=Numeric), width


DATASET = DataSet(
    name="bitcoin_urpd_daily",
    table=TABLE,
    family="network",
    chain_families=("utxo",),
    reads=(BLOCK, *coin_age.MATRIX, coin_age.PRICES),
    reach=ALL_LATER,
    at_close=True,
    grain="day",
    workload="default",
    rows=rows,
    invariants=(
        coin_age_gates.adds_up_to_unspent("value"),
        coin_age_gates.adds_up_to_one("share"),
    ),
    highlights=("value", "bucket", "share"),
)
