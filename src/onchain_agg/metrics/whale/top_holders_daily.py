"""The largest holders of each tracked asset of a chain, at the end of each UTC day.

The 1,000 largest balances are kept; of equal balances at the end of the list the lower address is.
Readers' view adds the rank: a holder's place by balance, largest first, equal ones by address. A
holder's share is its balance over ``supply`` of ``holder_distribution_daily`` on the same
day. Neither is stored, because a version is written for every row that changes. One holder that
overtakes a hundred others would change a hundred ranks, and one coin minted a thousand shares: on
1,000 simulated holders with ten transfers between two refreshes, 10 rows change as they are, 570
with ranks (whether the rank is in the key or beside it), all 1,000 with shares.

An address is whoever the chain says: exchanges, bridges, pools and burn addresses such as
``0x…dead`` are holders like any other. A token's zero address never is: what it receives is burned.
On a UTXO chain a holder's balance is the sum of its unspent outputs; P2PK and P2PKH of one key are
one address. A day is computed when it is over.

Known gaps: a token that moves balances without a Transfer event (rebase, fee on transfer) is
counted by its transfers. An asset is left out while its history is not complete, as
``holder_distribution_daily`` says. Outputs without an address (bare multisig) are in nobody's
balance.
Edge cases: fewer than 1,000 holders give fewer rows; none give no row.
"""

from typing import Any

from sqlalchemy import Column, Select, Table, func, select

from onchain_agg.metrics import balances
from onchain_agg.metrics.dataset import ALL_LATER, SERVING, DataSet, Window
from onchain_agg.metrics.rendering import address_text, asset_text
from onchain_agg.warehouse.types import DAY, NAME, UINT256

# Holders that are kept; the others count in the distribution alone.
TOP = 1000

TABLE = Table(
    "top_holders_daily_v1",
    SERVING,
    Column("chain", NAME, primary_key=True, comment="Name of the chain."),
    Column("day", DAY, primary_key=True, comment="UTC day; balances after its last block."),
    Column("asset", NAME, primary_key=True, comment="0x… of the token, or native."),
    Column(
        "address",
        NAME,
        primary_key=True,
        comment="The holder, as wallets show it; 0x… in lower case.",
    ),
    Column("balance", UINT256, nullable=False, comment="In the asset's smallest unit."),
)


def rows(window: Window) -> Select[Any]:
    """Return the `TOP` largest holders of each covered asset at the end of the window's day."""
    assets = balances.covered_assets(window)
    held = balances.balances_at_day_end(window, assets).c
    ranked = (
        select(
            held.asset_id,
            held.address,
            held.balance,
            func.row_number()
            .over(partition_by=held.asset_id, order_by=(held.balance.desc(), held.address))
            .label("rank"),
        )
        .where(held.balance > 0)
        .subquery("ranked")
    )
    top = ranked.c
    return (
        select(
            *window.labels(),
            asset_text(assets.c.address).label("asset"),
            address_text(window, top.address).label("address"),
            top.balance,
        )
        .join_from(ranked, assets, top.asset_id == assets.c.asset_id)
        .where(top.rank <= TOP)
    )


DATASET = DataSet(
    name="top_holders_daily",
    table=TABLE,
    family="whale",
    chain_families=("evm", "utxo"),
    reads=balances.READS,
    reach=ALL_LATER,
    at_close=True,
    grain="day",
    workload="whale_worker",
    rows=rows,
    highlights=("balance", "asset", "address"),
    derived=(
        func.row_number()
        .over(
            partition_by=(TABLE.c.chain, TABLE.c.day, TABLE.c.asset),
            order_by=(TABLE.c.balance.desc(), TABLE.c.address),
        )
        .label("rank"),
    ),
)
