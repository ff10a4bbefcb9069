"""The ``block`` and ``evm_transaction`` tables."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from onchain_agg.sources.batch import TIME
from onchain_agg.sources.evm_columns import (
    BlockColumns,
    address_column,
    amounts,
    binary_column,
    bool_column,
    from_hex,
    int_column,
    numbers,
    record_batch,
    words,
)
from onchain_agg.sources.evm_json import Block, Header, Receipt
from onchain_agg.sources.evm_native import Internals, gas_price, succeeded


def block_table(
    headers: Sequence[Header], blocks: BlockColumns, traced: npt.NDArray[np.bool_]
) -> pa.RecordBatch:
    """Return ``block``; an EVM block's own time decides its day."""
    everywhere = np.arange(len(headers), dtype=np.int64)
    base_fees = [header.base_fee_per_gas for header in headers]
    has_base_fee = np.array([fee is not None for fee in base_fees], np.bool_)
    at = int_column(blocks.seconds * 1_000_000, TIME)
    tx_count = np.array([len(header.transactions) for header in headers], np.int64)
    columns = blocks.of(everywhere) | {
        "parent_hash": binary_column(blocks.parents),
        "header_at": at,
        "block_at": at,
        "tx_count": int_column(tx_count, pa.int32()),
        "size_bytes": int_column(numbers([h.size for h in headers]), pa.int64()),
        "bits": pa.nulls(len(headers), pa.int64()),
        "gas_used": int_column(numbers([h.gas_used for h in headers]), pa.int64()),
        "base_fee_per_gas": int_column(
            numbers([fee or "0x0" for fee in base_fees]), pa.int64(), has_base_fee
        ),
        "miner": binary_column(from_hex([h.miner for h in headers], 20)),
        "traced": bool_column(traced),
    }
    return record_batch("block", columns)


def transaction_table(
    bodies: Sequence[Block],
    receipts: Sequence[Sequence[Receipt]],
    internals: Sequence[Internals | None],
    blocks: BlockColumns,
) -> pa.RecordBatch:
    """Return ``evm_transaction`` of the blocks and the receipts of each."""
    position, tx_index, known = [], [], []
    for p, (body, of_block, internal) in enumerate(zip(bodies, receipts, internals, strict=True)):
        for i, (transaction, receipt) in enumerate(zip(body.transactions, of_block, strict=False)):
            position.append(p)
            tx_index.append(i)
            known.append((transaction, receipt, succeeded(receipt, i, internal)))
    created = [r.contract_address if ok and t.to is None else None for t, r, ok in known]
    columns = blocks.of(np.array(position, np.int64)) | {
        "tx_index": int_column(np.array(tx_index, np.int64), pa.int32()),
        "tx_hash": binary_column(from_hex([t.hash for t, _, _ in known], 32)),
        "sender": address_column([t.sender for t, _, _ in known]),
        "recipient": address_column([t.to for t, _, _ in known]),
        "created_contract": address_column(created),
        "value": binary_column(words([t.value for t, _, _ in known])),
        "gas_used": int_column(numbers([r.gas_used for _, r, _ in known]), pa.int64()),
        "gas_price": binary_column(amounts([gas_price(t, r) for t, r, _ in known])),
        "succeeded": bool_column(np.array([ok for _, _, ok in known], np.bool_)),
    }
    return record_batch("evm_transaction", columns)
