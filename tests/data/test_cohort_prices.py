"""A corrected price reaches the cohorts of its own day, and no other."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pyarrow as pa
import pytest
from sqlalchemy import text

from onchain_agg.markets import GLOBAL
from onchain_agg.metrics.compute import compute
from onchain_agg.metrics.registry import dataset_named
from onchain_agg.warehouse.apply import apply_blocks
from onchain_agg.warehouse.facts import record
from onchain_agg.warehouse.tables.market import REFERENCE_PRICE
from tests.fakes.chain import FakeNode
from tests.fakes.scenes import EVM, branch
from tests.fakes.warehouse import T0, Ticking, load_all

pytestmark = pytest.mark.data

DAYS = [date(2026, 3, 1), date(2026, 3, 2)]


def priced(engine, clock, *prices):
    """Record KRILL's price of each of the days, and compute what follows from it."""
    batch = pa.RecordBatch.from_pydict(
        {
            "source": ["bank"] * len(prices),
            "asset": ["KRILL"] * len(prices),
            "priced_at": pa.array(
                [datetime(d.year, d.month, d.day, tzinfo=UTC) for d in DAYS],
                pa.timestamp("us", "UTC"),
            ),
            "price_usd": pa.array([Decimal(price) for price in prices], pa.decimal128(38, 18)),
        }
    )
    record(engine, REFERENCE_PRICE, GLOBAL, batch, clock=lambda: T0)
    for name, scope in (("market_price_daily", GLOBAL), ("whale_cohort_daily", EVM.name)):
        compute(engine, dataset_named(name), scope, clock=clock)


def windows(engine):
    """Return when each day was computed, and how many holders have at least ten million dollars."""
    query = text(
        "SELECT w.day, w.computed_at, sum(c.holders) FROM ops.window w"
        " JOIN serving.whale_cohort_daily_v1 c ON c.day = w.day"
        " WHERE w.dataset = 'whale_cohort_daily' AND c.symbol = 'KRILL' AND c.band = '10000000'"
        " GROUP BY 1, 2 ORDER BY 1"
    )
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(query)]


def test_a_corrected_price_computes_its_own_day_again_and_no_later_one(warehouse):
    clock = Ticking()
    load_all(warehouse, EVM, FakeNode(EVM, branch(EVM, 8)))
    apply_blocks(warehouse, EVM, final_height=-1)
    priced(warehouse, clock, "2", "2")
    (first, computed, holders), second = windows(warehouse)
    assert (first, holders, second[2]) == (DAYS[0], 3, 3)

    priced(warehouse, clock, "0.00000000000001", "2")

    (_, again, fewer), untouched = windows(warehouse)
    assert (again > computed, fewer) == (True, 0)
    assert untouched == second
