"""A late or corrected fact of a market computes the days again that read it, and no others."""

from datetime import UTC, date, datetime, timedelta

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from onchain_agg.errors import DataSetError
from onchain_agg.markets import GLOBAL
from onchain_agg.warehouse.facts import record
from onchain_agg.warehouse.tables.market import (
    ASSET_DAILY,
    CANDLE,
    FUNDING_RATE,
    FX_RATE,
    REFERENCE_PRICE,
    TRADE,
)
from tests.fakes.served import Unserved
from tests.fakes.warehouse import T0, Ticking, contents, differences, publish_all, wipe

pytestmark = pytest.mark.data

FIRST = date(2025, 3, 1)
TIME = pa.timestamp("us", tz="UTC")


def test_a_corrected_trade_computes_its_venue_and_day_again_and_what_follows(warehouse):
    add_trades(warehouse, "kraken", {0: "100", 1: "110", 2: "120"})
    add_trades(warehouse, "coinbase", {1: "90"})
    publish_all(warehouse)

    add_trades(warehouse, "kraken", {0: "100", 1: "105"})
    windows = publish_all(warehouse, Ticking(T0 + timedelta(days=1)))

    assert looked_at(windows) == {
        ("market_ohlcv_1m", "kraken"): {1: 1},
        ("market_ohlcv_1h", "kraken"): {1: 1},
        ("market_ohlcv_1d", "kraken"): {1: 1},
        ("market_price_1m", "global"): {1: 1},
        ("market_price_daily", "global"): {1: 1},
        ("market_premium_daily", "global"): {1: 0, 2: 0},
        # The day after counts from the corrected price.
        ("market_return_daily", "global"): {1: 1, 2: 1},
        ("market_valuation_daily", "global"): {1: 0, 2: 0},
        # Sales are worth what their currency was.
        **{("nft_trade", chain): {1: 0} for chain in ("anvil", "base", "ethereum", "polygon")},
    }
    assert prices(warehouse) == {0: 100, 1: 97.5, 2: 120}


def test_a_corrected_price_reaches_a_year_of_returns_and_every_later_valuation(warehouse):
    days = [0, 1, 364, 365, 366, 367]
    add_prices(warehouse, dict.fromkeys(days, "100"))
    add_supplies(warehouse, days)
    publish_all(warehouse)

    add_prices(warehouse, {1: "50"})
    windows = publish_all(warehouse, Ticking(T0 + timedelta(days=1)))

    assert looked_at(windows) == {
        ("market_price_daily", "global"): {1: 1},
        ("market_premium_daily", "global"): {1: 0},
        ("market_return_daily", "global"): {1: 1, 364: 0, 365: 0, 366: 1},
        ("market_valuation_daily", "global"): {1: 1, 364: 0, 365: 0, 366: 0, 367: 0},
        ("market_stablecoin_ratio_daily", "global"): {1: 4},
    }


def test_a_premium_is_not_computed_again_for_a_price_of_the_week_before(warehouse):
    add_prices(warehouse, {0: "100", 1: "100"})
    publish_all(warehouse)
    before = inputs_of_premiums(warehouse)

    add_prices(warehouse, {0: "50"})
    publish_all(warehouse, Ticking(T0 + timedelta(days=1)))

    after = inputs_of_premiums(warehouse)
    assert after[0] != before[0]
    assert after[1] == before[1]


def test_a_late_exchange_rate_reaches_the_week_that_waits_for_it(warehouse):
    days = [0, 1, 8, 9]
    add_candles(warehouse, "upbit", "BTC/KRW", dict.fromkeys(days, "110000"))
    add_prices(warehouse, dict.fromkeys(days, "100"))
    publish_all(warehouse)
    assert premiums(warehouse) == dict.fromkeys(days)

    add_rate(warehouse, 1, "1000")
    windows = publish_all(warehouse, Ticking(T0 + timedelta(days=1)))

    # Two forms: the venue's, and the VWAP's, which has the rate and no VWAP in dollars.
    assert looked_at(windows) == {("market_premium_daily", "global"): {1: 2, 8: 2}}
    tenth = pytest.approx(0.1, rel=1e-12)
    assert premiums(warehouse) == {0: None, 1: tenth, 8: tenth, 9: None}


