"""A corrected price is a query over sums: what a chain's blocks held is not read again."""

from datetime import date

import pytest
from sqlalchemy import text

from onchain_agg.metrics.compute import backfill
from onchain_agg.metrics.registry import dataset_named
from onchain_agg.warehouse.partitions import drop_partition, partition_days
from onchain_agg.warehouse.tables.chain import UTXO_INPUT, UTXO_OUTPUT
from onchain_agg.warehouse.tables.state import SPENT_OUTPUT
from tests.fakes.chain import FakeNode
from tests.fakes.prices import OF_FAKE_COIN, price_daily
from tests.fakes.scenes import UTXO, branch
from tests.fakes.warehouse import bring_up_to_date, publish_all

pytestmark = pytest.mark.data

SECOND = date(2026, 3, 2)
PRICED = ("bitcoin_valuation_daily", "bitcoin_coin_age_band_daily", "bitcoin_urpd_daily")


def test_prices_are_corrected_and_corrected_back_without_any_output(warehouse):
    price_daily(warehouse, "RTC", OF_FAKE_COIN)
    bring_up_to_date(warehouse, UTXO, FakeNode(UTXO, branch(UTXO, 12)))
    before = served(warehouse)
    forget_outputs(warehouse)

    price_daily(warehouse, "RTC", {SECOND: "3"})
    windows = publish_all(warehouse)
    corrected = served(warehouse)
    price_daily(warehouse, "RTC", {SECOND: "2"})
    publish_all(warehouse)

    changed = {(w.dataset, w.day) for w in windows if w.changed and w.scope == UTXO.name}
    assert changed == {(name, date(2026, 3, day)) for name in PRICED for day in (2, 3)}
    # The second day's coins, at 2 and then at 3; of them 16 units last beside the third day's.
    assert prices_paid(before) == [None, close(20599.99999972), close(5225.000000155)]
    assert prices_paid(corrected) == [None, close(30899.99999958), close(5225.000000315)]
    assert served(warehouse) == before


def test_every_day_is_computed_again_without_any_output(warehouse):
    price_daily(warehouse, "RTC", OF_FAKE_COIN)
    bring_up_to_date(warehouse, UTXO, FakeNode(UTXO, branch(UTXO, 12)))
    before = served(warehouse)
    forget_outputs(warehouse)

    for name in (*PRICED, "bitcoin_coin_age_daily"):
        backfill(warehouse, dataset_named(name), UTXO.name, force=True)
    windows = publish_all(warehouse)

    assert {(w.dataset, w.changed) for w in windows if w.scope == UTXO.name} == {
        (name, 0) for name in (*PRICED, "bitcoin_coin_age_daily")
    }
    assert served(warehouse) == before


def forget_outputs(engine):
    with engine.begin() as connection:
        for table in (UTXO_OUTPUT, UTXO_INPUT, SPENT_OUTPUT):
            for day in partition_days(connection, table):
                drop_partition(connection, table, day)


def served(engine):
    """Return the rows of the priced data sets, by data set, as readers see their values."""
    with engine.connect() as connection:
        found = {}
        for name in PRICED:
            query = text(f"SELECT * FROM serving.{name} ORDER BY chain, day, 3")
            rows = connection.execute(query).mappings()
            found[name] = [
                {k: v for k, v in row.items() if k not in {"known_from", "status"}} for row in rows
            ]
        return found


def prices_paid(rows):
    return [row["realized_cap"] for row in rows["bitcoin_valuation_daily"]]


def close(value):
    return pytest.approx(value, rel=1e-14, abs=0)
