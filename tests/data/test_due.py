"""Which dirty days the sweeper wakes data sets for."""

from datetime import date

import pytest

from onchain_agg.metrics.definitions import sync
from onchain_agg.metrics.due import scopes_due
from onchain_agg.metrics.registry import all_datasets
from onchain_agg.warehouse import dirty, ingest
from onchain_agg.warehouse.apply import apply_blocks
from tests.fakes.chain import FakeNode
from tests.fakes.scenes import EVM, branch
from tests.fakes.warehouse import publish_all

pytestmark = pytest.mark.data


def test_a_data_set_that_waits_for_the_open_day_to_end_is_not_due(engine):
    sync(engine)
    blocks = branch(EVM, 4)
    ingest.load(engine, EVM, FakeNode(EVM, blocks), 0, 3)
    apply_blocks(engine, EVM, final_height=-1)
    at_close = {d.name for d in all_datasets().values() if d.at_close and d.covers(EVM)}
    assert "top_holders_daily" in at_close
    # All but the open day.
    assert {name: ["anvil"] for name in at_close}.items() <= scopes_due(engine).items()

    publish_all(engine)

    assert scopes_due(engine) == {}
    with engine.begin() as connection:
        dirty.mark(connection, "top_holders_daily", "anvil", [blocks[-1].at.date()])
        dirty.mark(connection, "whale_transfer", "anvil", [blocks[-1].at.date()])
    assert scopes_due(engine) == {"whale_transfer": ["anvil"]}
    with engine.begin() as connection:
        dirty.mark(connection, "top_holders_daily", "anvil", [date(2020, 1, 1)])
    assert scopes_due(engine) == {"top_holders_daily": ["anvil"], "whale_transfer": ["anvil"]}
