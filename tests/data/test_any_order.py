"""Whatever the order of arrival, chunking and reorganisations: the same tables as a fresh build."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onchain_agg.warehouse import ingest
from onchain_agg.warehouse.apply import apply_blocks, reset_state
from tests.fakes.branches import EVM, FEW, UTXO, forked
from tests.fakes.chain import FakeNode
from tests.fakes.prices import OF_FAKE_COIN, price_daily
from tests.fakes.warehouse import bring_up_to_date, contents, publish_all, wipe

pytestmark = pytest.mark.data


@pytest.fixture(params=[EVM, UTXO], ids=["evm", "utxo"])
def family(request):
    return request.param


def fresh(engine, chain, blocks):
    """Return what one straight run over *blocks* leaves in the tables."""
    wipe(engine)
    price_daily(engine, "RTC", OF_FAKE_COIN)
    bring_up_to_date(engine, chain, FakeNode(chain, blocks, chunk=100))
    return contents(engine)


def test_apply_fork_and_apply_the_other_branch_equals_a_fresh_build(warehouse, family):
    @FEW
    @given(data=st.data())
    def holds(data):
        trunk, old, new = data.draw(forked(family))
        node = FakeNode(family, [*trunk, *old], chunk=data.draw(st.integers(1, 4)))
        wipe(warehouse)
        price_daily(warehouse, "RTC", OF_FAKE_COIN)
        bring_up_to_date(warehouse, family, node)
        node.blocks = [*trunk, *new]
        bring_up_to_date(warehouse, family, node)
        reorganised = contents(warehouse)

        assert reorganised == fresh(warehouse, family, [*trunk, *new])

    holds()


def test_any_order_and_chunking_of_loads_ends_in_the_same_tables(warehouse, family):
    @FEW
    @given(data=st.data())
    def holds(data):
        trunk, old, _ = data.draw(forked(family))
        blocks = [*trunk, *old]
        wipe(warehouse)
        node = FakeNode(family, blocks, chunk=data.draw(st.integers(1, 4)))
        cuts = sorted(data.draw(st.sets(st.integers(1, len(blocks) - 1))) | {0, len(blocks)})
        ranges = [(a, b - 1) for a, b in pairwise(cuts)]
        for first, last in data.draw(st.permutations(ranges)):
            ingest.load(warehouse, family, node, first, last)
            if data.draw(st.booleans()):
                apply_blocks(warehouse, family, final_height=-1)
            if data.draw(st.booleans()):
                publish_all(warehouse)
        # Prices come last here, after days that lack them were published.
        price_daily(warehouse, "RTC", OF_FAKE_COIN)
        bring_up_to_date(warehouse, family, node)
        arrived = contents(warehouse)

        assert arrived == fresh(warehouse, family, blocks)

    holds()


def test_a_rebuild_of_the_state_ends_in_the_same_tables_and_publishes_nothing(warehouse, family):
    @FEW
    @given(data=st.data())
    def holds(data):
        trunk, old, _ = data.draw(forked(family))
        node = FakeNode(family, [*trunk, *old])
        wipe(warehouse)
        bring_up_to_date(warehouse, family, node)
        before = contents(warehouse)

        with warehouse.begin() as connection:
            reset_state(connection, family)
        windows = bring_up_to_date(warehouse, family, node)

        assert contents(warehouse) == before
        assert [w.changed for w in windows] == [0] * len(windows)

    holds()
