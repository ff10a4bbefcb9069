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
    Column("token", ADDRESS, nullable=False, comment="Contract of the log."),
    Column("reason", Text, nullable=False),
    Column("topics", HASH, nullable=False, comment="The topics, joined."),
    Column("data", HASH, nullable=False),
    schema="chain",
    **by_day(),
)

NFT_TRADE = Table(
    "nft_trade",
    METADATA,
    *_of_block(),
    Column("tx_index", Integer, nullable=False),
    Column("tx_hash", HASH, nullable=False),
    Column("log_index", Integer, primary_key=True),
    Column("item_index", Integer, primary_key=True, comment="Position in a bundle; else 0."),
    Column("market", NAME, nullable=False, comment="As its file in sources/nft_markets."),
    Column("version", Text, nullable=False, comment="Of the market's contract."),
    Column("contract", ADDRESS, nullable=False, comment="The market's, which logged the trade."),
    Column("side", Text, nullable=False, comment="What was taken: a listing or an offer."),
    Column("standard", SmallInteger, comment="721 or 1155; NULL: neither, as CryptoPunks."),
    Column("collection", ADDRESS, nullable=False),
    Column("token_id", UINT256, nullable=False),
    Column("quantity", UINT256, nullable=False, comment="1 unless ERC-1155."),
    Column("bundle_size", Integer, nullable=False, comment="Items that the price was split over."),
    Column("seller", ADDRESS, nullable=False),
    Column("buyer", ADDRESS, nullable=False),
    Column("currency", ADDRESS, comment="Zero: native coin; NULL: several, or not in the log."),
    Column("price", UINT256, comment="Of the item, with fees, smallest unit; NULL: unpriced."),
    Column("platform_fee", UINT256, comment="In the price; NULL: not in the logs."),
    Column("royalty", UINT256, comment="In the price; NULL: not in the logs."),
    Column("unpriced", Text, comment="Why there is no price; NULL: there is one."),
    schema="chain",
    **by_day(),
)

NFT_BID = Table(
    "nft_bid",
    METADATA,
    # Never archived: what an accepted bid paid is in a bid of any earlier day.
    *_of_block(),
    Column("tx_hash", HASH, nullable=False),
    Column("log_index", Integer, primary_key=True),
    Column("market", NAME, nullable=False, comment="As its file in sources/nft_markets."),
    Column("collection", ADDRESS, nullable=False),
    Column("token_id", UINT256, nullable=False),
    Column("bidder", ADDRESS, nullable=False),
    Column(
        "price",
        UINT256,
        nullable=False,
        comment="Offered or given back; smallest unit of the sale's currency, most often wei.",
    ),
    Column("withdrawn", Boolean, nullable=False, comment="The bid was taken back."),
    Index("ix_nft_bid_token", "chain", "collection", "token_id", "height", "log_index"),
    schema="chain",
)

FLASH_LOAN = Table(
    "flash_loan",
    METADATA,
    *_of_block(),
    Column("tx_index", Integer, nullable=False),
    Column("tx_hash", HASH, nullable=False),
    Column("log_index", Integer, primary_key=True),
    Column("lender", ADDRESS, nullable=False, comment="Contract that logged the loan."),
    Column("protocol", NAME, nullable=False, comment="Whose event it is, such as balancer_v2."),
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
