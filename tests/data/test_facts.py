"""Facts outside of blocks: what is believed, what used to be, and the days that changed."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from onchain_agg.errors import ConfigError, DataSetError
from onchain_agg.warehouse import facts
from onchain_agg.warehouse.facts import Pull, Recorded, record
from onchain_agg.warehouse.tables.chain import BLOCK
from onchain_agg.warehouse.tables.market import FX_RATE, TRADE
from tests.fakes.warehouse import T0, Ticking, wipe

pytestmark = pytest.mark.data

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = NOON.date()


def trades(*rows):
    """Return a batch of trades (id, hours after noon, price, amount) of one market."""
    return pa.RecordBatch.from_pydict(
        {
            "market": pa.array(["BTC/USD"] * len(rows)),
            "trade_id": pa.array([row[0] for row in rows]),
            "traded_at": pa.array(
                [NOON + timedelta(hours=row[1]) for row in rows], pa.timestamp("us", "UTC")
            ),
            "price": pa.array([str(row[2]) for row in rows]),
            "amount": pa.array([str(row[3]) for row in rows]),
        }
    )


def rates(*rows):
    """Return a batch of FX rates (day, rate) of US dollars in won."""
    return pa.RecordBatch.from_pydict(
        {
            "source": ["bank"] * len(rows),
            "day": pa.array([row[0] for row in rows], pa.date32()),
            "base": ["USD"] * len(rows),
            "quote": ["KRW"] * len(rows),
            "rate": pa.array([Decimal(row[1]) for row in rows], pa.decimal128(38, 18)),
        }
    )


def rows_of(engine, query):
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(query))]


def versions(engine):
    query = "SELECT input, scope, day, version FROM ops.fact_day ORDER BY 1, 2, 3"
    return rows_of(engine, query)


def test_the_days_of_new_trades_are_noted_and_equal_trades_write_nothing(warehouse):
    batch = trades(("9", 0, "100.50", 2), ("10", 13, "0.1", "1e-18"))

    first = record(warehouse, TRADE, "kraken", batch, clock=lambda: T0)
    again = record(warehouse, TRADE, "kraken", batch, clock=lambda: T0)

    tomorrow = DAY + timedelta(days=1)
    assert first == Recorded(2, 0, (DAY, tomorrow))
    assert again == Recorded(0, 0, ())
    assert versions(warehouse) == [
        ("market.trade", "kraken", DAY, 1),
        ("market.trade", "kraken", tomorrow, 1),
    ]
    assert rows_of(
        warehouse, "SELECT trade_id, day, price, amount, side FROM market.trade ORDER BY day"
    ) == [
        ("9", DAY, Decimal("100.50"), Decimal(2), None),
        ("10", tomorrow, Decimal("0.1"), Decimal("1E-18"), None),
    ]


def test_a_correction_keeps_what_was_believed_and_until_when(warehouse):
    clock = Ticking()
    record(warehouse, TRADE, "kraken", trades(("1", 0, 100, 1), ("2", 0, 7, 1)), clock=clock)

    done = record(warehouse, TRADE, "kraken", trades(("1", 0, 101, 1), ("2", 0, 7, 1)), clock=clock)

    assert done == Recorded(0, 1, (DAY,))
    assert rows_of(
        warehouse, "SELECT trade_id, price, known_from, known_to FROM market.trade_history"
    ) == [("1", 100, T0 + timedelta(seconds=1), T0 + timedelta(seconds=2))]
    assert rows_of(
        warehouse, "SELECT trade_id, price, known_from FROM market.trade ORDER BY trade_id"
    ) == [("1", 101, T0 + timedelta(seconds=2)), ("2", 7, T0 + timedelta(seconds=1))]
    assert versions(warehouse) == [("market.trade", "kraken", DAY, 2)]


@pytest.mark.parametrize(("before", "after"), [(11, 13), (13, 11)])
def test_a_trade_whose_time_is_corrected_over_midnight_is_one_trade(warehouse, before, after):
    clock = Ticking()
    record(warehouse, TRADE, "kraken", trades(("1", before, 7, 1), ("2", 0, 7, 1)), clock=clock)

    done = record(warehouse, TRADE, "kraken", trades(("1", after, 7, 1)), clock=clock)
    again = record(warehouse, TRADE, "kraken", trades(("1", after, 7, 1)), clock=clock)

    tomorrow = DAY + timedelta(days=1)
    was, now = (DAY, tomorrow) if after == 13 else (tomorrow, DAY)
    assert (done, again) == (Recorded(0, 1, (DAY, tomorrow)), Recorded(0, 0, ()))
    query = "SELECT day, trade_id FROM market.trade{} ORDER BY trade_id"
    assert rows_of(warehouse, query.format("")) == [(now, "1"), (DAY, "2")]
    assert rows_of(warehouse, query.format("_history")) == [(was, "1")]
    marked = [(day, version) for _, _, day, version in versions(warehouse)]
    assert marked == [(DAY, 2), (tomorrow, 1 if was == DAY else 2)]


def test_a_trade_on_two_days_of_one_batch_is_refused(warehouse):
    with pytest.raises(DataSetError) as caught:
        record(warehouse, TRADE, "kraken", trades(("1", 13, 7, 1), ("1", 11, 7, 1)))

    assert str(caught.value) == (
        "market.trade: venue kraken, day 2026-03-01, market BTC/USD, trade_id 1 comes twice with"
        " different values. Keep one of them."
    )


def test_two_venues_may_number_their_trades_alike(warehouse):
    record(warehouse, TRADE, "kraken", trades(("1", 0, 100, 1)))

    assert record(warehouse, TRADE, "binance", trades(("1", 0, 90, 1))).inserted == 1


def test_a_key_with_two_values_is_refused_and_nothing_is_written(warehouse):
    pull = Pull("trades.kraken", "BTC/USD", {"id": "1"})

    with pytest.raises(DataSetError) as caught:
        record(warehouse, TRADE, "kraken", trades(("1", 0, 100, 1), ("1", 0, 101, 1)), pull=pull)

    assert str(caught.value) == (
        "market.trade: venue kraken, day 2026-03-01, market BTC/USD, trade_id 1 comes twice with"
        " different values. Keep one of them."
    )
    assert rows_of(warehouse, "SELECT * FROM market.trade") == []
    assert facts.watermark(warehouse, "trades.kraken", "BTC/USD") is None


def test_a_row_that_is_there_twice_is_one_row(warehouse):
    assert record(warehouse, TRADE, "kraken", trades(("1", 0, 5, 1), ("1", 0, 5, 1))).inserted == 1


def test_the_watermark_moves_with_the_facts(warehouse):
    for last in ("1", "2"):
        pull = Pull("trades.kraken", "BTC/USD", {"id": last})
        record(warehouse, TRADE, "kraken", trades((last, 0, 5, 1)), pull=pull)

    assert facts.watermark(warehouse, "trades.kraken", "BTC/USD") == {"id": "2"}


def test_a_word_for_a_price_is_refused_with_table_and_value(warehouse):
    with pytest.raises(DataSetError, match=r'market\.trade: .*numeric: "cheap"'):
        record(warehouse, TRADE, "kraken", trades(("1", 0, "cheap", 1)))


def test_columns_that_do_not_fit_are_named(warehouse):
    batch = trades(("1", 0, 5, 1)).rename_columns(["market", "id", "traded_at", "price", "amount"])

    with pytest.raises(ConfigError) as caught:
        record(warehouse, TRADE, "kraken", batch)

    assert str(caught.value) == (
        "The batch for market.trade lacks ['trade_id'] and has ['id'] too many."
    )


@pytest.mark.parametrize(
    ("table", "scope", "message"),
    [
        (TRADE, "global", "market.trade: the scope is 'global'. Give the venue's name."),
        (FX_RATE, "kraken", "market.fx_rate: the scope is 'kraken'. Give 'global'."),
        (BLOCK, "kraken", "chain.block holds no facts of markets. Load it another way."),
    ],
)
def test_a_scope_that_does_not_fit_is_refused(warehouse, table, scope, message):
    with pytest.raises(ConfigError) as caught:
        record(warehouse, table, scope, rates())

    assert str(caught.value) == message


def test_any_order_of_corrections_ends_in_the_last_belief(warehouse):
    said = st.tuples(st.integers(0, 3), st.integers(1, 3))

    @given(st.lists(st.lists(said, min_size=1, max_size=3, unique_by=lambda s: s[0]), max_size=5))
    def holds(files):
        wipe(warehouse)
        clock, believed, corrections = Ticking(), {}, 0
        for file in files:
            days = [(date(2026, 1, 1) + timedelta(days=d), str(r)) for d, r in file]
            corrections += sum(1 for d, r in days if believed.get(d, r) != r)
            record(warehouse, FX_RATE, "global", rates(*days), clock=clock)
            believed.update(days)

        stored = rows_of(warehouse, "SELECT day, trim_scale(rate)::text FROM market.fx_rate")
        assert {(d, Decimal(r)) for d, r in stored} == {
            (d, Decimal(r)) for d, r in believed.items()
        }
        kept = rows_of(warehouse, "SELECT count(*) FROM market.fx_rate_history")
        assert kept == [(corrections,)]

    holds()


@pytest.mark.parametrize("day", [date(1969, 12, 31), date(2026, 4, 3), date(9999, 12, 31)])
def test_a_day_that_nobody_can_know_is_refused(warehouse, day):
    with pytest.raises(DataSetError) as caught:
        record(warehouse, FX_RATE, "global", rates((day, "1300")), clock=lambda: T0)

    assert str(caught.value) == (
        f"market.fx_rate: source bank, day {day}, base USD, quote KRW is not between 1970-01-01 and"
        " 2026-04-02, so nobody can know it. Correct its time."
    )
    assert rows_of(warehouse, "SELECT * FROM market.fx_rate") == []
