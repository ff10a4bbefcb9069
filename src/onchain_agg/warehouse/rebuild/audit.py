"""Compares the running state with what the heavy path makes of all facts, row for row.

Both are read in one snapshot, so blocks that arrive meanwhile are in neither. No chain lock is
held: ingest goes on. Only the drop of cold days waits, and gives up.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
from sqlalchemy import BigInteger, Boolean, Column, Connection, Date, Engine, Numeric, text

from onchain_agg.chains import Chain, UtxoChain
from onchain_agg.errors import DataSetError
from onchain_agg.warehouse.duckdb_stream import STREAM, streamed
from onchain_agg.warehouse.parquet_store import ParquetStore
from onchain_agg.warehouse.rebuild.balances import collect_changes
from onchain_agg.warehouse.rebuild.collections import collect_fundings, collect_owners
from onchain_agg.warehouse.rebuild.facts import Facts, Pinned, pin
from onchain_agg.warehouse.rebuild.matrix import UTXO_ROWS, collect_coins
from onchain_agg.warehouse.rebuild.scratch import Limits, scratch, wide_sum
from onchain_agg.warehouse.rebuild.state_tables import BALANCES, FUNDINGS, OWNERS, SUMS
from onchain_agg.warehouse.table_rows import wide_number, wide_rows, wide_schema

# Of each table that differs; the first ones in key order.
SHOWN = 20

# The set is compared by created day: its rows as count, value and sums of their hashes.
_UTXO_COLUMNS = (
    Column("created_day", Date, primary_key=True),
    Column("coinbase", Boolean, primary_key=True),
    Column("outputs", BigInteger),
    Column("value", Numeric),
    Column("rows_hash", Numeric),
)
_UTXO_STORED = text(
    "SELECT (created_at AT TIME ZONE 'UTC')::date AS created_day, coinbase,"
    " count(*) AS outputs, sum(value) AS value, sum(('x' || substr(md5("
    "encode(txid, 'hex') || ':' || vout || ':' || value || ':' ||"
    " coalesce(encode(address, 'hex'), 'none') || ':' || created_height || ':' ||"
    " (extract(epoch FROM created_at) * 1000000)::bigint), 1, 15))::bit(60)::bigint) AS rows_hash"
    " FROM state.utxo WHERE chain = :chain GROUP BY 1, 2"
).columns(*_UTXO_COLUMNS)
_UTXO_COMPUTED = f"""
SELECT created_day, coinbase, outputs, {wide_sum("value")} AS value,
    {wide_sum("rows_hash")} AS rows_hash
