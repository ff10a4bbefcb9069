"""The seam to days that left the fact tables: who reads an old day asks here first.

`ops.archived_day` says which days of which table are in the archive, where, and whether their rows
left the table. A reader gets rows that left back for as long as it reads, under the same table
names, so no query knows the difference.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, timedelta
from typing import Any, Protocol

import pyarrow as pa
from sqlalchemy import Connection, Engine, Row, Select, Table, delete, select

from onchain_agg.errors import ConfigError
from onchain_agg.warehouse.archived_rows import check_file, fingerprint_of_day
from onchain_agg.warehouse.load import append
from onchain_agg.warehouse.locks import lock_archived_day, share_archived_days
from onchain_agg.warehouse.partitions import ensure_partitions
from onchain_agg.warehouse.tables import is_partitioned
from onchain_agg.warehouse.tables.ops import ARCHIVED_DAY


class DayStore(Protocol):
    """Where archived days are kept."""

    def read(self, location: str) -> Iterable[pa.RecordBatch]:
        """Return the rows of one day, in the table's columns but ``chain``."""


def days_left(
    chain: str, tables: Collection[str] | None = None, days: Collection[date] | None = None
) -> Select[Any]:
    """Return the query of the rows of `ops.archived_day` whose facts left the fact tables.

    Args:
        chain: Name of the chain.
        tables: Only of these tables, by name with schema.
        days: Only these days.
    """
    columns = ARCHIVED_DAY.c
    query = select(ARCHIVED_DAY).where(columns.chain == chain, columns.dropped, columns.rows > 0)
    if tables is not None:
        query = query.where(columns.table_name.in_(tables))
    if days is not None:
        query = query.where(columns.day.in_(days))
    return query.order_by(columns.day, columns.table_name)


def refuse_archived(
    connection: Connection, chain: str, what: str, days: Collection[date] | None = None
) -> None:
    """Raise unless all facts of *chain* that *what* needs are in the fact tables.

    Args:
        connection: Of the transaction that is to read or change them.
        chain: Name of the chain.
        what: For the message.
        days: Only the facts of these days are needed; by default those of every day.

    Raises:
        ConfigError: Days left; adding up what is there would give wrong amounts.
    """
    row = connection.execute(days_left(chain, days=days).limit(1)).first()
    if row is not None:
        raise ConfigError(
            f"{what} needs the facts of {chain} in the fact tables, but {row.table_name} of"
            f" {row.day} and perhaps later days left for {row.location}. Run"
            f" `onchain-agg archive restore {chain} --from {row.day}` first."
        )


@contextmanager
def readable(
    engine: Engine,
    tables: Sequence[Table],
    chain: str,
    day: date,
    store: DayStore | None,
    *,
    first_day: date | None = None,
) -> Iterator[None]:
    """Hold the archived rows of *day* in *tables* while the block reads; then remove them again.

    No day leaves its tables while it is read: a reader's snapshot does not protect it from the end
    of a partition. One reader at a time of a day that left; after a reader was killed, the next
    one finds the rows there and uses and removes them.

    Args:
        engine: The warehouse.
        tables: What is read; those without day partitions never leave.
        chain: Name of the chain.
        day: The day.
        store: Where the archive is.
        first_day: The block reads from this day on; by default *day* alone.

    Raises:
        ConfigError: The day is archived, and there is no *store*.
        DataSetError: The archive does not hold the rows that left.
    """
    by_day = {table.fullname: table for table in tables if is_partitioned(table)}
    if not by_day:
        yield
        return
    first = day if first_day is None else first_day
    days = [first + timedelta(days=n) for n in range((day - first).days + 1)]
    query = days_left(chain, by_day, days)
    with engine.begin() as holder:
        share_archived_days(holder, chain, days)
        if holder.execute(query.limit(1)).first() is None:
            yield
            return
    with engine.begin() as holder:
        for one in days:
            lock_archived_day(holder, chain, one)
        archived = holder.execute(query).all()
        _check_store(archived, store)
        try:
            for row in archived:
                bring_back(engine, by_day[row.table_name], row, store)
            yield
        finally:
            with engine.begin() as connection:
                for row in archived:
                    _remove(connection, by_day[row.table_name], row)


def bring_back(engine: Engine, table: Table, archived: Row[Any], store: DayStore | None) -> None:
    """Put the rows of an archived day back into *table*; the caller holds the day's lock.

    Raises:
        ConfigError: There is no *store*.
        DataSetError: The archive does not hold the rows that left; *table* stays as it was.
    """
    if store is None:
        raise _no_store(archived)
    ensure_partitions(engine, table, [archived.day])
    with engine.begin() as connection:
        put_back(connection, table, archived, store)


def put_back(connection: Connection, table: Table, archived: Row[Any], store: DayStore) -> None:
    """Put the rows of an archived day into *table*, whose partition is there.

    Raises:
        DataSetError: The archive does not hold the rows that left.
    """
    _remove(connection, table, archived)
    for batch in store.read(archived.location):
        append(connection, table, batch, {"chain": archived.chain})
    # In the table, so a mistake on the way from the file shows as well.
    check_file(archived, fingerprint_of_day(connection, table, archived.chain, archived.day))


def _check_store(archived: Sequence[Row[Any]], store: DayStore | None) -> None:
    if archived and store is None:
        raise _no_store(archived[0])


def _no_store(row: Row[Any]) -> ConfigError:
    return ConfigError(
        f"{row.chain} {row.day} left {row.table_name} for {row.location}."
        " Set archive_url to the archive to read it."
    )


def _remove(connection: Connection, table: Table, archived: Row[Any]) -> None:
    connection.execute(
        delete(table).where(table.c.chain == archived.chain, table.c.day == archived.day)
    )
