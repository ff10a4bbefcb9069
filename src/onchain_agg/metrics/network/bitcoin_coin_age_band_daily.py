"""What a Bitcoin-family chain holds and spends by the age of its coins: HODL waves and their cost.

One row is one age band of one UTC day, from the matrix of creation and spending days and the daily
prices of the chain's own coin (`market_price_daily`); no output is read. A coin's age is the number
of midnights (UTC) since its creation, a month is 30 days and a year 365: ``0d-1d`` was created on
the day itself, ``1d-1w`` on one of the six days before it. Every day has every band.

* ``value``, ``outputs``: unspent at the day's end. ``share`` = value / supply: the HODL wave.
* ``realized_value`` = Σ value · price of the day of its creation; ``realized_share`` = realised
  value / that of all bands (the realised cap): the realised-cap wave.
* ``spent_value``, ``spent_outputs``: spent on the day, by the age at that moment (spent output age
  bands). ``spent_share`` = spent value / that of all bands.

Outputs of coinbases are in every column. Outputs lost to a repeated coinbase (BIP 30) are neither
unspent nor spent.

Known gaps: a day counts when a block lies past it, so the open day has no row.
Edge cases: coins from before the first price cost 0; a later day without a price is a gap, never
filled: the band of its coins has a NULL realised value, and no band of the day a realised share.
Days before the first price have neither. Shares of nothing are NULL. A day without a block has no
row. Computed only when the chain was read from block 0.
"""

from typing import Any

from sqlalchemy import (
    CTE,
    BigInteger,
    Column,
    ColumnElement,
    Double,
    Integer,
    Select,
    Subquery,
    Table,
    Text,
    and_,
    case,
    cast,
    column,
    func,
    or_,
    select,
    values,
)

from onchain_agg.metrics import coin_age, coin_age_gates
from onchain_agg.metrics.dataset import ALL_LATER, SERVING, DataSet, Window
from onchain_agg.metrics.formulas import or_zero, ratio
from onchain_agg.warehouse.tables.chain import BLOCK
from onchain_agg.warehouse.types import BIG, DAY, NAME

# Name and first age in days of each band; the next band's first age ends it.
_BANDS = (
    ("0d-1d", 0),
    ("1d-1w", 1),
    ("1w-1m", 7),
    ("1m-3m", 30),
    ("3m-6m", 90),
    ("6m-1y", 180),
    ("1y-2y", 365),
    ("2y-3y", 730),
    ("3y-5y", 1095),
    ("5y-7y", 1825),
    ("7y-10y", 2555),
    ("10y+", 3650),
)

TABLE = Table(
    "bitcoin_coin_age_band_daily_v1",
    SERVING,
    Column("chain", NAME, primary_key=True, comment="Name of the chain."),
    Column("day", DAY, primary_key=True, comment="UTC day of the median-time-past."),
    Column("band", Text, primary_key=True, comment="Age: from, inclusive, to, exclusive."),
    Column("from_age_days", Integer, nullable=False, comment="Youngest age, whole days."),
    Column("to_age_days", Integer, comment="First age past the band, days; NULL: no end."),
    Column("value", BIG, nullable=False, comment="Unspent at the day's end, smallest unit."),
    Column("outputs", BigInteger, nullable=False, comment="Unspent outputs at the day's end."),
    Column("share", Double, comment="Of the supply, 0..1; NULL without a supply."),
    Column("realized_value", Double, comment="US dollar at creation; NULL: a price gap, or none."),
    Column("realized_share", Double, comment="Of the realised cap, 0..1; NULL: unknown, or 0."),
    Column("spent_value", BIG, nullable=False, comment="Spent on the day, smallest unit."),
    Column("spent_outputs", BigInteger, nullable=False, comment="Outputs spent on the day."),
    Column("spent_share", Double, comment="Of the value spent, 0..1; NULL without spends."),
)


def rows(window: Window) -> Select[Any]:
    """Return one row per age band."""
    bands = _bands()
    held, moved = _held(window, bands).c, _moved(window, bands).c
    is_known = func.bool_and(held.realized_value.is_not(None)).over()
    realized_share = ratio(held.realized_value, func.sum(held.realized_value).over())
    return (
        select(
            *window.labels(),
            bands.c.band,
            bands.c.from_age_days,
            bands.c.to_age_days,
            held.value,
            held.outputs,
            ratio(held.value, func.sum(held.value).over()).label("share"),
            cast(held.realized_value, Double).label("realized_value"),
            case((is_known, realized_share)).label("realized_share"),
            moved.spent_value,
            moved.spent_outputs,
            ratio(moved.spent_value, func.sum(moved.spent_value).over()).label("spent_share"),
        )
        .join_from(bands, held.band.table, held.band == bands.c.band)
        .join(moved.band.table, moved.band == bands.c.band)
        .where(coin_age.is_computed(window))
    )


def _bands() -> CTE:
    ends: list[int | None] = [*(age for _, age in _BANDS[1:]), None]
    known = values(
        column("band", Text), column("from_age_days", Integer), column("to_age_days", Integer)
    ).data([(*band, end) for band, end in zip(_BANDS, ends, strict=True)])
    return known.alias("known").select().cte("bands")


def _held(window: Window, bands: CTE) -> Subquery:
    """Return sums over what is unspent at the day's end, by band; 0 in a band without coins."""
    vector = coin_age.prices(window)
    coins = coin_age.priced(coin_age.unspent(window), vector)
    realized = coin_age.cost(coins) * coin_age.coin_size(window)
    return (
        select(
            bands.c.band,
            or_zero(func.sum(coins.c.value)).label("value"),
            or_zero(func.sum(coins.c.outputs)).label("outputs"),
            case((select(vector.c.day).exists(), realized)).label("realized_value"),
        )
        .select_from(bands.outerjoin(coins, _is_in(bands, coins.c.age_days)))
        .group_by(bands.c.band)
        .subquery("held")
    )


def _moved(window: Window, bands: CTE) -> Subquery:
    """Return sums over what was spent on the day, by band; 0 in a band without spends."""
    coins = coin_age.spent(window)
    return (
        select(
            bands.c.band,
            or_zero(func.sum(coins.c.value)).label("spent_value"),
            or_zero(func.sum(coins.c.outputs)).label("spent_outputs"),
        )
        .select_from(bands.outerjoin(coins, _is_in(bands, coins.c.age_days)))
        .group_by(bands.c.band)
        .subquery("moved")
    )


def _is_in(bands: CTE, age_days: ColumnElement[int]) -> ColumnElement[bool]:
    band = bands.c
    return and_(
        age_days >= band.from_age_days,
        or_(band.to_age_days.is_(None), age_days < band.to_age_days),
    )


DATASET = DataSet(
    name="bitcoin_coin_age_band_daily",
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
        coin_age_gates.adds_up_to_spent("spent_value"),
        *(coin_age_gates.adds_up_to_one(f"{kind}share") for kind in ("", "realized_", "spent_")),
        coin_age_gates.NOTHING_BELOW_ZERO,
    ),
    highlights=("value", "band", "share"),
)
