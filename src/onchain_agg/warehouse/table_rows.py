"""The rows of a table as Arrow batches, read by COPY: what the archive and the heavy path scan.

Bytes travel as hexadecimal text and everything else as integers, so that a whole batch is parsed
at once and no Python code runs per cell. Amounts come out as 32 big-endian bytes, or, where they
may be negative, as `WIDE_DIGITS` hexadecimal digits.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np
import psycopg
import pyarrow as pa
from pyarrow import csv
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Date,
    DateTime,
    Integer,
    LargeBinary,
    Numeric,
    Select,
    SmallInteger,
    Table,
    Text,
    TextualSelect,
    literal_column,
    select,
)

from onchain_agg.errors import ConfigError

UINT256 = pa.binary(32)
# A sum of amounts may be negative or pass 2**256. It is written with 2**271 added, in 272 bits, so
# equal numbers are equal texts and the first four digits tell the multiple of 2**256.
WIDE_DIGITS = 68
WIDE_BIAS = 2**271

_BATCH_ROWS = 50_000
_NULL = "N"  # neither a number nor hexadecimal, so an empty value is not taken for it
# In this order: a SmallInteger is an Integer to SQLAlchemy.
_TYPES: tuple[tuple[type, pa.DataType], ...] = (
    (BigInteger, pa.int64()),
    (SmallInteger, pa.int16()),
    (Integer, pa.int32()),
    (Boolean, pa.bool_()),
    (Date, pa.date32()),
    (DateTime, pa.timestamp("us", tz="UTC")),
    (Text, pa.string()),
    (LargeBinary, pa.binary()),
    (Numeric, UINT256),
)
# What COPY writes of a column; integers as they are.
_CELLS: Mapping[type, str] = {
    LargeBinary: "encode({0}, 'hex')",
    Text: "encode(convert_to({0}, 'UTF8'), 'hex')",
    DateTime: "(extract(epoch FROM {0}) * 1000000)::bigint",
    Date: "{0} - DATE '1970-01-01'",
    Boolean: "{0}::integer",
}
_NIBBLES = np.zeros(256, np.uint8)
_NIBBLES[np.frombuffer(b"0123456789abcdef", np.uint8)] = np.arange(16, dtype=np.uint8)
_BITS = 60  # of a number that PostgreSQL turns into 15 hexadecimal digits at once


def arrow_type(kind: object) -> pa.DataType:
    """Return the Arrow type of a column of that SQL type; an amount is 32 big-endian bytes.

    Raises:
        ConfigError: Such a column has no place in an archive.
    """
    for sql, arrow in _TYPES:
        if isinstance(kind, sql):
            return arrow
    raise ConfigError(f"A column of type {kind} cannot be archived. Add it to _TYPES.")


def schema_of(columns: Sequence[Column[Any]]) -> pa.Schema:
    """Return the Arrow schema of *columns*."""
    return pa.schema([pa.field(c.name, arrow_type(c.type)) for c in columns])


def stored_rows(
    connection: Connection,
    table: Table,
    columns: Sequence[Column[Any]],
    *where: ColumnElement[bool],
) -> Iterator[pa.RecordBatch]:
    """Yield *columns* of the rows of *table* that satisfy *where*, a bounded batch at a time."""
    cells = [_cell(c, signed=False).label(c.name) for c in columns]
    for batch in _copied(connection, select(*cells).select_from(table).where(*where), columns):
        arrays = [
            _column(batch.column(c.name), arrow_type(c.type), is_hex=_is_hex(c)) for c in columns
        ]
        yield pa.RecordBatch.from_arrays(arrays, schema=schema_of(columns))


def wide_rows(
    connection: Connection,
    rows: Select[Any] | TextualSelect,
    columns: Sequence[Column[Any]],
) -> Iterator[pa.RecordBatch]:
    """Yield what *rows* selects, in *columns*; NUMERIC as `WIDE_DIGITS` hexadecimal digits."""
    source = rows.subquery("source")
    cells = [_cell(source.c[c.name], signed=True).label(c.name) for c in columns]
    for batch in _copied(connection, select(*cells).select_from(source), columns):
        arrays = [_wide_column(batch.column(c.name), c) for c in columns]
        yield pa.RecordBatch.from_arrays(arrays, schema=wide_schema(columns))


def wide_schema(columns: Sequence[Column[Any]]) -> pa.Schema:
    """Return the schema of `wide_rows`."""
    return pa.schema(
        [
            (c.name, pa.string() if isinstance(c.type, Numeric) else arrow_type(c.type))
            for c in columns
        ]
    )


def wide_number(digits: str) -> int:
    """Return the number that `WIDE_DIGITS` digits stand for."""
    return int(digits, 16) - WIDE_BIAS


def unhexed(text: pa.Array) -> pa.Array:
    """Return the bytes that a column of hexadecimal text spells."""
    validity, ends, content = text.buffers()
    offsets = np.frombuffer(ends, np.int32)[text.offset :][: len(text) + 1]
    digits = _NIBBLES[np.frombuffer(content or b"", np.uint8)[offsets[0] : offsets[-1]]]
    raw = (digits[0::2] << 4) | digits[1::2]
    halved = ((offsets - offsets[0]) // 2).astype(np.int32)
    if text.offset:
        validity = None if text.null_count == 0 else pa.array(text.is_valid()).buffers()[1]
    buffers = [validity, pa.py_buffer(halved), pa.py_buffer(raw)]
    return pa.Array.from_buffers(pa.binary(), len(text), buffers)


def _wide_column(values: pa.Array, of: Column[Any]) -> pa.Array:
    if isinstance(of.type, Numeric):
        return values
    return _column(values, arrow_type(of.type), is_hex=_is_hex(of))


def _is_hex(of: Column[Any]) -> bool:
    return isinstance(of.type, LargeBinary | Text | Numeric)


def _cell(of: ColumnElement[Any], *, signed: bool) -> ColumnElement[Any]:
    """Return the column as COPY is to write it."""
    name = str(of)
    for kind, expression in _CELLS.items():
        if isinstance(of.type, kind):
            return literal_column(expression.format(name))
    if isinstance(of.type, Numeric):
        return literal_column(_wide_hex(name) if signed else _amount_hex(name))
    return of


def _amount_hex(name: str) -> str:
    """Return the expression of 64 digits; most amounts are short, and that is far cheaper."""
    low = f"lpad(to_hex(mod({name}, {2**_BITS})::bigint), 15, '0')"
    return (
        f"CASE WHEN {name} < {2**63} THEN lpad(to_hex({name}::bigint), 64, '0')"
        f" WHEN {name} < {2 ** (2 * _BITS)}"
        f" THEN lpad(to_hex(div({name}, {2**_BITS})::bigint), 49, '0') || {low}"
        f" ELSE {_digits(name, 64)} END"
    )


def _wide_hex(name: str) -> str:
    """Return the expression of the biased digits; two's complement spells small negative ones."""
    return (
        f"CASE WHEN {name} BETWEEN 0 AND {2**63 - 1}"
        f" THEN '8000' || lpad(to_hex({name}::bigint), 64, '0')"
        f" WHEN {name} BETWEEN {-(2**63)} AND -1"
        f" THEN '7fff' || lpad(to_hex({name}::bigint), 64, 'f')"
        f" ELSE {_digits(f'({name} + {WIDE_BIAS})', WIDE_DIGITS)} END"
    )