def test_an_equal_fact_computes_nothing(warehouse):
    add_prices(warehouse, {0: "100"})
    publish_all(warehouse)

    add_prices(warehouse, {0: "100.000"})

    assert publish_all(warehouse, Ticking(T0 + timedelta(days=1))) == []


def test_a_candle_that_cannot_be_is_named_and_never_served(warehouse):
    add_candles(warehouse, "kraken", "BTC/USD", {0: "100"})
    publish_all(warehouse)
    add_candles(warehouse, "kraken", "BTC/USD", {0: "90"}, high="89")

    with pytest.raises(DataSetError) as error:
        publish_all(warehouse, Ticking(T0 + timedelta(days=1)))

    assert str(error.value) == (
        "market_ohlcv_1d: kraken 2025-03-01 was not published: low <= open, close <= high;"
        " volume >= 0: (market BTC/USD, open 90, high 89, low 90, close 90, volume 90). Correct"
        " what it is made from; the day is computed again then."
    )
    assert prices(warehouse) == {0: 100}


NUMBERS = st.integers(1, 9)
DAYS = st.integers(0, 1)


def facts_of(kind, venues, subjects):
    """Return the strategy for facts: kind, venue, market or asset, day, and a number."""
    return st.tuples(
        st.just(kind), st.sampled_from(venues), st.sampled_from(subjects), DAYS, NUMBERS
    )


FACTS = st.one_of(
    facts_of("trade", ["kraken", "coinbase"], ["BTC/USD", "BTC/USDT", "USDT/USD"]),
    facts_of("candle", ["kraken", "upbit"], ["BTC/USD", "BTC/KRW"]),
    facts_of("price", [None], [None]),
    facts_of("rate", [None], [None]),
    facts_of("supply", [None], ["BTC", "USDT"]),
    facts_of("funding", ["binance", "kraken"], ["BTC/USDT:USDT"]),
)
# Told first, so that what is drawn corrects inputs of every data set.
GROUND = [
    *(("trade", "kraken", "BTC/USD", day, 5) for day in (0, 1)),
    ("candle", "upbit", "BTC/KRW", 1, 7),
    ("rate", None, None, 1, 3),
    *(("supply", None, asset, 1, 4) for asset in ("BTC", "USDT")),
    ("funding", "binance", "BTC/USDT:USDT", 0, 2),
]


