"""Arrow columns as PostgreSQL's binary COPY stream, a chunk of rows at a time.

A chunk is one numpy record array: for each column a length and the value, as wide as the widest
value of the chunk. Bytes that a row does not use are masked and dropped in one step, so no Python
code runs per row. Knows the format, but neither tables nor connections.
"""

import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import index
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import types as arrow
from sqlalchemy import types as sql

from onchain_agg.errors import ConfigError
from onchain_agg.warehouse import copy_cells as cells_of
from onchain_agg.warehouse.copy_cells import Array, Cells, Codec, bits, offsets, opaque

_HEADER = b"PGCOPY\n\xff\r\n\0" + struct.pack(">ii", 0, 0)
_TRAILER = struct.pack(">h", -1)
# A chunk stays inside a core's cache; one row may be wider than that.
_CHUNK_ROWS = 8_192
_CHUNK_BYTES = 2 << 20


@dataclass(frozen=True)
class Field:
    """One column of the target table and its values.

    Attributes:
        name: The column's name, for messages.
        target: The column's type in the table; it decides the encoding (32 bytes are an amount in
            NUMERIC and a hash in BYTEA).
        values: One value a row; one value altogether where *constant*.
        constant: Every row repeats the one value.
    """

    name: str
    target: sql.TypeEngine[Any]
    values: pa.Array
    constant: bool = False


def encode(fields: Sequence[Field], rows: int) -> Iterator[memoryview]:
    """Return the COPY stream of *rows* rows in pieces of at most a few MB (or one row).

    Raises:
        ConfigError: A column cannot hold the Arrow type of its values; raised by the call itself.
    """
    return _pieces(fields, [_codec_of(field) for field in fields], rows)


def constant(name: str, target: sql.TypeEngine[Any], value: object) -> Field:
    """Return the field that puts *value* into every row.

    Raises:
        ConfigError: The column cannot hold the value.
    """
    return Field(name, target, _one_value(name, target, value), constant=True)


def _pieces(fields: Sequence[Field], codecs: Sequence[Codec], rows: int) -> Iterator[memoryview]:
    constants = {i: _repeated(codecs[i], f.values) for i, f in enumerate(fields) if f.constant}
    yield memoryview(_HEADER)
    for start, stop in _spans(fields, rows):
        cells = [
            constants[i] if f.constant else _cells(codecs[i], f.values.slice(start, stop - start))
            for i, f in enumerate(fields)
        ]
        yield _rows_of(cells, stop - start).data
    yield memoryview(_TRAILER)


def _one_value(name: str, target: sql.TypeEngine[Any], value: object) -> pa.Array:
    if isinstance(value, datetime) and value.tzinfo is None:
        raise ConfigError(f"Column {name!r}: {value!r} has no time zone. Pass an aware UTC time.")
    kind = _kind(name, target)
    if value is None:
        return pa.nulls(1)
    try:
        if kind in _WHOLE:
            value = index(value)  # type: ignore[arg-type] # What is no integer raises TypeError.
            if kind == "numeric" and value >= 0:
                return pa.array([value.to_bytes(32, "big")], pa.binary(32))
        return pa.array([value], _ARROW_TYPES[kind])
    except (pa.ArrowException, OverflowError, TypeError, ValueError) as error:
        raise ConfigError(
            f"Column {name!r} is {kind} and cannot hold the constant {value!r}."
        ) from error


def _spans(fields: Sequence[Field], rows: int) -> Iterator[tuple[int, int]]:
    """Yield row ranges whose padded size stays under the limit, or that are one row."""
    varying = [f.values for f in fields if not f.constant and _is_variable(f.values.type)]
    lengths = [np.diff(offsets(values)) for values in varying]
    todo = [(i, min(i + _CHUNK_ROWS, rows)) for i in range(0, rows, _CHUNK_ROWS)][::-1]
    while todo:
        start, stop = todo.pop()
        widest = sum(int(column[start:stop].max()) for column in lengths)
        if (stop - start) * widest > _CHUNK_BYTES and stop - start > 1:
            middle = (start + stop) // 2
            todo += [(middle, stop), (start, middle)]
        else:
            yield start, stop


def _rows_of(cells: Sequence[Cells], rows: int) -> Array:
    """Return the chunk's bytes: for each row the field count, then length and value of each."""
    layout: list[tuple[str, str]] = [("count", ">i2")]
    for i, cell in enumerate(cells):
        layout.append((f"length{i}", ">i4"))
        if cell.payload.itemsize:
            layout.append((f"value{i}", f"V{cell.payload.itemsize}"))
    record = np.empty(rows, layout)
    record["count"] = len(cells)
    masked = any(cell.keep is not None for cell in cells)
    keep = np.full(rows * record.itemsize, fill_value=True) if masked else None
    for i, cell in enumerate(cells):
        record[f"length{i}"] = cell.lengths
        if cell.payload.itemsize:
            record[f"value{i}"] = opaque(cell.payload)
        if cell.keep is not None and keep is not None:
            keep.view(record.dtype)[f"value{i}"] = opaque(cell.keep)
    flat = record.view(np.uint8)
    return flat if keep is None else flat[keep]


