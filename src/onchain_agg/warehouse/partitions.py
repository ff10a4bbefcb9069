"""One partition a day, made when its first rows arrive and dropped when they left for the archive.

Making one blocks nobody: the new table is built on its own and attached under SHARE UPDATE
EXCLUSIVE, which readers and loaders pass. Dropping one does block readers of its table, until the
caller's transaction ends.
"""

import re
from collections.abc import Collection, Iterator, Sequence
from datetime import date, timedelta
from itertools import islice

from psycopg.errors import DuplicateTable
from sqlalchemy import Connection, Engine, Table, text
from sqlalchemy.exc import ProgrammingError

from onchain_agg.errors import ConfigError
from onchain_agg.warehouse.locks import lock_partitions
from onchain_agg.warehouse.tables import is_partitioned

# A transaction that makes many partitions at once runs out of PostgreSQL's lock table.
_DAYS_A_TRANSACTION = 50
_DAY = re.compile(r"_y(\d{4})m(\d{2})d(\d{2})$")
_ATTACHED = text(
    "SELECT part.relname FROM pg_inherits"
    " JOIN pg_class part ON part.oid = inhrelid"
    " JOIN pg_class parent ON parent.oid = inhparent"
    " JOIN pg_namespace spot ON spot.oid = parent.relnamespace"
    " WHERE spot.nspname = :schema AND parent.relname = :name"
)


def partition_name(table: Table, day: date) -> str:
    """Return the name of the partition that holds *day*, without its schema."""
    return f"{table.name}_y{day.year:04}m{day.month:02}d{day.day:02}"


def ensure_partitions(engine: Engine, table: Table, days: Collection[date]) -> None:
    """Return once every one of *days* has its partition.

    Commits in transactions of its own, so call it before the transaction that loads. Processes
    that ask for the same day at once take turns. Costs one catalog query where nothing is missing.

    Raises:
        ConfigError: *table* has no day partitions, or a stray table has a partition's name.
    """
    _check_partitioned(table)
    with engine.connect() as connection:
        missing = iter(sorted(set(days) - partition_days(connection, table)))
    while some := list(islice(missing, _DAYS_A_TRANSACTION)):
        with engine.begin() as connection:
            lock_partitions(connection, table.fullname)
            # Somebody else may have made them during the wait.
            for day in sorted(set(some) - partition_days(connection, table)):
                _create(connection, table, day)


def partition_days(connection: Connection, table: Table) -> set[date]:
    """Return the days that *table* has a partition for.

    Raises:
        ConfigError: *table* has no day partitions.
    """
    _check_partitioned(table)
    names = connection.scalars(_ATTACHED, {"schema": table.schema, "name": table.name})
    return set(_days_of(names.all()))


def drop_partition(connection: Connection, table: Table, day: date) -> bool:
    """Drop the rows of *day* with their partition; return whether there was one.

    Readers and writers of the whole table wait until the caller's transaction ends.

    Raises:
        ConfigError: *table* has no day partitions.
    """
    _check_partitioned(table)
    lock_partitions(connection, table.fullname)
    if day not in partition_days(connection, table):
        return False
    part = _quoted(connection, table, partition_name(table, day))
    connection.exec_driver_sql(f"DROP TABLE {part}")
    return True


def _create(connection: Connection, table: Table, day: date) -> None:
    parent = _quoted(connection, table, table.name)
    part = _quoted(connection, table, partition_name(table, day))
    try:
        connection.exec_driver_sql(f"CREATE TABLE {part} (LIKE {parent} INCLUDING ALL)")
    except ProgrammingError as error:
        if isinstance(error.orig, DuplicateTable):
            raise ConfigError(
                f"{part} exists but is not a partition of {parent}. Move its rows and drop it."
            ) from error
        raise
    connection.exec_driver_sql(
        f"ALTER TABLE {parent} ATTACH PARTITION {part}"
        f" FOR VALUES FROM ('{day}') TO ('{day + timedelta(days=1)}')"
    )


def _days_of(names: Sequence[str]) -> Iterator[date]:
    for name in names:
        if found := _DAY.search(name):
            year, month, day = map(int, found.groups())
            yield date(year, month, day)


def _quoted(connection: Connection, table: Table, name: str) -> str:
    quote = connection.dialect.identifier_preparer.quote
    return ".".join(quote(part) for part in (table.schema, name) if part)


def _check_partitioned(table: Table) -> None:
    if not is_partitioned(table):
        raise ConfigError(f"{table.fullname} has no day partitions. Write to it directly.")
