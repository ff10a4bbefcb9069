"""Two runs at once: one waits for the other, and the tables are those of a single run."""

import time
from contextlib import contextmanager
from threading import Barrier, Thread

import pytest
from sqlalchemy import text

from onchain_agg.metrics.compute import compute
from onchain_agg.metrics.due import scopes_due
from onchain_agg.metrics.registry import dataset_named
from onchain_agg.warehouse import ingest
from onchain_agg.warehouse.apply import apply_blocks
from onchain_agg.warehouse.engine import engine_for
from tests.fakes.chain import FakeNode
from tests.fakes.scenes import EVM, UTXO, branch, scalar
from tests.fakes.warehouse import bring_up_to_date, contents, load_all, publish_all, wipe

pytestmark = pytest.mark.data

_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))")
_WAITING = (
    "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)
_WITHIN_S = 60


@pytest.fixture(params=[EVM, UTXO], ids=["evm", "utxo"])
def family(request):
    return request.param


def fresh(engine, chain, node):
    wipe(engine)
    bring_up_to_date(engine, chain, node)
    return contents(engine)


class Runs:
    """Threads with an engine each, and what they returned."""

    def __init__(self, warehouse):
        self.url = warehouse.url.render_as_string(hide_password=False)
        self.results, self.errors, self.threads = [], [], []

    def start(self, work):
        thread = Thread(target=self._run, args=(work,))
        self.threads.append(thread)
        thread.start()

    def _run(self, work):
        engine = engine_for(self.url)
        try:
            self.results.append(work(engine))
        except Exception as error:
            self.errors.append(error)
        finally:
            engine.dispose()

    def finish(self):
        for thread in self.threads:
            thread.join(_WITHIN_S)
        assert self.errors == []
        assert not any(thread.is_alive() for thread in self.threads)
        return self.results


@contextmanager
def held(engine, name, runs):
    """Hold the lock of that name until two others wait for it."""
    with engine.begin() as connection:
        connection.execute(_LOCK, {"name": name})
        yield
        deadline = time.monotonic() + _WITHIN_S
        while scalar(engine, _WAITING) < 2:
            assert not runs.errors
            assert time.monotonic() < deadline, "nobody waits for the lock"
            time.sleep(0.02)


@pytest.mark.parametrize("name", ["whale_transfer", "holder_distribution_daily"])
def test_two_publishers_of_one_data_set_and_scope_take_turns(warehouse, name):
    node = FakeNode(EVM, branch(EVM, 6))
    load_all(warehouse, EVM, node)
    apply_blocks(warehouse, EVM, final_height=-1)
    runs = Runs(warehouse)

    with held(warehouse, f"dataset:{name}:anvil", runs):
        for _ in range(2):
            runs.start(lambda engine: compute(engine, dataset_named(name), "anvil"))
    one, other = runs.finish()

    # Both found the same days; each day was written by one of them.
    assert [w.day for w in one] == [w.day for w in other]
    assert all(min(a.changed, b.changed) == 0 for a, b in zip(one, other, strict=True))
    assert all(max(a.changed, b.changed) > 0 for a, b in zip(one, other, strict=True))
    assert scalar(warehouse, f"SELECT count(*) FROM history.{name}_v1") == 0
    publish_all(warehouse)
    assert scopes_due(warehouse) == {}
    assert contents(warehouse) == fresh(warehouse, EVM, node)


def test_two_corrections_of_one_window_leave_one_version_in_history(warehouse):
    trunk = branch(EVM, 3)
    node = FakeNode(EVM, [*trunk, *branch(EVM, 1, trunk[-1], "old")])
    bring_up_to_date(warehouse, EVM, node)
    node.blocks = [*trunk, *branch(EVM, 2, trunk[-1], "newer")]
    load_all(warehouse, EVM, node)
    apply_blocks(warehouse, EVM, final_height=-1)
    runs = Runs(warehouse)
    dataset = dataset_named("evm_network_daily")

    with held(warehouse, "dataset:evm_network_daily:anvil", runs):
        for _ in range(2):
            runs.start(lambda engine: compute(engine, dataset, "anvil"))
    runs.finish()
    publish_all(warehouse)

    twice = (
        "SELECT count(*) FROM (SELECT 1 FROM history.evm_network_daily_v1"
        " GROUP BY chain, day HAVING count(*) > 1) more"
    )
    assert scalar(warehouse, "SELECT count(*) FROM history.evm_network_daily_v1") > 0
    assert scalar(warehouse, twice) == 0
    assert contents(warehouse) == fresh(warehouse, EVM, node)


def test_two_loaders_of_the_same_blocks_write_each_row_once(warehouse, family):
    blocks = branch(family, 8)
    node = FakeNode(family, blocks)
    both = Barrier(2)
    runs = Runs(warehouse)

    def load(engine, chunk):
        both.wait(_WITHIN_S)
        return ingest.load(engine, family, FakeNode(family, blocks, chunk=chunk), 0, 7)

    runs.start(lambda engine: load(engine, 3))
    runs.start(lambda engine: load(engine, 2))
    written = runs.finish()

    bring_up_to_date(warehouse, family, node)
    wiped = contents(warehouse)
    wipe(warehouse)
    assert sum(written) == load_all(warehouse, family, node)
    bring_up_to_date(warehouse, family, node)
    assert wiped == contents(warehouse)


def test_two_runs_that_apply_at_once_apply_each_block_once(warehouse, family):
    node = FakeNode(family, branch(family, 6))
    load_all(warehouse, family, node)
    runs = Runs(warehouse)

    with held(warehouse, f"chain:{family.name}", runs):
        for _ in range(2):
            runs.start(lambda engine: apply_blocks(engine, family, final_height=-1))
    one, other = runs.finish()

    assert sorted([len(one.days), len(other.days)]) == [0, 2]
    assert (one.height, other.height) == (5, 5)
    publish_all(warehouse)
    assert contents(warehouse) == fresh(warehouse, family, node)


def test_publishing_while_blocks_are_applied_loses_no_day(warehouse, family):
    blocks = branch(family, 8)
    runs = Runs(warehouse)

    def ingest_block_by_block(engine):
        for height in range(len(blocks)):
            node = FakeNode(family, blocks[: height + 1])
            ingest.load(engine, family, node, height, height)
            apply_blocks(engine, family, final_height=-1)
        return len(blocks)

    runs.start(ingest_block_by_block)
    while runs.threads[0].is_alive():
        publish_all(warehouse)
    assert runs.finish() == [8]
    publish_all(warehouse)

    assert scopes_due(warehouse) == {}
    assert contents(warehouse) == fresh(warehouse, family, FakeNode(family, blocks))


def test_loading_while_a_fork_is_resolved_ends_in_the_nodes_branch(warehouse, family):
    trunk = branch(family, 3)
    old, new = branch(family, 2, trunk[-1], "old"), branch(family, 4, trunk[-1], "newer")
    bring_up_to_date(warehouse, family, FakeNode(family, [*trunk, *old]))
    both = Barrier(2)
    runs = Runs(warehouse)

    def follow(engine):
        both.wait(_WITHIN_S)
        node = FakeNode(family, [*trunk, *new])
        return ingest.load(engine, family, node, 3, 6)

    runs.start(follow)
    runs.start(follow)
    runs.finish()
    node = FakeNode(family, [*trunk, *new])
    bring_up_to_date(warehouse, family, node)

    assert contents(warehouse) == fresh(warehouse, family, node)
