"""Whatever the order of arrival, chunking and reorganisations: the same tables as a fresh build.

Of chains that rest for a year, whose labels and prices are corrected on the way.
"""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onchain_agg.warehouse import ingest
from onchain_agg.warehouse.apply import apply_blocks, reset_state
from tests.fakes.branches import EVM, FEW, UTXO, after_a_rest, forked
from tests.fakes.chain import FakeNode
from tests.fakes.served import Unserved
from tests.fakes.told import tell, told
from tests.fakes.warehouse import bring_up_to_date, contents, differences, publish_all, wipe

pytestmark = pytest.mark.data


@pytest.fixture(params=[EVM, UTXO], ids=["evm", "utxo"])
def family(request):
    return request.param


@pytest.fixture
def unserved(family):
    return Unserved(lambda dataset: dataset.scope == "chain" and dataset.covers(family))


def fresh(engine, chain, blocks, last_told):
    """Return what one straight run over *blocks* leaves in the tables."""
    wipe(engine)
    tell(engine, chain, last_told)
    bring_up_to_date(engine, chain, FakeNode(chain, blocks, chunk=100))
    return contents(engine)


def test_apply_fork_and_apply_the_other_branch_equals_a_fresh_build(warehouse, family, unserved):
    @FEW
    @given(data=st.data(), first=told(), last=told())
    def holds(data, first, last):
        trunk, old, new = data.draw(forked(family, after_a_rest))
        node = FakeNode(family, [*trunk, *old], chunk=data.draw(st.integers(1, 4)))
        wipe(warehouse)
        tell(warehouse, family, first)
        bring_up_to_date(warehouse, family, node)
        unserved.look(warehouse)
        tell(warehouse, family, last)
        node.blocks = [*trunk, *new]
        bring_up_to_date(warehouse, family, node)
        reorganised = contents(warehouse)
        unserved.look(warehouse)

        assert differences(reorganised, fresh(warehouse, family, [*trunk, *new], last)) == {}

    holds()
    assert unserved.names == set()


def test_any_order_and_chunking_of_loads_ends_in_the_same_tables(warehouse, family, unserved):
    @FEW
    @given(data=st.data(), first=told(), last=told())
    def holds(data, first, last):
        trunk, old, _ = data.draw(forked(family, after_a_rest))
        blocks = [*trunk, *old]
        wipe(warehouse)
        node = FakeNode(family, blocks, chunk=data.draw(st.integers(1, 4)))
        cuts = sorted(data.draw(st.sets(st.integers(1, len(blocks) - 1))) | {0, len(blocks)})
        ranges = [(a, b - 1) for a, b in pairwise(cuts)]
        for start, end in data.draw(st.permutations(ranges)):
            ingest.load(warehouse, family, node, start, end)
            if data.draw(st.booleans()):
                tell(warehouse, family, first)
            if data.draw(st.booleans()):
                apply_blocks(warehouse, family, final_height=-1)
            if data.draw(st.booleans()):
                publish_all(warehouse)
        # These come last here, after days that lack them were published.
        tell(warehouse, family, last)
        bring_up_to_date(warehouse, family, node)
        arrived = contents(warehouse)
        unserved.look(warehouse)

        assert differences(arrived, fresh(warehouse, family, blocks, last)) == {}

    holds()
    assert unserved.names == set()


def test_a_rebuild_of_the_state_ends_in_the_same_tables_and_publishes_nothing(
    warehouse, family, unserved
):
    @FEW
    @given(data=st.data(), only=told())
    def holds(data, only):
        trunk, old, _ = data.draw(forked(family, after_a_rest))
        node = FakeNode(family, [*trunk, *old])
        wipe(warehouse)
        tell(warehouse, family, only)
        bring_up_to_date(warehouse, family, node)
        before = contents(warehouse)
        unserved.look(warehouse)

        with warehouse.begin() as connection:
            reset_state(connection, family)
        windows = bring_up_to_date(warehouse, family, node)

        assert differences(before, contents(warehouse)) == {}
        assert [w.changed for w in windows] == [0] * len(windows)

    holds()
    assert unserved.names == set()
