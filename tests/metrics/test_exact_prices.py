"""A price takes part in sums with every digit that it is served with."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from sqlalchemy import Double, Text, column, insert, literal, select, values

from onchain_agg.metrics.dataset import Window
from onchain_agg.metrics.formulas import exact
from onchain_agg.metrics.market import (
    market_ohlcv_1d,
    market_price_1m,
    market_price_daily,
    market_valuation_daily,
)
from onchain_agg.metrics.network import bitcoin_network_daily
from onchain_agg.metrics.pricing import highest_price, prices_at
from onchain_agg.warehouse.tables.market import ASSET_DAILY
from onchain_agg.warehouse.types import TIME

pytestmark = pytest.mark.data

# 0.1 + 0.2: its first 15 digits are those of 0.3, which is another double.
PRICE = 0.30000000000000004
WINDOW = Window("global", date(2026, 3, 1))


@pytest.mark.parametrize("value", [PRICE, 123456789.12345679, 1e-9, 0.0])
def test_a_double_becomes_the_decimal_that_is_read_back_as_it(connection, value):
    (found,) = connection.execute(select(exact(literal(value, Double)))).one()

    assert found == Decimal(repr(value))


def test_the_vwap_of_one_minute_is_its_price(connection, computed):
    minute(connection)
    market_ohlcv_1d.TABLE.create(connection)

    (row,) = computed(market_price_daily.DATASET, WINDOW)

    assert row["vwap_usd"] == PRICE


def test_the_only_asset_has_all_of_the_market(connection, computed):
    bitcoin_network_daily.TABLE.create(connection)
    market_price_daily.TABLE.create(connection)
    connection.execute(
        insert(market_price_daily.TABLE).values(
            day=WINDOW.day, asset="AAA", close_usd=PRICE, basis="usd", priced_at=WINDOW.start
        )
    )
    connection.execute(
        insert(ASSET_DAILY).values(
            source="aa", day=WINDOW.day, asset="AAA", supply=1, known_from=WINDOW.end
        )
    )

    (row,) = computed(market_valuation_daily.DATASET, WINDOW)

    assert row["dominance"] == 1


def test_a_transfer_is_priced_with_the_price_of_its_minute(connection):
    minute(connection)
    moment = values(column("symbol", Text), column("minute_at", TIME), name="moved").data(
        [("AAA", datetime(2026, 3, 1, 12, tzinfo=UTC))]
    )
    found = prices_at(WINDOW, select(moment).cte("moments"))

    price = connection.scalar(select(found.c.price_usd))
    highest = connection.scalar(select(highest_price(WINDOW, literal("AAA", Text))))

    assert price == highest == Decimal("0.30000000000000004")


def minute(connection):
    """Store the price of the day's first minute."""
    market_price_1m.TABLE.create(connection)
    connection.execute(
        insert(market_price_1m.TABLE).values(
            day=WINDOW.day,
            asset="AAA",
            minute_at=WINDOW.start,
            price_usd=PRICE,
            basis="usd",
            volume=1,
            venues=1,
            venues_cut=0,
            estimated=False,
        )
    )