def _cells(codec: Codec, values: pa.Array) -> Cells:
    """Return the cells of *values*, with its nulls taken out."""
    if values.null_count == len(values):
        return Cells(np.empty(len(values), "V0"), -1)
    cells = codec(values)
    if values.null_count == 0:
        return cells
    valid = bits(values.buffers()[0], values)
    lengths = np.where(valid, cells.lengths, -1)
    width = cells.payload.itemsize
    if width == 0:
        return Cells(cells.payload, lengths)
    keep = np.repeat(valid[:, None], width, axis=1)
    if cells.keep is not None:
        keep &= cells.keep
    return Cells(cells.payload, lengths, keep)


def _repeated(codec: Codec, value: pa.Array) -> Cells:
    """Return the cells of a constant: one item, with no byte to drop."""
    cells = _cells(codec, value)
    if cells.keep is None:
        return cells
    used = opaque(cells.payload).view(np.uint8)[cells.keep[0]]
    return Cells(used.view(f"V{len(used)}"), len(used))


def _is_variable(kind: pa.DataType) -> bool:
    return any(check(kind) for check in (*_TEXTS, *_BYTES))


def _is_aware_us(kind: pa.DataType) -> bool:
    return bool(arrow.is_timestamp(kind)) and kind.unit == "us" and kind.tz is not None


def _is_uint256(kind: pa.DataType) -> bool:
    return bool(arrow.is_fixed_size_binary(kind)) and kind.byte_width == 32


_Rules = Sequence[tuple[Callable[[pa.DataType], bool], Codec]]


def _integer_rules(codec: Codec, *checks: Callable[[pa.DataType], bool]) -> _Rules:
    return [(check, codec) for check in checks]


_TEXTS = (arrow.is_string, arrow.is_large_string)
_BYTES = (arrow.is_binary, arrow.is_large_binary)
_INTEGERS = (arrow.is_int16, arrow.is_int32, arrow.is_int64)
# What each kind of column takes. Widening is exact; narrowing is refused.
_CODECS: Mapping[str, _Rules] = {
    "boolean": [(arrow.is_boolean, cells_of.bools)],
    "smallint": _integer_rules(cells_of.integers(">i2"), *_INTEGERS[:1]),
    "integer": _integer_rules(cells_of.integers(">i4"), *_INTEGERS[:2]),
    "bigint": _integer_rules(cells_of.integers(">i8"), *_INTEGERS),
    "double precision": [(arrow.is_float64, cells_of.floats)],
    "date": [(arrow.is_date32, cells_of.dates)],
    "timestamptz": [(_is_aware_us, cells_of.times)],
    "text": [(check, cells_of.variable_bytes) for check in _TEXTS],
    "bytea": [
        (arrow.is_fixed_size_binary, cells_of.fixed_bytes),
        *((check, cells_of.variable_bytes) for check in _BYTES),
    ],
    "numeric": [
        (_is_uint256, cells_of.amounts),
        *_integer_rules(cells_of.whole_numbers, *_INTEGERS),
    ],
}
_ARROW_TYPES: Mapping[str, pa.DataType] = {
    "boolean": pa.bool_(),
    "smallint": pa.int16(),
    "integer": pa.int32(),
    "bigint": pa.int64(),
    "double precision": pa.float64(),
    "date": pa.date32(),
    "timestamptz": pa.timestamp("us", tz="UTC"),
    "text": pa.string(),
    "bytea": pa.binary(),
    "numeric": pa.int64(),  # below zero; from zero on, 32 bytes
}
# Arrow would cut a fraction off without a word.
_WHOLE = ("smallint", "integer", "bigint", "numeric")
# A subclass stands before its base.
_KINDS: Sequence[tuple[type[sql.TypeEngine[Any]], str]] = (
    (sql.Boolean, "boolean"),
    (sql.SmallInteger, "smallint"),
    (sql.BigInteger, "bigint"),
    (sql.Integer, "integer"),
    (sql.Float, "double precision"),
    (sql.Numeric, "numeric"),
    (sql.Date, "date"),
    (sql.DateTime, "timestamptz"),
    (sql.LargeBinary, "bytea"),
    (sql.String, "text"),
)


def _kind(name: str, target: sql.TypeEngine[Any]) -> str:
    kind = next((kind for base, kind in _KINDS if isinstance(target, base)), None)
    naive = isinstance(target, sql.DateTime) and not target.timezone
    # PostgreSQL stores up to 24 bits of precision in four bytes.
    narrow = isinstance(target, sql.Float) and (target.precision or 53) <= 24
    if kind is None or naive or narrow or isinstance(target, sql.REAL):
        raise ConfigError(
            f"Column {name!r} has type {target!r}, which binary COPY does not know. "
            f"Use one of: {', '.join(_CODECS)}."
        )
    return kind


def _codec_of(field: Field) -> Codec:
    kind = _kind(field.name, field.target)
    if arrow.is_null(field.values.type):
        return cells_of.bools  # Never called: every value is null.
    for accepts, codec in _CODECS[kind]:
        if accepts(field.values.type):
            return codec
    raise ConfigError(
        f"Column {field.name!r} is {kind} and cannot take Arrow {field.values.type}. "
        f"Change the batch's schema or the table."
    )
