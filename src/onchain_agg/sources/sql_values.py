"""Values as a database's driver hands them over → the exact values of our columns.

Every function raises `BadValueError` where a value cannot be what it is to be. Its text says what
the value is and what is needed; who calls names the column and the row.
"""

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from decimal import Decimal
from typing import Any

import pyarrow as pa

from onchain_agg.sources.sql_targets import Kind

# What a column of each kind is in a batch of facts.
ARROW_TYPES: Mapping[Kind, pa.DataType] = {
    Kind.TEXT: pa.string(),
    Kind.TIME: pa.timestamp("us", tz="UTC"),
    Kind.DAY: pa.date32(),
    # As text, because no Arrow decimal holds every number.
    Kind.NUMBER: pa.string(),
    Kind.WHOLE: pa.int64(),
    Kind.SMALL: pa.int16(),
}

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?")
# By what a whole number counts.
PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Far beyond any price, and written out in full it is still a short text.
_MOST_DIGITS = 1000


class BadValueError(ValueError):
    """A value is not what its column is to hold."""


def text_of(value: Any) -> str:
    """Return a name or identifier as text; whole numbers are written as such."""
    if isinstance(value, bool | float | bytes | date | time):
        raise BadValueError(f"is {value!r}. Text is needed")
    if isinstance(value, Decimal):
        return str(whole_of(value))
    text = str(value)
    if not text.strip():
        raise BadValueError("is empty. Text is needed")
    if "\0" in text:
        raise BadValueError(f"is {text!r}, which holds a NUL character. Remove it")
    return text


def number_of(value: Any) -> Decimal:
    """Return an exact number; a float is taken by the shortest text that stands for it."""
    if isinstance(value, float):
        value = repr(value)
    if isinstance(value, str):
        if not _NUMBER.fullmatch(value.strip()):
            raise BadValueError(f"is {value!r}. A number is needed")
        value = Decimal(value.strip())
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise BadValueError(f"is {value!r}. A number is needed")
    number = Decimal(value)
    if not number.is_finite() or abs(number.adjusted()) > _MOST_DIGITS:
        raise BadValueError(f"is {value}. A finite number is needed")
    return number


def whole_of(value: Any, bits: int = 64) -> int:
    """Return a whole number of so many bits, one of them its sign."""
    number = number_of(value)
    if number != number.to_integral_value():
        raise BadValueError(f"is {value!r}. A whole number is needed")
    if not -(2 ** (bits - 1)) <= number < 2 ** (bits - 1):
        raise BadValueError(
            f"is {value!r}, which is beyond {bits} bits. A smaller number is needed"
        )
    return int(number)


def time_of(value: Any, zone: tzinfo | None, unit: str | None) -> datetime:
    """Return an aware UTC time.

    Args:
        value: A time, its ISO text, or a count since 1970.
        zone: The zone of a time that has none of its own; None refuses it.
        unit: What a number counts, s, ms, us or ns; None refuses a number.
    """
    if isinstance(value, int | Decimal | float) and not isinstance(value, bool):
        return _counted(value, unit)
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError:
            raise BadValueError(f"is {value!r}. A time is needed") from None
    if not isinstance(value, datetime):
        raise BadValueError(f"is {value!r}. A time is needed")
    try:
        return _aware(value, zone).astimezone(UTC)
    except OverflowError:
        raise BadValueError(f"is {value}, which is no time in UTC") from None


def day_of(value: Any, zone: tzinfo | None, unit: str | None) -> date:
    """Return a day as it stands, or the UTC day of a time."""
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    if isinstance(value, str) and len(value.strip()) == len("2026-01-01"):
        try:
            return date.fromisoformat(value.strip())
        except ValueError:
            raise BadValueError(f"is {value!r}. A day is needed") from None
    return time_of(value, zone, unit).date()


def _counted(value: int | Decimal | float, unit: str | None) -> datetime:
    if unit is None:
        raise BadValueError(f"is the number {value!r}. Declare time_unit: s, ms, us or ns")
    micros = whole_of(value) * 10**6 // PER_SECOND[unit]
    try:
        return _EPOCH + timedelta(microseconds=micros)
    except OverflowError:
        raise BadValueError(f"is {value!r}, which is no time in {unit} since 1970") from None


def _aware(value: datetime, zone: tzinfo | None) -> datetime:
    if value.tzinfo is not None:
        return value
    if zone is None:
        raise BadValueError(f"is {value}, which has no zone. Declare time_zone, such as UTC")
    offsets = {value.replace(tzinfo=zone, fold=fold).utcoffset() for fold in (0, 1)}
    if len(offsets) > 1:
        raise BadValueError(
            f"is {value}, which {zone} has twice or not at all, where clocks are changed. Store "
            "times in UTC"
        )
    return value.replace(tzinfo=zone)
