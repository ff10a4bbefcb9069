"""Writing Arrow batches into tables: by binary COPY alone, or through a staging table.

Both take a batch and constants that together have exactly the table's columns, and write in the
caller's transaction: after an error it holds nothing of the batch and must be rolled back.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from typing import Any

import psycopg
import pyarrow as pa
from psycopg import errors, sql
from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    MetaData,
    Select,
    Table,
    func,
    literal_column,
    select,
    tuple_,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import CreateTable, DropTable

from onchain_agg.errors import ConfigError, DataSetError
from onchain_agg.warehouse.copy_binary import Field, constant, encode
from onchain_agg.warehouse.partitions import partition_days, partition_name
from onchain_agg.warehouse.tables import is_partitioned

# What PostgreSQL refuses because of a row, not because of the connection or the statement.
_OF_ROWS = (psycopg.DataError, psycopg.IntegrityError, errors.CardinalityViolation)


@dataclass(frozen=True)
class Merged:
    """What a merge did; rows that were stored already in the same form are in neither count."""

    inserted: int
    updated: int


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


def merge(
    connection: Connection,
    table: Table,
    batch: pa.RecordBatch,
    constants: Mapping[str, object],
) -> Merged:
    """Make *table* hold the rows of *batch*, by primary key; return what had to change.

    New rows are inserted, rows with other values updated, equal rows left untouched on disk.

    Raises:
        ConfigError: As for `append`, or the table has no primary key.
        DataSetError: PostgreSQL refused a row, or a key comes twice in the batch.
        psycopg.OperationalError: The connection broke.
    """
    if not table.primary_key.columns:
        raise ConfigError(f"{table.fullname} has no primary key to merge by. Use append.")
    stream = _stream(table, batch, constants)
    if batch.num_rows == 0:
        return Merged(0, 0)
    stage = Table(
        f"stage_{table.name}",
        MetaData(),
        *(Column(column.name, column.type) for column in table.columns),
        prefixes=["TEMPORARY"],
    )
    with clear_errors(table):
        connection.execute(CreateTable(stage))
        _copy(connection, table, sql.Identifier("pg_temp", stage.name), stream)
        merged = [
            _upsert(connection, target, rows) for target, rows in _targets(connection, table, stage)
        ]
        connection.execute(DropTable(stage))
    return Merged(sum(m.inserted for m in merged), sum(m.updated for m in merged))


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


def _targets(
    connection: Connection, table: Table, stage: Table
) -> list[tuple[Table, Select[*tuple[Any, ...]]]]:
    """Return the tables to upsert into, and each one's rows of *stage*.

    A partition is written by its own name, because only there PostgreSQL tells an inserted row
    from an updated one.
    """
    rows = select(*stage.columns)
    if not is_partitioned(table):
        return [(table, rows)]
    days = connection.scalars(select(stage.c.day).distinct().order_by(stage.c.day)).all()
    missing = set(days) - partition_days(connection, table)
    if missing:
        raise ConfigError(_no_partition(table, str(min(missing))))
    return [(_partition(table, day), rows.where(stage.c.day == day)) for day in days]


def _partition(table: Table, day: date) -> Table:
    columns = (Column(c.name, c.type, primary_key=c.primary_key) for c in table.columns)
    return Table(partition_name(table, day), MetaData(), *columns, schema=table.schema)


def _upsert(connection: Connection, target: Table, rows: Select[*tuple[Any, ...]]) -> Merged:
    statement = insert(target).from_select([c.name for c in target.columns], rows)
    keys = list(target.primary_key.columns)
    others = [c.name for c in target.columns if not c.primary_key]
    if others:
        new = statement.excluded
        statement = statement.on_conflict_do_update(
            index_elements=keys,
            set_={name: new[name] for name in others},
            where=tuple_(*(target.c[name] for name in others)).is_distinct_from(
                tuple_(*(new[name] for name in others))
            ),
        )
    else:
        statement = statement.on_conflict_do_nothing(index_elements=keys)
    # xmax is the transaction that replaced or locked a row version; a new row has none.
    done = statement.returning(literal_column("xmax = 0", Boolean).label("is_new")).cte("done")
    inserted, total = connection.execute(
        select(func.count().filter(done.c.is_new), func.count()).select_from(done)
    ).one()
    return Merged(inserted, total - inserted)


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
