"""A DuckDB database of its own for one computation, and exact sums of 256-bit amounts in it.

DuckDB has no integer of that size. An amount is split into four words of 64 bits; words are summed
as HUGEINT, which is exact for 2**63 rows and raises beyond, and the sums are put back to words by
carrying. A float never comes near.
"""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from onchain_agg.errors import ConfigError
from onchain_agg.warehouse.duckdb_stream import opened

WORDS = ("w3", "w2", "w1", "w0")
_MASK = f"{2**64 - 1}::HUGEINT"
_BASE = f"{2**64}::HUGEINT"
_OUT_ROWS = 65_536


@dataclass(frozen=True)
class Limits:
    """What a computation may use; what does not fit the memory goes to files.

    Attributes:
        memory: DuckDB's limit, such as ``4GB``; the process needs about 1 GB beside it.
        folder: Where files may be written; a pod's root is read-only, its ``/tmp`` is not.
        threads: None is one a core.
    """

    memory: str = "2GB"
    folder: Path = Path(tempfile.gettempdir())
    threads: int | None = None


@contextmanager
def scratch(limits: Limits) -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield an empty DuckDB database in memory; what it spills to files is gone afterwards.

    In a file every table would be compressed and checkpointed, which costs more than the sums.

    Raises:
        ConfigError: The limits do not suffice.
    """
    with tempfile.TemporaryDirectory(prefix="onchain-agg-", dir=limits.folder) as folder:
        config: dict[str, Any] = {
            "memory_limit": limits.memory,
            "temp_directory": folder,
            # Rows are keyed, so their order means nothing, and keeping it costs time and memory.
            "preserve_insertion_order": False,
            # There may be no way out to fetch one.
            "autoinstall_known_extensions": False,
        }
        if limits.threads is not None:
            config["threads"] = limits.threads
        try:
            with opened(config=config) as connection:
                yield connection
        except duckdb.OutOfMemoryException as error:
            raise ConfigError(
                f"DuckDB could not finish with {limits.memory} of memory and files in"
                f" {limits.folder}: {str(error).splitlines()[0]} Give it more."
            ) from error


def in_words(batch: pa.RecordBatch, column: str) -> pa.RecordBatch:
    """Return *batch* with the amounts of *column* as four unsigned words, highest first."""
    values = batch.column(column)
    raw = np.frombuffer(values.buffers()[1], ">u8")[values.offset * 4 :][: len(values) * 4]
    words = raw.reshape(-1, 4).astype("<u8").T
    names = [name for name in batch.schema.names if name != column]
    arrays = [batch.column(name) for name in names]
    return pa.RecordBatch.from_arrays(
        [*arrays, *(pa.array(np.ascontiguousarray(word)) for word in words)],
        names=[*names, *WORDS],
    )


def words_schema(fields: Sequence[pa.Field]) -> pa.Schema:
    """Return the schema of `in_words` where the other columns are *fields*."""
    return pa.schema([*fields, *(pa.field(word, pa.uint64()) for word in WORDS)])


def carried(rows: str, keep: str) -> str:
    """Return the query that puts sums of words back to words.

    Args:
        rows: A relation with the sums ``s4`` (of 2**256) to ``s0``, as HUGEINT.
        keep: The other columns to keep, separated by commas.

    Returns:
        A query of *keep*, ``h`` (HUGEINT, how often 2**256 is in it, rounded down) and the words
        (UBIGINT); the sum is ``h * 2**256`` and the number that the words spell.
    """
    # Shifting a negative sum rounds down, as carrying must. A level a word: within one SELECT each
    # sum would be written out, and computed, once more for every word above it.
    query = f"SELECT *, s0 AS t0 FROM {rows}"
    for word in range(3):
        query = (
            f"SELECT *, (t{word} & {_MASK})::UBIGINT AS w{word},"
            f" s{word + 1} + (t{word} >> 64) AS t{word + 1} FROM ({query})"
        )
    return (
        f"SELECT {keep}, w0, w1, w2, (t3 & {_MASK})::UBIGINT AS w3, s4 + (t3 >> 64) AS h"
        f" FROM ({query})"
    )


def wide_text(prefix: str = "") -> str:
    """Return the expression of a carried sum as `table_rows` writes a wide number."""
    words = ", ".join(f"{prefix}{word}" for word in WORDS)
    return (
        f"CASE WHEN {prefix}h BETWEEN -32768 AND 32767"
        f" THEN printf('%04x%016x%016x%016x%016x', ({prefix}h + 32768)::BIGINT, {words})"
        " ELSE error('a sum of amounts has more than 78 digits') END"
    )


def is_zero() -> str:
    """Return the condition that a carried sum is zero."""
    return "h = 0 AND w3 = 0 AND w2 = 0 AND w1 = 0 AND w0 = 0"


def wide_sum(expression: str) -> str:
    """Return the wide number of a HUGEINT that is far below 2**127, as sums of satoshi are."""
    low = f"({expression}) & {_MASK}"
    high = f"(({expression}) - ({low})) // {_BASE}"
    # Two's complement: a negative sum fills the upper words with ones.
    fill = f"CASE WHEN ({expression}) < 0 THEN '{'7fff' + 'f' * 32}' ELSE '{'8000' + '0' * 32}' END"
    return f"{fill} || printf('%016x%016x', ({high}) & {_MASK}, {low})"


def batches_of(connection: duckdb.DuckDBPyConnection, query: str) -> Iterator[pa.RecordBatch]:
    """Yield the rows of *query* in bounded batches."""
    yield from connection.sql(query).to_arrow_reader(_OUT_ROWS)
