"""What comes late, out of turn or not at all: nothing is lost, nothing is published too early."""

import threading
from dataclasses import replace

import pytest
from sqlalchemy import text

from onchain_agg.errors import ConfigError, SourceError
from onchain_agg.metrics import compute as computing
from onchain_agg.metrics.definitions import sync
from onchain_agg.metrics.registry import dataset_named
from onchain_agg.warehouse import dirty, ingest
from onchain_agg.warehouse.apply import apply_blocks, rebuild_state, reset_state
from onchain_agg.warehouse.locks import lock_chain
from tests.fakes.chain import FakeNode
from tests.fakes.scenes import EVM, UTXO, branch, scalar
from tests.fakes.warehouse import bring_up_to_date, contents, publish_all

pytestmark = [pytest.mark.data, pytest.mark.few_data_sets]

WHALES = dataset_named("whale_transfer")


@pytest.mark.parametrize("family", [EVM, UTXO], ids=["evm", "utxo"])
def test_a_first_range_that_failed_is_planned_again(warehouse, family):
    node = FakeNode(family, branch(family, 9))
    first, *others = ingest.plan(warehouse, family, node)
    for low, high in others:
        ingest.load(warehouse, family, node, low, high)

    assert ingest.plan(warehouse, family, node) == [first]

    ingest.load(warehouse, family, node, *first)
    applied = apply_blocks(warehouse, family, final_height=-1)
    assert (applied.height, applied.waiting) == (8, 0)
    assert scalar(warehouse, "SELECT from_height FROM state.tip") == 0


def test_an_old_block_loaded_by_hand_does_not_hold_up_the_newest(warehouse):
    blocks = branch(EVM, 12)
    node = FakeNode(EVM, blocks[:10])
    for low, high in ingest.plan(warehouse, EVM, node, first=6):
        ingest.load(warehouse, EVM, node, low, high)
    for low, high in ingest.plan(warehouse, EVM, node, first=0, last=0):
        ingest.load(warehouse, EVM, node, low, high)
    node.blocks = blocks

    assert ingest.plan(warehouse, EVM, node) == [(10, 11)]


def test_a_rebuild_begins_where_ingest_began_and_not_at_an_island_below(warehouse):
    node = FakeNode(EVM, branch(EVM, 10))
    for first, last in ((6, None), (0, 1)):
        for low, high in ingest.plan(warehouse, EVM, node, first=first, last=last):
            ingest.load(warehouse, EVM, node, low, high)
        apply_blocks(warehouse, EVM, final_height=-1)

    applied = rebuild_state(warehouse, EVM)

    assert (applied.height, applied.waiting) == (9, 2)


def test_a_utxo_chain_cannot_begin_in_the_middle(warehouse):
    node = FakeNode(UTXO, branch(UTXO, 6))

    with pytest.raises(ConfigError, match="the first run starts at block 0, not at 3"):
        ingest.plan(warehouse, UTXO, node, first=3)


def test_a_source_without_the_first_blocks_is_refused_before_it_is_read(warehouse):
    node = FakeNode(UTXO, branch(UTXO, 6)[2:])

    with pytest.raises(ConfigError, match="block 0 is needed, but the source starts at 2"):
        ingest.plan(warehouse, UTXO, node)

    assert node.reads == []


def test_days_are_not_emptied_while_the_state_is_built_again(warehouse, monkeypatch):
    bring_up_to_date(warehouse, EVM, FakeNode(EVM, branch(EVM, 14)))
    before = contents(warehouse)
    computing.backfill(warehouse, WHALES, EVM.name, *_ever(), force=True)
    window_of = computing.window_of

    def after_a_reset(connection, dataset, scope, day):
        monkeypatch.setattr(computing, "window_of", window_of)
        with warehouse.begin() as other:
            reset_state(other, EVM)
        return window_of(connection, dataset, scope, day)

    monkeypatch.setattr(computing, "window_of", after_a_reset)
    windows = computing.compute(warehouse, WHALES, EVM.name)

    assert [window.changed for window in windows] == [0] * len(windows)
    apply_blocks(warehouse, EVM, final_height=-1)
    publish_all(warehouse)
    assert contents(warehouse) == before


