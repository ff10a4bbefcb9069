"""Small chains with final days to archive, and what to look at afterwards."""

from dataclasses import replace
from datetime import date

from sqlalchemy import func, select

from onchain_agg.metrics.compute import backfill, compute
from onchain_agg.metrics.registry import all_datasets
from onchain_agg.warehouse import ingest
from onchain_agg.warehouse.apply import apply_blocks
from onchain_agg.warehouse.archiving import archived_tables
from onchain_agg.warehouse.tables import is_partitioned
from tests.fakes import scenes
from tests.fakes.chain import FakeNode

EVM = scenes.EVM
# A fork may undo two blocks, so days are cold as soon as on the other chain.
UTXO = replace(scenes.UTXO, undo_blocks=2)
LENGTH = 14
DAYS = tuple(date(2026, 3, day) for day in (1, 2, 3))  # closed and final of `filled`


def filled(engine, chain, blocks=None):
    """Load and apply a chain whose last block alone is not final."""
    blocks = blocks or scenes.branch(chain, LENGTH)
    node = FakeNode(chain, blocks, chunk=100)
    ingest.load(engine, chain, node, blocks[0].height, blocks[-1].height)
    apply_blocks(engine, chain, final_height=blocks[-1].height - 1)


def rows_by_day(engine, chain):
    """Return how many rows of *chain* the tables by day hold."""
    with engine.connect() as connection:
        return sum(
            connection.scalar(select(func.count()).where(table.c.chain == chain.name))
            for table in archived_tables(chain)
        )


def recompute(engine, chain, store=None):
    """Compute every window that reads tables by day again; return the rows that changed."""
    changed = 0
    for dataset in all_datasets().values():
        if dataset.covers(chain) and any(is_partitioned(table) for table in dataset.reads):
            backfill(engine, dataset, chain.name, force=True)
            changed += sum(w.changed for w in compute(engine, dataset, chain.name, archive=store))
    return changed
