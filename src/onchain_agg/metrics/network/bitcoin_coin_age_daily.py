"""How old the coins are that a Bitcoin-family chain spends and holds, each UTC day.

From the matrix of creation and spending days; no output is read. A coin's age in whole days is the
number of midnights (UTC) since its creation; in seconds it is the time between the two blocks'
median-time-past. The age bands of the supply are `bitcoin_coin_age_band_daily`.

* ``coin_seconds_destroyed`` = Σ value · age in seconds over the outputs spent on the day, exact;
  ``cdd`` is the same in coin days, ``cdd_whole_days`` = Σ value · age in whole days, exact.
  (Coin days destroyed; Glassnode.)
* ``dormancy`` = CDD / value spent, and ``dormancy_whole_days`` alike: the mean age in days of a
  spent coin. ``asol_whole_days`` = Σ age in whole days / outputs spent: the mean age of an output.
* ``liveliness`` = Σ CDD over all days to this one / Σ supply over all days to this one, each day's
  supply at its end: the share of all coin days that was destroyed. (Glassnode)
* ``supply_active_A``: unspent and created within the last A days, this one included, outputs of
  coinbases left out. (Coin Metrics SplyAct; a year is 365 days.)
* ``revived_supply_Ny`` = Σ value spent at an age of at least N·365 days. (Coin Metrics SplyRvv)

Outputs of coinbases count wherever nothing else is said. Outputs lost to a repeated coinbase
(BIP 30) are in no supply, and were not spent.

Known gaps: a day counts when a block lies past it, so the open day has no row. What is unspent and
older than a year is told with coinbases, by the age bands. Liveliness adds up time in seconds over
a supply that is looked at once a day: on a chain of a few days it can exceed 1.
Edge cases: a day without spends has 0 destroyed and NULL dormancy; blocks' times are medians, so no
age is negative; a day without a block has no row, and its supply counts in liveliness.
Computed only when the chain was read from block 0.
"""

from datetime import date
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Double,
    Select,
    Subquery,
    Table,
    cast,
    func,
    not_,
    select,
    true,
)

from onchain_agg.metrics import coin_age, coin_age_gates
from onchain_agg.metrics.coin_age import DAY_SECONDS, YEAR_DAYS
from onchain_agg.metrics.dataset import ALL_LATER, SERVING, DataSet, Window
from onchain_agg.metrics.formulas import ratio
from onchain_agg.warehouse.tables.chain import BLOCK
from onchain_agg.warehouse.tables.state import CREATED_OUTPUT_DAILY, SPENT_OUTPUT_DAILY
from onchain_agg.warehouse.types import BIG, DAY, NAME

_ACTIVE = {"1d": 1, "7d": 7, "30d": 30, "90d": 90, "180d": 180, "1y": YEAR_DAYS}
_REVIVED = (1, 2, 3, 5, 7, 10)

TABLE = Table(
    "bitcoin_coin_age_daily_v1",
    SERVING,
    Column("chain", NAME, primary_key=True, comment="Name of the chain."),
    Column("day", DAY, primary_key=True, comment="UTC day of the median-time-past."),
    Column("supply", BIG, nullable=False, comment="Unspent at the day's end, smallest unit."),
    Column("spent_value", BIG, nullable=False, comment="Spent on the day, smallest unit."),
    Column("spent_outputs", BigInteger, nullable=False, comment="Outputs spent on the day."),
    Column("coin_seconds_destroyed", BIG, nullable=False, comment="Smallest unit times seconds."),
    Column("cdd", Double, nullable=False, comment="Coin days destroyed: coins times days."),
    Column("cdd_whole_days", BIG, nullable=False, comment="Coins times whole days; exact."),
    Column("dormancy", Double, comment="Days a spent coin rested; NULL without spends."),
    Column("dormancy_whole_days", Double, comment="The same of whole days."),
    Column("asol_whole_days", Double, comment="Days a spent output rested; NULL without spends."),
    Column("liveliness", Double, comment="Coin days destroyed / created so far; a ratio."),
    *(
        Column(
            f"supply_active_{name}",
            BIG,
            nullable=False,
            comment=f"Unspent, created in the last {days} days, coinbases out; smallest unit.",
        )
        for name, days in _ACTIVE.items()
    ),
    *(
        Column(
            f"revived_supply_{years}y",
            BIG,
            nullable=False,
            comment=f"Spent at an age of at least {years * YEAR_DAYS} days, smallest unit.",
        )
        for years in _REVIVED
    ),
)


