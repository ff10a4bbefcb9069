"""What a driver hands over becomes exactly what our columns hold, or is refused."""

import uuid
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onchain_agg.sources import sql_watermark
from onchain_agg.sources.sql_values import (
    BadValueError,
    day_of,
    number_of,
    text_of,
    time_of,
    whole_of,
)

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SEOUL = ZoneInfo("Asia/Seoul")
BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (7, "7"),
        (2**256 - 1, str(2**256 - 1)),
        (Decimal("1.2300"), "1.2300"),
        ("0.000000000000000001", "1E-18"),
        (" -12.5e-3 ", "-0.0125"),
        (0.1, "0.1"),
        (1e22, "1E+22"),
    ],
)
def test_a_number_keeps_its_digits(value, number):
    assert str(number_of(value)) == number


@given(st.decimals(allow_nan=False, allow_infinity=False, places=18))
def test_a_number_written_out_is_read_exactly(number):
    assert number_of(str(number)) == number_of(number) == number


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_float_leads_back_to_itself(value):
    assert float(number_of(value)) == value


@pytest.mark.parametrize(
    "value",
    [None, True, "", "1_000", "1,5", "NaN", "0x1", float("inf"), Decimal("NaN"), b"1", NOON],
)
def test_what_is_no_number_is_refused(value):
    with pytest.raises(BadValueError, match=r"^is .*umber is needed$"):
        number_of(value)


@pytest.mark.parametrize(
    ("value", "number"), [(8, 8), (Decimal("8.0"), 8), ("-8", -8), (8.0, 8), (-(2**63), -(2**63))]
)
def test_a_whole_number_may_come_in_any_form(value, number):
    assert whole_of(value) == number


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (1.5, "is 1.5. A whole number is needed"),
        (2**63, f"is {2**63}, which is beyond 64 bits. A smaller number is needed"),
    ],
)
def test_what_is_no_whole_number_is_refused(value, message):
    with pytest.raises(BadValueError) as error:
        whole_of(value)

    assert str(error.value) == message


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("kraken", "kraken"),
        (12, "12"),
        (Decimal(12), "12"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    ],
)
def test_an_identifier_becomes_text(value, text):
    assert text_of(value) == text


@pytest.mark.parametrize("value", ["", "  ", "a\0b", True, 1.5, b"x", NOON, Decimal("1.5")])
def test_what_is_no_identifier_is_refused(value):
    with pytest.raises(BadValueError):
        text_of(value)


@pytest.mark.parametrize(
    ("value", "zone", "unit"),
    [
        (NOON, None, None),
        (NOON.astimezone(SEOUL), None, None),
        (datetime(2026, 3, 1, 21), SEOUL, None),  # noqa: DTZ001 - its zone is declared
        ("2026-03-01T12:00:00Z", None, None),
        ("2026-03-01 21:00:00.000", SEOUL, None),
        (1772366400, None, "s"),
        (1772366400000, None, "ms"),
        (Decimal(1772366400000000), None, "us"),
        (1772366400000000999, None, "ns"),
    ],
)
def test_a_time_is_the_same_instant_in_every_form(value, zone, unit):
    assert time_of(value, zone, unit) == NOON


@pytest.mark.parametrize(
    ("value", "zone", "message"),
    [
        pytest.param(
            "2026-03-01 12:00",
            None,
            "is 2026-03-01 12:00:00, which has no zone. Declare time_zone, such as UTC",
            id="no zone",
        ),
        pytest.param(
            "2026-10-25 02:30",
            BERLIN,
            "is 2026-10-25 02:30:00, which Europe/Berlin has twice or not at all, where clocks are"
            " changed. Store times in UTC",
            id="an hour that comes twice",
        ),
        pytest.param(
            "2026-03-29 02:30",
            BERLIN,
            "is 2026-03-29 02:30:00, which Europe/Berlin has twice or not at all, where clocks are"
            " changed. Store times in UTC",
            id="an hour that never comes",
        ),
        pytest.param(
            17,
            None,
            "is the number 17. Declare time_unit: s, ms, us or ns",
            id="a number without its unit",
        ),
        pytest.param("soon", None, "is 'soon'. A time is needed", id="no time"),
        pytest.param(
            date(2026, 3, 1), None, "is datetime.date(2026, 3, 1). A time is needed", id="a day"
        ),
        pytest.param(
            datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=9))),
            None,
            "is 0001-01-01 00:00:00+09:00, which is no time in UTC",
            id="before all times",
        ),
    ],
)
def test_what_is_no_certain_instant_is_refused(value, zone, message):
    with pytest.raises(BadValueError) as error:
        time_of(value, zone, None)

    assert str(error.value) == message


