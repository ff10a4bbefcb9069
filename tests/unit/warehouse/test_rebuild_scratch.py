"""Sums of 256-bit amounts in DuckDB are those of Python, whatever their signs."""

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onchain_agg.warehouse.rebuild.scratch import carried, in_words, is_zero, wide_sum, wide_text
from onchain_agg.warehouse.table_rows import wide_number

MOST = 2**256 - 1
AMOUNTS = st.one_of(st.integers(0, MOST), st.sampled_from([0, 1, 2**64 - 1, 2**64, 2**192, MOST]))


@pytest.fixture(scope="module")
def duck():
    with duckdb.connect() as connection:
        yield connection


def test_a_sum_with_carries_and_borrows_is_exact(duck):
    @given(st.lists(st.tuples(AMOUNTS, st.sampled_from([1, -1])), min_size=1, max_size=9))
    def holds(moves):
        amounts = pa.array([amount.to_bytes(32) for amount, _ in moves], pa.binary(32))
        signs = pa.array([sign for _, sign in moves])
        batch = pa.RecordBatch.from_arrays([signs, amounts], names=["sign", "amount"])
        duck.register("moves", pa.table(in_words(batch, "amount")))
        sums = ", ".join(f"sum(sign * w{place}::HUGEINT) AS s{place}" for place in range(4))
        rows = carried(f"(SELECT 0::HUGEINT AS s4, {sums} FROM moves)", "1 AS one")

        query = f"SELECT {wide_text()}, {is_zero()} FROM ({rows})"
        ((text, zero),) = duck.execute(query).fetchall()

        total = sum(amount * sign for amount, sign in moves)
        assert (wide_number(text), zero) == (total, total == 0)

    holds()


@given(value=st.integers(-(2**126), 2**126))
def test_a_sum_of_satoshi_is_written_alike(duck, value):
    query = f"SELECT {wide_sum('v')} FROM (SELECT '{value}'::HUGEINT AS v)"

    assert wide_number(duck.execute(query).fetchall()[0][0]) == value


def test_a_sum_of_more_than_78_digits_is_refused(duck):
    row = "(SELECT 40000::HUGEINT AS h, 0 AS w3, 0 AS w2, 0 AS w1, 0 AS w0)"

    with pytest.raises(duckdb.Error, match="a sum of amounts has more than 78 digits"):
        duck.execute(f"SELECT {wide_text()} FROM {row}").fetchall()


def test_a_slice_of_a_batch_is_split_from_its_own_first_row():
    amounts = pa.array([n.to_bytes(32) for n in (1, 2**64, MOST)], pa.binary(32))
    batch = pa.RecordBatch.from_arrays([amounts], names=["amount"]).slice(1)

    assert in_words(batch, "amount").to_pylist() == [
        {"w3": 0, "w2": 0, "w1": 1, "w0": 0},
        dict.fromkeys(("w3", "w2", "w1", "w0"), 2**64 - 1),
    ]
