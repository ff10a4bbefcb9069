"""What exchanges received and paid out in each day, in three variants.

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
* ``transferred``: the amount of all transfers of the asset on the day, as in `whale_transfer` but
  of any size. ``fund_flow_ratio`` = (inflow + outflow) / transferred (CryptoQuant).

What the exchanges hold, and how that follows from the netflow, is `exchange_reserve_daily`.

Known gaps: an address that nobody labelled is a stranger. Where traces are missing, internal
transfers are. Outputs without an address belong to nobody.
Edge cases: an exchange without a flow on a day has no row; a day on which nothing counts as
transferred, such as one with coinbases only, has a NULL ratio; the ratio can be above 1, because a
flow between two exchanges is an inflow and an outflow.
"""

from typing import Any

from sqlalchemy import CTE, Column, Double, Select, Table, func, select

from onchain_agg.metrics import flows, pricing, transfers
from onchain_agg.metrics.dataset import SERVING, DataSet, Window
from onchain_agg.metrics.flow_rows import flow_columns, flow_rows, key_columns, variants_agree
from onchain_agg.metrics.formulas import ratio
from onchain_agg.metrics.rendering import asset_text
from onchain_agg.warehouse.types import BIG

TABLE = Table(
    "exchange_flow_daily_v1",
    SERVING,
    *key_columns(hourly=False),
    *flow_columns(),
    Column("transferred", BIG, nullable=False, comment="By anybody, smallest unit."),
    Column("fund_flow_ratio", Double, comment="(inflow + outflow) / transferred."),
)


def rows(window: Window) -> Select[Any]:
    """Return the flows of the day."""
    flow = flow_rows(window, hourly=False).subquery("flow")
    total = _transferred(window)
    transferred = func.coalesce(total.c.amount, 0)
    return select(
        *flow.c,
        transferred.label("transferred"),
        ratio(flow.c.inflow + flow.c.outflow, transferred).label("fund_flow_ratio"),
    ).outerjoin_from(flow, total, total.c.asset == flow.c.asset)


def _transferred(window: Window) -> CTE:
    """Return what all transfers of each asset moved."""
    assets = transfers.tracked_assets(window)
    moved = transfers.transfers(window, assets).subquery("any").c
    total = (
        select(moved.asset_id, func.sum(moved.amount).label("amount"))
        .group_by(moved.asset_id)
        .subquery("total")
        .c
    )
    return (
        select(asset_text(assets.c.address).label("asset"), total.amount)
        .join(assets, assets.c.asset_id == total.asset_id)
        .cte("transferred")
    )


DATASET = DataSet(
    name="exchange_flow_daily",
    table=TABLE,
    family="whale",
    chain_families=("evm", "utxo"),
    reads=flows.PRICED_READS,
    reach=pricing.REACH,
    grain="day",
    workload="whale_worker",
    rows=rows,
    highlights=("netflow", "symbol", "exchange"),
    invariants=(variants_agree("asset"),),
)
