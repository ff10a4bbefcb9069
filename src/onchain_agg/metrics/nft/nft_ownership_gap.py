"""Transfers of tracked NFT collections whose sender was not the owner.

The owner of an ERC-721 token before a transfer is the recipient of its transfer before that, and
nobody (the zero address) before its first one and after it was burned. A transfer from anybody else
says that a transfer was not told: the contract moved the token without an event, or an event is
missing among the facts. A mint of what somebody has and a first transfer that is no mint are such
gaps; a mint of what was burned is none.

A row names the token, the transfer, who sent and who should have. The owner after the transfer is
its recipient all the same, so one gap does not make the next transfers look like gaps.

A collection appears when its history is complete: every block since its ``start_block`` was
applied.
Known gaps: ERC-1155 has no owner to compare; `nft_holder_distribution_daily` tells of its tokens of
which an address sent more than it had. A collection that gave out tokens without an event has a gap
at the first transfer of each.
Edge cases: of two transfers in one block the earlier log comes first; a transfer to oneself changes
nothing.
"""

from typing import Any

from sqlalchemy import (
    CTE,
    BigInteger,
    Column,
    Integer,
    Select,
    Table,
    Text,
    and_,
    func,
    select,
    true,
)
from sqlalchemy.sql.selectable import LateralFromClause

from onchain_agg.chains import ERC721
from onchain_agg.metrics.dataset import ALL_LATER, SERVING, DataSet, Window
from onchain_agg.metrics.nft_owners import complete_collections
from onchain_agg.metrics.rendering import ZERO, address_text, hash_text
from onchain_agg.warehouse.tables.chain import BLOCK, TOKEN_TRANSFER
from onchain_agg.warehouse.tables.ops import ASSET
from onchain_agg.warehouse.tables.state import NFT_OWNER_DAY
from onchain_agg.warehouse.types import DAY, NAME, TIME, UINT256

TABLE = Table(
    "nft_ownership_gap_v1",
    SERVING,
    Column("chain", NAME, primary_key=True, comment="Name of the chain."),
    Column("day", DAY, primary_key=True, comment="UTC day of the transfer's block."),
    Column("block_hash", Text, primary_key=True, comment="Hash of the block, 0x…."),
    Column("log_index", Integer, primary_key=True, comment="Position of the log in the block."),
    Column("item_index", Integer, primary_key=True, comment="Position in the log; 0."),
    Column("height", BigInteger, nullable=False, comment="Height of the block."),
    Column("block_at", TIME, nullable=False, comment="UTC time of the block."),
    Column("tx_hash", Text, nullable=False, comment="Hash of the transaction, 0x…."),
    Column("collection", NAME, nullable=False, comment="0x… of the collection's contract."),
    Column("symbol", Text, nullable=False, comment="For people; the collection is the identity."),
    Column("token_id", UINT256, nullable=False, comment="Number of the token."),
    Column("sender", Text, nullable=False, comment="Who sent it, 0x…; 0x0…0: it was minted."),
    Column("expected", Text, nullable=False, comment="Who had it, 0x…; 0x0…0: nobody."),
    Column("recipient", Text, nullable=False, comment="Who has it since, 0x…."),
)


def rows(window: Window) -> Select[Any]:
    """Return the transfers of the day whose sender is not the recipient of the one before."""
    moved = _moves(window).c
    before = _owner_before(window, moved)
    expected = func.coalesce(moved.earlier, before.c.owner, ZERO)
    return (
        select(
            *window.labels(),
            hash_text(window, moved.block_hash).label("block_hash"),
            moved.log_index,
            moved.item_index,
            moved.height,
            BLOCK.c.block_at,
            hash_text(window, moved.tx_hash).label("tx_hash"),
            address_text(window, moved.address).label("collection"),
            moved.symbol,
            moved.token_id,
            address_text(window, moved.sender).label("sender"),
            address_text(window, expected).label("expected"),
            address_text(window, moved.recipient).label("recipient"),
        )
        .join_from(
            BLOCK,
            moved.height.table,
            and_(BLOCK.c.chain == window.scope, BLOCK.c.height == moved.height),
        )
        .outerjoin(before, true())
        .where(moved.sender != expected)
    )


def _moves(window: Window) -> CTE:
    """Return the day's transfers with the recipient of the token's transfer before, if any."""
    transfer, collection = TOKEN_TRANSFER.c, complete_collections(window)
    earlier = func.lag(transfer.recipient).over(
        partition_by=(collection.c.asset_id, transfer.token_id),
        order_by=(transfer.height, transfer.log_index, transfer.item_index),
    )
    return (
        select(
            collection.c.asset_id,
            collection.c.address,
            collection.c.symbol,
            transfer.block_hash,
            transfer.height,
            transfer.tx_hash,
            transfer.log_index,
            transfer.item_index,
            transfer.token_id,
            transfer.sender,
            transfer.recipient,
            earlier.label("earlier"),
        )
        .join_from(TOKEN_TRANSFER, collection, collection.c.address == transfer.token)
        .where(window.of(TOKEN_TRANSFER), transfer.standard == ERC721)
        .where(collection.c.standard == ERC721)
        .cte("moved")
    )


def _owner_before(window: Window, moved: Any) -> LateralFromClause:
    """Return who had the token before the day, where the day has no earlier transfer of it."""
    owner = NFT_OWNER_DAY.c
    return (
        select(owner.owner)
        .where(
            moved.earlier.is_(None),
            owner.asset_id == moved.asset_id,
            owner.token_id == moved.token_id,
            owner.day < window.day,
        )
        .order_by(owner.day.desc())
        .limit(1)
        .lateral("before")
    )


DATASET = DataSet(
    name="nft_ownership_gap",
    table=TABLE,
    family="nft",
    chain_families=("evm",),
    reads=(ASSET, BLOCK, NFT_OWNER_DAY, TOKEN_TRANSFER),
    reach=ALL_LATER,
    grain="event",
    workload="nft_worker",
    rows=rows,
    highlights=("height", "symbol", "token_id", "expected"),
)
