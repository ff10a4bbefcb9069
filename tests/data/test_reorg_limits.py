"""Forks at the edges: deeper than the undo rows, shrinking tips, late blocks of a dead branch."""

from dataclasses import replace

import pytest

from onchain_agg.errors import ForkError, NodeBehindError, ReorgTooDeepError
from onchain_agg.warehouse import ingest
from onchain_agg.warehouse.apply import apply_blocks
from onchain_agg.warehouse.reorg import resolve_fork
from onchain_agg.warehouse.tables import METADATA
from tests.fakes.chain import FakeNode, batch_of
from tests.fakes.scenes import EVM, UTXO, branch, row_versions, scalar
from tests.fakes.warehouse import bring_up_to_date, contents, load_all, publish_all, wipe

pytestmark = [pytest.mark.data, pytest.mark.few_data_sets]

SHALLOW = replace(UTXO, undo_blocks=3)


@pytest.fixture(params=[EVM, UTXO], ids=["evm", "utxo"])
def family(request):
    return request.param


def fresh(engine, chain, blocks):
    wipe(engine)
    bring_up_to_date(engine, chain, FakeNode(chain, blocks))
    return contents(engine)


def forked(chain, trunk_length, old_length, new_length):
    """Return two branches from one trunk, whole."""
    trunk = branch(chain, trunk_length)
    old, new = (
        branch(chain, length, trunk[-1], salt)
        for length, salt in ((old_length, "old"), (new_length, "newer"))
    )
    return [*trunk, *old], [*trunk, *new]


def all_rows(engine):
    names = [t.fullname for t in METADATA.tables.values()]
    return row_versions(engine) | row_versions(engine, *names)


def test_a_fork_as_deep_as_the_undo_rows_is_undone(warehouse):
    old, new = forked(SHALLOW, 4, 3, 4)
    bring_up_to_date(warehouse, SHALLOW, FakeNode(SHALLOW, old))

    days = resolve_fork(warehouse, SHALLOW, FakeNode(SHALLOW, new))

    assert days == tuple(sorted({b.at.date() for b in old[4:]}))
    assert scalar(warehouse, "SELECT height FROM state.tip") == 3
    bring_up_to_date(warehouse, SHALLOW, FakeNode(SHALLOW, new))
    assert contents(warehouse) == fresh(warehouse, SHALLOW, new)


def test_a_fork_one_block_deeper_is_refused_and_changes_nothing(warehouse):
    old, new = forked(SHALLOW, 4, 4, 5)
    bring_up_to_date(warehouse, SHALLOW, FakeNode(SHALLOW, old))
    before = all_rows(warehouse)

    with pytest.raises(ReorgTooDeepError) as error:
        resolve_fork(warehouse, SHALLOW, FakeNode(SHALLOW, new))

    assert str(error.value) == (
        "regtest: the node dropped block 4, but only blocks from 5 on can be undone. Run"
        " `onchain-agg rebuild --chain regtest`; ingest DAGs do so by themselves."
    )
    assert all_rows(warehouse) == before


def test_planning_rebuilds_after_a_fork_that_is_too_deep(warehouse):
    old, new = forked(SHALLOW, 4, 4, 5)
    bring_up_to_date(warehouse, SHALLOW, FakeNode(SHALLOW, old))
    node = FakeNode(SHALLOW, new)

    ranges = ingest.plan(warehouse, SHALLOW, node)
    unchanged = publish_all(warehouse)
    for first, last in ranges:
        ingest.load(warehouse, SHALLOW, node, first, last)
    apply_blocks(warehouse, SHALLOW, final_height=-1)
    publish_all(warehouse)

    assert ranges == [(4, 6), (7, 8)]
    # Between the reset and the rebuild readers keep what they had, except of days that are gone.
    assert {w.day for w in unchanged} <= {b.at.date() for b in old[4:]}
    assert contents(warehouse) == fresh(warehouse, SHALLOW, new)


def test_two_forks_in_a_row_count_against_the_same_undo_rows(warehouse):
    old, new = forked(SHALLOW, 4, 3, 4)
    bring_up_to_date(warehouse, SHALLOW, FakeNode(SHALLOW, old))
    resolve_fork(warehouse, SHALLOW, FakeNode(SHALLOW, new))
    third = [*old[:3], *branch(SHALLOW, 4, old[2], "third branch")]

    with pytest.raises(ReorgTooDeepError, match="dropped block 3, but only blocks from 4 on"):
        resolve_fork(warehouse, SHALLOW, FakeNode(SHALLOW, third))

    bring_up_to_date(warehouse, SHALLOW, FakeNode(SHALLOW, third))
    assert contents(warehouse) == fresh(warehouse, SHALLOW, third)


