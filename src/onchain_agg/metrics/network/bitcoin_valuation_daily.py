"""What a Bitcoin-family coin is worth against what its holders paid: MVRV, SOPR, NVT, Puell.

Every value follows from the matrix of creation and spending days, the daily prices of the chain's
own coin (`market_price_daily`) and `bitcoin_network_daily`; no output is read. p(d) is the closing
price of day d, D the row's day, u(c) what was created on day c and is unspent at the end of D, and
s(c) what was created on day c and spent on D.

* ``market_cap`` = supply · p(D); ``supply`` = Σ u(c). (Coin Metrics CapMrktCurUSD, SplyCur)
* ``realized_cap`` = Σ u(c) · p(c): each coin at the price of the day of its creation. (CapRealUSD)
* ``mvrv`` = market cap / realised cap. ``nupl`` = (market cap - realised cap) / market cap.
* ``mvrv_z`` = (market cap - realised cap) / the standard deviation (ddof 0) of the market cap on
  every day from the first market cap to D; NULL where one of these days has none. (Glassnode)
* ``sopr`` = Σ s(c) · p(D) / Σ s(c) · p(c) over spent outputs that no coinbase created (Coin Metrics
  SOPR, weighted by value). ``asopr`` leaves out what was spent within an hour of its creation.
  ``sopr_lth`` and ``sopr_sth``: at least, or less than, 155 days old.
* ``lth_supply``, ``sth_supply``: unspent, at least, or less than, 155 days old.
* ``nvt_v1`` = market cap / ``transfer_value`` of D in US dollar. ``nvt_90d_v1`` = market cap / mean
  of the US dollar values of the 90 days to D. ``velocity_v1`` = ``transfer_value`` of the 365 days
  to D / supply. They are v1 because transfers are unadjusted: change to a fresh address counts.
* ``puell`` = issuance of D in US dollar / mean of that of the 365 days to D.

Ages are whole days, the number of midnights (UTC) since creation; the hour of ``asopr`` is an hour
of time between blocks. Coinbases' outputs count in supply and realised cap, and not in SOPR.
Outputs lost to a repeated coinbase (BIP 30) are neither unspent nor spent.

Known gaps: a day counts when a block lies past it, so the open day has no row. A day without a
block has no market cap, so from such a day on, as from a price gap on, MVRV-Z is NULL. Entities
are not known: a coin moved to oneself is spent.
Edge cases: before the first price a coin cost 0, and those days have NULL prices and ratios.
A later day without a price is a gap, never filled: whatever needs its price is NULL (realised cap
and what follows from it, as long as a coin of that day is unspent; ``unpriced_value`` says how
much that is). Means need all their days since the chain's first block: before, and where
one with a block has no price, they are NULL. A zero denominator gives NULL. A day without a block
has no row and counts as nothing transferred and issued. Computed only when the chain was read
from block 0.
"""

from collections.abc import Iterator
from typing import Any

from sqlalchemy import (
    CTE,
    Column,
    ColumnElement,
    Double,
    Select,
    Subquery,
    Table,
    and_,
    case,
    cast,
    func,
    literal,
    not_,
    select,
    true,
)

from onchain_agg.metrics import coin_age, coin_age_gates
from onchain_agg.metrics.coin_age import LONG_TERM_DAYS, YEAR_DAYS
from onchain_agg.metrics.dataset import ALL_LATER, SERVING, DataSet, Invariant, Window
from onchain_agg.metrics.formulas import (
    deviation_of_caps,
    market_cap,
    mvrv,
    mvrv_z,
    nupl,
    nvt,
    ratio,
)
from onchain_agg.metrics.network import bitcoin_network_daily
from onchain_agg.warehouse.tables.chain import BLOCK
from onchain_agg.warehouse.types import BIG, DAY, NAME

_NVT_DAYS = 90

