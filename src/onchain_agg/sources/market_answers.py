"""What an exchange tells, as exact values; what cannot be is one clear error.

An answer is taken as a whole: where one row of it is wrong, none is kept.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from onchain_agg.errors import SourceError
from onchain_agg.sources.exact_decimals import canonical

# Clocks differ a little: ours, the exchange's, and those of its own servers.
SKEW_MS = 60_000

Least = Literal["above 0", "0 or more", "any"]


@dataclass(frozen=True)
class Asked:
    """Of whom and for what an answer is.

    Attributes:
        venue: Name of the venue.
        market: The market, as ccxt writes it.
        now_ms: The time of asking, milliseconds since 1970; nothing can be later.
    """

    venue: str
    market: str
    now_ms: int

    def wrong(self, what: str) -> SourceError:
        """Return the error that says what is wrong with the answer."""
        return SourceError(
            f"{self.venue} {self.market}: {what}. Nothing of this answer was kept; try again, and "
            "ask the exchange if it stays so."
        )


def number_of(asked: Asked, row: str, name: str, value: object, least: Least = "above 0") -> str:
    """Return the exact text of a number in *row*.

    Raises:
        SourceError: It is no number, has over 38 digits or is below *least*.
    """
    text = None if value is None or isinstance(value, bool) else canonical(str(value))
    if text is None:
        raise asked.wrong(f"{row} has the {name} {value!r}, which is no number of up to 38 digits")
    negative = text.startswith("-")
    if (least != "any" and negative) or (least == "above 0" and text == "0"):
        raise asked.wrong(f"{row} has the {name} {text}, but it must be {least}")
    return text


def moment_of(asked: Asked, row: str, value: object, since_ms: int | None = None) -> int:
    """Return a time of *row* in milliseconds since 1970.

    Raises:
        SourceError: It is no time, lies in the future, or before *since_ms*, which was asked for.
    """
    if not isinstance(value, int) or isinstance(value, bool):
        raise asked.wrong(f"{row} has the time {value!r}, which is no number of milliseconds")
    if value > asked.now_ms + SKEW_MS:
        raise asked.wrong(f"{row} has the time {shown(value)}, which is in the future")
    if since_ms is not None and value < since_ms - SKEW_MS:
        raise asked.wrong(
            f"{row} has the time {shown(value)}, which is before the {shown(since_ms)} asked for"
        )
    return value


def rows_of(asked: Asked, answer: object) -> list[Any]:
    """Return the rows of an answer.

    Raises:
        SourceError: It is no list.
    """
    if not isinstance(answer, list):
        raise asked.wrong(f"the answer is {type(answer).__name__}, not a list")
    return answer


def field_of(asked: Asked, row: object, name: str) -> Any:
    """Return a field of a row; None where it is missing.

    Raises:
        SourceError: The row is no mapping.
    """
    if not isinstance(row, Mapping):
        raise asked.wrong(f"a row is {row!r:.60}")
    return row.get(name)


def at(ms: int) -> datetime:
    """Return milliseconds since 1970 as an aware time."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)


def ms_of(moment: datetime) -> int:
    """Return an aware time in whole milliseconds since 1970."""
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def shown(ms: int) -> str:
    """Return milliseconds since 1970 as people read them; the number itself beyond the calendar."""
    try:
        return at(ms).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    except OverflowError:
        return str(ms)
