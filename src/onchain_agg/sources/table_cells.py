"""One cell of a file of facts → the exact value of our column.

A wrong one raises `BadValueError`, whose text says what it is and what is needed.
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from onchain_agg.sources.exact_decimals import canonical
from onchain_agg.sources.market_answers import ms_of
from onchain_agg.sources.market_candles import SPAN_MS, Candle, inconsistency
from onchain_agg.sources.sql_targets import Field, Kind
from onchain_agg.sources.sql_values import BadValueError, text_of, time_of

_MARKET = re.compile(r"[^\s/:]+/[^\s/:]+(:[^\s/:]+)?")
_MARKET_NEEDED = "A market is needed, as BASE/QUOTE or BASE/QUOTE:SETTLE"
_NUMBERS = (Kind.NUMBER, Kind.WHOLE, Kind.SMALL)
_FINER = re.compile(r"[.,]\d{7}", re.ASCII)
_WHOLE = re.compile(r"-?\d{1,19}", re.ASCII)
# A funding rate is as often negative; every other number here is a price or a quantity.
_ANY = {("funding", "rate")}
_QUANTITIES = {
    "amount",
    "volume",
    "quote_volume",
    "trades",
    "open_interest_usd",
    "supply",
    "transfer_value",
    "realized_cap_usd",
}


def cell_of(fact: str, name: str, wanted: Field, cell: object, time_unit: str | None) -> Any:
    """Return the value of our column *name*; None where the cell is empty and may be.

    Args:
        fact: A name in `TARGETS`.
        name: Our column.
        wanted: What the column holds.
        cell: The text of a CSV, or the value of a Parquet file.
        time_unit: What a time counts since 1970; None: it is a time with an offset.

    Raises:
        BadValueError: It is something else.
    """
    if isinstance(cell, str):
        cell = cell.strip()
    if cell in (None, ""):
        if wanted.required:
            raise BadValueError(f"is empty. {_needed(fact, name, wanted)} is needed")
        return None
    if wanted.kind is Kind.TIME:
        return _time(cell, time_unit)
    if wanted.kind is Kind.DAY:
        return _day(cell)
    if wanted.kind is Kind.TEXT:
        return _text(fact, name, wanted, cell)
    return _number(fact, name, wanted, cell)


def value_problem(fact: str, name: str, wanted: Field, value: Any) -> str | None:
    """Return why a value of the right kind cannot be one of our column *name*, or None.

    Numbers may be exact texts.
    """
    if name == "market" and not _MARKET.fullmatch(value):
        return f"is {value!r}. {_MARKET_NEEDED}"
    if wanted.kind in _NUMBERS and not _is_allowed(fact, name, Decimal(value)):
        return f"is {value}. {wanted.kind.value.capitalize()}{_bound(fact, name)} is needed"
    return None


def row_problem(fact: str, values: Mapping[str, Any]) -> str | None:
    """Return how the values of a row contradict each other, or None."""
    check = _PROBLEMS.get(fact)
    return check(values) if check else None


def _candle_problem(values: Mapping[str, Any]) -> str | None:
    span, opens = values["span"], ms_of(values["open_at"])
    if opens % SPAN_MS[span]:
        return f"the candle opens at {values['open_at'].isoformat()}, not on a whole {span} in UTC"
    names = ("open", "high", "low", "close", "volume")
    problem = inconsistency(Candle(opens, *(values[name] for name in names)))
    return f"the candle has {problem}" if problem else None


def _asset_problem(values: Mapping[str, Any]) -> str | None:
    told = ("supply", "transfer_value", "realized_cap_usd")
    if any(values[name] is not None for name in told):
        return None
    return f"none of {', '.join(told)} is given"


def _fx_problem(values: Mapping[str, Any]) -> str | None:
    if values["base"] != values["quote"]:
        return None
    return f"base and quote are both {values['base']}"


_PROBLEMS: Mapping[str, Callable[[Mapping[str, Any]], str | None]] = {
    "candles": _candle_problem,
    "assets": _asset_problem,
    "fx": _fx_problem,
}


def _text(fact: str, name: str, wanted: Field, cell: object) -> str:
    text = text_of(cell)
    if wanted.choices and text not in wanted.choices:
        raise BadValueError(f"is {text!r}. One of {', '.join(wanted.choices)} is needed")
    if problem := value_problem(fact, name, wanted, text):
        raise BadValueError(problem)
    return text


def _number(fact: str, name: str, wanted: Field, cell: object) -> str | int:
    # The shortest text of a float is the number that was written into it.
    text = canonical(str(cell)) if not isinstance(cell, bool) else None
    if text is None or not _is_allowed(fact, name, Decimal(text)):
        raise BadValueError(f"is {cell!r}. {_needed(fact, name, wanted)} is needed")
    if wanted.kind is Kind.NUMBER:
        return text
    bits = 16 if wanted.kind is Kind.SMALL else 64
    if Decimal(text) % 1 or not -(2 ** (bits - 1)) <= Decimal(text) < 2 ** (bits - 1):
        raise BadValueError(f"is {cell!r}. {_needed(fact, name, wanted)} is needed")
    return int(text)


def _is_allowed(fact: str, name: str, number: Decimal) -> bool:
    if (fact, name) in _ANY:
        return True
    return number > 0 or (number == 0 and name in _QUANTITIES)


def _needed(fact: str, name: str, wanted: Field) -> str:
    kind: str = wanted.kind.value.capitalize()
    if wanted.kind not in _NUMBERS:
        return kind
    kind += _bound(fact, name)
    return f"{kind}, of up to 38 digits," if wanted.kind is Kind.NUMBER else kind


def _bound(fact: str, name: str) -> str:
    if (fact, name) in _ANY:
        return ""
    return " from 0 on" if name in _QUANTITIES else " above 0"


def _time(cell: object, unit: str | None) -> datetime:
    counted = cell if isinstance(cell, int) and not isinstance(cell, bool) else None
    if isinstance(cell, str) and _WHOLE.fullmatch(cell):
        counted = int(cell)
    if counted is not None and unit is None:
        raise BadValueError(
            f"is the number {counted}. A time is needed, such as 2026-03-01T12:00:00Z; for a count "
            "since 1970, say of what with --time-unit"
        )
    if counted is not None:
        return time_of(counted, None, unit)
    if unit is not None:
        raise BadValueError(f"is {cell!r}. A whole number of {unit} since 1970 is needed")
    moment = _moment(cell)
    if moment.tzinfo is None:
        raise BadValueError(
            f"is {str(cell)!r}, which has no offset. Write it with one, as 2026-03-01T12:00:00Z or "
            "2026-03-01T21:00:00+09:00"
        )
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise BadValueError(f"is {str(cell)!r}, a time outside of the calendar") from None


def _moment(cell: object) -> datetime:
    if isinstance(cell, datetime):
        return cell
    text = str(cell)
    if _FINER.search(text):
        raise BadValueError(f"is {text!r}. Times are kept to the microsecond: six digits at most")
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise BadValueError(
            f"is {cell!r}. A time is needed, such as 2026-03-01T12:00:00Z"
        ) from None


def _day(cell: object) -> date:
    if isinstance(cell, date) and not isinstance(cell, datetime):
        return cell
    try:
        if len(text := str(cell)) == len("2026-01-01"):
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise BadValueError(f"is {str(cell)!r}. A day is needed, such as 2026-03-01")
