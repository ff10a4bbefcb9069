"""The holder data sets against the formulas, written out once more in whole numbers."""

from datetime import date
from fractions import Fraction

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import insert, text

from onchain_agg.metrics.dataset import Window
from onchain_agg.metrics.whale import holder_distribution_daily, top_holders_daily
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


def hold(connection, balances, *, later=0):
    """Give the holders at addresses 1, 2, … their balances at the end of `DAY`."""
    connection.execute(text("TRUNCATE ops.asset, state.balance, state.balance_delta"))
    connection.execute(insert(ops.ASSET), TOKEN)
    holders = [place.to_bytes(20, "big") for place in range(1, len(balances) + 1)]
    # At the tip an address whose balance is zero has no row.
    tip = [
        {"asset_id": 1, "address": address, "balance": amount - later}
        for address, amount in zip(holders, balances, strict=True)
        if amount != later
    ]
    if tip:
        connection.execute(insert(state.BALANCE), tip)
    if later:
        connection.execute(
            insert(state.BALANCE_DELTA),
            [
                {"asset_id": 1, "day": NEXT, "address": address, "delta": -later}
                for address in holders
            ],
        )


def held(amounts, counts):
    return sum(amount for amount in amounts if counts(amount))


def close(exact):
    return pytest.approx(float(exact), rel=1e-12, abs=1e-300)
