"""Parsed Bitcoin-family blocks to the columns of ``chain.*``, cut out of the raw bytes at once."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain as chained

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from onchain_agg.errors import SourceError
from onchain_agg.sources.batch import SCHEMAS
from onchain_agg.sources.bitcoin_parse import ParsedBlock
from onchain_agg.sources.bitcoin_script import Offsets, address_column, unspendable, windows

_DAY_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class PlacedBlock:
    """A block in its chain.

    Attributes:
        block_time: Median-time-past, Unix seconds; it decides the block's day.
    """

    block: ParsedBlock
    height: int
    block_time: int


def block_tables(blocks: Sequence[PlacedBlock]) -> Mapping[str, pa.RecordBatch]:
    """Return one record batch per UTXO table, with the facts of *blocks* in their order.

    Raises:
        SourceError: A value or an output number is beyond what any valid block holds.
    """
    parsed = [placed.block for placed in blocks]
    raw = b"".join(block.raw for block in parsed)
    sizes = np.array([len(block.raw) for block in parsed], np.int64)
    batch = _Joined(blocks, raw, np.cumsum(sizes) - sizes, _block_keys(blocks))
    return {
        "block": _blocks(batch, sizes),
        "utxo_output": _outputs(batch),
        "utxo_input": _inputs(batch),
    }


@dataclass(frozen=True, slots=True)
class _Joined:
    """Blocks laid end to end in *raw*, and where each starts."""

    blocks: Sequence[PlacedBlock]
    raw: bytes
    starts: Offsets
    keys: Mapping[str, npt.NDArray[np.generic]]


@dataclass(frozen=True, slots=True)
class _Rows:
    """The inputs or outputs of a batch: which block and transaction each belongs to."""

    block: Offsets
    transaction: Offsets  # counted through the whole batch
    tx_index: Offsets  # counted in its block
    item: Offsets  # counted in its transaction


def _blocks(batch: _Joined, sizes: Offsets) -> pa.RecordBatch:
    headers = [placed.block.header for placed in batch.blocks]
    count = len(headers)
    counts = np.array([len(placed.block.txids) for placed in batch.blocks], np.int32)
    columns = {
        **batch.keys,
        "parent_hash": np.frombuffer(b"".join(h.parent_hash for h in headers), "V32"),
        "header_at": np.array([h.time for h in headers], np.int64) * 1_000_000,
        "block_at": np.array([b.block_time for b in batch.blocks], np.int64) * 1_000_000,
        "tx_count": counts,
        "size_bytes": sizes,
        "bits": np.array([h.bits for h in headers], np.int64),
        "traced": pa.array([True] * count, pa.bool_()),
    }
    return _record_batch("block", count, columns)


def _outputs(batch: _Joined) -> pa.RecordBatch:
    rows = _rows(batch, lambda block: block.output_counts)
    offsets = _offsets(batch, rows, lambda block: block.output_offsets)
    ends = _offsets(batch, rows, lambda block: block.script_ends)
    starts = offsets + 8 + _compact_width(np.frombuffer(batch.raw, np.uint8)[offsets + 8])
    txids = b"".join(chained.from_iterable(placed.block.txids for placed in batch.blocks))
    values = _small(batch, rows, windows(batch.raw, "<i8")[offsets], "an output's value")
    heights = batch.keys["height"][rows.block]
    spendable = ~unspendable(batch.raw, starts, ends) & (heights != 0)
    columns = {
        **_of_block(batch, rows),
        "vout": rows.item.astype(np.int32),
        "txid": _reversed(np.frombuffer(txids, "V32"))[rows.transaction],
        "value": values,
        "address": address_column(batch.raw, starts, ends),
        "spendable": _booleans(spendable),
    }
    return _record_batch("utxo_output", len(offsets), columns)


def _inputs(batch: _Joined) -> pa.RecordBatch:
    rows = _rows(batch, lambda block: block.input_counts)
    offsets = _offsets(batch, rows, lambda block: block.input_offsets)
    numbers = windows(batch.raw, "<i4")[offsets + 32]
    columns = {
        **_of_block(batch, rows),
        "input_index": rows.item.astype(np.int32),
        "prev_txid": _reversed(windows(batch.raw, "V32")[offsets]),
        "prev_vout": _small(batch, rows, numbers, "a spent output's number"),
    }
    return _record_batch("utxo_input", len(offsets), columns)


def _block_keys(blocks: Sequence[PlacedBlock]) -> dict[str, npt.NDArray[np.generic]]:
    """Return day, height and hash of each block."""
    times = np.array([placed.block_time for placed in blocks], np.int64)
    hashes = b"".join(placed.block.header.block_hash for placed in blocks)
    return {
        "day": (times // _DAY_SECONDS).astype(np.int32),
        "height": np.array([placed.height for placed in blocks], np.int64),
        "block_hash": np.frombuffer(hashes, "V32"),
    }


def _rows(batch: _Joined, counts_of: Callable[[ParsedBlock], list[int]]) -> _Rows:
    """Return where each of a batch's items belongs, given each transaction's number of them."""
    per_tx = [counts_of(placed.block) for placed in batch.blocks]
    counts = np.fromiter(chained.from_iterable(per_tx), np.int64)
    txs = np.array([len(block) for block in per_tx], np.int64)
    block_of_tx = np.repeat(np.arange(len(txs)), txs)
    first_tx = np.cumsum(txs) - txs
    transaction = np.repeat(np.arange(len(counts)), counts)
    first_item = np.cumsum(counts) - counts
    block = block_of_tx[transaction]
    item = np.arange(len(transaction)) - first_item[transaction]
    return _Rows(block, transaction, transaction - first_tx[block], item)


def _offsets(batch: _Joined, rows: _Rows, found: Callable[[ParsedBlock], list[int]]) -> Offsets:
    """Return where in the joined bytes each item lies."""
    inside = chained.from_iterable(found(placed.block) for placed in batch.blocks)
    return np.fromiter(inside, np.int64, len(rows.block)) + batch.starts[rows.block]


def _of_block(batch: _Joined, rows: _Rows) -> dict[str, npt.NDArray[np.generic]]:
    """Return the columns that say which block and transaction each row is of."""
    keys = {name: column[rows.block] for name, column in batch.keys.items()}
    return {**keys, "tx_index": rows.tx_index.astype(np.int32)}


def _compact_width(first: npt.NDArray[np.uint8]) -> Offsets:
    """Return the length of the variable-length integers that start with these bytes."""
    widths = np.ones(256, np.int64)
    widths[0xFD:] = 3, 5, 9
    return widths[first]


def _small(
    batch: _Joined, rows: _Rows, numbers: npt.NDArray[np.integer], what: str
) -> npt.NDArray[np.integer]:
    """Return *numbers*, or raise SourceError where one is too large to be signed."""
    wrong = np.flatnonzero(numbers < 0)
    if len(wrong):
        height = batch.blocks[rows.block[wrong[0]]].height
        msg = f"Block {height} is damaged: {what} is out of range. Fetch the block again."
        raise SourceError(msg)
    return numbers


def _reversed(hashes: npt.NDArray[np.void]) -> npt.NDArray[np.void]:
    """Return 32-byte hashes with their bytes in the opposite order."""
    flipped = hashes.view(np.uint8).reshape(-1, 32)[:, ::-1]
    return np.ascontiguousarray(flipped).reshape(-1).view("V32")


def _booleans(values: npt.NDArray[np.bool_]) -> pa.Array:
    bits = pa.py_buffer(np.packbits(values, bitorder="little"))
    return pa.Array.from_buffers(pa.bool_(), len(values), [None, bits])


def _record_batch(
    table: str, count: int, columns: Mapping[str, npt.NDArray[np.generic] | pa.Array]
) -> pa.RecordBatch:
    """Return the table's record batch; a column that is not given is null throughout."""
    schema = SCHEMAS[table]
    arrays = [_array(columns.get(field.name), field.type, count) for field in schema]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _array(
    column: npt.NDArray[np.generic] | pa.Array | None, kind: pa.DataType, count: int
) -> pa.Array:
    if column is None:
        return pa.nulls(count, kind)
    if isinstance(column, pa.Array):
        return column
    # Through the buffer: pa.array() would import pandas where it is installed, over a second.
    buffer = pa.py_buffer(np.ascontiguousarray(column))
    return pa.Array.from_buffers(kind, count, [None, buffer])