def test_a_day_whose_next_block_waits_to_be_applied_is_served_as_it_was(warehouse):
    blocks = branch(EVM, 6)
    bring_up_to_date(warehouse, EVM, FakeNode(EVM, blocks[:5]))
    ingest.load(warehouse, EVM, FakeNode(EVM, blocks), 5, 5)
    day = blocks[5].at.date()
    computing.backfill(warehouse, WHALES, EVM.name, day, day, force=True)

    (window,) = computing.compute(warehouse, WHALES, EVM.name)
    applied = apply_blocks(warehouse, EVM, final_height=-1)
    (after,) = computing.compute(warehouse, WHALES, EVM.name)

    assert (window.changed, applied.days, after.day) == (0, (day,), day)
    assert after.rows > window.rows


def test_a_new_data_set_misses_no_day_that_is_being_applied(warehouse):
    node = FakeNode(EVM, branch(EVM, 12))
    bring_up_to_date(warehouse, EVM, FakeNode(EVM, node.blocks[:6]))
    ingest.load(warehouse, EVM, node, 6, 11)
    with warehouse.begin() as connection:
        connection.execute(text("DELETE FROM ops.dataset WHERE name = 'whale_transfer'"))
        connection.execute(text("DELETE FROM ops.reader WHERE dataset = 'whale_transfer'"))
    with warehouse.begin() as holder:
        lock_chain(holder, EVM.name)
        syncing = threading.Thread(target=sync, args=(warehouse,))
        syncing.start()
        syncing.join(0.5)
        waits = syncing.is_alive()
    apply_blocks(warehouse, EVM, final_height=-1)
    syncing.join(30)

    publish_all(warehouse)

    assert waits
    days = scalar(warehouse, "SELECT count(DISTINCT day) FROM chain.block")
    served = "SELECT count(*) FROM ops.window WHERE dataset = 'whale_transfer'"
    assert scalar(warehouse, served) == days


def test_a_chain_begun_in_the_middle_of_a_day_never_calls_that_day_final(warehouse):
    node = FakeNode(EVM, branch(EVM, 14), final=13)
    for low, high in ingest.plan(warehouse, EVM, node, first=5):
        ingest.load(warehouse, EVM, node, low, high)
    apply_blocks(warehouse, EVM, final_height=13)
    publish_all(warehouse)

    query = text("SELECT day, status FROM ops.window WHERE dataset = 'whale_transfer' ORDER BY day")
    with warehouse.connect() as connection:
        statuses = [status for _, status in connection.execute(query)]
    assert statuses == ["provisional", "final", "provisional"]


def test_a_fork_reopens_the_final_days_that_it_reaches(warehouse):
    blocks = branch(EVM, 14)
    bring_up_to_date(warehouse, EVM, FakeNode(EVM, blocks, final=13))
    other = [*blocks[:8], *branch(EVM, 7, blocks[7], "other")]

    ingest.resolve_fork(warehouse, EVM, FakeNode(EVM, other))

    final = "SELECT max(day)::text FROM ops.window WHERE status = 'final'"
    assert scalar(warehouse, final) < str(blocks[8].at.date())


def test_a_lost_connection_is_an_error_that_a_retry_may_heal(warehouse, monkeypatch):
    bring_up_to_date(warehouse, EVM, FakeNode(EVM, branch(EVM, 4)))
    computing.backfill(warehouse, WHALES, EVM.name, *_ever(), force=True)

    def ending_its_own_session(window):
        return WHALES.rows(window).where(text("pg_terminate_backend(pg_backend_pid()) IS NOT NULL"))

    broken = replace(WHALES, rows=ending_its_own_session)
    with pytest.raises(SourceError, match="whale_transfer: PostgreSQL gave up: "):
        computing.compute(warehouse, broken, EVM.name)

    assert {s for _, s in computing.dirty_scopes(warehouse, WHALES.name)} == {EVM.name}


def test_what_has_no_definition_any_more_is_not_dirty_for_ever(warehouse):
    with warehouse.begin() as connection:
        dirty.mark(connection, "gone_daily", "anvil", [_ever()[0]])
        dirty.mark(connection, "whale_transfer", "gone_chain", [_ever()[0]])
        connection.execute(
            text("INSERT INTO ops.reader VALUES ('gone_daily', 'anvil', 'blocks', 'anvil')")
        )

    sync(warehouse)

    assert computing.dirty_scopes(warehouse) == []
    gone = "SELECT count(*) FROM ops.reader WHERE dataset = 'gone_daily'"
    assert scalar(warehouse, gone) == 0


def _ever():
    first, last = branch(EVM, 1)[0], branch(EVM, 40)[-1]
    return first.at.date(), last.at.date()
