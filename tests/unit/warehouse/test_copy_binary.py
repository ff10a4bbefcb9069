"""The stream is read back by a decoder of PostgreSQL's documented format, written out here."""

import math
import struct
from datetime import UTC, date, datetime, timedelta

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import (
    JSON,
    REAL,
    BigInteger,
    Boolean,
    Date,
    DateTime,
    Double,
    Integer,
    LargeBinary,
    Numeric,
    SmallInteger,
    Text,
)

from onchain_agg.errors import ConfigError
from onchain_agg.warehouse.copy_binary import Field, constant, encode
from onchain_agg.warehouse.types import BIG, UINT256

AWARE = DateTime(timezone=True)
UTC_US = pa.timestamp("us", tz="UTC")
EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
EDGES = [0, 1, 9_999, 10_000, 10_001, 2**32, 2**64 - 1, 2**64, 2**128 - 1, 2**128, 2**256 - 1]
POWERS = [10**k for k in range(78)]


def decode_stream(stream):
    """Return the rows of a COPY stream as lists of payloads; None is NULL."""
    assert stream[:19] == b"PGCOPY\n\xff\r\n\0" + bytes(8)
    at, rows = 19, []
    while (count := struct.unpack_from(">h", stream, at)[0]) != -1:
        at += 2
        row = []
        for _ in range(count):
            (length,) = struct.unpack_from(">i", stream, at)
            at += 4
            row.append(None if length == -1 else stream[at : at + length])
            at += max(length, 0)
        rows.append(row)
    assert at + 2 == len(stream)
    return rows


def decode_numeric(payload):
    if payload is None:
        return None
    count, weight, sign, scale = struct.unpack_from(">HhHH", payload)
    digits = struct.unpack_from(f">{count}H", payload, 8)
    assert len(payload) == 8 + 2 * count
    assert scale == 0
    assert all(digit < 10_000 for digit in digits)
    # Canonical: nothing to strip, and zero has neither digits, weight nor sign.
    assert not digits or (digits[0] and digits[-1])
    assert digits or (weight, sign) == (0, 0)
    size = sum(digit * 10_000 ** (weight - i) for i, digit in enumerate(digits))
    return -size if sign == 0x4000 else size


def rows_of(*fields, rows):
    return decode_stream(b"".join(encode(fields, rows)))


def column_of(target, values):
    return [row[0] for row in rows_of(Field("x", target, values), rows=len(values))]


def uint256(numbers):
    raw = [None if n is None else n.to_bytes(32, "big") for n in numbers]
    return pa.array(raw, pa.binary(32))


def test_amounts_of_every_size_stand_in_one_column():
    numbers = [*EDGES, None, *POWERS]

    found = column_of(UINT256, uint256(numbers))

    assert [decode_numeric(payload) for payload in found] == numbers


@pytest.mark.parametrize("number", [*EDGES, 10**38, 10**77, 2**256 - 10**60])
def test_an_amount_alone_in_its_batch_is_exact(number):
    (found,) = column_of(UINT256, uint256([number]))

    assert decode_numeric(found) == number


@given(
    st.lists(
        st.none() | st.integers(0, 2**64) | st.integers(0, 2**130) | st.integers(0, 2**256 - 1),
        max_size=40,
    ),
    st.integers(0, 5),
)
def test_any_amounts_round_trip_from_any_slice(numbers, skipped):
    found = column_of(UINT256, uint256(numbers)[skipped:])

    assert [decode_numeric(payload) for payload in found] == numbers[skipped:]


@given(st.lists(st.none() | st.integers(-(2**63), 2**63 - 1), max_size=40))
def test_signed_integers_become_exact_numerics(numbers):
    found = column_of(BIG, pa.array(numbers, pa.int64()))

    assert [decode_numeric(payload) for payload in found] == numbers


def test_trailing_zeros_of_an_amount_cost_no_bytes():
    (found,) = column_of(UINT256, uint256([10**18]))

    assert found == struct.pack(">HhHHH", 1, 4, 0, 0, 100)


