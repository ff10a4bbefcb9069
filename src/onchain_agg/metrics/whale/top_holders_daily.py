"""The largest holders of each tracked asset of a chain, at the end of each UTC day.

The 1,000 largest balances are kept; of equal balances at the end of the list the lower address is.
Readers' view adds the rank: a holder's place by balance, largest first, equal ones by address. A
holder's share is its balance over ``supply`` of ``holder_distribution_daily`` on the same
day. Neither is stored, because a version is written for every row that changes. One holder that
overtakes a hundred others would change a hundred ranks, and one coin minted a thousand shares: on
1,000 simulated holders with ten transfers between two refreshes, 10 rows change as they are, 570
with ranks (whether the rank is in the key or beside it), all 1,000 with shares.

An address is whoever the chain says: exchanges, bridges, pools and burn addresses such as
``0x…dead`` are holders like any other, and the columns ``is_…`` tell them apart. Those of labels
say what is believed now of the row's day; an address can be several. A token's zero address never
is a holder: what it receives is burned.
On a UTXO chain a holder's balance is the sum of its unspent outputs; P2PK and P2PKH of one key are
one address. A day is computed when it is over.

Known gaps: a token that moves balances without a Transfer event (rebase, fee on transfer) is
counted by its transfers. An asset is left out while its history is not complete, as
``holder_distribution_daily`` says. Outputs without an address (bare multisig) are in nobody's
balance.
Edge cases: fewer than 1,000 holders give fewer rows; none give no row.
"""

from typing import Any

from sqlalchemy import Boolean, Column, LargeBinary, Select, Table, false, func, literal, select

from onchain_agg.metrics import balance_gates, balances
from onchain_agg.metrics.dataset import ALL_LATER, SERVING, DataSet, Invariant, Window
from onchain_agg.metrics.labels import categories_on
from onchain_agg.metrics.rendering import DEAD, ZERO, address_text, asset_text
from onchain_agg.metrics.whale.holder_distribution_daily import TABLE as SUPPLIES
from onchain_agg.warehouse.tables.chain import LABEL
from onchain_agg.warehouse.types import DAY, NAME, UINT256

# Holders that are kept; the others count in the distribution alone.
TOP = 1000
_CATEGORIES = ("exchange", "contract", "bridge", "pool", "miner")
# Nobody has their keys. On other chains no address is that short or so written.
_BURNS = (ZERO, DEAD)

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
    Column(
        "is_burn",
        Boolean,
        nullable=False,
        comment="0x0…0 or 0x0…dead, whose key nobody has; of EVM chains.",
    ),
    *(
        Column(
            f"is_{category}",
            Boolean,
            nullable=False,
            comment=f"A label of category {category} says so on the day.",
        )
        for category in _CATEGORIES
    ),
    # The view's rank is read off it, up to the one asked for.
    info={"indexes": {"rank": ("chain", "asset", "day", "balance DESC", "address")}},
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
    top, told = ranked.c, categories_on(window, _CATEGORIES)
    return (
        select(
            *window.labels(),
            asset_text(assets.c.address).label("asset"),
            address_text(window, top.address).label("address"),
            top.balance,
            top.address.in_([literal(burn, LargeBinary) for burn in _BURNS]).label("is_burn"),
            *(func.coalesce(told.c[one], false()).label(f"is_{one}") for one in _CATEGORIES),
        )
        .join_from(ranked, assets, top.asset_id == assets.c.asset_id)
        .outerjoin(told, told.c.address == top.address)
        .where(top.rank <= TOP)
    )


def _unexplained(stage: Table, window: Window) -> Select[Any]:
    return balance_gates.unexplained(stage, window, SUPPLIES)


DATASET = DataSet(
    name="top_holders_daily",
    table=TABLE,
    family="whale",
    chain_families=("evm", "utxo"),
    reads=(*balances.READS, LABEL),
    reach=ALL_LATER,
    same_day=(LABEL,),
    at_close=True,
    grain="day",
    workload="whale_worker",
    rows=rows,
    invariants=(
        Invariant(balance_gates.NO_DEBT, balance_gates.in_debt),
        Invariant(balance_gates.CHANGES, _unexplained),
    ),
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
