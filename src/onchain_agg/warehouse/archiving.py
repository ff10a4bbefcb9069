"""Closed, final days to the archive and back.

Archiving copies: the rows stay in their tables until `retention` drops them. A day counts as
archived once its files were read back and hold what the tables hold.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import Connection, Engine, Row, Table, select, text, update
from sqlalchemy.dialects.postgresql import insert

from onchain_agg.chains import Chain, UtxoChain
from onchain_agg.errors import ConfigError, DataSetError
from onchain_agg.sources.batch import EVM_TABLES, UTXO_TABLES
from onchain_agg.warehouse import dirty, ledger
from onchain_agg.warehouse.archive import put_back
from onchain_agg.warehouse.archived_rows import (
    check_bytes,
    check_file,
    file_columns,
    fingerprint_of_day,
    fingerprint_of_file,
)
from onchain_agg.warehouse.fingerprint import Fingerprint
from onchain_agg.warehouse.locks import lock_archived_day, lock_archiving
from onchain_agg.warehouse.parquet_store import ParquetStore, Written, location_of
from onchain_agg.warehouse.partitions import ensure_partitions
from onchain_agg.warehouse.table_rows import schema_of, stored_rows
from onchain_agg.warehouse.tables import METADATA, is_partitioned
from onchain_agg.warehouse.tables.ops import ARCHIVED_DAY
from onchain_agg.warehouse.tables.state import SPENT_OUTPUT

# Of the files' columns and types; a reader of old files can tell how to read them.
_FORMAT = 1

# A day is complete when its blocks are all applied and final, and a final block lies past it; the
# day of the first applied block may have blocks before it.
_FINAL_DAYS = text(
    "SELECT b.day, min(b.height) AS first, max(b.height) AS last, count(*) AS blocks"
    " FROM chain.block b JOIN state.tip t ON t.chain = b.chain"
    " WHERE b.chain = :chain AND (CAST(:day AS date) IS NULL OR b.day = :day)"
    " AND b.day < (SELECT past.day FROM chain.block past"
    "  WHERE past.chain = t.chain AND past.height = t.final_height)"
    " AND (t.from_height = 0 OR b.day > (SELECT start.day FROM chain.block start"
    "  WHERE start.chain = t.chain AND start.height = t.from_height))"
    " GROUP BY b.day, t.from_height, t.final_height"
    " HAVING min(b.height) >= t.from_height AND max(b.height) <= t.final_height"
    " AND max(b.height) - min(b.height) + 1 = count(*)"
    " ORDER BY b.day"
)
_HASH = text("SELECT encode(block_hash, 'hex') FROM chain.block WHERE chain = :c AND height = :h")


@dataclass(frozen=True)
class Archived:
    """What `archive_day` did.

    Attributes:
        day: The day.
        written: Tables whose rows were written, each with the version that it has now.
        rows: Rows written.
        bytes: Size of the files written.
    """

    day: date
    written: dict[str, int]
    rows: int
    bytes: int


def archived_tables(chain: Chain) -> list[Table]:
    """Return the tables by day of the chain's family."""
    names = UTXO_TABLES if isinstance(chain, UtxoChain) else EVM_TABLES
    tables = [METADATA.tables[f"chain.{name}"] for name in names]
    by_day = [table for table in tables if is_partitioned(table)]
    return [*by_day, SPENT_OUTPUT] if isinstance(chain, UtxoChain) else by_day


def final_days(connection: Connection, chain: Chain) -> list[date]:
    """Return the closed, final days of *chain* without a gap, oldest first."""
    found = connection.execute(_FINAL_DAYS, {"chain": chain.name, "day": None})
    return [row.day for row in found]


def archive_days(engine: Engine, store: ParquetStore, chain: Chain) -> list[Archived]:
    """Archive every closed, final day of *chain* that is not; return what was written.

    Raises:
        DataSetError: A file that was read back does not hold what the table holds.
        SourceError: The storage does not answer.
    """
    names = [table.fullname for table in archived_tables(chain)]
    columns = ARCHIVED_DAY.c
    with engine.connect() as connection:
        days = final_days(connection, chain)
        known = {
            (row.day, row.table_name)
            for row in connection.execute(
                select(columns.day, columns.table_name).where(columns.chain == chain.name)
            )
        }
    missing = [day for day in days if any((day, name) not in known for name in names)]
    return [archive_day(engine, store, chain, day) for day in missing]


def archive_day(engine: Engine, store: ParquetStore, chain: Chain, day: date) -> Archived:
    """Make the archive hold *day* of *chain* as its tables hold it.

    A table whose rows are archived as they are is left alone, one whose rows were corrected gets a
    new version beside the old one and makes the day dirty for its readers. Rows that left their
    table are what the archive says. Nothing leaves a table here.

    Raises:
        ConfigError: The day is not closed and final, or has a gap.
        DataSetError: A file that was read back does not hold what the table holds.
        SourceError: The storage does not answer.
    """
    tables = archived_tables(chain)
    with engine.begin() as holder:
        lock_archiving(holder, chain.name, day)
        snapshot = engine.execution_options(isolation_level="REPEATABLE READ")
        with snapshot.begin() as connection:
            # Before the snapshot: it does not protect from the end of a partition.
            names = ", ".join(table.fullname for table in tables)
            connection.execute(text(f"LOCK TABLE {names} IN ACCESS SHARE MODE"))
            blocks = _blocks(connection, chain, day)
            known = _known(connection, chain, day)
            new = []
            for table in tables:
                before = known.get(table.fullname)
                if before is None or not before.dropped:
                    entry = _written(connection, store, table, chain, day, before, blocks)
                    new += [entry] if entry else []
        with engine.begin() as connection:
            _enter(connection, chain, day, new)
    return Archived(
        day,
        {entry["table_name"]: entry["version"] for entry in new},
        sum(entry["rows"] for entry in new),
        sum(entry["bytes"] for entry in new),
    )