def test_the_column_decides_what_32_bytes_mean():
    values = uint256([1])

    (row,) = rows_of(Field("amount", UINT256, values), Field("hash", LargeBinary(), values), rows=1)

    assert row == [struct.pack(">HhHHH", 1, 0, 0, 0, 1), bytes(31) + b"\x01"]


def seconds(payload):
    return EPOCH + timedelta(microseconds=int.from_bytes(payload, "big", signed=True))


def days(payload):
    return EPOCH.date() + timedelta(days=int.from_bytes(payload, "big", signed=True))


def signed(payload):
    return int.from_bytes(payload, "big", signed=True)


MOMENTS = st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis adds the zone
KINDS = {
    "boolean": (Boolean(), pa.bool_(), st.booleans(), lambda b: {b"\0": False, b"\1": True}[b]),
    "smallint": (SmallInteger(), pa.int16(), st.integers(-(2**15), 2**15 - 1), signed),
    "integer": (Integer(), pa.int32(), st.integers(-(2**31), 2**31 - 1), signed),
    "bigint": (BigInteger(), pa.int64(), st.integers(-(2**63), 2**63 - 1), signed),
    "double": (
        Double(),
        pa.float64(),
        st.floats(allow_nan=False),
        lambda b: struct.unpack(">d", b)[0],
    ),
    "date": (Date(), pa.date32(), st.dates(date(1900, 1, 1), date(2200, 1, 1)), days),
    "timestamptz": (AWARE, UTC_US, MOMENTS, seconds),
    "text": (Text(), pa.string(), st.text(max_size=12), bytes.decode),
    "large text": (Text(), pa.large_string(), st.text(max_size=12), bytes.decode),
    "bytes": (LargeBinary(), pa.binary(), st.binary(max_size=12), bytes),
    "large bytes": (LargeBinary(), pa.large_binary(), st.binary(max_size=12), bytes),
    "fixed bytes": (LargeBinary(), pa.binary(20), st.binary(min_size=20, max_size=20), bytes),
}


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=40)
@given(data=st.data())
def test_every_type_round_trips_with_nulls_from_any_slice(kind, data):
    target, arrow_type, values, decode = KINDS[kind]
    given_values = data.draw(st.lists(st.none() | values, max_size=20))
    start = data.draw(st.integers(0, len(given_values)))
    stop = data.draw(st.integers(start, len(given_values)))

    found = column_of(target, pa.array(given_values, arrow_type)[start:stop])

    decoded = [None if payload is None else decode(payload) for payload in found]
    assert decoded == given_values[start:stop]


def test_empty_values_and_nulls_differ():
    assert column_of(Text(), pa.array(["", None])) == [b"", None]


def test_a_float_keeps_infinity_and_nan():
    found = column_of(Double(), pa.array([math.inf, math.nan]))

    assert found[0] == struct.pack(">d", math.inf)
    assert math.isnan(struct.unpack(">d", found[1])[0])


def test_narrow_integers_are_widened():
    assert column_of(BigInteger(), pa.array([-2], pa.int16())) == [(-2).to_bytes(8, signed=True)]


def test_zero_rows_are_a_header_and_a_trailer():
    stream = b"".join(encode([Field("x", Text(), pa.array([], pa.string()))], 0))

    assert stream == b"PGCOPY\n\xff\r\n\0" + bytes(8) + b"\xff\xff"


@pytest.mark.parametrize(
    ("target", "value", "payload"),
    [
        pytest.param(Text(), "ethereum", b"ethereum", id="text"),
        pytest.param(Text(), "", b"", id="empty text"),
        pytest.param(LargeBinary(), b"\0\1", b"\0\1", id="bytes"),
        pytest.param(Boolean(), True, b"\1", id="boolean"),
        pytest.param(BigInteger(), -1, b"\xff" * 8, id="integer"),
        pytest.param(Date(), date(2000, 1, 3), b"\0\0\0\2", id="date"),
        pytest.param(AWARE, EPOCH, bytes(8), id="time"),
        pytest.param(UINT256, 10**4, struct.pack(">HhHHH", 1, 1, 0, 0, 1), id="amount"),
        pytest.param(UINT256, -5, struct.pack(">HhHHH", 1, 0, 0x4000, 0, 5), id="negative"),
        pytest.param(Text(), None, None, id="null"),
    ],
)
def test_a_constant_stands_in_every_row(target, value, payload):
    height = Field("height", Integer(), pa.array([1, 2], pa.int32()))

    rows = rows_of(constant("x", target, value), height, rows=2)

    assert rows == [[payload, b"\0\0\0\1"], [payload, b"\0\0\0\2"]]


