"""Daily prices of a coin, as a reference tells them."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, time

import pyarrow as pa
from sqlalchemy import Engine

from onchain_agg.markets import GLOBAL
from onchain_agg.warehouse.facts import record
from onchain_agg.warehouse.tables.market import REFERENCE_PRICE

# The first day of the fake chains has none, as a coin's first days do.
OF_FAKE_COIN = {date(2026, 3, 2): "2", date(2026, 3, 3): "0.5", date(2026, 3, 4): "7.25"}


def price_daily(engine: Engine, symbol: str, prices: Mapping[date, str]) -> None:
    """Believe these prices of one whole unit, US dollar, by day."""
    rows = [
        {
            "source": "fake",
            "asset": symbol,
            "priced_at": datetime.combine(day, time(), UTC),
            "price_usd": price,
        }
        for day, price in prices.items()
    ]
    record(engine, REFERENCE_PRICE, GLOBAL, pa.RecordBatch.from_pylist(rows))
