"""Every transfer of a tracked asset at or above the asset's threshold, in native units.

One row is one movement between two different addresses of at least ``whale_threshold`` of the
asset's smallest unit (the chain's definition sets it; exactly the threshold counts). What counts
as a movement (Coin Metrics' transfer, TxTfr):

* ``token``: a Transfer event of an ERC-20 or ERC-721 token, mints (from the zero address) and burns
  (to it) included.
* ``value``, ``internal``, ``withdrawal``, ``genesis``, ``reward``, ``selfdestruct``: a movement
  of an EVM chain's own coin. Fees and tips are not transfers.
* ``output``: an output of a UTXO transaction, not of a coinbase, whose address is not among the
  addresses of the transaction's inputs; change that returns to a sender is left out.

``sender`` of an ``output`` is the address that all inputs share, NULL where they differ: a UTXO
transaction has no sender as such. Amounts in US dollar are another data set.

Known gaps: where ``top_level_only`` is true the block's traces were not available, so its internal
transfers are missing. Movements of balances without a Transfer event are not seen. Change to a
fresh address looks like a transfer. ERC-1155 items are not transfers of an amount, and not here.
Edge cases: a transfer to oneself is none; an output without an address counts, with a NULL
recipient; the same transaction mined again in another block is another row, of the other block.
"""

from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, Integer, Select, Table, Text, select

from onchain_agg.metrics.dataset import SAME_DAY, SERVING, DataSet, Window
from onchain_agg.metrics.rendering import address_text, asset_text, hash_text
from onchain_agg.metrics.transfers import READS, tracked_assets, transfers
from onchain_agg.warehouse.tables.ops import ASSET
from onchain_agg.warehouse.types import DAY, NAME, TIME, UINT256

TABLE = Table(
    "whale_transfer_v1",
    SERVING,
    Column("chain", NAME, primary_key=True, comment="Name of the chain."),
    Column("day", DAY, primary_key=True, comment="UTC day of the block."),
    Column("block_hash", Text, primary_key=True, comment="As explorers print it."),
    Column("kind", Text, primary_key=True, comment="token, output, or the native coin's kinds."),
    Column(
        "position",
        Integer,
        primary_key=True,
        comment="In the block: log index of a token, place of a native transfer, transaction"
        " index of an output.",
    ),
    Column(
        "item",
        Integer,
        primary_key=True,
        comment="Output number in its transaction; else 0.",
    ),
    Column("height", BigInteger, nullable=False, comment="Height of the block."),
    Column("block_at", TIME, nullable=False, comment="UTC; median-time-past on UTXO chains."),
    Column("tx_hash", Text, comment="As explorers print it; NULL outside of a transaction."),
    Column("asset", NAME, nullable=False, comment="0x… of the token, or native."),
    Column("symbol", Text, nullable=False, comment="For people; the asset is the identity."),
    Column("sender", Text, comment="Address; NULL: none, or inputs of several addresses."),
    Column("recipient", Text, comment="Address; NULL: burned, or an output without one."),
    Column("amount", UINT256, nullable=False, comment="In the asset's smallest unit."),
    Column(
        "top_level_only",
        Boolean,
        nullable=False,
        comment="True: internal transfers of this block are not known.",
    ),
)


def rows(window: Window) -> Select[Any]:
    """Return the large transfers of the window's blocks."""
    assets = tracked_assets(window, ASSET.c.whale_threshold)
    transfer = transfers(window, assets).subquery("large").c
    return select(
        *window.labels(),
        hash_text(window, transfer.block_hash).label("block_hash"),
        transfer.kind,
        transfer.position,
        transfer.item,
        transfer.height,
        transfer.block_at,
        hash_text(window, transfer.tx_hash).label("tx_hash"),
        asset_text(assets.c.address).label("asset"),
        assets.c.symbol,
        address_text(window, transfer.sender).label("sender"),
        address_text(window, transfer.recipient).label("recipient"),
        transfer.amount,
        transfer.top_level_only,
    ).join(assets, assets.c.asset_id == transfer.asset_id)


DATASET = DataSet(
    name="whale_transfer",
    table=TABLE,
    family="whale",
    chain_families=("evm", "utxo"),
    reads=READS,
    reach=SAME_DAY,
    grain="event",
    workload="whale_worker",
    rows=rows,
    highlights=("amount", "symbol", "recipient"),
)
