"""Writing Arrow batches into tables by binary COPY.

Batch and constants together have exactly the table's columns. It is written in the caller's
transaction: after an error that holds nothing of the batch and must be rolled back.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import psycopg
import pyarrow as pa
from psycopg import errors, sql
from sqlalchemy import Connection, Table
from sqlalchemy.exc import DBAPIError

from onchain_agg.errors import ConfigError, DataSetError
from onchain_agg.warehouse.copy_binary import Field, constant, encode

# What PostgreSQL refuses because of a row, not because of the connection or the statement.
_OF_ROWS = (psycopg.DataError, psycopg.IntegrityError)


def append(
    connection: Connection,
    table: Table,
    batch: pa.RecordBatch,
    constants: Mapping[str, object],
) -> int:
    """Add the rows of *batch* to *table* by binary COPY; return how many.

    The fastest way in, for rows that cannot be there yet. *constants* fill whole columns.

    Raises:
        ConfigError: Batch and constants do not have the table's columns, a column cannot hold its
            values, or a day has no partition.
        DataSetError: PostgreSQL refused a row; names table, row and column where it tells them.
        psycopg.OperationalError: The connection broke.
    """
    stream = _stream(table, batch, constants)
    rows: int = batch.num_rows
    if rows == 0:
        return 0
    # Through the parent: naming a single day's partition was no faster (benchmarks/load.py).
    target = sql.Identifier(*filter(None, (table.schema, table.name)))
    with clear_errors(table):
        _copy(connection, table, target, stream)
    return rows


@contextmanager
def clear_errors(table: Table) -> Iterator[None]:
    """Turn what PostgreSQL says about rows into one line that names the table."""
    try:
        yield
    except DBAPIError as error:
        if isinstance(error.orig, psycopg.Error) and (clear := _clear(table, error.orig)):
            raise clear from error
        raise
    except psycopg.Error as error:
        if clear := _clear(table, error):
            raise clear from error
        raise


def _stream(
    table: Table, batch: pa.RecordBatch, constants: Mapping[str, object]
) -> Iterator[memoryview]:
    """Return the COPY stream of the batch, with the table's columns in their order."""
    _check_columns(table, [*batch.schema.names, *constants])
    try:
        fields = [
            constant(column.name, column.type, constants[column.name])
            if column.name in constants
            else Field(column.name, column.type, batch.column(column.name))
            for column in table.columns
        ]
        return encode(fields, batch.num_rows)
    except ConfigError as error:
        raise ConfigError(f"{table.fullname}: {error}") from error


def _check_columns(table: Table, names: Sequence[str]) -> None:
    for name in names:
        if name not in table.columns:
            raise ConfigError(
                f"{table.fullname} has no column {name!r}. Leave it out of the batch."
            )
        if names.count(name) > 1:
            raise ConfigError(f"Column {name!r} comes twice for {table.fullname}. Give it once.")
    missing = [column.name for column in table.columns if column.name not in names]
    if missing:
        raise ConfigError(
            f"The batch for {table.fullname} lacks column {', '.join(map(repr, missing))}. "
            "Give it as a batch column or as a constant."
        )


def _copy(
    connection: Connection, table: Table, target: sql.Identifier, stream: Iterator[memoryview]
) -> None:
    if not connection.in_transaction():
        # The driver is used directly, so SQLAlchemy would not know that there is work to commit.
        connection.begin()
    columns = sql.SQL(", ").join(sql.Identifier(column.name) for column in table.columns)
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT binary)").format(target, columns)
    driver = connection.connection.driver_connection
    if not isinstance(driver, psycopg.Connection):
        raise ConfigError(f"Loading needs psycopg, not {type(driver).__name__}. Use engine_for.")
    with driver.cursor() as cursor, cursor.copy(statement) as copy:
        for piece in stream:
            copy.write(piece)


def _clear(table: Table, error: psycopg.Error) -> ConfigError | DataSetError | None:
    told = error.diag
    if isinstance(error, errors.UndefinedTable | errors.InvalidSchemaName):
        return ConfigError(f"Table {table.fullname} is not there. Run `onchain-agg init`.")
    if isinstance(error, errors.CheckViolation) and told.constraint_name is None:
        day = (told.message_detail or "").partition(" contains ")[2].rstrip(".")
        return ConfigError(_no_partition(table, day or "a day of the batch"))
    if not isinstance(error, _OF_ROWS):
        return None
    parts = (told.message_primary, told.message_detail, told.context)
    return DataSetError(
        f"{table.fullname}: " + "; ".join(part.splitlines()[0] for part in parts if part)
    )


def _no_partition(table: Table, day: str) -> str:
    return f"{table.fullname} has no partition for {day}. Call ensure_partitions first."
