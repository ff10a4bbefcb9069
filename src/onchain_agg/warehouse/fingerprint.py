"""A checksum of a table's rows in any order, computed alike by PostgreSQL and from a file.

Each row is written as text and hashed, and the hashes are summed, so a lost, doubled or altered
row shows and the order of rows does not. An amount enters as its residues by two primes: the
database divides its NUMERIC and DuckDB the 64-bit words of the bytes, so neither side can repeat
a mistake of the conversion between the two.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Date,
    DateTime,
    LargeBinary,
    Numeric,
    Select,
    Table,
    Text,
    literal_column,
    select,
)

from onchain_agg.warehouse.duckdb_stream import STREAM, opened, streamed

# Below 2**32, so that DuckDB stays within 64 bits.
_PRIMES = (2**31 - 1, 2**32 - 5)
_HALF = 15  # hexadecimal digits of a hash that are summed at once
_NULL = "N"


@dataclass(frozen=True)
class Fingerprint:
    """How many rows there are, and the sums of their hashes."""

    rows: int
    checksum: str

    def __str__(self) -> str:
        """Return both figures, for messages."""
        return f"{self.rows} rows with checksum {self.checksum}"


def fingerprint_of_table(
    connection: Connection,
    table: Table,
    columns: Sequence[Column[Any]],
    *where: ColumnElement[bool],
) -> Fingerprint:
    """Return the fingerprint of *columns* of the rows of *table* that satisfy *where*."""
    return fingerprint_of_query(connection, select(table).where(*where), columns)


def fingerprint_of_query(
    connection: Connection, rows: Select[Any], columns: Sequence[Column[Any]]
) -> Fingerprint:
    """Return the fingerprint of *columns* of what *rows* selects."""
    row = " || ',' || ".join(f"coalesce(({_in_postgres(c)})::text, '{_NULL}')" for c in columns)
    digest: ColumnElement[str] = literal_column(f"md5({row})")
    hashed = select(digest.label("h")).select_from(rows.subquery("r"))
    halves: list[ColumnElement[str]] = [
        literal_column(
            f"coalesce(sum(('x' || substr(h, {start}, {_HALF}))::bit(60)::bigint), 0)::text"
        )
        for start in (1, 1 + _HALF)
    ]
    count: ColumnElement[int] = literal_column("count(*)")
    found = connection.execute(select(count, *halves).select_from(hashed.subquery("hashed"))).one()
    return Fingerprint(found[0], f"{found[1]}.{found[2]}")


def fingerprint_of_batches(schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> Fingerprint:
    """Return the fingerprint of the rows of *batches*, which have that *schema*."""
    with opened() as connection, streamed(connection, schema, batches):
        ((rows, first, second),) = connection.execute(_duckdb_query(schema)).fetchall()
    return Fingerprint(rows, f"{first}.{second}")


def _duckdb_query(schema: pa.Schema) -> str:
    row = " || ',' || ".join(
        f"coalesce(({_in_duckdb(field)})::VARCHAR, '{_NULL}')" for field in schema
    )
    halves = ", ".join(
        f"coalesce(sum(('0x' || substr(h, {start}, {_HALF}))::UBIGINT), 0)"
        for start in (1, 1 + _HALF)
    )
    return f"SELECT count(*), {halves} FROM (SELECT md5({row}) AS h FROM {STREAM})"


def _in_postgres(of: Column[Any]) -> str:
    name = f"r.{of.name}"
    if isinstance(of.type, Numeric):
        return " || '/' || ".join(f"mod({name}, {prime})::text" for prime in _PRIMES)
    if isinstance(of.type, LargeBinary):
        return f"encode({name}, 'hex')"
    if isinstance(of.type, Text):
        return f"encode(convert_to({name}, 'UTF8'), 'hex')"
    if isinstance(of.type, DateTime):
        return f"(extract(epoch FROM {name}) * 1000000)::bigint"
    if isinstance(of.type, Date):
        return f"{name} - DATE '1970-01-01'"
    return f"{name}::integer" if isinstance(of.type, Boolean) else name


def _in_duckdb(field: pa.Field) -> str:
    name, kind = f'"{field.name}"', field.type
    if pa.types.is_fixed_size_binary(kind):
        return " || '/' || ".join(f"{_residue(name, prime)}::VARCHAR" for prime in _PRIMES)
    if pa.types.is_binary(kind):
        return f"lower(hex({name}))"
    if pa.types.is_string(kind):
        return f"lower(hex(encode({name})))"
    if pa.types.is_timestamp(kind):
        return f"epoch_us({name})"
    if pa.types.is_date(kind):
        return f"{name} - DATE '1970-01-01'"
    return f"{name}::INTEGER" if pa.types.is_boolean(kind) else name


def _residue(name: str, prime: int) -> str:
    """Return the remainder of 32 bytes by *prime*, a word of 64 bits at a time, highest first."""
    words = [f"('0x' || substr(hex({name}), {start}, 16))::UBIGINT" for start in (1, 17, 33, 49)]
    total = f"({words[0]} % {prime}::UBIGINT)"
    for word in words[1:]:
        shift = f"{2**64 % prime}::UBIGINT"
        total = f"(({total} * {shift} + {word} % {prime}::UBIGINT) % {prime}::UBIGINT)"
    return total
