"""What a data set is: a table, the query that fills one day of it, and what a changed day reaches.

A data set is one file in a family's folder, with ``DATASET = DataSet(...)``. Its author writes no
versions, no locks, no checksums and no scheduling; `compute` and `warehouse.versions` do.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Literal

from sqlalchemy import ColumnElement, Date, Label, MetaData, Select, Table, Text, and_, literal

from onchain_agg.chains import Chain, EvmChain, UtxoChain
from onchain_agg.errors import DataSetError

# The tables that readers see. Kept apart from the warehouse's own: Alembic does not migrate them,
# a changed meaning is a new table with the next version number.
SERVING = MetaData(schema="serving")

ChainFamily = Literal["evm", "utxo"]
Grain = Literal["day", "hour", "event"]


@dataclass(frozen=True)
class Window:
    """One UTC day of one chain, as far as its blocks were applied.

    Attributes:
        scope: Name of the chain.
        first_height: First applied block of the day.
        last_height: Last applied block of the day.
        from_height: First block that was ever applied on the chain; what moved before is unknown.
    """

    scope: str
    day: date
    first_height: int
    last_height: int
    from_height: int

    @property
    def is_empty(self) -> bool:
        """Return whether the day has no applied block (any more)."""
        return self.first_height > self.last_height

    @property
    def start(self) -> datetime:
        """Return the first instant of the day."""
        return datetime.combine(self.day, time(), tzinfo=UTC)

    @property
    def end(self) -> datetime:
        """Return the first instant after the day."""
        return self.start + timedelta(days=1)

    def of(self, table: Table) -> ColumnElement[bool]:
        """Return the condition that a row of a ``chain`` or ``state`` fact table is in the window.

        Blocks that are loaded but not applied yet are outside: they may hang on a fork.
        """
        columns = table.c
        return and_(
            columns.chain == self.scope,
            columns.day == self.day,
            columns.height.between(self.first_height, self.last_height),
        )

    def labels(self) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
        """Return the columns ``chain`` and ``day`` that every data set's rows begin with."""
        return literal(self.scope, Text).label("chain"), literal(self.day, Date).label("day")


@dataclass(frozen=True)
class Reach:
    """Which days must be computed again when a day's facts change.

    Attributes:
        days: How many days from the changed one on, itself included; None is every later day.
    """

    days: int | None

    def last_day(self, changed: date, newest: date) -> date:
        """Return the last day that a change on *changed* affects, not after *newest*."""
        if self.days is None:
            return newest
        return min(newest, changed + timedelta(days=self.days - 1))


SAME_DAY = Reach(1)
ALL_LATER = Reach(None)


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """One table that the API reads, and how a day of it is computed.

    Attributes:
        name: Also the DAG's id.
        table: In the schema ``serving``, named ``<name>_v<version>``; its key begins with
            ``chain`` and ``day``; every column has a comment with its unit.
        family: ``whale``, ``network``, ``nft`` or ``market``; the folder of the file.
        chain_families: Kinds of chain it is computed for.
        reads: The warehouse tables that its query reads.
        reach: What a changed day affects.
        grain: What one row stands for.
        workload: The queue or size of pod of its task, an entry of ``workloads.yaml``.
        highlights: Columns that a short overview shows; of the largest first one.
        derived: Columns that readers' view computes from the stored ones, such as a rank, so that
            one row's change does not rewrite its neighbours; labelled, each with its meaning in
            the module docstring.
        rows: Returns the query of one window; its columns are the table's, by name.
    """

    name: str
    table: Table
    family: str
    chain_families: tuple[ChainFamily, ...]
    reads: tuple[Table, ...]
    reach: Reach
    grain: Grain
    workload: str
    rows: Callable[[Window], Select[Any]]
    highlights: tuple[str, ...]
    derived: tuple[Label[Any], ...] = ()

    def __post_init__(self) -> None:
        """Refuse a definition that readers could not rely on.

        Raises:
            DataSetError: The table's name, key or comments break the rules above.
        """
        if not self.table.name.startswith(f"{self.name}_v"):
            raise DataSetError(
                f"{self.name}: name its table {self.name}_v1, not {self.table.name}."
            )
        key = [column.name for column in self.table.primary_key]
        if key[:2] != ["chain", "day"]:
            raise DataSetError(f"{self.name}: the key must begin with chain, day; it is {key}.")
        unknown = {*self.highlights} - {*self.table.columns.keys()}
        if unknown or not self.highlights:
            raise DataSetError(f"{self.name}: highlights must name columns; {unknown} are none.")
        silent = [column.name for column in self.table.c if not column.comment]
        if silent:
            raise DataSetError(f"{self.name}: give a comment with a unit to {', '.join(silent)}.")

    def covers(self, chain: Chain) -> bool:
        """Return whether the data set is computed for *chain*."""
        kinds: dict[ChainFamily, type[Chain]] = {"evm": EvmChain, "utxo": UtxoChain}
        return any(isinstance(chain, kinds[family]) for family in self.chain_families)
