"""How much of what exchanges received in each hour came in the ten largest transactions.

``whale_ratio`` = inflow of the ten largest inflow transactions / total inflow (CryptoQuant's
exchange whale ratio), for each exchange, and for ``all`` exchanges as one, so that what moves
between them is no inflow. Inflows are those of `exchange_flow_hourly`, added up by transaction;
for ``all`` those of its variant ``excluding``. A withdrawal or reward outside of a transaction
counts as one.

With fewer than ten transactions the ratio is 1. Which of equal inflows is the tenth does not change
the sum.

Known gaps: those of `exchange_flow_hourly`.
Edge cases: an hour without an inflow has no row. An exchange must not be named ``all``.
"""

from typing import Any

from sqlalchemy import Select, Table

from onchain_agg.metrics import flows
from onchain_agg.metrics.dataset import SAME_DAY, SERVING, DataSet, Window
from onchain_agg.metrics.flow_rows import key_columns, whale_ratio_columns, whale_ratio_rows

TABLE = Table(
    "exchange_whale_ratio_hourly_v1",
    SERVING,
    *key_columns(hourly=True),
    *whale_ratio_columns(),
)


def rows(window: Window) -> Select[Any]:
    """Return the ratios of the day's hours."""
    return whale_ratio_rows(window, hourly=True)


DATASET = DataSet(
    name="exchange_whale_ratio_hourly",
    table=TABLE,
    family="whale",
    chain_families=("evm", "utxo"),
    reads=flows.READS,
    reach=SAME_DAY,
    grain="hour",
    workload="whale_worker",
    rows=rows,
    highlights=("whale_ratio", "symbol", "exchange"),
)
