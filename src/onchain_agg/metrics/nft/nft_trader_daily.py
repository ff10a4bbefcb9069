"""How many different addresses traded each NFT collection in the 7 and 30 days to each UTC day.

A day is the last of its 7 and 30 days. ``buyers``, ``sellers`` and ``traders`` (either) count each
address once, however often and on however many of the days it traded, so they are no sums of days:
they are counted again from the trades, which are all of `nft_trade`, wash trades included.

Known gaps: those of `nft_trade`. Where trades are known from less than 30 days before a day on, its
counts are of the days that are known.
Edge cases: a collection without a trade in the 30 days has no row; one whose last trade is 7 to 29
days old has a row with 0 for 7 days. A day is computed when it is over.
"""

from datetime import timedelta
from typing import Any

from sqlalchemy import (
    CTE,
    BigInteger,
    Column,
    ColumnElement,
    Date,
    Select,
    Subquery,
    Table,
    and_,
    case,
    func,
    literal,
    or_,
    select,
    union_all,
)

from onchain_agg.metrics.dataset import SERVING, DataSet, Invariant, Reach, Window
from onchain_agg.metrics.nft.nft_trade import TABLE as TRADE
from onchain_agg.warehouse.types import DAY, NAME

_WEEK, _MONTH = 7, 30
_SPANS = (_WEEK, _MONTH)

TABLE = Table(
    "nft_trader_daily_v1",
    SERVING,
    Column("chain", NAME, primary_key=True, comment="Name of the chain."),
    Column("day", DAY, primary_key=True, comment="UTC day, the last of the days."),
    Column("collection", NAME, primary_key=True, comment="0x… of the contract, in lower case."),
    *(
        Column(f"{what}_{days}d", BigInteger, nullable=False, comment=f"{meaning} in {days} days.")
        for days in _SPANS
        for what, meaning in {
            "trades": "Tokens sold",
            "buyers": "Different addresses that bought",
            "sellers": "Different addresses that sold",
            "traders": "Different addresses that did either",
        }.items()
    ),
)


def rows(window: Window) -> Select[Any]:
    """Return the distinct traders of each collection that was traded in the last 30 days."""
    traded = _traded(window)
    collection = traded.c.collection
    columns: list[ColumnElement[Any]] = []
    for days in _SPANS:
        since = literal(window.day - timedelta(days=days - 1), Date)
        bought, sold = traded.c.last_bought >= since, traded.c.last_sold >= since
        columns += [
            # Each trade has one buyer.
            func.coalesce(func.sum(traded.c[f"bought_{days}"]), 0).label(f"trades_{days}d"),
            func.count().filter(bought).label(f"buyers_{days}d"),
            func.count().filter(sold).label(f"sellers_{days}d"),
            func.count().filter(or_(bought, sold)).label(f"traders_{days}d"),
        ]
    return select(*window.labels(), collection, *columns).group_by(collection)


def _traded(window: Window) -> Subquery:
    """Return when each address last bought and sold of each collection, and how often it bought."""
    trades = _trades(window)
    day = trades.c.day
    none = literal(None, Date)
    sides = union_all(
        select(
            trades.c.collection,
            trades.c.buyer.label("address"),
            day.label("bought_on"),
            none.label("sold_on"),
        ),
        select(trades.c.collection, trades.c.seller, none, day),
    ).subquery("side")
    side = sides.c
    return (
        select(
            side.collection,
            func.max(side.bought_on).label("last_bought"),
            func.max(side.sold_on).label("last_sold"),
            *(
                func.count(
                    case((side.bought_on > literal(window.day - timedelta(days=days), Date), 1))
                ).label(f"bought_{days}")
                for days in _SPANS
            ),
        )
        .group_by(side.collection, side.address)
        .subquery("traded")
    )


def _trades(window: Window) -> CTE:
    trade = TRADE.c
    first = window.day - timedelta(days=_MONTH - 1)
    return (
        select(trade.collection, trade.day, trade.buyer, trade.seller)
        .where(trade.chain == window.scope, trade.day.between(first, window.day))
        .cte("trade")
    )


def _more_than_sold(stage: Table, _window: Window) -> Select[Any]:
    row = stage.c
    rules = [row.trades_7d > row.trades_30d, row.traders_7d > row.traders_30d]
    for days in _SPANS:
        trades, traders = row[f"trades_{days}d"], row[f"traders_{days}d"]
        buyers, sellers = row[f"buyers_{days}d"], row[f"sellers_{days}d"]
        rules += [
            func.greatest(buyers, sellers) > func.least(trades, traders),
            traders > buyers + sellers,
            and_(trades > 0, func.least(buyers, sellers) == 0),
        ]
    return select(row.collection, row.trades_7d, row.traders_7d, row.trades_30d).where(or_(*rules))


DATASET = DataSet(
    name="nft_trader_daily",
    table=TABLE,
    family="nft",
    chain_families=("evm",),
    reads=(TRADE,),
    reach=Reach(_MONTH),
    at_close=True,
    grain="day",
    workload="nft_worker",
    rows=rows,
    invariants=(
        Invariant("an address counts once, and a week is part of its month", _more_than_sold),
    ),
    highlights=("traders_30d", "collection", "traders_7d"),
)