def test_an_account_chain_is_undone_to_its_first_block(warehouse):
    old = branch(EVM, 6, salt="old")
    new = branch(EVM, 7, salt="newer")
    bring_up_to_date(warehouse, EVM, FakeNode(EVM, old))

    bring_up_to_date(warehouse, EVM, FakeNode(EVM, new))

    assert contents(warehouse) == fresh(warehouse, EVM, new)


def test_a_node_whose_tip_shrinks_drops_nothing_until_it_has_another_branch(warehouse, family):
    old, new = forked(family, 3, 3, 2)
    node = FakeNode(family, old)
    bring_up_to_date(warehouse, family, node)
    before = contents(warehouse)

    node.blocks = old[:3]
    assert bring_up_to_date(warehouse, family, node) == []
    assert contents(warehouse) == before
    node.blocks = new
    bring_up_to_date(warehouse, family, node)

    assert scalar(warehouse, "SELECT max(height) FROM chain.block") == 4  # was 5
    assert contents(warehouse) == fresh(warehouse, family, new)


def test_a_day_that_lost_all_its_blocks_is_served_no_more(warehouse, family):
    old, new = forked(family, 3, 6, 1)
    bring_up_to_date(warehouse, family, FakeNode(family, old))
    gone = old[-1].at.date()

    bring_up_to_date(warehouse, family, FakeNode(family, new))

    assert new[-1].at.date() < gone
    assert contents(warehouse) == fresh(warehouse, family, new)


def test_stale_blocks_above_a_gap_are_dropped_and_never_applied(warehouse, family):
    old, new = forked(family, 2, 5, 6)
    bring_up_to_date(warehouse, family, FakeNode(family, old[:2]))
    ingest.store(warehouse, family, batch_of(family, old[4:6]))

    applied = apply_blocks(warehouse, family, final_height=-1)
    assert (applied.height, applied.waiting) == (1, 2)
    bring_up_to_date(warehouse, family, FakeNode(family, new))

    assert contents(warehouse) == fresh(warehouse, family, new)


def test_a_loader_that_is_late_with_the_dead_branch_does_no_harm(warehouse, family):
    old, new = forked(family, 3, 3, 4)
    bring_up_to_date(warehouse, family, FakeNode(family, old))
    node = FakeNode(family, new)
    resolve_fork(warehouse, family, node)

    ingest.store(warehouse, family, batch_of(family, old[3:6]))
    apply_blocks(warehouse, family, final_height=-1)
    publish_all(warehouse)
    bring_up_to_date(warehouse, family, node)

    assert contents(warehouse) == fresh(warehouse, family, new)


def test_a_batch_that_contradicts_a_stored_block_writes_nothing(warehouse, family):
    old, new = forked(family, 3, 3, 6)
    load_all(warehouse, family, FakeNode(family, old))
    names = ("chain.block", "chain.token_transfer", "chain.utxo_output", "chain.utxo_input")
    before = row_versions(warehouse, *names)

    with pytest.raises(ForkError) as error:
        ingest.store(warehouse, family, batch_of(family, new[5:9]))

    assert str(error.value) == (
        f"{family.name}: block 5 is stored as {old[5].block_hash.hex()}, but the source says"
        f" {new[5].block_hash.hex()}."
    )
    assert row_versions(warehouse, *names) == before


class OvertakenNode(FakeNode):
    """Before its first batch arrives, another loader stores blocks of the dead branch."""

    def read(self, first, last):
        if not self.reads:
            self.overtake()
        yield from super().read(first, last)


def test_a_fork_that_appears_during_a_load_is_resolved_by_it(warehouse, family):
    old, new = forked(family, 3, 3, 6)
    bring_up_to_date(warehouse, family, FakeNode(family, old[:3]))
    node = OvertakenNode(family, new, chunk=4)
    node.overtake = lambda: ingest.store(warehouse, family, batch_of(family, old[3:6]))

    ingest.load(warehouse, family, node, 3, 8)

    assert node.reads == [(3, 8), (3, 8)]
    block = METADATA.tables["chain.block"]
    with warehouse.connect() as connection:
        stored = set(connection.scalars(block.select().with_only_columns(block.c.block_hash)))
    assert stored == {b.block_hash for b in new}
    bring_up_to_date(warehouse, family, node)
    assert contents(warehouse) == fresh(warehouse, family, new)


def test_a_node_far_behind_is_refused_and_nothing_is_dropped(warehouse, family):
    near = replace(family, confirmations=2)
    blocks = branch(near, 6)
    bring_up_to_date(warehouse, near, FakeNode(near, blocks))
    before = contents(warehouse)

    assert ingest.plan(warehouse, near, FakeNode(near, blocks[:4])) == []
    with pytest.raises(NodeBehindError) as error:
        ingest.plan(warehouse, near, FakeNode(near, blocks[:3]))

    assert str(error.value) == (
        f"{near.name}: the node is at block 2, the warehouse at 5. Let the node of connection"
        f" '{near.conn_id}' catch up, or point it at another."
    )
    assert contents(warehouse) == before
