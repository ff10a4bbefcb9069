"""Large transfers of each day: how many, how much of the asset, and how many US dollar.

Folded from `whale_transfer_usd`. ``usd_class`` counts from below: ``1m`` is every transfer worth
1,000,000 US dollar or more, so ``10m`` is part of it. Transfers without a price are only in
``unpriced``, with NULL ``usd_value``; they reach their asset's ``whale_threshold``. The variant
``without_internal`` leaves out transfers between two addresses of one exchange.

Known gaps: those of `whale_transfer_usd`.
Edge cases: a day without a transfer of the class has no row.
"""

from typing import Any

from sqlalchemy import Select, Table

from onchain_agg.metrics.activity import activity, activity_columns
from onchain_agg.metrics.dataset import SAME_DAY, SERVING, DataSet, Window
from onchain_agg.metrics.flow_rows import key_columns
from onchain_agg.metrics.whale import whale_transfer_usd

TABLE = Table(
    "whale_activity_daily_v1",
    SERVING,
    *key_columns(hourly=False),
    *activity_columns(),
)


def rows(window: Window) -> Select[Any]:
    """Return the day's activity."""
    return activity(window, whale_transfer_usd.TABLE, hourly=False)


DATASET = DataSet(
    name="whale_activity_daily",
    table=TABLE,
    family="whale",
    chain_families=("evm", "utxo"),
    reads=(whale_transfer_usd.TABLE,),
    reach=SAME_DAY,
    grain="day",
    workload="whale_worker",
    rows=rows,
    highlights=("usd_value", "symbol", "transfers"),
)