def test_a_number_beyond_all_times_is_refused():
    with pytest.raises(BadValueError, match="which is no time in s since 1970"):
        time_of(10**15, None, "s")


@pytest.mark.parametrize(
    ("value", "zone"),
    [
        (date(2026, 3, 1), None),
        ("2026-03-01", None),
        (NOON, None),
        ("2026-03-02 08:59:59", SEOUL),
    ],
)
def test_a_day_stands_for_itself_and_a_time_for_its_utc_day(value, zone):
    assert day_of(value, zone, None) == date(2026, 3, 1)


def test_what_is_no_day_is_refused():
    with pytest.raises(BadValueError) as error:
        day_of("2026-02-30", None, None)

    assert str(error.value) == "is '2026-02-30'. A day is needed"


MARKS = st.one_of(
    st.integers(-(2**62), 2**62),
    st.datetimes(),
    st.datetimes(timezones=st.just(UTC)),
    st.dates(),
    st.datetimes().map(str),
)


@given(MARKS)
def test_a_watermark_outlives_json(mark):
    assert sql_watermark.from_json(sql_watermark.as_json(mark)) == mark


@given(
    st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)),  # noqa: DTZ001 - as a table has it
    st.timedeltas(timedelta(0), timedelta(days=400)),
    st.sampled_from(["time", "text", "day"]),
)
def test_looking_back_never_misses_a_row_within_the_lag(mark, lag, form):
    forms = {"time": lambda at: at, "text": str, "day": lambda at: at.date()}
    start = sql_watermark.looked_back(forms[form](mark), lag, None)

    # As the database compares them: texts by their characters.
    assert start <= forms[form](mark - lag)


@pytest.mark.parametrize(
    ("mark", "lag", "unit", "start"),
    [
        (100, 30, None, 70),
        (1772366400, timedelta(minutes=15), "s", 1772366400 - 900),
        (1772366400000, timedelta(minutes=15), "ms", 1772366400000 - 900_000),
        (NOON, 0, None, NOON),
        ("2026-03-01T12:00:00.5Z", timedelta(hours=1), None, "2026-03-01T11:00:00"),
        ("2026-03-01", timedelta(hours=1), None, "2026-02-28"),
    ],
)
def test_a_pull_begins_below_the_watermark(mark, lag, unit, start):
    assert sql_watermark.looked_back(mark, lag, unit) == start


@pytest.mark.parametrize(
    ("mark", "lag", "message"),
    [
        (
            100,
            timedelta(minutes=1),
            "is a span, but the watermark is a number. Write a number, or declare time_unit",
        ),
        (NOON, 5, "is 5, but the watermark is a time. Write a span such as 15m"),
    ],
)
def test_a_lag_of_another_kind_is_refused(mark, lag, message):
    with pytest.raises(BadValueError) as error:
        sql_watermark.looked_back(mark, lag, None)

    assert str(error.value) == message


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("later", "is 'later'. A watermark that is text must be a time in ISO 8601"),
        (1.5, "is 1.5. A watermark is a time, a day or a whole number"),
        (True, "is True. A watermark is a time, a day or a whole number"),
        (Decimal("1.5"), "is Decimal('1.5'). A watermark is a time, a day or a whole number"),
    ],
)
def test_what_cannot_be_a_watermark_is_refused(value, message):
    with pytest.raises(BadValueError) as error:
        sql_watermark.checked(value)

    assert str(error.value) == message
