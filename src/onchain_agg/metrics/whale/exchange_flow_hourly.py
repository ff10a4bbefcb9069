"""What exchanges received and paid out in each hour, in three variants.

* ``inflow`` and ``outflow``: what came to and left the exchange's addresses, as labels of the UTC
  day say; ``netflow`` = inflow - outflow (CryptoQuant; Coin Metrics FlowInExNtv, FlowOutExNtv).
* Variant ``per_exchange``: a row for each exchange. ``including``: the sum over all exchanges, with
  flows between two of them. ``excluding``: all exchanges as one. Rows of both name the exchange
  ``all``, and their netflow is the same.
* A transfer inside one exchange is no flow. Mints to an exchange's address and burns by it are;
  fees and tips of an EVM chain are not (`exchange_reserve_daily` has them).
* UTXO chains: receipts and spendings are netted by exchange inside each transaction, so change is
  no flow, and what leaves includes the fee. Where A spends 10, of which 5 go to B and 5 to a
  stranger, A has an outflow of 10, B an inflow of 5; ``including`` an inflow of 5 and an outflow
  of 10; ``excluding`` an outflow of 5. A coinbase paid to an exchange is an inflow.
* ``inflow_usd`` and the others: each transaction at the price of its minute (as in
  `whale_transfer_usd`), exact; NULL where a transaction of the sum has no price. ``unpriced``
  counts the transactions without one.

Known gaps: an address that nobody labelled is a stranger. Where traces are missing, internal
transfers are. Outputs without an address belong to nobody.
Edge cases: an exchange without a flow in an hour has no row.
"""

from typing import Any

from sqlalchemy import Select, Table

from onchain_agg.metrics import flows, pricing
from onchain_agg.metrics.dataset import SERVING, DataSet, Window
from onchain_agg.metrics.flow_rows import flow_columns, flow_rows, key_columns, variants_agree

TABLE = Table(
    "exchange_flow_hourly_v1",
    SERVING,
    *key_columns(hourly=True),
    *flow_columns(),
)


def rows(window: Window) -> Select[Any]:
    """Return the flows of the day's hours."""
    return flow_rows(window, hourly=True)


DATASET = DataSet(
    name="exchange_flow_hourly",
    table=TABLE,
    family="whale",
    chain_families=("evm", "utxo"),
    reads=flows.PRICED_READS,
    reach=pricing.REACH,
    grain="hour",
    workload="whale_worker",
    rows=rows,
    highlights=("netflow", "symbol", "exchange"),
    invariants=(variants_agree("asset", "hour_at"),),
)
