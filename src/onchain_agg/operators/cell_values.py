"""A value that an author or a template wrote → one that a column can be compared with."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnClause
from sqlalchemy.types import (
    Boolean,
    Date,
    DateTime,
    Float,
    Integer,
    Numeric,
    String,
    TypeEngine,
    Uuid,
)

from onchain_agg.errors import ConfigError

# Of JSON's types, so that a waiting task can be stored. Times and days are text in ISO form.
Scalar = str | int | bool | None

_Reader = Callable[[Scalar, Any], Any]


def bound(column: ColumnClause[Any], value: Scalar) -> Any:
    """Return *value* as *column* holds it; None stays.

    Raises:
        ConfigError: The column cannot hold it; names column, value and what would do.
    """
    return None if value is None else _read(column, value, _KINDS)


def comparable(column: ColumnClause[Any], value: Scalar) -> Any:
    """Return *value* as *column* holds it, which must have an order: a time, a day, a number.

    Raises:
        ConfigError: The column has none or cannot hold it; names column, value and what would do.
    """
    return _read(column, value, _ORDERED)


def _read(
    column: ColumnClause[Any],
    value: Scalar,
    kinds: tuple[tuple[type[TypeEngine[Any]], str, _Reader], ...],
) -> Any:
    for kind, wanted, read in kinds:
        if isinstance(column.type, kind):
            try:
                return read(value, column.type)
            except (ValueError, TypeError, OverflowError, InvalidOperation):
                raise ConfigError(
                    f"Column {column.name} is compared with {value!r}. Give {wanted}."
                ) from None
    raise ConfigError(
        f"Column {column.name} is of type {type(column.type).__name__}, which cannot be waited "
        f"for. Name a column of {', '.join(dict.fromkeys(kind.__name__ for kind, *_ in kinds))}."
    )


def _time(value: Scalar, kind: Any) -> datetime:
    moment = datetime.fromisoformat(_text(value))
    if moment.tzinfo is None:
        raise ValueError
    moment = moment.astimezone(UTC)
    # A column without zones holds UTC, or nobody could say what it holds.
    return moment if kind.timezone else moment.replace(tzinfo=None)


def _day(value: Scalar, _kind: Any) -> date:
    return date.fromisoformat(_text(value))


def _truth(value: Scalar, _kind: Any) -> bool:
    said = str(value).lower()
    if said not in {"true", "false"}:
        raise ValueError
    return said == "true"


def _whole(value: Scalar, _kind: Any) -> int:
    return int(_digits(value))


def _number(value: Scalar, _kind: Any) -> Decimal:
    number = Decimal(_digits(value))
    if not number.is_finite():
        raise ValueError
    return number


def _uuid(value: Scalar, kind: Any) -> UUID | str:
    parsed = UUID(_text(value))
    return parsed if kind.as_uuid else str(parsed)


def _words(value: Scalar, _kind: Any) -> str:
    return _text(value)


def _text(value: Scalar) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _digits(value: Scalar) -> str:
    if isinstance(value, bool) or value is None:
        raise TypeError
    return str(value).strip()


_ORDERED: tuple[tuple[type[TypeEngine[Any]], str, _Reader], ...] = (
    (DateTime, "a time with its zone, such as 2026-03-01T00:00:00Z", _time),
    (Date, "a day, such as 2026-03-01", _day),
    (Integer, "a whole number", _whole),
    (Numeric, "a number in digits", _number),
    (Float, "a number in digits", _number),
)
_KINDS: tuple[tuple[type[TypeEngine[Any]], str, _Reader], ...] = (
    *_ORDERED,
    (Boolean, "True or False", _truth),
    (Uuid, "a UUID", _uuid),
    (String, "text", _words),
)
