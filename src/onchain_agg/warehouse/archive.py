"""The seam to days that left the fact tables: who reads an old day asks here first.

`ops.archived_day` says which days of which table are kept elsewhere, and where. A reader gets them
back for as long as it reads, under the same table names, so no query knows the difference.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from typing import Any, Protocol

import pyarrow as pa
from sqlalchemy import Connection, Engine, Row, Table, delete, select

from onchain_agg.errors import ConfigError, DataSetError
from onchain_agg.warehouse.load import append
from onchain_agg.warehouse.locks import lock_archived_day
from onchain_agg.warehouse.partitions import ensure_partitions
from onchain_agg.warehouse.tables import is_partitioned
from onchain_agg.warehouse.tables.ops import ARCHIVED_DAY


class DayStore(Protocol):
    """Where archived days are kept."""

    def read(self, location: str) -> Iterable[pa.RecordBatch]:
        """Return the rows of one day, in the table's columns but ``chain``."""


def refuse_archived(connection: Connection, chain: str, what: str) -> None:
    """Raise unless all facts of *chain* are in the fact tables, which *what* needs.

    Raises:
        ConfigError: Days were archived; adding up what is left would give wrong amounts.
    """
    query = select(ARCHIVED_DAY).where(ARCHIVED_DAY.c.chain == chain).order_by(ARCHIVED_DAY.c.day)
    row = connection.execute(query.limit(1)).first()
    if row is not None:
        raise ConfigError(
            f"{what} needs every block of {chain}, but {row.table_name} of {row.day} and perhaps"
            f" later days left for {row.location}. Restore them first."
        )


@contextmanager
def readable(
    engine: Engine, tables: Sequence[Table], chain: str, day: date, store: DayStore | None
) -> Iterator[None]:
    """Hold the archived rows of *day* in *tables* while the block reads; then remove them again.

    Costs one query where nothing is archived. One reader of a day at a time; after a reader was
    killed, the next one finds the rows there and uses and removes them.

    Raises:
        ConfigError: The day is archived, and there is no *store*.
        DataSetError: The archive does not hold the rows that left.
    """
    by_day = {table.fullname: table for table in tables if is_partitioned(table)}
    query = select(ARCHIVED_DAY).where(
        ARCHIVED_DAY.c.chain == chain,
        ARCHIVED_DAY.c.day == day,
        ARCHIVED_DAY.c.table_name.in_(by_day),
    )
    with engine.connect() as connection:
        archived = connection.execute(query).all()
    if not archived:
        yield
        return
    if store is None:
        raise ConfigError(
            f"{chain} {day} left {archived[0].table_name} for {archived[0].location}."
            " Configure the archive to read it."
        )
    with engine.begin() as holder:
        lock_archived_day(holder, chain, day)
        for row in archived:
            _bring_back(engine, by_day[row.table_name], row, store)
        try:
            yield
        finally:
            with engine.begin() as connection:
                for row in archived:
                    _remove(connection, by_day[row.table_name], row)


def _bring_back(engine: Engine, table: Table, archived: Row[Any], store: DayStore) -> None:
    ensure_partitions(engine, table, [archived.day])
    with engine.begin() as connection:
        _remove(connection, table, archived)
        rows = sum(
            append(connection, table, batch, {"chain": archived.chain})
            for batch in store.read(archived.location)
        )
        if rows != archived.rows:
            raise DataSetError(
                f"{archived.location} holds {rows} rows of {table.fullname}, but {archived.rows}"
                " left. Restore that file from its backup."
            )


def _remove(connection: Connection, table: Table, archived: Row[Any]) -> None:
    connection.execute(
        delete(table).where(table.c.chain == archived.chain, table.c.day == archived.day)
    )
