"""The matrix' measures against a chain walked coin by coin, and what they must not read."""

from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from onchain_agg.metrics.dataset import Window
from onchain_agg.metrics.market import market_price_daily
from onchain_agg.metrics.network import (
    bitcoin_coin_age_band_daily,
    bitcoin_coin_age_daily,
    bitcoin_network_daily,
    bitcoin_urpd_daily,
    bitcoin_valuation_daily,
)
from onchain_agg.warehouse.tables.state import (
    CREATED_OUTPUT_DAILY,
    SPENT_OUTPUT_DAILY,
    SPENT_OUTPUT_MONTHLY,
)

pytestmark = pytest.mark.data

FIRST = date(2012, 2, 20)
EPOCH = date(1970, 1, 1)
BTC = 10**8
COINS = st.lists(
    # Day of creation, days until it is spent (0: never), value, by a coinbase, lost to BIP 30.
    st.tuples(
        st.integers(0, 30),
        st.integers(0, 30),
        st.integers(1, 10**6),
        st.booleans(),
        st.sampled_from([False, False, True]),
    ),
    min_size=1,
    max_size=25,
)
PRICES = st.dictionaries(st.integers(0, 30), st.integers(1, 10**6), max_size=31)


@given(coins=COINS, prices=PRICES, today=st.integers(0, 30))
@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_every_measure_follows_from_the_coins_one_by_one(connection, coins, prices, today):
    window = Window("bitcoin", day(today), 1, 2, 0)
    with connection.begin_nested() as savepoint:
        store(connection, coins, prices)
        valued = one(connection, bitcoin_valuation_daily, window)
        aged = one(connection, bitcoin_coin_age_daily, window)
        bands = connection.execute(bitcoin_coin_age_band_daily.rows(window)).mappings().all()
        buckets = connection.execute(bitcoin_urpd_daily.rows(window)).mappings().all()
        savepoint.rollback()

    held = [c for c in coins if c[0] <= today and not (c[1] and c[0] + c[1] <= today)]
    moved = [c for c in coins if c[1] and c[0] + c[1] == today and not c[4]]
    known = {d: p for d, p in prices.items() if d <= today}
    supply = sum(value for _, _, value, _, _ in held)
    assert valued["supply"] == aged["supply"] == supply
    assert valued["realized_cap"] == close(cost(held, known))
    bought = [c for c in moved if not c[3]]
    paid = cost(bought, known)
    worth = sum(c[2] for c in bought) * Fraction(known.get(today, 0), BTC)
    unknown = not paid or today not in known
    assert valued["sopr"] == (None if unknown else close(worth / paid))
    assert aged["cdd_whole_days"] * BTC == sum(c[2] * c[1] for c in moved)
    assert aged["spent_value"] == sum(c[2] for c in moved)
    walked = [sum(c[2] for c in coins if lives(c, d)) for d in range(today + 1)]
    destroyed = sum(c[2] * c[1] for c in coins if c[1] and c[0] + c[1] <= today and not c[4])
    assert aged["liveliness"] == (close(Fraction(destroyed, sum(walked))) if sum(walked) else None)
    assert aged["supply_active_7d"] == sum(c[2] for c in held if not c[3] and today - c[0] < 7)
    assert sum(row["value"] for row in bands) == supply
    young = next(row for row in bands if row["band"] == "1d-1w")
    assert young["value"] == sum(c[2] for c in held if 1 <= today - c[0] < 7)
    assert young["spent_value"] == sum(c[2] for c in moved if 1 <= c[1] < 7)
    assert sum(row["value"] for row in buckets) == supply


@pytest.mark.parametrize(
    ("price", "bucket"),
    [
        ("0.00000000012", (Decimal("1.2e-10"), Decimal("1.3e-10"))),
        ("0.1", (Decimal("0.1"), Decimal("0.11"))),
        ("9.9999999", (Decimal("9.9"), Decimal("10"))),
        ("10", (Decimal("10"), Decimal("11"))),
        ("126198.07", (Decimal("120000"), Decimal("130000"))),
    ],
)
def test_a_bucket_holds_the_prices_of_the_same_two_digits(connection, price, bucket):
    store(connection, [(0, 0, 1, False, False)], {0: price})

    (row,) = connection.execute(bitcoin_urpd_daily.rows(Window("bitcoin", FIRST, 1, 2, 0)))

    assert (row.price_from, row.price_to) == bucket


