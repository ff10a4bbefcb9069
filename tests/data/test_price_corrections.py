"""A corrected price is a new revision of what is priced, and of nothing else."""

from datetime import timedelta
from decimal import Decimal

import pyarrow as pa
import pytest
from sqlalchemy import text

from onchain_agg.warehouse.facts import record
from onchain_agg.warehouse.tables.market import TRADE
from tests.fakes.branches import EVM, PEOPLE, TOKENS
from tests.fakes.chain import START, FakeNode, Transfer, block
from tests.fakes.warehouse import T0, Ticking, bring_up_to_date, publish_all

pytestmark = pytest.mark.data

CUSD = TOKENS[1]


def trade(engine, price, at):
    """Make CUSD's one trade, a minute before the first block, believed at *price*."""
    batch = pa.RecordBatch.from_pylist(
        [
            {
                "market": "CUSD/USD",
                "trade_id": "1",
                "traded_at": START - timedelta(minutes=1),
                "price": price,
                "amount": "10",
                "side": None,
            }
        ]
    )
    record(engine, TRADE, "kraken", batch, clock=lambda: at)


def revisions(engine, name, *columns):
    """Return how many rows readers used to see, and what they see now."""
    with engine.connect() as connection:
        before = connection.scalar(text(f"SELECT count(*) FROM history.{name}_v1"))
        now = connection.execute(
            text(f"SELECT {', '.join(columns)} FROM serving.{name}_v1 ORDER BY 1, 2")
        ).all()
    return before, [tuple(row) for row in now]


def test_a_price_correction_prices_an_event_anew_and_leaves_the_event_alone(warehouse):
    amount = 2 * 10**12
    only = block(None, transfers=[Transfer(CUSD, PEOPLE[0], PEOPLE[1], amount)])
    trade(warehouse, "1.01", T0)
    bring_up_to_date(warehouse, EVM, FakeNode(EVM, [only, block(only)]))
    event = revisions(warehouse, "whale_transfer", "amount", "known_from")
    assert revisions(warehouse, "whale_transfer_usd", "usd_value", "usd_class") == (
        0,
        [(Decimal(2_020_000), "1m")],
    )

    trade(warehouse, "5.5", T0 + timedelta(days=1))
    publish_all(warehouse, Ticking(T0 + timedelta(days=1)))

    assert revisions(warehouse, "whale_transfer_usd", "usd_value", "usd_class") == (
        1,
        [(Decimal(11_000_000), "10m")],
    )
    assert revisions(warehouse, "whale_activity_daily", "variant", "usd_class", "usd_value") == (
        4,
        [
            (variant, usd_class, Decimal(11_000_000))
            for variant in ("all", "without_internal")
            for usd_class in ("100k", "10m", "1m")
        ],
    )
    assert revisions(warehouse, "whale_transfer", "amount", "known_from") == event
    assert event[0] == 0