def rows(window: Window) -> Select[Any]:
    """Return the one row of the window's day."""
    destroyed, active = _destroyed(window), _active(window)
    so_far = coin_age.lifetime(window)
    size = coin_age.coin_size(window)
    total = destroyed.c
    return (
        select(
            *window.labels(),
            so_far.c.supply,
            total.spent_value,
            total.spent_outputs,
            total.coin_seconds.label("coin_seconds_destroyed"),
            cast(total.coin_seconds * size / DAY_SECONDS, Double).label("cdd"),
            (total.coin_days * size).label("cdd_whole_days"),
            ratio(total.coin_seconds, total.spent_value * DAY_SECONDS).label("dormancy"),
            ratio(total.coin_days, total.spent_value).label("dormancy_whole_days"),
            ratio(total.output_days, total.spent_outputs).label("asol_whole_days"),
            ratio(so_far.c.coin_seconds, so_far.c.supply_days * DAY_SECONDS).label("liveliness"),
            *active.c,
            *(total[f"revived_supply_{years}y"] for years in _REVIVED),
        )
        .select_from(destroyed.join(active, true()).join(so_far, true()))
        .where(coin_age.is_computed(window))
    )


def _destroyed(window: Window) -> Subquery:
    """Return sums over what was spent on the day."""
    moved = coin_age.spent(window).c
    revived = (
        _total(moved.value, moved.age_days >= years * YEAR_DAYS).label(f"revived_supply_{years}y")
        for years in _REVIVED
    )
    return select(
        _total(moved.value).label("spent_value"),
        _total(moved.outputs).label("spent_outputs"),
        _total(moved.coin_seconds).label("coin_seconds"),
        _total(moved.value * moved.age_days).label("coin_days"),
        _total(moved.outputs * moved.age_days).label("output_days"),
        *revived,
    ).subquery("destroyed")


def _active(window: Window) -> Subquery:
    """Return what is unspent of the last year, without coinbases, by how far back it looks."""
    created, longest = CREATED_OUTPUT_DAILY.c, coin_age.since(window, YEAR_DAYS)
    made = (
        select(created.day, created.value)
        .where(
            created.chain == window.scope,
            created.day.between(longest, window.day),
            not_(created.coinbase),
        )
        .subquery("made")
    )
    gone = _spent_since(window, longest)
    age = coin_age.age_days(window, made.c.day)
    left = made.c.value - func.coalesce(gone.c.value, 0)
    return (
        select(
            *(
                _total(left, age < days).label(f"supply_active_{name}")
                for name, days in _ACTIVE.items()
            )
        )
        .select_from(made.outerjoin(gone, gone.c.created_day == made.c.day))
        .subquery("active")
    )


def _spent_since(window: Window, first: date) -> Subquery:
    """Return what was spent of the coins of each day from *first* on, coinbases left out."""
    spend = SPENT_OUTPUT_DAILY.c
    return (
        select(spend.created_day, func.sum(spend.value).label("value"))
        .where(
            spend.chain == window.scope,
            spend.spend_day.between(first, window.day),
            spend.created_day >= first,
            not_(spend.coinbase),
        )
        .group_by(spend.created_day)
        .subquery("gone")
    )


def _total(value: ColumnElement[Any], condition: ColumnElement[bool] | None = None) -> Any:
    total = func.sum(value)
    return func.coalesce(total if condition is None else total.filter(condition), 0)


DATASET = DataSet(
    name="bitcoin_coin_age_daily",
    table=TABLE,
    family="network",
    chain_families=("utxo",),
    reads=(BLOCK, *coin_age.MATRIX),
    reach=ALL_LATER,
    at_close=True,
    grain="day",
    workload="default",
    rows=rows,
    invariants=(
        coin_age_gates.adds_up_to_unspent("supply"),
        coin_age_gates.adds_up_to_spent("spent_value"),
    ),
    highlights=("cdd", "dormancy", "liveliness"),
)