def test_a_column_of_type_null_is_null_everywhere():
    assert column_of(BigInteger(), pa.nulls(2)) == [None, None]


def test_many_rows_go_out_in_pieces_of_a_few_mb():
    count = 30_000
    fields = [
        Field("height", BigInteger(), pa.array(range(count), pa.int64())),
        Field("data", LargeBinary(), pa.array([bytes(i % 400) for i in range(count)], pa.binary())),
    ]

    pieces = [bytes(piece) for piece in encode(fields, count)]

    assert max(map(len, pieces)) < 4 << 20
    rows = decode_stream(b"".join(pieces))
    assert [signed(height) for height, _ in rows] == list(range(count))
    assert [len(data) for _, data in rows] == [i % 400 for i in range(count)]


def test_one_huge_value_does_not_make_its_neighbours_huge():
    values = pa.array([b"x"] * 5_000 + [bytes(3 << 20)] + [b"y"] * 5_000, pa.binary())

    pieces = [len(piece) for piece in encode([Field("data", LargeBinary(), values)], len(values))]

    # Each row has its bytes, a length and a field count; header and trailer take 21.
    assert sum(pieces) == 10_000 + (3 << 20) + 6 * 10_001 + 21
    assert sorted(pieces)[-1] == (3 << 20) + 6
    assert sorted(pieces)[-2] < 1 << 20


@pytest.mark.parametrize(
    ("target", "values", "message"),
    [
        pytest.param(
            UINT256, pa.array(["1"]), "'x' is numeric and cannot take Arrow string", id="text"
        ),
        pytest.param(
            UINT256,
            pa.array([b"1" * 20], pa.binary(20)),
            r"numeric and cannot take Arrow fixed_size_binary\[20\]",
            id="short amount",
        ),
        pytest.param(
            UINT256, pa.array([0.5]), "numeric and cannot take Arrow double", id="float amount"
        ),
        pytest.param(
            Integer(), pa.array([1], pa.int64()), "integer and cannot take Arrow int64", id="narrow"
        ),
        pytest.param(
            AWARE,
            pa.array([0], pa.timestamp("us")),
            r"timestamptz and cannot take Arrow timestamp\[us\]",
            id="naive",
        ),
        pytest.param(JSON(), pa.array(["{}"]), "which binary COPY does not know", id="json"),
        pytest.param(REAL(), pa.array([0.5]), "which binary COPY does not know", id="real"),
        pytest.param(
            DateTime(), pa.array([0], UTC_US), "which binary COPY does not know", id="no zone"
        ),
    ],
)
def test_a_column_that_cannot_hold_the_values_is_named_before_anything_is_sent(
    target, values, message
):
    with pytest.raises(ConfigError, match=message):
        encode([Field("x", target, values)], 1)


@pytest.mark.parametrize(
    ("target", "value"),
    [
        pytest.param(Integer(), "one", id="text in a number"),
        pytest.param(SmallInteger(), 70_000, id="too large"),
        pytest.param(Numeric(), 2**256, id="beyond 256 bits"),
        pytest.param(Numeric(), 0.5, id="float amount"),
        pytest.param(AWARE, datetime(2020, 1, 1), id="naive time"),  # noqa: DTZ001 - the mistake itself
    ],
)
def test_a_constant_that_the_column_cannot_hold_is_named(target, value):
    with pytest.raises(ConfigError, match="Column 'x'"):
        constant("x", target, value)
