"""Rows leave PostgreSQL exactly, and a fingerprint is the same on both sides."""

from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Float,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    insert,
    select,
)

from onchain_agg.errors import ConfigError
from onchain_agg.warehouse.fingerprint import (
    Fingerprint,
    fingerprint_of_batches,
    fingerprint_of_table,
)
from onchain_agg.warehouse.table_rows import (
    arrow_type,
    schema_of,
    stored_rows,
    wide_number,
    wide_rows,
)
from onchain_agg.warehouse.types import UINT256

pytestmark = pytest.mark.data

THINGS = Table(
    "thing",
    MetaData(),
    Column("amount", UINT256),
    Column("content", LargeBinary),
    Column("words", Text),
    Column("day", Date),
    Column("at", DateTime(timezone=True)),
    Column("is_so", Boolean),
    Column("large", BigInteger),
    Column("usual", Integer),
    Column("small", SmallInteger),
    prefixes=["TEMPORARY"],
)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
AMOUNTS = st.one_of(
    st.integers(0, 2**256 - 1),
    st.sampled_from([0, 1, 2**60, 2**63 - 1, 2**63, 2**120 - 1, 2**120, 2**240, 2**256 - 1]),
)
ROWS = st.fixed_dictionaries(
    {
        "amount": st.none() | AMOUNTS,
        "content": st.none() | st.binary(max_size=40),
        "words": st.none() | st.text(st.characters(exclude_characters="\0", codec="utf-8")),
        "day": st.none() | st.dates(),
        "at": st.none()
        | st.integers(0, 7 * 10**15).map(lambda us: EPOCH + timedelta(microseconds=us)),
        "is_so": st.none() | st.booleans(),
        "large": st.none() | st.integers(-(2**63), 2**63 - 1),
        "usual": st.none() | st.integers(-(2**31), 2**31 - 1),
        "small": st.none() | st.integers(-(2**15), 2**15 - 1),
    }
)


@pytest.fixture
def things(engine):
    with engine.begin() as connection:
        THINGS.create(connection)
        yield connection


def in_order(rows):
    """Return the rows as tuples in one order."""
    return sorted((tuple(row[c.name] for c in THINGS.columns) for row in rows), key=repr)


def test_every_value_arrives_and_both_fingerprints_agree(things):
    columns = list(THINGS.columns)

    @given(st.lists(ROWS, max_size=8))
    def holds(rows):
        things.execute(THINGS.delete())
        if rows:
            things.execute(insert(THINGS), rows)

        batches = list(stored_rows(things, THINGS, columns))
        found = [row for batch in batches for row in batch.to_pylist()]

        raw = [
            {**row, "amount": None if row["amount"] is None else row["amount"].to_bytes(32)}
            for row in rows
        ]
        assert in_order(found) == in_order(raw)
        stored = fingerprint_of_table(things, THINGS, columns)
        assert fingerprint_of_batches(schema_of(columns), reversed(batches)) == stored
        assert stored.rows == len(rows)

    holds()


def test_an_altered_or_a_doubled_row_has_another_fingerprint(things):
    rows = [{"amount": 2**256 - 1, "small": 1}, {"amount": 2**255, "small": 2}]
    found = []
    for some in (rows, rows[::-1], [rows[0], rows[0]], [{**rows[0], "small": 2}, rows[1]]):
        things.execute(THINGS.delete())
        for row in some:
            things.execute(insert(THINGS), row)
        found.append(fingerprint_of_table(things, THINGS, list(THINGS.columns)))

    assert found[0] == found[1]
    assert len({one.checksum for one in found}) == 3


def test_no_rows_have_a_fingerprint_too(things):
    assert fingerprint_of_table(things, THINGS, list(THINGS.columns)) == Fingerprint(0, "0.0")
    assert fingerprint_of_batches(schema_of(list(THINGS.columns)), []) == Fingerprint(0, "0.0")


@pytest.mark.parametrize(
    "number",
    [0, 1, -1, 2**63, -(2**63), -(2**63) - 1, 2**256 - 1, -(2**256), 10**78 - 1, 1 - 10**78],
)
def test_a_number_of_any_sign_is_written_and_read_back(things, number):
    things.execute(insert(THINGS), {"amount": number})

    (batch,) = wide_rows(things, select(THINGS.c.amount), [THINGS.c.amount])

    (digits,) = batch.column("amount").to_pylist()
    assert (len(digits), wide_number(digits)) == (68, number)


def test_a_kind_of_column_that_no_archive_holds_is_named():
    with pytest.raises(ConfigError) as told:
        arrow_type(Float())

    assert str(told.value) == "A column of type FLOAT cannot be archived. Add it to _TYPES."
    assert arrow_type(Date()) == pa.date32()
