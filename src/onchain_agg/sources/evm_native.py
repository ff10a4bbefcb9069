"""The native coin's ledger: every movement of a block, so that balances are sums.

Per transaction, in this order: the burned fee, the miner's tip, the value, what calls inside it
moved. Then withdrawals and mining rewards; the genesis allocation in block 0.

Known gaps: Ethereum's DAO fork (block 1,920,000) moved coins without a transaction, and coins sent
to a contract after its self-destruct in the same transaction vanish unseen.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from onchain_agg.errors import SourceError
from onchain_agg.sources.evm_columns import (
    BlockColumns,
    address_column,
    amounts,
    binary_column,
    int_column,
    number,
    record_batch,
)
from onchain_agg.sources.evm_json import Block, Receipt, Transaction

GWEI = 10**9


class Move(NamedTuple):
    """Coins from *sender* (None: they come into being) to *recipient* (None: they are burned)."""

    tx_index: int | None
    kind: str
    sender: str | None
    recipient: str | None
    amount: int  # wei


class Internals(NamedTuple):
    """What traces add to a block: moves by transaction, rewards, and which transactions failed."""

    moves: Mapping[int, Sequence[Move]]
    rewards: Sequence[Move]
    failed: frozenset[int]


def succeeded(receipt: Receipt, tx_index: int, internals: Internals | None) -> bool:
    """Return whether the transaction succeeded.

    Raises:
        SourceError: Neither its receipt nor a trace tells.
    """
    if receipt.status is not None:
        return number(receipt.status) == 1
    if internals is None:
        raise SourceError(
            f"The receipt of {receipt.transaction_hash} has no status (it is older than Byzantium) "
            "and the node offers no traces. Point the connection at a node with traces."
        )
    return tx_index not in internals.failed


def block_moves(
    block: Block, receipts: Sequence[Receipt], internals: Internals | None
) -> list[Move]:
    """Return the moves of *block* in order; without *internals* only those of the top level."""
    base_fee = number(block.base_fee_per_gas or "0x0")
    moves: list[Move] = []
    for i, (transaction, receipt) in enumerate(zip(block.transactions, receipts, strict=False)):
        moves += _fees(i, transaction, receipt, base_fee, block.miner)
        if succeeded(receipt, i, internals):
            to = transaction.to or receipt.contract_address
            moves.append(Move(i, "value", transaction.sender, to, number(transaction.value)))
        moves += internals.moves.get(i, ()) if internals else ()
    for withdrawal in block.withdrawals or ():
        paid = number(withdrawal.amount) * GWEI
        moves.append(Move(None, "withdrawal", None, withdrawal.address, paid))
    moves += internals.rewards if internals else ()
    return [move for move in moves if move.amount]


def _fees(
    tx_index: int, transaction: Transaction, receipt: Receipt, base_fee: int, miner: str
) -> list[Move]:
    price, gas = gas_price(transaction, receipt), number(receipt.gas_used)
    burned = min(base_fee, price)  # a system transaction pays nothing, whatever the base fee is
    blob = number(receipt.blob_gas_used or "0x0") * number(receipt.blob_gas_price or "0x0")
    payer = transaction.sender
    return [
        Move(tx_index, "fee", payer, None, burned * gas),
        Move(tx_index, "fee", payer, None, blob),
        Move(tx_index, "tip", payer, miner, (price - burned) * gas),
    ]


def gas_price(transaction: Transaction, receipt: Receipt) -> int:
    """Return the price that was paid for each unit of gas, in wei."""
    return number(receipt.effective_gas_price or transaction.gas_price or "0x0")


def genesis_moves(allocation: Mapping[bytes, int]) -> list[Move]:
    """Return the moves that bring the genesis allocation into being, by address."""
    return [
        Move(None, "genesis", None, "0x" + address.hex(), amount)
        for address, amount in sorted(allocation.items())
        if amount
    ]


def native_table(moves_by_block: Sequence[Sequence[Move]], blocks: BlockColumns) -> pa.RecordBatch:
    """Return ``native_transfer`` of the moves of each block."""
    counts = [len(moves) for moves in moves_by_block]
    moves = [move for of_block in moves_by_block for move in of_block]
    tx_index = np.array([-1 if m.tx_index is None else m.tx_index for m in moves], np.int64)
    seq = np.array([i for count in counts for i in range(count)], np.int64)
    columns = blocks.of(np.repeat(np.arange(len(counts), dtype=np.int64), counts)) | {
        "seq": int_column(seq, pa.int32()),
        "tx_index": int_column(tx_index, pa.int32(), tx_index >= 0),
        "kind": pa.array([m.kind for m in moves], pa.string()),
        "sender": address_column([m.sender for m in moves]),
        "recipient": address_column([m.recipient for m in moves]),
        "amount": binary_column(amounts([m.amount for m in moves])),
    }
    return record_batch("native_transfer", columns)
