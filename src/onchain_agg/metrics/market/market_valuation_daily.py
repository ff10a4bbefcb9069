"""What every asset is worth by its supply, and that against its use and its cost, of each UTC day.

Supply, adjusted transfer value and realised cap are imported (`market.asset_daily`); each is that
of the first source by name that tells it of the asset and day. Bitcoin's supply is that of
`bitcoin_network_daily` where none is imported. Prices are those of `market_price_daily`.

* ``market_cap`` = supply times price.
* ``nvt`` = market cap / adjusted transfer value in dollars, the day's; the price cancels, so it is
  computed as supply / adjusted transfer value (Coin Metrics' NVTAdj).
* ``nvt_90d`` = market cap / mean of the **dollar** adjusted transfer values of 90 days, the day's
  included (NVTAdj90).
* ``mvrv`` = market cap / realised cap (CapMVRVCur); ``nupl`` = (market cap - realised cap) /
  market cap.
* ``mvrv_z`` = (market cap - realised cap) / standard deviation of the market cap, ddof 0, over
  every day since its first (Glassnode); NULL where one of these days has no market cap.
* ``velocity_v1`` = sum of the adjusted transfer value of 365 days / supply. Coin Metrics'
  VelCur1yr differs by its window and adjustment.
* ``dominance`` = market cap / sum of the market caps of all assets here on the day that have one:
  ``assets_in_total`` of them. The ``assets_without_cap`` lack a supply or a price and are not in
  the sum, so dominance is too high by their share as long as there are any.

Known gaps: dominance is among the assets that are here, not of all there are. Bitcoin's own
measures from its blocks, with a realised cap, are another data set.
Edge cases: what needs a value that is not told, a price that is missing, or any single missing day
of its 90 or 365 is NULL, as is a ratio to zero. An asset without facts on the day has no row.
"""

from datetime import date, timedelta
from typing import Any

from sqlalchemy import (
    ARRAY,
    CTE,
    BigInteger,
    Column,
    ColumnElement,
    Double,
    Numeric,
    Select,
    Subquery,
    Table,
    Text,
    and_,
    case,
    cast,
    func,
    literal,
    null,
    select,
    true,
    union_all,
)
from sqlalchemy.dialects.postgresql import aggregate_order_by

from onchain_agg.metrics import formulas
from onchain_agg.metrics.dataset import ALL_LATER, SERVING, DataSet, Window
from onchain_agg.metrics.market import market_price_daily
from onchain_agg.metrics.network import bitcoin_network_daily
from onchain_agg.warehouse.tables.market import ASSET_DAILY
from onchain_agg.warehouse.types import DAY, NAME

_SATOSHI = 10**8

TABLE = Table(
    "market_valuation_daily_v1",
    SERVING,
    Column("day", DAY, primary_key=True, comment="UTC day."),
    Column("asset", NAME, primary_key=True, comment="Symbol."),
    Column("supply", Numeric, comment="Whole units at the day's end."),
    Column("market_cap", Double, comment="US dollar."),
    Column("nvt", Double, comment="Market cap / the day's adjusted transfer value."),
    Column("nvt_90d", Double, comment="Market cap / mean adjusted transfer value of 90 days."),
    Column("mvrv", Double, comment="Market cap / realised cap."),
    Column("nupl", Double, comment="Fraction of the market cap that is unrealised profit."),
    Column("mvrv_z", Double, comment="Standard deviations of the market cap."),
    Column("velocity_v1", Double, comment="Times that the supply moved in 365 days."),
    Column("dominance", Double, comment="Fraction of the market cap of assets_in_total."),
    Column("assets_in_total", BigInteger, nullable=False, comment="Assets of the day with a cap."),
    Column("assets_without_cap", BigInteger, nullable=False, comment="Assets of the day without."),
)


def rows(window: Window) -> Select[Any]:
    """Return the figures of each asset that has facts on the day."""
    today = _with_price(_facts(window.day, window.day)).cte("today")
    year = _last_year(window, today)
    spread = _deviations(window, today)
    cap, realized = today.c.market_cap, today.c.realized_cap_usd
    # As numerics, so that the sum does not depend on the order of the rows.
    all_caps = func.sum(formulas.exact(cap)).over()
    capped, assets = func.count(cap).over(), func.count().over()
    return (
        select(
            window.day_label(),
            today.c.asset,
            today.c.supply,
            cap,
            formulas.ratio(today.c.supply, today.c.transfer_value).label("nvt"),
            formulas.nvt(cap, year.c.mean_90d).label("nvt_90d"),
            formulas.mvrv(cap, realized).label("mvrv"),
            formulas.nupl(cap, realized).label("nupl"),
            formulas.mvrv_z(cap, realized, spread.c.deviation).label("mvrv_z"),
            formulas.ratio(year.c.moved, today.c.supply).label("velocity_v1"),
            formulas.ratio(cap, all_caps).label("dominance"),
            capped.label("assets_in_total"),
            (assets - capped).label("assets_without_cap"),
        )
        .join_from(today, year, year.c.asset == today.c.asset)
        .outerjoin(spread, spread.c.asset == today.c.asset)
    )


