"""What was traded of each NFT collection in each hour, and at what prices.

The columns mean what they mean in `nft_collection_daily`, of the trades of one UTC hour: trades,
volumes gross, without wash trades and less royalties, floors, averages, fees, distinct addresses.
Counts and volumes add up over hours to the day; floors, medians and distinct addresses do not.

Known gaps: those of `nft_trade`. Mints, burns, holders and supply are daily only.
Edge cases: a collection without a trade in an hour has no row; an hour whose trades are all
unpriced, bundles or wash trades has a NULL floor, never 0.
"""

from typing import Any

from sqlalchemy import Column, Select, Table, select

from onchain_agg.metrics import nft_activity
from onchain_agg.metrics.dataset import SAME_DAY, SERVING, DataSet, Window
from onchain_agg.warehouse.types import DAY, NAME, TIME

TABLE = Table(
    "nft_collection_hourly_v1",
    SERVING,
    Column("chain", NAME, primary_key=True, comment="Name of the chain."),
    Column("day", DAY, primary_key=True, comment="UTC day of the blocks."),
    Column("collection", NAME, primary_key=True, comment="0x… of the contract, in lower case."),
    Column("hour_at", TIME, primary_key=True, comment="First instant of the UTC hour."),
    *nft_activity.trade_columns(),
    *nft_activity.price_columns(),
)


def rows(window: Window) -> Select[Any]:
    """Return the hours of each collection that had a trade in them."""
    trades = nft_activity.day_trades(window)
    hours = nft_activity.activity(trades, ("collection", "hour_at"), prices=True)
    return select(*window.labels(), *hours.c)


DATASET = DataSet(
    name="nft_collection_hourly",
    table=TABLE,
    family="nft",
    chain_families=("evm",),
    reads=nft_activity.READS,
    reach=SAME_DAY,
    grain="hour",
    workload="nft_worker",
    rows=rows,
    invariants=(nft_activity.sound(prices=True), nft_activity.complete()),
    highlights=("volume_native", "collection", "floor_p5"),
)
