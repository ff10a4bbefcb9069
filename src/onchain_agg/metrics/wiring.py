"""What the tables that a data set reads mean for when it is computed.

Three kinds of input make a day dirty: the blocks of a chain, facts outside of blocks
(`warehouse.facts`), and what another data set publishes. An input of the reader's own kind of
scope concerns the same scope only, such as one chain; any other concerns every scope.
"""

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from onchain_agg.chains import all_chains
from onchain_agg.errors import DataSetError
from onchain_agg.markets import GLOBAL
from onchain_agg.metrics.dataset import SERVING, DataSet, Scope
from onchain_agg.metrics.registry import all_datasets
from onchain_agg.warehouse.dirty import BLOCKS
from onchain_agg.warehouse.tables.chain import LABEL
from onchain_agg.warehouse.tables.market import is_by_venue, is_fact

if TYPE_CHECKING:
    from sqlalchemy import Table

_BLOCK_SCHEMAS = ("chain", "state")


@dataclass(frozen=True)
class Input:
    """Something that a data set reads and that is recorded by day.

    Attributes:
        name: The fact table with its schema, or ``serving.<data set>``.
        same_scope: Whether only the reader's own scope of it counts.
        same_day: Whether only the window's own day of it counts.
    """

    name: str
    same_scope: bool
    same_day: bool = False


@dataclass(frozen=True)
class Reader:
    """When a day of an input changes, a day of a data set is dirty: a row of ``ops.reader``.

    Attributes:
        scope: The scope that becomes dirty; None is the one that changed.
        input_scope: The scope that changed; None is any.
    """

    dataset: str
    scope: str | None
    input: str
    input_scope: str | None


def reads_blocks(dataset: DataSet) -> bool:
    """Return whether *dataset* reads what blocks carry, or the state after them."""
    return any(t.schema in _BLOCK_SCHEMAS and t is not LABEL for t in dataset.reads)


def published_as(dataset: str) -> str:
    """Return the name under which other data sets read *dataset*."""
    return f"serving.{dataset}"


@cache
def fact_inputs(dataset: DataSet) -> tuple[Input, ...]:
    """Return the facts outside of blocks that *dataset* reads."""
    kinds: dict[Table, Scope] = {}
    for table in dataset.reads:
        if table is LABEL:
            kinds[table] = "chain"
        elif is_fact(table):
            kinds[table] = "venue" if is_by_venue(table) else "global"
    return tuple(
        Input(t.fullname, _same(dataset, kind), t in dataset.same_day) for t, kind in kinds.items()
    )


@cache
def served_inputs(dataset: DataSet) -> tuple[Input, ...]:
    """Return the other data sets that *dataset* reads."""
    return tuple(
        Input(
            published_as(upstream.name),
            _same(dataset, upstream.scope),
            upstream.table in dataset.same_day,
        )
        for upstream in upstream_of(dataset)
    )


def upstream_of(dataset: DataSet) -> list[DataSet]:
    """Return the data sets whose tables *dataset* reads."""
    by_table = {one.table: one for one in all_datasets().values()}
    return [by_table[table] for table in dataset.reads if table.metadata is SERVING]


def readers_of(dataset: DataSet) -> list[Reader]:
    """Return what makes days of *dataset* dirty.

    Raises:
        DataSetError: It reads something that is not told apart by its kind of scope.
    """
    name = dataset.name
    inputs = [*fact_inputs(dataset), *served_inputs(dataset)]
    if dataset.scope == "chain":
        chains = [chain.name for chain in all_chains().values() if dataset.covers(chain)]
        blocks = [Reader(name, chain, BLOCKS, chain) for chain in chains]
        return blocks + [
            Reader(name, chain, one.name, chain if one.same_scope else None)
            for one in inputs
            for chain in chains
        ]
    if reads_blocks(dataset):
        raise DataSetError(f"{name}: it reads a chain's tables, so its scope must be a chain.")
    if dataset.scope == "global":
        return [Reader(name, GLOBAL, one.name, None) for one in inputs]
    strange = [one.name for one in inputs if not one.same_scope]
    if strange:
        raise DataSetError(
            f"{name}: {', '.join(strange)} tells no venue, so nobody would know which venue's day"
            " is dirty. Make the scope global."
        )
    return [Reader(name, None, one.name, None) for one in inputs]


def _same(dataset: DataSet, kind: Scope) -> bool:
    return kind == dataset.scope != "global"
