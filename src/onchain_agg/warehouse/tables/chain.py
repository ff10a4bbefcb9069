"""Schema ``chain``: canonical facts, as the sources deliver them.

Every row carries its block's day, height and hash; keys carry the hash, because the same
transaction can be mined again in another block. A block's rows arrive in one transaction with
its ``block`` row and leave together when a reorganisation drops it.
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Identity,
    Index,
    Integer,
    SmallInteger,
    Table,
    Text,
    text,
)

from onchain_agg.warehouse.tables.registry import METADATA, by_day
from onchain_agg.warehouse.types import ADDRESS, DAY, HASH, HEIGHT, NAME, TIME, UINT256


def _of_block() -> list[Column[Any]]:
    return [
        Column("chain", NAME, primary_key=True),
        Column("day", DAY, primary_key=True, comment="UTC day of the block's block_at."),
        Column("height", HEIGHT, nullable=False),
        Column("block_hash", HASH, primary_key=True),
    ]


BLOCK = Table(
    "block",
    METADATA,
    # One block a height: the second one to arrive is a fork, and `reorg` decides.
    Column("chain", NAME, primary_key=True),
    Column("height", HEIGHT, primary_key=True, autoincrement=False),
    Column("day", DAY, nullable=False),
    Column("block_hash", HASH, nullable=False),
    Column("parent_hash", HASH, nullable=False),
    Column("header_at", TIME, nullable=False, comment="Time in the header."),
    Column("block_at", TIME, nullable=False, comment="Median-time-past on UTXO chains."),
    Column("tx_count", Integer, nullable=False, comment="Transactions, coinbase included."),
    Column("size_bytes", BigInteger),
    Column("bits", BigInteger, comment="UTXO: compact target."),
    Column("gas_used", BigInteger),
    Column("base_fee_per_gas", BigInteger, comment="Wei; NULL before London."),
    Column("miner", ADDRESS),
    Column("traced", Boolean, nullable=False, comment="Internal native transfers are known."),
    Index("ix_block_day", "chain", "day", "height"),
    # Balances of the native coin ask whether any block is untraced.
    Index("ix_block_untraced", "chain", "height", postgresql_where=text("NOT traced")),
    schema="chain",
)

EVM_TRANSACTION = Table(
    "evm_transaction",
    METADATA,
    *_of_block(),
    Column("tx_index", Integer, primary_key=True),
    Column("tx_hash", HASH, nullable=False),
    Column("sender", ADDRESS, nullable=False),
    Column("recipient", ADDRESS, comment="NULL: contract creation."),
    Column("created_contract", ADDRESS),
    Column("value", UINT256, nullable=False, comment="Wei."),
    Column("gas_used", BigInteger, nullable=False),
    Column("gas_price", UINT256, nullable=False, comment="Effective price, wei."),
    Column("succeeded", Boolean, nullable=False),
    schema="chain",
    **by_day(),
)

TOKEN_TRANSFER = Table(
    "token_transfer",
    METADATA,
    *_of_block(),
    Column("tx_index", Integer, nullable=False),
    Column("tx_hash", HASH, nullable=False),
    Column("log_index", Integer, primary_key=True),
    Column("item_index", Integer, primary_key=True, comment="Position in an ERC-1155 batch."),
    Column("standard", SmallInteger, nullable=False, comment="20, 721 or 1155."),
    Column("token", ADDRESS, nullable=False),
    Column("sender", ADDRESS, nullable=False),
    Column("recipient", ADDRESS, nullable=False),
    Column("token_id", UINT256, comment="NULL for ERC-20."),
    Column("amount", UINT256, nullable=False, comment="Smallest unit; 1 for ERC-721."),
    schema="chain",
    **by_day(),
)

NATIVE_TRANSFER = Table(
    "native_transfer",
    METADATA,
    *_of_block(),
    Column("seq", Integer, primary_key=True, comment="Position in the block."),
    Column("tx_index", Integer),
    Column(
        "kind",
        Text,
        nullable=False,
        comment="value, internal, fee, tip, reward, withdrawal, genesis or selfdestruct.",
    ),
    Column("sender", ADDRESS, comment="NULL: the coin comes into being."),
    Column("recipient", ADDRESS, comment="NULL: the coin is burned."),
    Column("amount", UINT256, nullable=False, comment="Wei."),
    schema="chain",
    **by_day(),
)

MALFORMED_LOG = Table(
    "malformed_log",
    METADATA,
    *_of_block(),
    Column("tx_index", Integer, nullable=False),
    Column("tx_hash", HASH, nullable=False),
    Column("log_index", Integer, primary_key=True),
    Column("token", ADDRESS, nullable=False),
    Column("reason", Text, nullable=False),
    Column("topics", HASH, nullable=False, comment="The topics, joined."),
    Column("data", HASH, nullable=False),
    schema="chain",
    **by_day(),
)

UTXO_OUTPUT = Table(
    "utxo_output",
    METADATA,
    *_of_block(),
    Column("tx_index", Integer, primary_key=True),
    Column("vout", Integer, primary_key=True),
    Column("txid", HASH, nullable=False, comment="As explorers print it."),
    Column("value", BigInteger, nullable=False, comment="Smallest unit."),
    Column("address", ADDRESS, comment="Kind byte and hash; NULL where the script has none."),
    Column("spendable", Boolean, nullable=False),
    schema="chain",
    **by_day(),
)

UTXO_INPUT = Table(
    "utxo_input",
    METADATA,
    *_of_block(),
    Column("tx_index", Integer, primary_key=True),
    Column("input_index", Integer, primary_key=True),
    Column("prev_txid", HASH, nullable=False),
    Column("prev_vout", Integer, nullable=False),
    schema="chain",
    **by_day(),
)

LABEL = Table(
    "label",
    METADATA,
    # Bitemporal: what was so, and since when and until when that was believed.
    Column("label_id", BigInteger, Identity(), primary_key=True),
    Column("chain", NAME, nullable=False),
    Column("address", ADDRESS, nullable=False),
    Column("category", NAME, nullable=False, comment="exchange, miner, bridge, contract, …"),
    Column("entity", NAME, nullable=False, comment="Who it belongs to, such as kraken."),
    Column("valid_from", DAY, nullable=False, comment="First UTC day."),
    Column("valid_to", DAY, comment="First UTC day after; NULL: still so."),
    Column("known_from", TIME, nullable=False, comment="Believed since then."),
    Column("known_to", TIME, comment="Believed until then; NULL: still believed."),
    Column("source", Text, nullable=False, comment="Who told it."),
    CheckConstraint("valid_to > valid_from", name="ck_label_valid"),
    Index("ix_label_address", "chain", "address", postgresql_where=text("known_to IS NULL")),
    schema="chain",
)