TABLE = Table(
    "bitcoin_valuation_daily_v1",
    SERVING,
    Column("chain", NAME, primary_key=True, comment="Name of the chain."),
    Column("day", DAY, primary_key=True, comment="UTC day of the median-time-past."),
    Column("price_usd", Double, comment="US dollar a coin at the day's close; NULL: no price."),
    Column("supply", BIG, nullable=False, comment="Unspent at the day's end, smallest unit."),
    Column("market_cap", Double, comment="US dollar."),
    Column("realized_cap", Double, comment="US dollar; NULL: a price gap, or no price yet."),
    Column(
        "unpriced_value",
        BIG,
        nullable=False,
        comment="Unspent, created on a day since the first price that has none; smallest unit.",
    ),
    Column("mvrv", Double, comment="Market cap / realised cap; a ratio."),
    Column("mvrv_z", Double, comment="Standard deviations of the market cap."),
    Column("nupl", Double, comment="Unrealised profit and loss, a fraction of the market cap."),
    Column("sopr", Double, comment="Value when spent / value when created; a ratio."),
    Column("asopr", Double, comment="SOPR without what was spent within an hour; a ratio."),
    Column("sopr_lth", Double, comment="SOPR of outputs at least 155 days old; a ratio."),
    Column("sopr_sth", Double, comment="SOPR of outputs less than 155 days old; a ratio."),
    Column("lth_supply", BIG, nullable=False, comment="At least 155 days old, smallest unit."),
    Column("sth_supply", BIG, nullable=False, comment="Less than 155 days old, smallest unit."),
    Column("nvt_v1", Double, comment="Market cap / value transferred on the day; a ratio."),
    Column("nvt_90d_v1", Double, comment="Market cap / mean US dollar value of 90 days; a ratio."),
    Column("puell", Double, comment="Issuance in US dollar / its mean of 365 days; a ratio."),
    Column("velocity_v1", Double, comment="Value transferred in 365 days / supply; a ratio."),
)


def rows(window: Window) -> Select[Any]:
    """Return the one row of the window's day."""
    vector = coin_age.prices(window)
    price = coin_age.price_today(window, vector)
    held = _held(window, vector)
    profits = _profits(window, vector, price)
    used = _used(window, vector)
    capital = market_cap(held.c.supply * coin_age.coin_size(window), price)
    realized = held.c.realized_cap
    return (
        select(
            *window.labels(),
            cast(price, Double).label("price_usd"),
            held.c.supply,
            capital.label("market_cap"),
            realized,
            held.c.unpriced_value,
            mvrv(capital, realized).label("mvrv"),
            mvrv_z(capital, realized, used.c.deviation).label("mvrv_z"),
            nupl(capital, realized).label("nupl"),
            *(column for column in profits.c),
            held.c.lth_supply,
            held.c.sth_supply,
            nvt(capital, used.c.transfers_usd).label("nvt_v1"),
            nvt(capital, used.c.transfers_usd_90d).label("nvt_90d_v1"),
            ratio(used.c.issuance_usd, used.c.issuance_usd_365d).label("puell"),
            ratio(used.c.transfers_365d, held.c.supply).label("velocity_v1"),
        )
        .select_from(held.join(profits, true()).join(used, true()))
        .where(coin_age.is_computed(window))
    )


def _held(window: Window, vector: CTE) -> Subquery:
    """Return sums over what is unspent at the day's end."""
    coins = coin_age.priced(coin_age.unspent(window), vector)
    value, is_old = coins.c.value, coins.c.age_days >= LONG_TERM_DAYS
    has_begun = select(vector.c.day).exists()
    realized = coin_age.cost(coins) * coin_age.coin_size(window)
    return select(
        _total(value).label("supply"),
        _total(value, is_old).label("lth_supply"),
        _total(value, not_(is_old)).label("sth_supply"),
        _total(value, and_(coins.c.price.is_(None), has_begun)).label("unpriced_value"),
        cast(case((has_begun, realized)), Double).label("realized_cap"),
    ).subquery("held")


