"""Cold days leave the fact tables, once the archive holds them for every chain.

A partition holds a day of all chains, so it goes when the day is cold, archived and unchanged for
each chain that has rows in it. What is cold is measured from each chain's last block, not by a
clock: a chain that stands still keeps its days.
"""

from dataclasses import dataclass
from datetime import date, timedelta

from psycopg.errors import LockNotAvailable
from sqlalchemy import Connection, Engine, Table, func, select, text, update
from sqlalchemy.exc import OperationalError

from onchain_agg.chains import Chain, UtxoChain, all_chains
from onchain_agg.errors import SourceError
from onchain_agg.warehouse.archived_rows import check_table, fingerprint_of_day
from onchain_agg.warehouse.archiving import archive_day, archived_tables
from onchain_agg.warehouse.locks import lock_archived_day
from onchain_agg.warehouse.parquet_store import ParquetStore
from onchain_agg.warehouse.partitions import drop_partition, partition_days, partition_name
from onchain_agg.warehouse.tables.chain import BLOCK
from onchain_agg.warehouse.tables.ops import ARCHIVED_DAY
from onchain_agg.warehouse.tables.state import TIP

# Who waits to drop a partition makes every later reader and loader wait too.
_PATIENCE = "10s"


@dataclass(frozen=True)
class Dropped:
    """What left, and what could not.

    Attributes:
        days: Days whose rows left every table of the chain.
        waiting: Cold days that stay, each with the chains that are not cold or not archived there.
    """

    days: tuple[date, ...]
    waiting: dict[date, tuple[str, ...]]


def drop_cold_days(engine: Engine, store: ParquetStore, chain: Chain, hot_days: int) -> Dropped:
    """Drop the partitions of the days of *chain* that are archived and older than *hot_days*.

    Right before, the rows are compared with what was archived; a day that was corrected in between
    is archived again first. On a UTXO chain the days that a fork may undo stay as well.

    Args:
        engine: The warehouse.
        store: The archive.
        chain: The chain.
        hot_days: Days that stay, the day of the chain's last block included; at least 1.

    Raises:
        DataSetError: Rows and archive differ still; nothing of that day was dropped.
        SourceError: A reader holds a table for long, or the storage does not answer.
    """
    with engine.connect() as connection:
        days = _cold_days(connection, chain, hot_days)
    done: list[date] = []
    waiting: dict[date, tuple[str, ...]] = {}
    for day in days:
        with engine.connect() as connection:
            others = _chains_on(connection, chain, day)
            blocked = [name for name in others if not _may_leave(connection, name, day, hot_days)]
        if blocked:
            waiting[day] = tuple(blocked)
            continue
        for name in others:
            archive_day(engine, store, chain if name == chain.name else all_chains()[name], day)
        _drop(engine, chain, day, others)
        done.append(day)
    return Dropped(tuple(done), waiting)


def _cold_days(connection: Connection, chain: Chain, hot_days: int) -> list[date]:
    """Return the archived days that are cold and have not left, oldest first."""
    before = _cold_before(connection, chain, hot_days)
    if before is None:
        return []
    columns = ARCHIVED_DAY.c
    archived = (
        select(columns.day)
        .where(columns.chain == chain.name, columns.day < before)
        .group_by(columns.day)
        .having(func.count() == len(archived_tables(chain)), func.bool_or(~columns.dropped))
        .order_by(columns.day)
    )
    return list(connection.scalars(archived))


def _cold_before(connection: Connection, chain: Chain, hot_days: int) -> date | None:
    """Return the first day that stays, or None where nothing was applied."""
    tip = connection.execute(select(TIP).where(TIP.c.chain == chain.name)).first()
    if tip is None:
        return None
    before: date = tip.day - timedelta(days=hot_days - 1)
    if not isinstance(chain, UtxoChain):
        return before
    undo = select(BLOCK.c.day).where(BLOCK.c.chain == chain.name, BLOCK.c.height == tip.undo_from)
    first_to_undo: date = connection.scalars(undo).one()
    return min(before, first_to_undo)


def _chains_on(connection: Connection, chain: Chain, day: date) -> list[str]:
    """Return the chains that have rows in a partition of *day*, *chain* included, sorted."""
    names = {chain.name}
    for table in archived_tables(chain):
        names |= set(connection.scalars(select(table.c.chain).where(table.c.day == day).distinct()))
    return sorted(names)


def _may_leave(connection: Connection, name: str, day: date, hot_days: int) -> bool:
    if _has_left(connection, name, day):
        return True
    # Rows of a chain without a definition stay until somebody says what they are.
    return name in all_chains() and day in _cold_days(connection, all_chains()[name], hot_days)


def _has_left(connection: Connection, name: str, day: date) -> bool:
    """Return whether what the partition holds of a chain is there only for a reader."""
    columns = ARCHIVED_DAY.c
    left = select(func.bool_and(columns.dropped)).where(columns.chain == name, columns.day == day)
    return bool(connection.scalar(left))


def _drop(engine: Engine, chain: Chain, day: date, chains: list[str]) -> None:
    """Drop the partitions of *day* in one transaction if they hold what is archived."""
    try:
        with engine.begin() as connection:
            connection.execute(text(f"SET LOCAL lock_timeout = '{_PATIENCE}'"))
            # Sorted, so that two drops of one day do not wait for each other.
            for name in chains:
                lock_archived_day(connection, name, day)
            for table in archived_tables(chain):
                _drop_partition(connection, table, day, chains)
    except OperationalError as error:
        if not isinstance(error.orig, LockNotAvailable):
            raise
        raise SourceError(
            f"{chain.name} {day} stays in its tables: a reader has held one of them for"
            f" {_PATIENCE}. Drop it later."
        ) from error


def _drop_partition(connection: Connection, table: Table, day: date, chains: list[str]) -> None:
    if day in partition_days(connection, table):
        part = f'{table.schema}."{partition_name(table, day)}"'
        # Nobody may change a row between the comparison and the end of the partition.
        connection.execute(text(f"LOCK TABLE {part} IN SHARE MODE"))
    there = set(connection.scalars(select(table.c.chain).where(table.c.day == day).distinct()))
    if there - set(chains):
        raise SourceError(
            f"{table.fullname} {day} got rows of {', '.join(sorted(there - set(chains)))} just now."
            " Drop it later."
        )
    columns = ARCHIVED_DAY.c
    here = (columns.table_name == table.fullname, columns.day == day)
    archived = connection.execute(select(ARCHIVED_DAY).where(*here, ~columns.dropped)).all()
    for row in archived:
        check_table(row, fingerprint_of_day(connection, table, row.chain, day))
    drop_partition(connection, table, day)
    connection.execute(
        update(ARCHIVED_DAY)
        .where(*here, columns.chain.in_([row.chain for row in archived]))
        .values(dropped=True)
    )
