"""Token transfers and holders made without a node."""
# ruff: noqa: INP001 - run from the repository, never installed.

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

import pyarrow as pa
from sqlalchemy import Connection, text

from onchain_agg.sources.batch import SCHEMAS, Batch

# The address is the one that `holder` gives; balances fall off as wealth does.
_FILL = text(
    "INSERT INTO state.balance (asset_id, address, balance)"
    " SELECT asset_id, substring(sha256(CAST(CAST(n AS text) AS bytea)) FOR 20),"
    " trunc(1e24 / (1 + n)) FROM ops.asset, generate_series(0, :holders - 1) n"
    " WHERE address = ANY(:tokens)"
)


@dataclass(frozen=True)
class Moved:
    """A transfer of *amount* of the token at *token*, between two numbered holders."""

    token: bytes
    sender: int
    recipient: int
    amount: int


def fill_balances(connection: Connection, tokens: Sequence[bytes], holders: int) -> None:
    """Give that many numbered holders a balance of each of *tokens*, which must be assets."""
    connection.execute(_FILL, {"holders": holders, "tokens": list(tokens)})
    connection.execute(text("ANALYZE state.balance"))


def holder(number: int) -> bytes:
    """Return the address of holder *number*."""
    return sha256(str(number).encode()).digest()[:20]


def one_block(chain: str, height: int, at: datetime, transfers: Sequence[Moved]) -> Batch:
    """Return the batch of one block, which follows the block made for the height below."""
    block_hash = _hash_of(height)
    of_block = {"day": at.date(), "height": height, "block_hash": block_hash}
    block = {
        **of_block,
        "parent_hash": _hash_of(height - 1),
        "header_at": at,
        "block_at": at,
        "tx_count": len(transfers),
        "size_bytes": None,
        "traced": False,
    }
    rows = [
        {
            **of_block,
            "tx_index": index,
            "tx_hash": sha256(block_hash + index.to_bytes(4)).digest(),
            "log_index": index,
            "item_index": 0,
            "standard": 20,
            "token": moved.token,
            "sender": holder(moved.sender),
            "recipient": holder(moved.recipient),
            "amount": moved.amount.to_bytes(32),
        }
        for index, moved in enumerate(transfers)
    ]
    tables = {"block": [block], "token_transfer": rows}
    return Batch(
        chain,
        height,
        height,
        {
            name: pa.RecordBatch.from_pylist(found, schema=SCHEMAS[name])
            for name, found in tables.items()
        },
    )


def _hash_of(height: int) -> bytes:
    return sha256(f"block {height}".encode()).digest()