@pytest.mark.parametrize("missing", ["first", "priced", "last"])
def test_a_mean_of_90_days_needs_each_of_them(connection, missing):
    prices = dict.fromkeys(range(90), 10)
    if missing == "priced":
        del prices[40]
    store(connection, [(0, 0, BTC, False, False)], prices)
    known = range(1 if missing == "first" else 0, 89 if missing == "last" else 90)
    connection.execute(
        bitcoin_network_daily.TABLE.insert(), [network_row(day(number)) for number in known]
    )

    row = one(connection, bitcoin_valuation_daily, Window("bitcoin", day(89), 1, 2, 0))

    assert row["nvt_90d_v1"] is None


def test_a_mean_of_90_days_counts_a_day_without_a_block_as_nothing(connection):
    store(connection, [(0, 0, BTC, False, False)], dict.fromkeys(range(90), 10))
    known = [number for number in range(90) if number % 2 == 0 or number == 89]
    connection.execute(
        bitcoin_network_daily.TABLE.insert(), [network_row(day(number)) for number in known]
    )

    row = one(connection, bitcoin_valuation_daily, Window("bitcoin", day(89), 1, 2, 0))

    # 46 days of one coin, over 90 days.
    assert row["nvt_90d_v1"] == close(Fraction(90, 46))


def day(number):
    return FIRST + timedelta(days=number)


def lives(coin, number):
    return coin[0] <= number and not (coin[1] and coin[0] + coin[1] <= number)


def cost(coins, known):
    """Return what *coins* cost, US dollar; None where a price is not known."""
    if not known:
        return None
    priced = [(c[2], known.get(c[0], 0 if c[0] < min(known) else None)) for c in coins]
    if any(price is None for _, price in priced):
        return None
    return Fraction(sum(value * price for value, price in priced), BTC)


def close(value):
    return None if value is None else pytest.approx(float(value), rel=1e-12, abs=0)


def one(connection, module, window):
    return connection.execute(module.rows(window)).mappings().one()


def network_row(when):
    counts = ("blocks", "size_bytes", "transactions", "active_addresses", "transfers")
    amounts = {"transfer_value": BTC, "fees_total": 0, "issuance": BTC, "supply": BTC}
    return {
        "chain": "bitcoin",
        "day": when,
        "hash_rate_ths": 1.0,
        **amounts,
        **dict.fromkeys(counts, 1),
    }


def store(connection, coins, prices):
    """Put *coins* into the matrix, and the *prices* by day beside it."""
    for table in (market_price_daily.TABLE, bitcoin_network_daily.TABLE):
        table.create(connection, checkfirst=True)
    created, daily, monthly = (defaultdict(lambda: [0] * 5) for _ in range(3))
    for since, rest, value, coinbase, overwritten in coins:
        add(created[day(since), coinbase], value, 1)
        if rest:
            spent, seconds = day(since + rest), value * rest * 86_400
            add(daily[spent, day(since), coinbase, overwritten], value, 1, seconds)
            days = value * (spent - EPOCH).days
            kept = 0 if overwritten else seconds
            add(monthly[spent.replace(day=1), day(since)], value, 1, kept, days)
    insert(connection, CREATED_OUTPUT_DAILY, created)
    insert(connection, SPENT_OUTPUT_DAILY, daily)
    insert(connection, SPENT_OUTPUT_MONTHLY, monthly)
    for number, price in prices.items():
        at = datetime.combine(day(number), datetime.min.time(), UTC)
        connection.execute(
            market_price_daily.TABLE.insert(),
            {"day": day(number), "asset": "BTC", "close_usd": price, "basis": "x", "priced_at": at},
        )


def add(sums, *amounts):
    for place, amount in enumerate(amounts):
        sums[place] += amount


def insert(connection, table, sums):
    for key, amounts in sums.items():
        # In the tables' order: chain, key, amounts.
        values = ("bitcoin", *key, *amounts)
        names = [column.name for column in table.columns]
        connection.execute(table.insert(), dict(zip(names, values, strict=False)))
