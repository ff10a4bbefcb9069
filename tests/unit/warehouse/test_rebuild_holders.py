"""Holders out of DuckDB, against Python's integers, up to 2**256 - 1."""

from datetime import date
from fractions import Fraction

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onchain_agg.warehouse.rebuild.holders import Holders, holders_at

DAY = date(2026, 3, 1)
LARGEST = 2**256 - 1
WORD = 2**64
# Several orders of size, so that every word takes part.
AMOUNTS = st.one_of(st.integers(0, 5), st.integers(0, 2**130), st.integers(LARGEST - 3, LARGEST))


def changes(*rows):
    """Return a DuckDB with the table of changes: (asset, day, address, amount)."""
    duck = duckdb.connect()
    duck.execute(
        "CREATE TABLE change (asset_id INTEGER, day DATE, address BLOB, h HUGEINT, w3 HUGEINT,"
        " w2 HUGEINT, w1 HUGEINT, w0 HUGEINT, debits BIGINT)"
    )
    for asset, day, address, amount in rows:
        # As the computation carries: a negative amount is -1 times 2**256 and what is left.
        h, rest = divmod(amount, 2**256)
        words = [rest >> 64 * place & WORD - 1 for place in (3, 2, 1, 0)]
        duck.execute(
            "INSERT INTO change VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0)",
            [asset, day, address, h, *words],
        )
    return duck


@given(
    st.dictionaries(st.binary(min_size=20, max_size=20), AMOUNTS, max_size=8),
    st.lists(AMOUNTS, max_size=3),
)
def test_every_figure_is_that_of_whole_numbers(balances, thresholds):
    duck = changes(*((1, DAY, address, amount) for address, amount in balances.items()))

    found = holders_at(duck, 1, DAY, thresholds, largest=3)

    held = {address: amount for address, amount in balances.items() if amount}
    order = sorted(held.items(), key=lambda one: (-one[1], one[0]))
    total, n = sum(held.values()), len(held)
    ranked = sum(place * x for place, x in enumerate(sorted(held.values()), start=1))
    assert found == Holders(
        holders=n,
        supply=total,
        at_least=tuple(
            (len(above), sum(above))
            for above in ([x for x in held.values() if x >= one] for one in thresholds)
        ),
        gini=float(Fraction(2 * ranked, n * total) - Fraction(n + 1, n)) if n else None,
        top=tuple(order[:3]),
    )


def test_a_balance_is_the_sum_of_its_changes_until_the_day():
    one, two = b"\1" * 20, b"\2" * 20
    duck = changes(
        (1, DAY, one, LARGEST),
        (1, DAY, two, 5),
        (1, date(2026, 3, 2), one, -LARGEST),
        (1, date(2026, 3, 2), two, 2),
        (2, DAY, two, 9),
    )

    assert holders_at(duck, 1, DAY, ()).top == ((one, LARGEST), (two, 5))
    assert holders_at(duck, 1, date(2026, 3, 2), ()).top == ((two, 7),)
    assert holders_at(duck, 3, DAY, (1,)) == Holders(0, 0, ((0, 0),), None, ())


@pytest.mark.parametrize("largest", [1, 2])
def test_of_equal_holders_the_lowest_addresses_are_named(largest):
    addresses = [bytes([n]) * 20 for n in (3, 1, 2)]
    duck = changes(*((1, DAY, address, LARGEST) for address in addresses))

    found = holders_at(duck, 1, DAY, (), largest)

    assert found.top == tuple((address, LARGEST) for address in sorted(addresses)[:largest])
