"""Interim versions are thinned a week after their day, and not before."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest
from sqlalchemy import func, insert, select

from onchain_agg.metrics.definitions import sync
from onchain_agg.metrics.registry import dataset_named
from onchain_agg.metrics.upkeep import thin_history
from onchain_agg.warehouse.versions import twins

pytestmark = [pytest.mark.data, pytest.mark.few_data_sets]

DAY = date(2026, 3, 1)
FLAGS = ("is_burn", "is_exchange", "is_contract", "is_bridge", "is_pool", "is_miner")
HISTORY = twins(dataset_named("top_holders_daily").table).history


@pytest.fixture
def with_revisions(engine):
    """Return a warehouse whose one row had three values within an hour of its open day."""
    sync(engine)
    times = [datetime(2026, 3, 1, 10, minute, tzinfo=UTC) for minute in (0, 10, 20, 30)]
    rows = [
        {
            "chain": "anvil",
            "day": DAY,
            "asset": "0x01",
            "address": "0x02",
            "balance": number,
            **dict.fromkeys(FLAGS, False),
            "known_from": since,
            "known_to": until,
        }
        for number, (since, until) in enumerate(pairwise(times))
    ]
    with engine.begin() as connection:
        connection.execute(insert(HISTORY), rows)
    return engine


def revisions(engine):
    with engine.connect() as connection:
        return connection.scalar(select(func.count()).select_from(HISTORY))


def test_a_week_after_the_day_the_last_of_the_hour_is_left(with_revisions):
    assert thin_history(with_revisions, today=DAY + timedelta(days=8)) == 2
    assert revisions(with_revisions) == 1
    assert thin_history(with_revisions, today=DAY + timedelta(days=9)) == 0


def test_within_the_week_every_version_stays(with_revisions):
    assert thin_history(with_revisions, today=DAY + timedelta(days=7)) == 0
    assert revisions(with_revisions) == 3
