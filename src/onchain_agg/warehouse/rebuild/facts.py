"""All facts of a chain at one moment: from the archive what left, from the tables what is hot."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import pyarrow as pa
from sqlalchemy import Connection, Row, Table, select, text

from onchain_agg.chains import ERC20, Chain
from onchain_agg.errors import ConfigError
from onchain_agg.warehouse.apply import tip_of
from onchain_agg.warehouse.archive import days_left
from onchain_agg.warehouse.archived_rows import archived_batches
from onchain_agg.warehouse.archiving import archived_tables
from onchain_agg.warehouse.parquet_store import ParquetStore
from onchain_agg.warehouse.table_rows import schema_of, stored_rows
from onchain_agg.warehouse.tables.chain import BLOCK
from onchain_agg.warehouse.tables.ops import ASSET


@dataclass(frozen=True)
class Pinned:
    """A chain as it stands in a transaction's snapshot.

    Attributes:
        chain: The chain.
        tip: Its row of `state.tip`.
        days: Days that have applied blocks, oldest first.
        assets: Standard and address of each tracked asset, by id; an empty address is the native
            coin's, which counts as standard 20.
        left: What left the fact tables: rows of `ops.archived_day` by table name and day.
    """

    chain: Chain
    tip: Row[Any]
    days: tuple[date, ...]
    assets: dict[int, tuple[int, bytes]]
    left: dict[tuple[str, date], Row[Any]]

    def fungible(self) -> list[tuple[int, bytes]]:
        """Return id and address of the assets that have balances."""
        return [(key, one[1]) for key, one in self.assets.items() if one[0] == ERC20]

    def collections(self) -> list[tuple[int, int, bytes]]:
        """Return id, standard and address of the assets that have owners."""
        return [(key, *one) for key, one in self.assets.items() if one[0] != ERC20]


@dataclass(frozen=True)
class Facts:
    """Reads a pinned chain's facts.

    Attributes:
        connection: The transaction of the snapshot.
        pinned: What it shows.
        store: The archive; None where nothing left.
    """

    connection: Connection
    pinned: Pinned
    store: ParquetStore | None

    def of_day(self, table: Table, names: Sequence[str], day: date) -> Iterator[pa.RecordBatch]:
        """Yield the columns *names* of the applied rows of *table* on *day*.

        Raises:
            ConfigError: The day left, and there is no archive to read it from.
            DataSetError: The archive lacks a file, or it is not the one that was archived.
            SourceError: The archive does not answer.
        """
        left = self.pinned.left.get((table.fullname, day))
        if left is not None:
            yield from self._archived(left, names)
            return
        columns = [table.c[name] for name in names]
        tip = self.pinned.tip
        yield from stored_rows(
            self.connection,
            table,
            columns,
            table.c.chain == self.pinned.chain.name,
            table.c.day == day,
            table.c.height.between(tip.from_height, tip.height),
        )

    def of_all_days(self, table: Table, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Yield the columns *names* of every applied row of *table*, day by day."""
        for day in self.pinned.days:
            yield from self.of_day(table, names, day)

    def of_blocks(self, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Yield the columns *names* of every applied block; blocks never leave their table."""
        tip = self.pinned.tip
        return stored_rows(
            self.connection,
            BLOCK,
            [BLOCK.c[name] for name in names],
            BLOCK.c.chain == self.pinned.chain.name,
            BLOCK.c.height.between(tip.from_height, tip.height),
        )

    def _archived(self, left: Row[Any], names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        if self.store is None:
            raise ConfigError(
                f"{left.chain} {left.day} left {left.table_name} for {left.location}."
                " Set archive_url to the archive to read it."
            )
        yield from archived_batches(self.store, left, names)


def schema_for(table: Table, names: Sequence[str]) -> pa.Schema:
    """Return the schema of the columns *names* of *table*."""
    return schema_of([table.c[name] for name in names])


def pin(connection: Connection, chain: Chain) -> Pinned:
    """Return the chain as the transaction of *connection* sees it; nothing was read in it before.

    Raises:
        ConfigError: No block of the chain was ever applied.
    """
    # A snapshot does not protect from the end of a partition; a lock from before it does.
    names = ", ".join(table.fullname for table in archived_tables(chain))
    connection.execute(text(f"LOCK TABLE {names} IN ACCESS SHARE MODE"))
    tip = tip_of(connection, chain.name)
    if tip is None:
        raise ConfigError(f"No block of {chain.name} was applied. Ingest it first.")
    days = (
        select(BLOCK.c.day)
        .where(BLOCK.c.chain == chain.name, BLOCK.c.height.between(tip.from_height, tip.height))
        .distinct()
        .order_by(BLOCK.c.day)
    )
    assets = select(ASSET.c.asset_id, ASSET.c.standard, ASSET.c.address).where(
        ASSET.c.chain == chain.name, ASSET.c.tracked
    )
    return Pinned(
        chain,
        tip,
        tuple(connection.scalars(days)),
        {row.asset_id: (row.standard, row.address) for row in connection.execute(assets)},
        {(row.table_name, row.day): row for row in connection.execute(days_left(chain.name))},
    )
