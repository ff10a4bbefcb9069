"""DuckDB, and Arrow batches as a relation of it, read once and never held as a whole."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import duckdb
import pyarrow as pa

STREAM = "stream"


def opened(
    path: str = ":memory:", config: Mapping[str, Any] | None = None
) -> duckdb.DuckDBPyConnection:
    """Return a connection to the database at *path* that draws no progress bar: a log is no screen.

    It is to be closed.
    """
    connection = duckdb.connect(path, config=dict(config or {}))
    connection.execute("SET enable_progress_bar = false")
    return connection


@contextmanager
def streamed(
    connection: duckdb.DuckDBPyConnection, schema: pa.Schema, batches: Iterable[pa.RecordBatch]
) -> Iterator[None]:
    """Make *batches* the relation `STREAM` for one statement.

    An error of the source is raised as it is, not as DuckDB's words about it.

    Args:
        connection: Of the database that reads.
        schema: Of every batch, whose columns may lack names of their own for nullability.
        batches: The rows.
    """
    failure: list[Exception] = []

    def told() -> Iterator[pa.RecordBatch]:
        try:
            for batch in batches:
                yield pa.RecordBatch.from_arrays(batch.columns, schema=schema)
        except Exception as error:
            failure.append(error)
            raise

    connection.register(STREAM, pa.RecordBatchReader.from_batches(schema, told()))
    try:
        yield
    except duckdb.Error:
        if failure:
            raise failure[0] from None
        raise
    finally:
        connection.unregister(STREAM)