def test_whatever_the_order_of_facts_and_corrections_the_rows_are_those_of_a_fresh_build(
    warehouse,
):
    unserved = Unserved(lambda dataset: dataset.scope != "chain")

    # Each example computes dozens of windows.
    @settings(max_examples=max(settings().max_examples // 4, 1))
    @given(drawn=st.lists(FACTS, min_size=2, max_size=8), first=st.integers(1, 7))
    def holds(drawn, first):
        wipe(warehouse)
        for part in (GROUND + drawn[:first], drawn[first:]):
            for fact in part:
                add(warehouse, fact)
            publish_all(warehouse)
        believed = {fact[:-1]: fact for fact in GROUND + drawn}
        arrived = contents(warehouse)
        unserved.look(warehouse)

        wipe(warehouse)
        for fact in believed.values():
            add(warehouse, fact)
        publish_all(warehouse)

        assert differences(arrived, contents(warehouse)) == {}

    holds()
    assert unserved.names == set()


def add(engine, fact):
    kind, venue, subject, day, number = fact
    by_day = {day: str(number)}
    if kind == "trade":
        add_trades(engine, venue, by_day, subject)
    elif kind == "candle":
        add_candles(engine, venue, subject, by_day)
    elif kind == "price":
        add_prices(engine, by_day)
    elif kind == "supply":
        add_supplies(engine, [day], subject, str(number))
    elif kind == "funding":
        add_funding(engine, venue, subject, by_day)
    else:
        add_rate(engine, day, str(number))


def noon(day):
    moment = datetime(FIRST.year, FIRST.month, FIRST.day, 12, tzinfo=UTC)
    return moment + timedelta(days=day)


def add_trades(engine, venue, by_day, market="BTC/USD"):
    columns = {
        "market": [market] * len(by_day),
        "trade_id": [str(day) for day in by_day],
        "traded_at": pa.array([noon(day) for day in by_day], TIME),
        "price": list(by_day.values()),
        "amount": ["1"] * len(by_day),
    }
    record(engine, TRADE, venue, pa.RecordBatch.from_pydict(columns))


def add_candles(engine, venue, market, by_day, high=None):
    prices = list(by_day.values())
    columns = {
        "market": [market] * len(by_day),
        "span": ["1d"] * len(by_day),
        "open_at": pa.array([noon(day) - timedelta(hours=12) for day in by_day], TIME),
        **dict.fromkeys(("open", "high", "low", "close", "volume", "quote_volume"), prices),
    }
    if high is not None:
        columns["high"] = [high] * len(by_day)
    record(engine, CANDLE, venue, pa.RecordBatch.from_pydict(columns))


def add_prices(engine, by_day):
    columns = {
        "source": ["file"] * len(by_day),
        "asset": ["BTC"] * len(by_day),
        "priced_at": pa.array([noon(day) for day in by_day], TIME),
        "price_usd": list(by_day.values()),
    }
    record(engine, REFERENCE_PRICE, GLOBAL, pa.RecordBatch.from_pydict(columns))


def add_supplies(engine, days, asset="BTC", supply="21"):
    columns = {
        "source": ["file"] * len(days),
        "day": [FIRST + timedelta(days=day) for day in days],
        "asset": [asset] * len(days),
        "supply": [supply] * len(days),
        "transfer_value": [supply] * len(days),
    }
    record(engine, ASSET_DAILY, GLOBAL, pa.RecordBatch.from_pydict(columns))


def add_funding(engine, venue, market, by_day):
    columns = {
        "market": [market] * len(by_day),
        "funded_at": pa.array([noon(day) for day in by_day], TIME),
        "rate": [f"0.000{rate}" for rate in by_day.values()],
        "interval_hours": pa.array([8] * len(by_day), pa.int16()),
        "open_interest_usd": list(by_day.values()),
    }
    record(engine, FUNDING_RATE, venue, pa.RecordBatch.from_pydict(columns))


def add_rate(engine, day, rate):
    columns = {
        "source": ["bank"],
        "day": [FIRST + timedelta(days=day)],
        "base": ["USD"],
        "quote": ["KRW"],
        "rate": [rate],
    }
    record(engine, FX_RATE, GLOBAL, pa.RecordBatch.from_pydict(columns))


def looked_at(windows):
    """Return, for each data set and scope, its computed days and how many rows changed."""
    found = {}
    for window in windows:
        days = found.setdefault((window.dataset, window.scope), {})
        days[(window.day - FIRST).days] = window.changed
    return found


def inputs_of_premiums(engine):
    return served(
        engine, "SELECT day, inputs FROM ops.window WHERE dataset = 'market_premium_daily'"
    )


def prices(engine):
    return served(engine, "SELECT day, close_usd FROM serving.market_price_daily")


def premiums(engine):
    return served(
        engine,
        "SELECT day, fraction FROM serving.market_premium_daily WHERE premium = 'kimchi_upbit'",
    )


def served(engine, query):
    with engine.connect() as connection:
        return {(day - FIRST).days: value for day, value in connection.execute(text(query))}
