"""Whatever is corrected, in whatever order: the tables of a fresh build of what is true now."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onchain_agg.chains import Asset
from onchain_agg.metrics.compute import backfill
from onchain_agg.metrics.definitions import sync
from onchain_agg.metrics.registry import all_datasets
from onchain_agg.warehouse.apply import rebuild_state
from tests.fakes.branches import EVM, FEW, UNTRACKED, UTXO, after_a_rest, branch_of
from tests.fakes.chain import FakeNode
from tests.fakes.served import Unserved
from tests.fakes.told import tell, told
from tests.fakes.warehouse import bring_up_to_date, contents, differences, wipe

pytestmark = pytest.mark.data

STEPS = st.lists(
    st.sampled_from(["fork", "grow", "asset", "told", "backfill", "rebuild"]),
    min_size=2,
    max_size=5,
)


@pytest.fixture(params=[EVM, UTXO], ids=["evm", "utxo"])
def family(request):
    return request.param


class Story:
    """A warehouse, the node that it follows, what it was told, and the assets that were added."""

    def __init__(self, engine, family, data):
        self.engine, self.family, self.data = engine, family, data
        self.node = FakeNode(family, data.draw(branch_of(family, [], 5, "trunk", after_a_rest)))
        self.assets = {}
        self.turn = 0
        self.told()

    def take(self, step):
        self.turn += 1
        getattr(self, step)()
        bring_up_to_date(self.engine, self.family, self.node)

    def fork(self):
        kept = self.node.blocks[: self.data.draw(st.integers(1, len(self.node.blocks) - 1))]
        lost = len(self.node.blocks) - len(kept)
        self.node.blocks = [*kept, *self._blocks(kept, lost + self.data.draw(st.integers(0, 1)))]

    def grow(self):
        self.node.blocks = [*self.node.blocks, *self._blocks(self.node.blocks, 1)]

    def asset(self):
        threshold = self.data.draw(st.sampled_from([None, 1, 10**21]))
        self.assets = {} if threshold is None else {"anvil": [extra_asset(threshold)]}
        sync(self.engine, self.assets)

    def told(self):
        self.last_told = self.data.draw(told())
        tell(self.engine, self.family, self.last_told)

    def backfill(self):
        dataset = self.data.draw(st.sampled_from(list(all_datasets().values())))
        if dataset.covers(self.family):
            backfill(self.engine, dataset, self.family.name, force=True)

    def rebuild(self):
        rebuild_state(self.engine, self.family)

    def _blocks(self, trunk, length):
        salt = f"turn{self.turn}"
        return self.data.draw(branch_of(self.family, trunk, length, salt, after_a_rest))


def extra_asset(threshold):
    return Asset(
        symbol="EXTRA",
        address=f"0x{UNTRACKED.hex()}",
        decimals=0,
        start_block=0,
        whale_threshold=threshold,
    )


def test_any_order_of_corrections_ends_in_the_tables_of_a_fresh_build(warehouse, family):
    unserved = Unserved(lambda dataset: dataset.scope == "chain" and dataset.covers(family))

    @FEW
    @given(data=st.data(), steps=STEPS)
    def holds(data, steps):
        wipe(warehouse)
        story = Story(warehouse, family, data)
        bring_up_to_date(warehouse, family, story.node)
        for step in steps:
            story.take(step)
        corrected = contents(warehouse)
        unserved.look(warehouse)

        wipe(warehouse)
        sync(warehouse, story.assets)
        tell(warehouse, family, story.last_told)
        bring_up_to_date(warehouse, family, FakeNode(family, story.node.blocks, chunk=100))
        assert differences(corrected, contents(warehouse)) == {}

    holds()
    assert unserved.names == set()
