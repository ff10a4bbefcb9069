"""One fetched range as the record batches of its tables."""

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from onchain_agg.sources.batch import EVM_TABLES, SCHEMAS
from onchain_agg.sources.evm_blocks import block_table, transaction_table
from onchain_agg.sources.evm_columns import BlockColumns, block_columns, number
from onchain_agg.sources.evm_fetch import Bodies, Fetched, TraceCall, mined_by_work
from onchain_agg.sources.evm_json import Block, Header, Log
from onchain_agg.sources.evm_logs import token_tables
from onchain_agg.sources.evm_native import Move, block_moves, genesis_moves, native_table
from onchain_agg.sources.nft_logs import nft_tables


def tables_of(
    fetched: Fetched, first: int, genesis_alloc: Mapping[bytes, int] | None
) -> dict[str, pa.RecordBatch]:
    """Return every EVM table of blocks *first* and up; those that were not asked for are empty.

    Raises:
        ForkError: The blocks do not link up, or a log belongs to another block.
        SourceError: The node sent something that does not fit its column.
    """
    columns = block_columns(fetched.headers, first)
    bodies, method = fetched.bodies, fetched.bodies.traces if fetched.bodies else None
    traced = [_traced(header, method, genesis_alloc) for header in fetched.headers]
    tables = {
        "block": block_table(fetched.headers, columns, np.array(traced, np.bool_)),
        **_log_tables(fetched.logs, columns),
    }
    if bodies:
        tables |= _body_tables(bodies, columns, genesis_alloc)
    return {name: tables.get(name) or _empty(name) for name in EVM_TABLES}


def _log_tables(logs: Sequence[Log], columns: BlockColumns) -> dict[str, pa.RecordBatch]:
    """Return the tables that are made from logs; two of them have rows of both kinds."""
    tokens, nfts = token_tables(logs, columns), nft_tables(logs, columns)
    both = {name: pa.concat_batches([tokens[name], nfts[name]]) for name in tokens}
    return nfts | both


def _empty(table: str) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([], schema=SCHEMAS[table])


def _traced(
    header: Header, method: TraceCall | None, genesis_alloc: Mapping[bytes, int] | None
) -> bool:
    """Return whether every native transfer of the block is known."""
    if method is None:
        return False
    if number(header.number) == 0:
        return genesis_alloc is not None
    # Only trace_block lists the rewards of miners.
    return method == "trace_block" or not mined_by_work(header)


def _body_tables(
    bodies: Bodies, columns: BlockColumns, genesis_alloc: Mapping[bytes, int] | None
) -> dict[str, pa.RecordBatch]:
    moves = [
        [*_genesis(block, genesis_alloc), *block_moves(block, receipts, internals)]
        for block, receipts, internals in zip(
            bodies.blocks, bodies.receipts, bodies.internals, strict=True
        )
    ]
    return {
        "evm_transaction": transaction_table(
            bodies.blocks, bodies.receipts, bodies.internals, columns
        ),
        "native_transfer": native_table(moves, columns),
    }


def _genesis(block: Block, allocation: Mapping[bytes, int] | None) -> list[Move]:
    return genesis_moves(allocation) if allocation and number(block.number) == 0 else []
