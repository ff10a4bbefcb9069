"""What every source hands over: column batches of one block range.

A batch holds one Arrow record batch per ``chain.*`` table, with that table's columns except
``chain``, which the loader adds. Hashes and addresses are raw bytes, amounts 32 big-endian bytes
(uint256) or 64-bit integers (satoshi), times microseconds in UTC. Knows neither SQL nor Airflow.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import pyarrow as pa

HASH = pa.binary(32)
EVM_ADDRESS = pa.binary(20)
UINT256 = pa.binary(32)
TIME = pa.timestamp("us", tz="UTC")

# Every fact carries its block's day, height and hash, in this order, first.
_OF_BLOCK = [("day", pa.date32()), ("height", pa.int64()), ("block_hash", HASH)]

SCHEMAS: Mapping[str, pa.Schema] = {
    "block": pa.schema(
        [
            ("day", pa.date32()),
            ("height", pa.int64()),
            ("block_hash", HASH),
            ("parent_hash", HASH),
            ("header_at", TIME),  # the header's own time
            ("block_at", TIME),  # decides day and hour: median-time-past on UTXO chains
            ("tx_count", pa.int32()),
            ("size_bytes", pa.int64()),
            ("bits", pa.int64()),  # UTXO: compact target; null on EVM
            ("gas_used", pa.int64()),  # EVM; null on UTXO
            ("base_fee_per_gas", pa.int64()),  # EVM since London, wei; else null
            ("miner", EVM_ADDRESS),  # EVM; null on UTXO
            # EVM: internal transfers are known, so native_transfer is complete. UTXO: true.
            ("traced", pa.bool_()),
        ]
    ),
    "evm_transaction": pa.schema(
        [
            *_OF_BLOCK,
            ("tx_index", pa.int32()),
            ("tx_hash", HASH),
            ("sender", EVM_ADDRESS),
            ("recipient", EVM_ADDRESS),  # null: contract creation
            ("created_contract", EVM_ADDRESS),  # null unless a contract was created
            ("value", UINT256),
            ("gas_used", pa.int64()),
            ("gas_price", UINT256),  # effective price, wei
            ("succeeded", pa.bool_()),
        ]
    ),
    "token_transfer": pa.schema(
        [
            *_OF_BLOCK,
            ("tx_index", pa.int32()),
            ("tx_hash", HASH),
            ("log_index", pa.int32()),
            ("item_index", pa.int32()),  # position in an ERC-1155 batch; else 0
            ("standard", pa.int16()),  # 20, 721 or 1155
            ("token", EVM_ADDRESS),
            ("sender", EVM_ADDRESS),
            ("recipient", EVM_ADDRESS),
            ("token_id", UINT256),  # null for ERC-20
            ("amount", UINT256),  # 1 for ERC-721
        ]
    ),
    "native_transfer": pa.schema(
        [
            *_OF_BLOCK,
            ("seq", pa.int32()),  # position in the block's list of native transfers
            (
                "tx_index",
                pa.int32(),
            ),  # null: reward, withdrawal or genesis
            # value | internal | fee | tip | reward | withdrawal | genesis | selfdestruct
            ("kind", pa.string()),
            ("sender", EVM_ADDRESS),  # null: the coin comes into being
            ("recipient", EVM_ADDRESS),  # null: the coin is burned
            ("amount", UINT256),
        ]
    ),
    "malformed_log": pa.schema(
        [
            *_OF_BLOCK,
            ("tx_index", pa.int32()),
            ("tx_hash", HASH),
            ("log_index", pa.int32()),
            ("token", EVM_ADDRESS),
            ("reason", pa.string()),
            ("topics", pa.binary()),  # the topics, joined
            ("data", pa.binary()),
        ]
    ),
    "nft_trade": pa.schema(
        [
            *_OF_BLOCK,
            ("tx_index", pa.int32()),
            ("tx_hash", HASH),
            ("log_index", pa.int32()),
            ("item_index", pa.int32()),  # position in a bundle; else 0
            ("market", pa.string()),
            ("version", pa.string()),
            ("contract", EVM_ADDRESS),  # the market's
            ("side", pa.string()),  # listing | offer: what was taken
            ("standard", pa.int16()),  # 721 or 1155; null: neither
            ("collection", EVM_ADDRESS),
            ("token_id", UINT256),
            ("quantity", UINT256),
            ("bundle_size", pa.int32()),
            ("seller", EVM_ADDRESS),
            ("buyer", EVM_ADDRESS),
            ("currency", EVM_ADDRESS),  # zero: native coin; null: several, or not in the log
            ("price", UINT256),  # null: unpriced
            ("platform_fee", UINT256),  # null: not in the logs
            ("royalty", UINT256),  # null: not in the logs
            ("unpriced", pa.string()),  # why; null: priced
        ]
    ),
    "nft_bid": pa.schema(
        [
            *_OF_BLOCK,
            ("tx_hash", HASH),
            ("log_index", pa.int32()),
            ("market", pa.string()),
            ("collection", EVM_ADDRESS),
            ("token_id", UINT256),
            ("bidder", EVM_ADDRESS),
            ("price", UINT256),
            ("withdrawn", pa.bool_()),
        ]
    ),
    "flash_loan": pa.schema(
        [
            *_OF_BLOCK,
            ("tx_index", pa.int32()),
            ("tx_hash", HASH),
            ("log_index", pa.int32()),
            ("lender", EVM_ADDRESS),
            ("protocol", pa.string()),
        ]
    ),
    "utxo_output": pa.schema(
        [
            *_OF_BLOCK,
            ("tx_index", pa.int32()),
            ("vout", pa.int32()),
            ("txid", HASH),  # in the order explorers print it
            ("value", pa.int64()),
            # One byte of kind (0 P2PKH and P2PK, 5 P2SH, 16 + witness version), then the hash or
            # program; null where the script has no address.
            ("address", pa.binary()),
            ("spendable", pa.bool_()),  # false: OP_RETURN, oversized script, the genesis output
        ]
    ),
    "utxo_input": pa.schema(
        [
            *_OF_BLOCK,
            ("tx_index", pa.int32()),
            ("input_index", pa.int32()),
            ("prev_txid", HASH),
            ("prev_vout", pa.int32()),
        ]
    ),
}

EVM_TABLES = (
    "block",
    "evm_transaction",
    "token_transfer",
    "native_transfer",
    "nft_trade",
    "nft_bid",
    "flash_loan",
    "malformed_log",
)
UTXO_TABLES = ("block", "utxo_output", "utxo_input")


@dataclass(frozen=True)
class Batch:
    """The facts of blocks *first* to *last*, both included, linked by their parent hashes.

    A block without, say, token transfers has no rows in that table; its ``block`` row is always
    there. Blocks that the source does not have are an error, never a gap inside a batch.
    """

    chain: str
    first: int
    last: int
    tables: Mapping[str, pa.RecordBatch]


@dataclass(frozen=True)
class BlockRef:
    """One block of the node's canonical chain."""

    height: int
    block_hash: bytes
    parent_hash: bytes
    header_at: datetime


class BlockSource(Protocol):
    """What ingest needs of a node or a set of files; small enough to fake."""

    def check_chain(self) -> None:
        """Raise WrongChainError unless the source serves the chain it was made for."""

    def first_height(self) -> int:
        """Return the lowest height that the source can serve."""

    def tip(self) -> BlockRef:
        """Return the source's highest canonical block."""

    def final_height(self) -> int:
        """Return the height of the highest final block (-1 where none is final yet)."""

    def block_at(self, height: int) -> BlockRef:
        """Return the canonical block at *height*.

        Raises:
            NodeBehindError: The source does not have that height.
        """

    def read(self, first: int, last: int) -> Iterator[Batch]:
        """Yield batches that cover blocks *first* to *last*, both included, in order.

        Memory is bounded by one batch. Each batch is linked to the one before it.

        Raises:
            ForkError: The chain was reorganised during the read; nothing of it was yielded twice.
            NodeBehindError: The source does not reach *last*.
            SourceError: The source did not answer, or answered with an error.
        """
