"""Arithmetic on columns of 256-bit integers, against Python's own."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from onchain_agg.sources.evm_columns import amounts
from onchain_agg.sources.uint256 import divided, shares, small, times, total

MODULUS = 2**256
EDGES = [0, 1, 2**32 - 1, 2**32, 2**64, 2**128 - 1, 2**255, MODULUS - 1]
UINT256 = st.integers(0, MODULUS - 1) | st.sampled_from(EDGES)
FACTOR = st.integers(0, 2**31 - 1) | st.sampled_from([0, 1, 2**31 - 1])
DIVISOR = st.integers(1, 2**31 - 1) | st.sampled_from([1, 2, 2**31 - 1])


def integers(rows):
    assert rows.dtype == np.uint8
    return [int.from_bytes(row.tobytes(), "big") for row in rows]


def column(values):
    return np.array(values, np.int64)


@given(st.lists(st.lists(UINT256, min_size=3, max_size=3), max_size=5))
def test_a_total_is_the_sum_of_each_row_and_tells_which_exceed(rows):
    columns = [amounts([row[k] for row in rows]) for k in range(3)]

    sums, exceeds = total(columns)

    assert integers(sums) == [sum(row) % MODULUS for row in rows]
    assert exceeds.tolist() == [sum(row) >= MODULUS for row in rows]


def test_a_total_of_many_columns_carries_through_every_limb():
    most = amounts([MODULUS - 1])

    sums, exceeds = total([most] * 1000)

    assert integers(sums) == [1000 * (MODULUS - 1) % MODULUS]
    assert exceeds.tolist() == [True]


@given(st.lists(st.tuples(UINT256, FACTOR), max_size=5))
def test_a_product_is_exact_and_tells_which_exceed(pairs):
    values, factors = amounts([v for v, _ in pairs]), column([f for _, f in pairs])

    products, exceeds = times(values, factors)

    assert integers(products) == [v * f % MODULUS for v, f in pairs]
    assert exceeds.tolist() == [v * f >= MODULUS for v, f in pairs]


@given(st.lists(st.tuples(UINT256, DIVISOR), max_size=5))
def test_a_quotient_is_rounded_down_and_has_its_remainder(pairs):
    values, divisors = amounts([v for v, _ in pairs]), column([d for _, d in pairs])

    quotients, rests = divided(values, divisors)

    assert integers(quotients) == [v // d for v, d in pairs]
    assert rests.tolist() == [v % d for v, d in pairs]


@given(st.lists(st.integers(0, 2**63 - 1), max_size=5))
def test_a_small_number_is_the_same_in_32_bytes(values):
    assert integers(small(column(values))) == values


@given(st.lists(st.tuples(UINT256, st.integers(1, 6)), max_size=5))
def test_shares_add_up_and_differ_only_in_the_first(pairs):
    parts, places = shares(amounts([v for v, _ in pairs]), column([n for _, n in pairs]))

    expected = [(v // n + (v % n if k == 0 else 0), k) for v, n in pairs for k in range(n)]
    assert list(zip(integers(parts), places.tolist(), strict=True)) == expected


def test_no_rows_give_no_rows():
    none, no_counts = amounts([]), column([])

    assert integers(total([none, none])[0]) == []
    assert integers(times(none, no_counts)[0]) == []
    assert integers(divided(none, no_counts)[0]) == []
    assert integers(shares(none, no_counts)[0]) == []


def test_the_arguments_are_left_as_they_were():
    value = amounts([7])

    total([value, value])
    times(value, column([3]))
    divided(value, column([2]))

    assert integers(value) == [7]
