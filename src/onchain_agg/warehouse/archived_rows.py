"""Whether rows are those that were archived: their count and checksum, as `ops.archived_day` says.

Every reader of a file asks here, so a damaged archive ends in an error and never in a figure.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import date
from typing import Any

import pyarrow as pa
from sqlalchemy import Column, Connection, Row, Table

from onchain_agg.errors import DataSetError
from onchain_agg.warehouse.fingerprint import (
    Fingerprint,
    fingerprint_of_batches,
    fingerprint_of_table,
)
from onchain_agg.warehouse.parquet_store import ParquetStore
from onchain_agg.warehouse.table_rows import schema_of
from onchain_agg.warehouse.tables import METADATA


def file_columns(table: Table) -> list[Column[Any]]:
    """Return the columns that a file holds; chain and day are in its path."""
    return [column for column in table.columns if column.name not in {"chain", "day"}]


def archived_batches(
    store: ParquetStore, archived: Row[Any], names: Sequence[str]
) -> Iterator[pa.RecordBatch]:
    """Yield the columns *names* of a file that is the one that was archived.

    Raises:
        DataSetError: It is not: as `check_bytes`.
        SourceError: The storage does not answer.
    """
    check_bytes(store, archived)
    with closing(store.read(archived.location, names)) as batches:
        yield from _ahead(batches)


def check_bytes(store: ParquetStore, archived: Row[Any]) -> None:
    """Return where a file is, byte by byte, the one whose rows were compared when it was written.

    A hash of bytes costs little; a fingerprint of rows takes microseconds a row, more than what a
    rebuild does with it.

    Raises:
        DataSetError: File or manifest are not there, were altered, or are of other rows than the
            row of `ops.archived_day` says.
        SourceError: The storage does not answer.
    """
    manifest = store.manifest(archived.location)
    check_file(archived, Fingerprint(manifest["rows"], manifest["checksum"]))
    stated, found = manifest["sha256"], store.sha256(archived.location)
    if found != stated:
        raise DataSetError(
            f"{archived.location} has SHA-256 {found}, but its manifest says {stated}."
            " Restore it from its backup."
        )


def fingerprint_of_day(connection: Connection, table: Table, chain: str, day: date) -> Fingerprint:
    """Return the fingerprint of the rows that *table* holds of a chain's day."""
    condition = (table.c.chain == chain, table.c.day == day)
    return fingerprint_of_table(connection, table, file_columns(table), *condition)


def fingerprint_of_file(store: ParquetStore, table_name: str, location: str) -> Fingerprint:
    """Return the fingerprint of the rows that the file at *location* holds of a table.

    Raises:
        DataSetError: The file is not there, or is damaged.
        SourceError: The storage does not answer.
    """
    columns = file_columns(METADATA.tables[table_name])
    rows = store.read(location, [column.name for column in columns])
    return fingerprint_of_batches(schema_of(columns), rows)


def check_table(archived: Row[Any], found: Fingerprint) -> None:
    """Return where *found* in the table is what the row of `ops.archived_day` says.

    Raises:
        DataSetError: It is not; names the file and both figures.
    """
    _check(archived, found, f"were found. Nothing left {archived.table_name}.")


def check_file(archived: Row[Any], found: Fingerprint) -> None:
    """Return where *found* of the file is what the row of `ops.archived_day` says.

    Raises:
        DataSetError: It is not; names the file and both figures.
    """
    _check(archived, found, "are in it now. Restore that file from its backup.")


def _ahead(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Yield *batches*; the next one is read while the reader works on the one before."""
    with ThreadPoolExecutor(1, thread_name_prefix="archive-read") as pool:
        waiting = pool.submit(next, batches, None)
        while (batch := waiting.result()) is not None:
            waiting = pool.submit(next, batches, None)
            yield batch


def _check(archived: Row[Any], found: Fingerprint, rest: str) -> None:
    stated = Fingerprint(archived.rows, archived.checksum)
    if found != stated:
        raise DataSetError(f"{archived.location} was archived with {stated}, but {found} {rest}")
