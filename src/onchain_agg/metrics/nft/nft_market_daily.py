"""What was traded on each NFT market and through each aggregator on each UTC day.

* ``kind`` ``market``: the trades that a market's contracts settled, under the market's ``name``.
  ``aggregator``: the trades that came through an aggregator's contract, whatever market settled
  them; ``none`` are those that came straight to a market. ``all``: every trade of the chain.
* The columns mean what they mean in `nft_collection_daily`: volumes gross, without wash trades and
  less royalties, what markets took (``platform_fees``) and creators got (``royalties``), the part
  of wash trades. ``traders`` are the users: different addresses that bought or sold.
* Counts and volumes of the markets add up to those of ``all``, and so do those of the aggregators
  with ``none``. Distinct addresses do not: one may use several markets.

Known gaps: those of `nft_trade`; an aggregator whose contract is not known counts as ``none``.
Edge cases: a market without a trade on a day has no row.
"""

from typing import Any

from sqlalchemy import (
    CTE,
    Column,
    ColumnElement,
    Select,
    Table,
    Text,
    func,
    literal,
    select,
    union_all,
)

from onchain_agg.metrics import nft_activity
from onchain_agg.metrics.dataset import SAME_DAY, SERVING, DataSet, Window
from onchain_agg.warehouse.types import DAY, NAME

MARKET, AGGREGATOR, ALL = "market", "aggregator", "all"
# The name of trades that came through no aggregator.
DIRECT = "none"

TABLE = Table(
    "nft_market_daily_v1",
    SERVING,
    Column("chain", NAME, primary_key=True, comment="Name of the chain."),
    Column("day", DAY, primary_key=True, comment="UTC day of the blocks."),
    Column("name", NAME, primary_key=True, comment="Of the market or aggregator; none; all."),
    Column("kind", NAME, primary_key=True, comment="market, aggregator or all."),
    *nft_activity.trade_columns(),
)


def rows(window: Window) -> Select[Any]:
    """Return the day of each market, each aggregator, and all of them."""
    trades = _by_name(nft_activity.day_trades(window))
    return select(
        *window.labels(), *nft_activity.activity(trades, ("name", "kind"), prices=False).c
    )


def _by_name(trades: CTE) -> CTE:
    """Return each trade three times: of its market, of its aggregator, and of all."""

    def named(kind: str, name: ColumnElement[str]) -> Select[Any]:
        return select(*trades.c, literal(kind, Text).label("kind"), name.label("name"))

    return union_all(
        named(MARKET, trades.c.market),
        named(AGGREGATOR, func.coalesce(trades.c.aggregator, literal(DIRECT, Text))),
        named(ALL, literal(ALL, Text)),
    ).cte("named")


DATASET = DataSet(
    name="nft_market_daily",
    table=TABLE,
    family="nft",
    chain_families=("evm",),
    reads=nft_activity.READS,
    reach=SAME_DAY,
    grain="day",
    workload="nft_worker",
    rows=rows,
    invariants=(
        nft_activity.sound(prices=False),
        *(nft_activity.complete(kind) for kind in (MARKET, AGGREGATOR, ALL)),
    ),
    highlights=("volume_native", "name", "kind"),
)