def _facts(first: date, last: date, assets: Select[Any] | None = None) -> Subquery:
    """Return the facts about each asset and day from *first* to *last*, each of its best source.

    Of *assets* only, or of all.
    """
    told, bitcoin = ASSET_DAILY.c, bitcoin_network_daily.TABLE.c
    imported = select(
        literal(0).label("place"),
        told.source,
        told.day,
        told.asset,
        told.supply,
        told.transfer_value,
        told.realized_cap_usd,
    ).where(told.day.between(first, last))
    own = select(
        literal(1),
        literal("", Text),
        bitcoin.day,
        literal("BTC", Text),
        cast(bitcoin.supply, Numeric) / _SATOSHI,
        cast(null(), Numeric),
        cast(null(), Numeric),
    ).where(bitcoin.chain == "bitcoin", bitcoin.day.between(first, last))
    every = union_all(imported, own).subquery("told")
    best = (every.c.place, every.c.source)
    return (
        select(
            every.c.asset,
            every.c.day,
            *(
                _first_told(value, best).label(value.name)
                for value in (every.c.supply, every.c.transfer_value, every.c.realized_cap_usd)
            ),
        )
        .where(true() if assets is None else every.c.asset.in_(assets))
        .group_by(every.c.asset, every.c.day)
        .subquery("fact")
    )


def _first_told(
    value: ColumnElement[Any], order: tuple[ColumnElement[Any], ...]
) -> ColumnElement[Any]:
    """Return the first *value* of a group that is not NULL, in *order*; NULL where none is."""
    told = func.array_agg(aggregate_order_by(value, *order), type_=ARRAY(Numeric))
    return told.filter(value.is_not(None))[1]


def _with_price(facts: Subquery) -> Select[Any]:
    """Return the facts with what their supply and their transfers are worth."""
    price = market_price_daily.TABLE.c
    return select(
        *facts.c,
        formulas.market_cap(facts.c.supply, price.close_usd).label("market_cap"),
        formulas.market_cap(facts.c.transfer_value, price.close_usd).label("transfer_usd"),
    ).outerjoin_from(
        facts,
        market_price_daily.TABLE,
        and_(price.asset == facts.c.asset, price.day == facts.c.day),
    )


def _last_year(window: Window, today: CTE) -> Subquery:
    """Return the sums over the days before and the day, NULL where one of them is missing."""
    first = window.day - timedelta(days=364)
    fact = _with_price(_facts(first, window.day, select(today.c.asset))).subquery("of_year").c
    in_90 = fact.day > window.day - timedelta(days=90)
    mean = func.avg(aggregate_order_by(fact.transfer_usd, fact.day), type_=Double).filter(in_90)
    complete = func.count(fact.transfer_usd).filter(in_90) == 90
    return (
        select(
            fact.asset,
            case((complete, mean)).label("mean_90d"),
            case((func.count(fact.transfer_value) == 365, func.sum(fact.transfer_value))).label(
                "moved"
            ),
        )
        .group_by(fact.asset)
        .subquery("year")
    )


def _deviations(window: Window, today: CTE) -> Subquery:
    """Return the deviation of the market cap over all days, of assets with a realised cap."""
    wanted = select(today.c.asset).where(today.c.realized_cap_usd.is_not(None))
    facts = _with_price(_facts(date.min, window.day, wanted)).subquery("ever").c
    last = literal(window.day, DAY)
    deviation = formulas.deviation_of_caps(facts.market_cap, facts.day, last)
    return (
        select(facts.asset, deviation.label("deviation")).group_by(facts.asset).subquery("spread")
    )


DATASET = DataSet(
    name="market_valuation_daily",
    table=TABLE,
    family="market",
    scope="global",
    reads=(ASSET_DAILY, market_price_daily.TABLE, bitcoin_network_daily.TABLE),
    reach=ALL_LATER,
    grain="day",
    workload="market_worker",
    rows=rows,
    highlights=("market_cap", "asset", "nvt"),
)