def _profits(window: Window, vector: CTE, price: ColumnElement[Any]) -> Subquery:
    """Return the four SOPR."""
    moved = coin_age.spent(window)
    bought = (
        select(
            moved.c.created_day,
            moved.c.age_days,
            moved.c.value,
            (moved.c.value - moved.c.value_under_1h).label("value_over_1h"),
        )
        .where(not_(moved.c.coinbase))
        .cte("bought")
    )
    adjusted = select(bought.c.created_day, bought.c.value_over_1h.label("value")).cte("adjusted")
    coins, over_1h = coin_age.priced(bought, vector), coin_age.priced(adjusted, vector)
    is_old = coins.c.age_days >= LONG_TERM_DAYS

    def profit(of: Subquery, condition: ColumnElement[bool] | None = None) -> ColumnElement[float]:
        return ratio(_total(of.c.value, condition) * price, coin_age.cost(of, condition))

    asopr = select(profit(over_1h)).scalar_subquery()
    return select(
        profit(coins).label("sopr"),
        asopr.label("asopr"),
        profit(coins, is_old).label("sopr_lth"),
        profit(coins, not_(is_old)).label("sopr_sth"),
    ).subquery("profits")


def _used(window: Window, vector: CTE) -> Subquery:
    """Return what was transferred and issued, of the day and of the days before it."""
    served, price = bitcoin_network_daily.TABLE.c, vector.c.price
    today = served.day == window.day
    capital = served.supply * price * coin_age.coin_size(window)
    return (
        select(
            deviation_of_caps(capital, served.day, literal(window.day, DAY)).label("deviation"),
            *_means(window, served, price),
            func.sum(served.transfer_value * price * coin_age.coin_size(window))
            .filter(today)
            .label("transfers_usd"),
            func.sum(served.issuance * price).filter(today).label("issuance_usd"),
        )
        .select_from(bitcoin_network_daily.TABLE.outerjoin(vector, vector.c.day == served.day))
        .where(served.chain == window.scope, served.day <= window.day)
        .subquery("used")
    )


def _means(window: Window, served: Any, price: ColumnElement[Any]) -> Iterator[ColumnElement[Any]]:
    """Yield the means of spans of days; NULL where a day of the span is not known."""
    size = coin_age.coin_size(window)
    transfers_usd, issuance_usd = served.transfer_value * price * size, served.issuance * price
    for name, days, value, is_priced in (
        ("transfers_usd_90d", _NVT_DAYS, transfers_usd, price.is_not(None)),
        ("issuance_usd_365d", YEAR_DAYS, issuance_usd, price.is_not(None)),
    ):
        recent = served.day >= coin_age.since(window, days)
        whole = _is_whole(window, served, days)
        unknown = func.count().filter(recent, not_(is_priced))
        mean = func.sum(value).filter(recent) / days
        yield case((and_(whole, unknown == 0), mean)).label(name)
    recent = served.day >= coin_age.since(window, YEAR_DAYS)
    year = func.sum(served.transfer_value).filter(recent)
    yield case((_is_whole(window, served, YEAR_DAYS), year)).label("transfers_365d")


def _is_whole(window: Window, served: Any, days: int) -> ColumnElement[bool]:
    """Return whether the chain is old enough for a span of *days* that ends with the window's."""
    first, last = func.min(served.day), func.max(served.day)
    return and_(first <= coin_age.since(window, days), last == window.day)


def _total(value: ColumnElement[Any], condition: ColumnElement[bool] | None = None) -> Any:
    total = func.sum(value)
    return func.coalesce(total if condition is None else total.filter(condition), 0)


def _differing_supply(stage: Table, window: Window) -> Select[Any]:
    """Return the row whose supply is not the published one of the same last block."""
    served = bitcoin_network_daily.TABLE.c
    return select(
        stage.c.chain, stage.c.day, stage.c.supply, served.supply.label("network_supply")
    ).where(
        served.chain == stage.c.chain,
        served.day == stage.c.day,
        served.supply != stage.c.supply,
        coin_age_gates.is_published_as_of(window, bitcoin_network_daily.DATASET.name),
    )


DATASET = DataSet(
    name="bitcoin_valuation_daily",
    table=TABLE,
    family="network",
    chain_families=("utxo",),
    reads=(BLOCK, *coin_age.MATRIX, coin_age.PRICES, bitcoin_network_daily.TABLE),
    reach=ALL_LATER,
    at_close=True,
    grain="day",
    workload="default",
    rows=rows,
    invariants=(Invariant("supply = supply of bitcoin_network_daily", _differing_supply),),
    highlights=("market_cap", "mvrv", "sopr"),
)
