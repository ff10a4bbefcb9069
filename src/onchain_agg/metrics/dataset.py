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
Grain = Literal["day", "hour", "minute", "event"]
Scope = Literal["chain", "venue", "global"]

_FAMILIES: dict[ChainFamily, type[Chain]] = {"evm": EvmChain, "utxo": UtxoChain}


@dataclass(frozen=True)
class Window:
    """One UTC day of one scope: of a chain, as far as its blocks were applied, or of a market.

    Attributes:
        scope: Name of the chain or venue, or ``global``.
        first_height: First applied block of the day; 0 outside of chains, as the next two.
        last_height: Last applied block of the day.
        from_height: First block that was ever applied on the chain; what moved before is unknown.
    """

    scope: str
    day: date
    first_height: int = 0
    last_height: int = 0
    from_height: int = 0

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
        """Return the condition that a row of a fact table is in the window.

        Blocks that are loaded but not applied yet are outside: they may hang on a fork.
        """
        columns = table.c
        if "venue" in columns:
            return and_(columns.venue == self.scope, columns.day == self.day)
        if "height" not in columns:
            return columns.day == self.day
        return and_(
            columns.chain == self.scope,
            columns.day == self.day,
            columns.height.between(self.first_height, self.last_height),
        )

    def labels(self) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
        """Return the columns ``chain`` and ``day`` that a chain's rows begin with."""
        return literal(self.scope, Text).label("chain"), self.day_label()

    def venue_labels(self) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
        """Return the columns ``venue`` and ``day`` that a venue's rows begin with."""
        return literal(self.scope, Text).label("venue"), self.day_label()

    def day_label(self) -> ColumnElement[Any]:
        """Return the column ``day``."""
        return literal(self.day, Date).label("day")


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

    def first_day(self, computed: date) -> date:
        """Return the first day whose facts *computed* may depend on."""
        return date.min if self.days is None else computed - timedelta(days=self.days - 1)


SAME_DAY = Reach(1)
ALL_LATER = Reach(None)


@dataclass(frozen=True)
class Invariant:
    """What must hold of a window's rows before readers see them.

    Attributes:
        name: What holds, in a few words; part of the error.
        broken: Returns the query of the rows that break it, from the table of the staged rows and
            the window; the first rows are shown in the error, with the query's column names.
    """

    name: str
    broken: Callable[[Table, Window], Select[Any]]


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """One table that the API reads, and how a day of it is computed.

    Attributes:
        name: Also the DAG's id.
        table: In the schema ``serving``, named ``<name>_v<version>``; its key begins with the
            column of the scope (``chain`` or ``venue``; none where the scope is global) and
            ``day``; every column has a comment with its unit. Its ``info["indexes"]`` may give
            indexes beside the key's: a name, and columns as SQL.
        family: ``whale``, ``network``, ``nft`` or ``market``; the folder of the file.
        scope: What is computed on its own: a chain, a venue, or all there is (``global``).
        chain_families: Kinds of chain it is computed for; none unless the scope is a chain.
        reads: The tables that its query reads: facts, state, and the tables of other data sets.
        reach: What a changed day affects, and so how far back the query may look.
        same_day: Those of `reads` of which the query looks at the window's own day only: a change
            of another day computes nothing again, whatever the reach.
        grain: What one row stands for.
        at_close: Whether a day is computed only when it is over: for queries that scan everything.
        invariants: What must hold of the rows before they are published.
        workload: The queue or size of pod of its task, an entry of ``workloads.yaml``.
        highlights: Columns that a short overview shows; of the largest first one.
        derived: Columns that readers' view computes from the stored ones, such as a rank, so that
            one row's change does not rewrite its neighbours; labelled, each with its meaning in
            the module docstring.
        rows: Returns the query of one window; its columns are the table's, by name.
        elsewhere: Returns the query of the other days, in a column ``day``, whose served rows are
            no longer what they would be computed as now, because of the window's facts. For what
            no `reach` says: an event that means something for events of any other day. It runs
            after the window is published, and compares, so that it returns nothing once all is
            computed. Days that were never served do not count.
    """

    name: str
    table: Table
    family: str
    scope: Scope = "chain"
    chain_families: tuple[ChainFamily, ...] = ()
    reads: tuple[Table, ...]
    reach: Reach
    grain: Grain
    workload: str
    rows: Callable[[Window], Select[Any]]
    highlights: tuple[str, ...]
    derived: tuple[Label[Any], ...] = ()
    same_day: tuple[Table, ...] = ()
    at_close: bool = False
    invariants: tuple[Invariant, ...] = ()
    elsewhere: Callable[[Window], Select[Any]] | None = None

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
        first = [*filter(None, [self.scope_column]), "day"]
        if key[: len(first)] != first:
            raise DataSetError(
                f"{self.name}: the key must begin with {', '.join(first)}; it is {key}."
            )
        if (self.scope == "chain") != bool(self.chain_families):
            raise DataSetError(f"{self.name}: name chain_families where the scope is a chain.")
        unknown = {*self.highlights} - {*self.table.columns.keys()}
        if unknown or not self.highlights:
            raise DataSetError(f"{self.name}: highlights must name columns; {unknown} are none.")
        if self.grain != "event" and len(key) > len(first):
            # Readers ask for many days of one asset or market.
            self.table.info["series"] = key[len(first)]
        silent = [column.name for column in self.table.c if not column.comment]
        if silent:
            raise DataSetError(f"{self.name}: give a comment with a unit to {', '.join(silent)}.")

    @property
    def scope_column(self) -> str | None:
        """Return the column that holds the scope; None where the scope is global."""
        return None if self.scope == "global" else self.scope

    def key_of(self, window: Window) -> dict[str, object]:
        """Return the values of the key columns that say which rows are the window's."""
        scope = {self.scope_column: window.scope} if self.scope_column else {}
        return {**scope, "day": window.day}

    def covers(self, chain: Chain) -> bool:
        """Return whether the data set is computed for *chain*."""
        return any(isinstance(chain, _FAMILIES[family]) for family in self.chain_families)
