"""How fresh what is served is, as the sweeper tells it."""

import pytest

from onchain_agg.metrics.definitions import sync
from onchain_agg.metrics.freshness import freshness
from onchain_agg.warehouse import dirty, ingest
from onchain_agg.warehouse.apply import apply_blocks
from tests.fakes.chain import FakeNode
from tests.fakes.scenes import EVM, branch
from tests.fakes.warehouse import T0, publish_all

pytestmark = [pytest.mark.data, pytest.mark.few_data_sets]


def test_what_is_served_has_its_newest_day_and_what_is_due(engine):
    sync(engine)
    blocks = branch(EVM, 4)
    ingest.load(engine, EVM, FakeNode(EVM, blocks), 0, 3)
    apply_blocks(engine, EVM, final_height=-1)
    assert freshness(engine) == []

    publish_all(engine)
    today = blocks[-1].at.date()
    with engine.begin() as connection:
        # Twice the same day, and one that waits for its day to end.
        dirty.mark(connection, "whale_transfer", "anvil", [today])
        dirty.mark(connection, "whale_transfer", "anvil", [today])
        dirty.mark(connection, "top_holders_daily", "anvil", [today])

    found = {one.dataset: one for one in freshness(engine)}
    assert {one.scope for one in found.values()} == {"anvil"}
    assert (found["whale_transfer"].newest, found["whale_transfer"].due) == (today, 1)
    assert found["top_holders_daily"].due == 0
    assert all(one.computed_at > T0 for one in found.values())
