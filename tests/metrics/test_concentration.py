"""The holder data sets against the formulas, written out once more in whole numbers."""

from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import insert, text

from onchain_agg.metrics.dataset import Window
from onchain_agg.metrics.market import market_price_daily
from onchain_agg.metrics.whale import (
    holder_distribution_daily,
    top_holders_daily,
    whale_cohort_daily,
)
from onchain_agg.warehouse.tables import ops, state

pytestmark = pytest.mark.data

DAY, NEXT = date(2022, 3, 1), date(2022, 3, 2)
WINDOW = Window("ethereum", DAY, 100, 200, 0)
TOKEN = {
    "asset_id": 1,
    "chain": "ethereum",
    "address": b"\x01" * 20,
    "symbol": "TKN",
    "decimals": 6,
    "start_block": 100,
    "whale_threshold": 1,
    "tracked": True,
    "noncompliant": False,
}
# Dust, round numbers on a threshold and the largest amount there is.
BALANCES = st.lists(
    st.one_of(
        st.integers(1, 10**7),
        st.integers(0, 14).map(lambda power: 10**power),
        st.integers(1, 2**256 - 1),
    ),
    min_size=1,
    max_size=120,
)
# Prices whose thresholds are no whole number of the smallest unit, and far away ones.
PRICES = st.one_of(st.sampled_from([0.3, 7.0, 1e-9, 12345.678901234567]), st.floats(1e-12, 1e12))
MEASURES = ("holders", "supply", "net_flow", "movers")


@given(balances=BALANCES, later=st.integers(0, 10**9))
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_every_ratio_and_band_follows_its_formula(connection, balances, later):
    """Each balance is *later* less at the tip than it was at the day's end."""
    with connection.begin_nested() as savepoint:
        hold(connection, balances, later=later)
        row = connection.execute(holder_distribution_daily.rows(WINDOW)).mappings().one()
        savepoint.rollback()

    x, n, total = sorted(balances), len(balances), sum(balances)
    assert (row["holders"], row["supply"]) == (n, total)
    assert row["gini"] == close(
        Fraction(2 * sum(i * amount for i, amount in enumerate(x, 1)), n * total)
        - Fraction(n + 1, n)
    )
    assert row["hhi"] == close(sum(Fraction(amount, total) ** 2 for amount in x))
    assert row["ndf"] == close(Fraction(held(x, lambda it: it * 10**4 >= total), total))
    poor, rich = held(x, lambda it: it * 10**7 < total), sum(x[-max(1, n // 100) :])
    assert row["ser"] == close(Fraction(poor, rich))
    assert row["top_10_share"] == close(Fraction(sum(x[-10:]), total))
    assert row["top_10pct_share"] == close(Fraction(sum(x[-max(1, n // 10) :]), total))
    assert row["holders_ge_0_1"] == sum(amount >= 10**5 for amount in x)
    assert row["supply_ge_1m"] == held(x, lambda it: it >= 10**12)
    assert row["holders_ge_1_in_1k"] == sum(amount * 10**3 >= total for amount in x)
    assert row["supply_ge_1_in_10b"] == held(x, lambda it: it * 10**10 >= total)


def test_equal_holders_are_perfectly_equal(connection):
    hold(connection, [7] * 50)

    row = connection.execute(holder_distribution_daily.rows(WINDOW)).mappings().one()

    assert (row["gini"], row["hhi"], row["ndf"], row["ser"]) == (0.0, 0.02, 1.0, 0.0)


def test_a_thousand_holders_are_kept_and_of_equal_ones_the_lowest_addresses(connection):
    hold(connection, [5] * 1_004 + [6])

    rows = connection.execute(top_holders_daily.rows(WINDOW)).mappings().all()

    places = [*range(1, 1_000), 1_005]
    assert sorted(row["address"] for row in rows) == [f"0x{place:040x}" for place in places]
    assert sum(row["balance"] for row in rows) == 5 * 999 + 6


@given(balances=BALANCES, flows=st.lists(st.integers(-(10**9), 10**9), max_size=150), price=PRICES)
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_every_cohort_follows_its_definition(prices, balances, flows, price):
    """Addresses without a balance come after those with one."""
    with prices.begin_nested() as savepoint:
        hold(prices, balances)
        flow(prices, flows, price)
        found = prices.execute(whale_cohort_daily.rows(WINDOW)).mappings().all()
        savepoint.rollback()

    expected = cohorts(balances, flows, Fraction(repr(price)))
    assert {
        (row["band_kind"], row["band"]): tuple(row[name] for name in MEASURES) for row in found
    } == expected


def flow(connection, flows, price):
    """Change the addresses 1, 2, … by *flows* on `DAY`, and price the token."""
    rows = [
        {"asset_id": 1, "day": DAY, "address": address(n), "delta": delta, "debits": 1}
        for n, delta in enumerate(flows, 1)
    ]
    if rows:
        connection.execute(insert(state.BALANCE_DELTA), rows)
    values = {"day": DAY, "asset": "TKN", "close_usd": price, "basis": "usd"}
    connection.execute(
        insert(market_price_daily.TABLE),
        {**values, "priced_at": datetime(2022, 3, 1, tzinfo=UTC)},
    )


def cohorts(balances, flows, price):
    """Return the measures of each band, one balance after the other."""
    total = sum(balances)
    worth = {
        "native": lambda held: Fraction(held, 10**6),
        "usd": lambda held: Fraction(held, 10**6) * price,
        "supply": lambda held: Fraction(held, total),
    }
    powers = {"native": range(-3, 7), "usd": range(8), "supply": range(-10, -2)}
    found = {}
    for kind, of in worth.items():
        names = {f"{Decimal(10) ** p:f}": Fraction(10) ** p for p in powers[kind]}
        lowest = f"under_{next(iter(names))}"
        sums = {name: [0] * len(MEASURES) for name in ("0", lowest, *names)}
        for place, held in enumerate(balances + [0] * (len(flows) - len(balances))):
            reached = [name for name, least in names.items() if of(held) >= least]
            name = (reached or [lowest])[-1] if held else "0"
            delta = flows[place] if place < len(flows) else 0
            parts = (held > 0, held, delta, delta != 0)
            sums[name] = [a + b for a, b in zip(sums[name], parts, strict=True)]
        found |= {(kind, name): tuple(measures) for name, measures in sums.items()}
    return found


@pytest.fixture
def prices(connection):
    """Return the connection, with the table that prices are read from."""
    market_price_daily.TABLE.create(connection)
    return connection


def address(place):
    return place.to_bytes(20, "big")


def hold(connection, balances, *, later=0):
    """Give the holders at addresses 1, 2, … their balances at the end of `DAY`."""
    connection.execute(text("TRUNCATE ops.asset, state.balance, state.balance_delta"))
    connection.execute(insert(ops.ASSET), TOKEN)
    holders = [address(place) for place in range(1, len(balances) + 1)]
    # At the tip an address whose balance is zero has no row.
    tip = [
        {"asset_id": 1, "address": holder, "balance": amount - later}
        for holder, amount in zip(holders, balances, strict=True)
        if amount != later
    ]
    if tip:
        connection.execute(insert(state.BALANCE), tip)
    if later:
        connection.execute(
            insert(state.BALANCE_DELTA),
            [
                {"asset_id": 1, "day": NEXT, "address": holder, "delta": -later, "debits": 0}
                for holder in holders
            ],
        )


def held(amounts, counts):
    return sum(amount for amount in amounts if counts(amount))


def close(exact):
    return pytest.approx(float(exact), rel=1e-12, abs=1e-300)
