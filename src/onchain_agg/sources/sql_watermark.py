"""How far a table was read: the value of its watermark column, as its driver hands it over.

It is bound back into the next query as it came, so it is compared as the database compares it.
Times as text, which SQLite keeps, must be ISO 8601 in one form throughout.
"""

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from onchain_agg.sources.sql_values import PER_SECOND, BadValueError

Raw = int | datetime | date | str

_ONE_DAY = timedelta(days=1)


def checked(value: Any) -> Raw:
    """Return *value* as a watermark.

    Raises:
        BadValueError: It is none: neither a time, a day, ISO text of one, nor a whole number.
    """
    if isinstance(value, Decimal) and value.is_finite() and value == value.to_integral_value():
        return int(value)
    if isinstance(value, str):
        _parsed(value)
        return value
    if isinstance(value, bool) or not isinstance(value, int | date):
        raise BadValueError(f"is {value!r}. A watermark is a time, a day or a whole number")
    return value


def as_json(mark: Raw) -> dict[str, Any]:
    """Return *mark* in JSON's types, with its kind."""
    if isinstance(mark, int):
        return {"number": mark}
    if isinstance(mark, str):
        return {"text": mark}
    return {"time" if isinstance(mark, datetime) else "day": mark.isoformat()}


def from_json(told: dict[str, Any]) -> Raw:
    """Return the watermark that `as_json` told."""
    if "number" in told:
        return int(told["number"])
    if "text" in told:
        return str(told["text"])
    if "time" in told:
        return datetime.fromisoformat(told["time"])
    return date.fromisoformat(told["day"])


def is_before(mark: Raw, other: Raw) -> bool:
    """Return whether *mark* lies before *other*; False where they are of different kinds."""
    left, right = _rank(mark), _rank(other)
    return left[0] == right[0] and left[1] < right[1]


def looked_back(mark: Raw, lag: timedelta | int, unit: str | None) -> Raw:
    """Return where a pull begins that looks *lag* below *mark*, or a little earlier.

    Args:
        mark: The highest watermark that was read.
        lag: A span of time, or a number where *mark* is one.
        unit: What a whole number counts, where it counts time.

    Raises:
        BadValueError: The lag does not fit the watermark.
    """
    if isinstance(mark, int):
        return mark - _number(lag, unit)
    if not isinstance(lag, timedelta):
        if lag:
            raise BadValueError(f"is {lag}, but the watermark is a time. Write a span such as 15m")
        lag = timedelta()
    if isinstance(mark, str):
        return _text_before(mark, lag)
    if isinstance(mark, datetime):
        return mark - lag
    # A part of a day counts as a day.
    return mark - _ONE_DAY * -(-lag // _ONE_DAY)


def _number(lag: timedelta | int, unit: str | None) -> int:
    if isinstance(lag, int):
        return lag
    if unit is None:
        raise BadValueError(
            "is a span, but the watermark is a number. Write a number, or declare time_unit"
        )
    return lag // timedelta(microseconds=1) * PER_SECOND[unit] // 10**6


def _text_before(mark: str, lag: timedelta) -> str:
    if not lag:
        return mark
    earlier = (_parsed(mark) - lag).replace(tzinfo=None, microsecond=0)
    if len(mark) == len("2026-01-01"):
        return earlier.date().isoformat()
    # Without fraction and zone it sorts before every text of the same second.
    return earlier.isoformat(sep=mark[len("2026-01-01")])


def _parsed(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise BadValueError(
            f"is {text!r}. A watermark that is text must be a time in ISO 8601"
        ) from None


def _rank(mark: Raw) -> tuple[str, Any]:
    if isinstance(mark, int):
        return "number", mark
    if isinstance(mark, str):
        mark = _parsed(mark)
    if not isinstance(mark, datetime):
        mark = datetime.combine(mark, time())
    return "time", mark if mark.tzinfo else mark.replace(tzinfo=UTC)