def restore_day(engine: Engine, store: ParquetStore, chain: Chain, day: date) -> int:
    """Bring the rows of *day* that left back into their tables, to stay; return how many.

    They are there to be corrected. The next drop of cold days archives what changed, and drops
    the day again.

    Raises:
        DataSetError: The archive does not hold the rows that left.
        SourceError: The storage does not answer.
    """
    with engine.begin() as connection:
        # First of all locks; partitions are made in transactions of their own.
        lock_archived_day(connection, chain.name, day)
        left = [row for row in _known(connection, chain, day).values() if row.dropped]
        for row in left:
            table = METADATA.tables[row.table_name]
            ensure_partitions(engine, table, [day])
            put_back(connection, table, row, store)
        _note_put_back(connection, chain.name, day, [row.table_name for row in left])
    return sum(row.rows for row in left)


def verify_day(store: ParquetStore, archived: Row[Any]) -> None:
    """Return where the file of a row of `ops.archived_day` is whole.

    Raises:
        DataSetError: It is not there, was altered, or does not hold what was archived.
        SourceError: The storage does not answer.
    """
    check_bytes(store, archived)
    check_file(archived, fingerprint_of_file(store, archived.table_name, archived.location))


def _blocks(connection: Connection, chain: Chain, day: date) -> dict[str, Any]:
    found = connection.execute(_FINAL_DAYS, {"chain": chain.name, "day": day}).first()
    if found is None:
        raise ConfigError(
            f"{chain.name} {day} cannot be archived: it is not closed and final, or lacks blocks."
            " Archive it when a final block lies past it and every block before is applied."
        )
    ends = [
        connection.scalar(_HASH, {"c": chain.name, "h": height})
        for height in (found.first, found.last)
    ]
    return {"first": found.first, "last": found.last, "first_hash": ends[0], "last_hash": ends[1]}


def _known(connection: Connection, chain: Chain, day: date) -> dict[str, Row[Any]]:
    columns = ARCHIVED_DAY.c
    query = select(ARCHIVED_DAY).where(columns.chain == chain.name, columns.day == day)
    return {row.table_name: row for row in connection.execute(query)}


def _written(
    connection: Connection,
    store: ParquetStore,
    table: Table,
    chain: Chain,
    day: date,
    before: Row[Any] | None,
    blocks: dict[str, Any],
) -> dict[str, Any] | None:
    """Return the new row of `ops.archived_day`, or None where the archive has these rows."""
    stored = fingerprint_of_day(connection, table, chain.name, day)
    if before is not None and stored == Fingerprint(before.rows, before.checksum):
        return None
    version = 1 if before is None else before.version + 1
    location = location_of(table.fullname, chain.name, day, version)
    columns = file_columns(table)
    rows = stored_rows(connection, table, columns, table.c.chain == chain.name, table.c.day == day)
    written = store.write(location, schema_of(columns), rows)
    found = fingerprint_of_file(store, table.fullname, location)
    if found != stored:
        raise DataSetError(
            f"{location} was read back with {found}, but {table.fullname} holds {stored}."
            " Nothing left the table; archive the day again."
        )
    entry = {
        "table_name": table.fullname,
        "version": version,
        "location": location,
        "rows": stored.rows,
        "checksum": stored.checksum,
        "bytes": written.bytes,
    }
    store.write_manifest(location, _manifest(chain, day, table, entry, written, blocks))
    return entry


def _manifest(
    chain: Chain,
    day: date,
    table: Table,
    entry: dict[str, Any],
    written: Written,
    blocks: dict[str, Any],
) -> dict[str, Any]:
    schema = schema_of(file_columns(table))
    return {
        **entry,
        "format": _FORMAT,
        "chain": chain.name,
        "day": str(day),
        "sha256": written.sha256,
        "blocks": blocks,
        "columns": [{"name": field.name, "type": str(field.type)} for field in schema],
    }


def _enter(
    connection: Connection, chain: Chain, day: date, entries: Sequence[dict[str, Any]]
) -> None:
    for entry in entries:
        statement = insert(ARCHIVED_DAY).values(chain=chain.name, day=day, dropped=False, **entry)
        connection.execute(
            statement.on_conflict_do_update(
                index_elements=list(ARCHIVED_DAY.primary_key), set_=statement.excluded
            )
        )
    if any(entry["version"] > 1 for entry in entries):
        dirty.mark_chain(connection, chain.name, [day])
        # The same blocks say something else, which what a window was made from does not show.
        ledger.forget_inputs(connection, chain.name, day)


def _note_put_back(connection: Connection, chain: str, day: date, tables: Sequence[str]) -> None:
    columns = ARCHIVED_DAY.c
    connection.execute(
        update(ARCHIVED_DAY)
        .where(columns.chain == chain, columns.day == day, columns.table_name.in_(tables))
        .values(dropped=False)
    )