FROM (
    SELECT created_at::DATE AS created_day, coinbase, count(*) AS outputs, sum(value) AS value,
        sum(('0x' || substr(md5(lower(hex(txid)) || ':' || vout || ':' || value || ':' ||
            coalesce(lower(hex(address)), 'none') || ':' || created_height || ':' ||
            epoch_us(created_at)), 1, 15))::UBIGINT) AS rows_hash
    FROM ({UTXO_ROWS}) GROUP BY ALL
)
"""


@dataclass(frozen=True)
class Difference:
    """One row that is stored otherwise than it is computed; None where it is not there at all."""

    key: dict[str, Any]
    stored: dict[str, Any] | None
    computed: dict[str, Any] | None

    def __str__(self) -> str:
        """Return key and both rows in one line."""
        key = ", ".join(f"{name} {_shown(value)}" for name, value in self.key.items())
        return f"{key}: stored {_row(self.stored)}, computed {_row(self.computed)}"


@dataclass(frozen=True)
class Compared:
    """A table that was compared.

    Attributes:
        table: Its name.
        rows: Rows that are stored or computed.
        differing: How many of them differ.
        first: The first ones that do.
    """

    table: str
    rows: int
    differing: int
    first: tuple[Difference, ...]


@dataclass(frozen=True)
class AuditReport:
    """What an audit compared.

    Attributes:
        chain: Name of the chain.
        height: Last block in the comparison.
        days: Days of facts that were read.
        archived_days: How many of them were read from the archive.
        tables: The tables.
    """

    chain: str
    height: int
    days: int
    archived_days: int
    tables: tuple[Compared, ...]

    def check(self) -> None:
        """Return where nothing differs.

        Raises:
            DataSetError: Rows differ; names table, key and both figures of the first of each.
        """
        wrong = [
            f"{table.table} differs in {table.differing} of {table.rows} rows,"
            f" first at {table.first[0]}"
            for table in self.tables
            if table.differing
        ]
        if wrong:
            raise DataSetError(
                f"{self.chain} at block {self.height}: {'; '.join(wrong)}."
                f" Run `onchain-agg rebuild --chain {self.chain}`."
            )


# Compares more with what was computed: from the DuckDB of the computation with its tables
# `change`, and where it is a UTXO chain `output` and `spent`; and the snapshot's connection.
Further = Callable[[duckdb.DuckDBPyConnection, Connection, Pinned], Sequence[Compared]]


def audit(
    engine: Engine,
    chain: Chain,
    store: ParquetStore | None,
    limits: Limits | None = None,
    further: Further | None = None,
) -> AuditReport:
    """Return how the running state of *chain* compares with its facts, archived and hot.

    Compared are balances and their daily changes; on an account chain the owners of collections
    and first fundings; on a UTXO chain the set by created day and the spent and created outputs by
    day and month.

    Args:
        engine: The warehouse.
        chain: The chain.
        store: The archive; None where nothing left the fact tables.
        limits: What DuckDB may use.
        further: Compares more, such as what is served, with the same facts and in one snapshot.

    Raises:
        ConfigError: No block was applied, days left and there is no *store*, or the limits do not
            suffice.
        DataSetError: The archive lacks a file, or one is not what was archived.
        SourceError: The archive does not answer.
    """
    snapshot = engine.execution_options(isolation_level="REPEATABLE READ")
    with scratch(limits or Limits()) as duck, snapshot.begin() as connection:
        facts = Facts(connection, pin(connection, chain), store)
        tables: list[Compared] = []
        if isinstance(chain, UtxoChain):
            collect_coins(duck, facts)
            tables.append(_compare_coins(duck, connection, chain))
        collect_changes(duck, facts)
        if not isinstance(chain, UtxoChain):
            collect_owners(duck, facts)
            collect_fundings(duck, facts)
        further_tables = SUMS if isinstance(chain, UtxoChain) else (*OWNERS, *FUNDINGS)
        for state in (*BALANCES, *further_tables):
            columns = [state.table.c[name] for name in state.names]
            stored = wide_rows(connection, state.stored(facts.pinned), columns)
            with streamed(duck, wide_schema(columns), stored):
                tables.append(_compare(duck, state.table.fullname, columns, state.rows))
        if further is not None:
            tables.extend(further(duck, connection, facts.pinned))
        return _report(facts.pinned, tables)


def _report(pinned: Pinned, tables: Sequence[Compared]) -> AuditReport:
    archived = {day for _, day in pinned.left}
    return AuditReport(
        pinned.chain.name, pinned.tip.height, len(pinned.days), len(archived), tuple(tables)
    )


def _compare_coins(
    duck: duckdb.DuckDBPyConnection, connection: Connection, chain: Chain
) -> Compared:
    stored = wide_rows(connection, _UTXO_STORED.bindparams(chain=chain.name), _UTXO_COLUMNS)
    with streamed(duck, wide_schema(_UTXO_COLUMNS), stored):
        return _compare(duck, "state.utxo", _UTXO_COLUMNS, _UTXO_COMPUTED)


def _compare(
    duck: duckdb.DuckDBPyConnection, name: str, columns: Sequence[Column[Any]], computed: str
) -> Compared:
    keys = [column.name for column in columns if column.primary_key]
    values = [column.name for column in columns if not column.primary_key]
    duck.execute(f"CREATE OR REPLACE TABLE stored_rows AS SELECT * FROM {STREAM}")
    same = " AND ".join(f"s.{key} = c.{key}" for key in keys)
    other = " OR ".join(f"s.{value} IS DISTINCT FROM c.{value}" for value in values)
    both = [f"coalesce(s.{key}, c.{key}) AS {key}" for key in keys]
    both += [f"{side}.{value} AS {side}_{value}" for side in "sc" for value in values]
    duck.execute(
        f"CREATE OR REPLACE TABLE differing AS SELECT {', '.join(both)},"
        f" s.{keys[0]} IS NOT NULL AS is_stored, c.{keys[0]} IS NOT NULL AS is_computed"
        f" FROM stored_rows s FULL JOIN ({computed}) c ON {same}"
        f" WHERE {other} OR s.{keys[0]} IS NULL OR c.{keys[0]} IS NULL"
    )
    counts = "SELECT (SELECT count(*) FROM stored_rows), count(*), count(*) FILTER (NOT is_stored)"
    ((stored, differing, only_computed),) = duck.execute(f"{counts} FROM differing").fetchall()
    first = duck.execute(f"SELECT * FROM differing ORDER BY {', '.join(keys)} LIMIT {SHOWN}")
    names = [column[0] for column in first.description or ()]
    rows = [dict(zip(names, row, strict=True)) for row in first.fetchall()]
    return Compared(
        name, stored + only_computed, differing, tuple(_difference(row, columns) for row in rows)
    )


def _difference(row: dict[str, Any], columns: Sequence[Column[Any]]) -> Difference:
    def side(prefix: str) -> dict[str, Any]:
        values = (column for column in columns if not column.primary_key)
        return {of.name: _value(row[f"{prefix}_{of.name}"], of) for of in values}

    key = {
        column.name: _value(row[column.name], column) for column in columns if column.primary_key
    }
    stored = side("s") if row["is_stored"] else None
    return Difference(key, stored, side("c") if row["is_computed"] else None)


def _value(value: Any, of: Column[Any]) -> Any:
    return wide_number(value) if isinstance(of.type, Numeric) and value is not None else value


def _row(row: dict[str, Any] | None) -> str:
    if row is None:
        return "nothing"
    return ", ".join(f"{name} {_shown(value)}" for name, value in row.items())


def _shown(value: Any) -> str:
    return f"0x{value.hex()}" if isinstance(value, bytes) else str(value)