def _digits(name: str, count: int) -> str:
    parts = [f"lpad(to_hex(div({name}, {2 ** (4 * _BITS)})::bigint), {count - 60}, '0')"]
    for place in (3, 2, 1, 0):
        part = f"mod(div({name}, {2 ** (place * _BITS)}), {2**_BITS})"
        parts.append(f"lpad(to_hex({part}::bigint), 15, '0')")
    return " || ".join(parts)


def _copied(
    connection: Connection, query: Select[Any], columns: Sequence[Column[Any]]
) -> Iterator[pa.RecordBatch]:
    """Yield what COPY writes: hexadecimal text, and integers."""
    compiled = query.compile(dialect=connection.dialect)
    options = csv.ConvertOptions(
        column_types={c.name: pa.string() if _is_hex(c) else pa.int64() for c in columns},
        strings_can_be_null=True,
        null_values=[_NULL],
    )
    names = csv.ReadOptions(column_names=[c.name for c in columns], use_threads=False)
    driver = connection.connection.driver_connection
    if not isinstance(driver, psycopg.Connection):
        raise ConfigError(f"Reading needs psycopg, not {type(driver).__name__}. Use engine_for.")
    statement = f"COPY ({compiled}) TO STDOUT (FORMAT csv, NULL '{_NULL}')"
    # The text comes from this module and SQLAlchemy; values are bound.
    with (
        driver.cursor() as cursor,
        cursor.copy(statement, compiled.params) as copy,
    ):
        lines = iter(copy)
        # PostgreSQL sends whole lines, so a batch may end after any piece.
        while some := list(islice(lines, _BATCH_ROWS)):
            content = pa.py_buffer(b"".join(some))
            table = csv.read_csv(pa.BufferReader(content), names, None, options).combine_chunks()
            yield from table.to_batches()


def _column(values: pa.Array, kind: pa.DataType, *, is_hex: bool) -> pa.Array:
    if is_hex:
        return unhexed(values).cast(kind)
    if pa.types.is_date32(kind):
        return values.cast(pa.int32()).cast(kind)
    return values.cast(kind)
