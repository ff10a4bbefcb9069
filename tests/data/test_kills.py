"""A process killed at any point loses nothing: the next run ends in the tables of one clean run."""

import time

import pytest
from sqlalchemy import text

from onchain_agg.metrics.definitions import sync
from onchain_agg.metrics.due import scopes_due
from onchain_agg.metrics.registry import all_datasets
from onchain_agg.warehouse.apply import apply_blocks
from onchain_agg.warehouse.versions import twins
from tests.fakes import warehouse as fakes
from tests.fakes.chain import FakeNode
from tests.fakes.dying_run import BEFORE_SUCCESS, killed_at, started
from tests.fakes.scenes import EVM, UTXO, branch, row_versions, scalar
from tests.fakes.warehouse import bring_up_to_date, contents, load_all, publish_all, wipe

pytestmark = [pytest.mark.data, pytest.mark.few_data_sets]

_MOST_RUNS = 200


@pytest.fixture(params=[EVM, UTXO], ids=["evm", "utxo"])
def family(request):
    return request.param


def assert_nothing_is_half_written(engine, blocks):
    """Every stored block has all of its facts, and every served window all of its rows."""
    facts = {
        b.block_hash: len(b.transfers) + sum(len(t.outputs) + len(t.inputs) for t in b.transactions)
        for b in blocks
    }
    tables = ("token_transfer", "native_transfer", "utxo_output", "utxo_input")
    counts = " + ".join(
        f"(SELECT count(*) FROM chain.{name} t WHERE t.block_hash = b.block_hash)"
        for name in tables
    )
    reading = engine.execution_options(isolation_level="REPEATABLE READ")
    with reading.connect() as connection:
        stored = connection.execute(text(f"SELECT block_hash, {counts} FROM chain.block b"))
        assert {h.hex(): n for h, n in stored if n != facts[h]} == {}
        for dataset in (one for one in all_datasets().values() if one.scope == "chain"):
            wrong = connection.execute(
                text(
                    "SELECT w.scope, w.day FROM ops.window w WHERE w.dataset = :name AND w.rows <>"
                    f" (SELECT count(*) FROM {twins(dataset.table).serving.fullname} s"
                    "  WHERE s.chain = w.scope AND s.day = w.day)"
                ),
                {"name": dataset.name},
            ).all()
            assert wrong == []


def due(engine):
    """Return what is due of the data sets that these tests publish."""
    return {name: s for name, s in scopes_due(engine).items() if name in fakes.PUBLISHED}


def sweep(engine, chain, node):
    """Do what the next ingest run, the sweeping DAG and the DAGs that it wakes do."""
    sync(engine)
    apply_blocks(engine, chain, final_height=node.final_height())
    publish_all(engine)


def fresh(engine, chain, node):
    wipe(engine)
    bring_up_to_date(engine, chain, node)
    return contents(engine)


def run_until_it_survives(engine, chain, node, blocks, growth):
    """Run again and again, each time killed some steps later; return how many runs died."""
    for died in range(_MOST_RUNS):
        if not killed_at(engine, chain, node, 1 + died * growth):
            return died
        assert_nothing_is_half_written(engine, blocks)
    pytest.fail("no run survived")


def test_a_run_killed_again_and_again_ends_in_the_tables_of_one_clean_run(warehouse, family):
    node = FakeNode(family, branch(family, 3), chunk=2)

    # One step later each time, so some run dies right before and another right after each commit.
    died = run_until_it_survives(warehouse, family, node, node.blocks, growth=1)

    assert died > 10
    assert due(warehouse) == {}
    assert contents(warehouse) == fresh(warehouse, family, node)


def test_a_reorganisation_killed_again_and_again_ends_in_the_other_branch(warehouse, family):
    trunk = branch(family, 3)
    old, new = branch(family, 2, trunk[-1], "old"), branch(family, 3, trunk[-1], "newer")
    bring_up_to_date(warehouse, family, FakeNode(family, [*trunk, *old]))
    node = FakeNode(family, [*trunk, *new])

    died = run_until_it_survives(warehouse, family, node, [*trunk, *old, *new], growth=3)

    assert died > 10
    assert due(warehouse) == {}
    assert contents(warehouse) == fresh(warehouse, family, node)


def test_a_run_killed_at_any_moment_is_made_up_for_by_the_sweeper(warehouse, family):
    node = FakeNode(family, branch(family, 6), chunk=2)
    for moment in (0.05, 0.1, 0.2, 0.4):
        process = started(warehouse, family, node)
        time.sleep(moment)
        process.kill()
        process.join(30)
        assert_nothing_is_half_written(warehouse, node.blocks)
    load_all(warehouse, family, node)
    sweep(warehouse, family, node)

    assert due(warehouse) == {}
    assert contents(warehouse) == fresh(warehouse, family, node)


def test_after_a_kill_between_the_last_commit_and_success_the_rerun_writes_nothing(warehouse):
    node = FakeNode(EVM, branch(EVM, 4))
    assert killed_at(warehouse, EVM, node, BEFORE_SUCCESS)
    before = row_versions(warehouse)

    windows = bring_up_to_date(warehouse, EVM, node)

    assert windows == []
    assert row_versions(warehouse) == before
    assert contents(warehouse) == fresh(warehouse, EVM, node)


def test_a_window_that_was_published_before_the_kill_is_not_written_again(warehouse):
    node = FakeNode(EVM, branch(EVM, 4))
    bring_up_to_date(warehouse, EVM, node)
    # As if the run had died after its commits and the same days had been marked once more.
    with warehouse.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO ops.dirty (dataset, scope, day) SELECT dataset, scope, day"
                " FROM ops.window"
            )
        )
    dirty = row_versions(warehouse, "ops.dirty")
    written = row_versions(warehouse) - dirty

    windows = publish_all(warehouse)

    assert {w.changed for w in windows} == {0}
    assert len(windows) == scalar(warehouse, "SELECT count(*) FROM ops.window")
    assert row_versions(warehouse) - dirty == written
