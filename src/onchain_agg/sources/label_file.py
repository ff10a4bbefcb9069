"""A CSV of labels → rows. Knows neither chains nor what is believed already.

The first line is ``address,category,entity,valid_from,valid_to``; ``valid_to`` may be left out of
it. Days are UTC and half-open: a label holds from ``valid_from`` to the day before ``valid_to``;
an empty ``valid_to`` means that it still does.
"""

import csv
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from onchain_agg.errors import ConfigError

_COLUMNS = ("address", "category", "entity", "valid_from", "valid_to")
_CATEGORY = re.compile(r"[a-z][a-z0-9_]{0,62}")
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_LONGEST_ENTITY = 200


@dataclass(frozen=True)
class LabelRow:
    """What somebody says of an address.

    Attributes:
        address: As its chain writes it.
        category: Such as ``exchange`` or ``miner``.
        entity: Whose it is.
        valid_from: First UTC day.
        valid_to: First UTC day after; None: still so.
        place: Where it was said, for errors.
    """

    address: str
    category: str
    entity: str
    valid_from: date
    valid_to: date | None
    place: str


def read_labels(file: Path) -> list[LabelRow]:
    """Return the rows of *file*.

    Raises:
        ConfigError: It cannot be read, or a value is wrong; names file, line and column.
    """
    try:
        with file.open(newline="", encoding="utf-8-sig") as lines:
            return list(_rows(file, csv.reader(lines, strict=True)))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{file} cannot be read: {error}. Correct the path, or write it in UTF-8."
        ) from None


def _rows(file: Path, lines: Iterator[list[str]]) -> Iterator[LabelRow]:
    number = 1
    try:
        head = tuple(next(lines, ()))
        if head not in {_COLUMNS, _COLUMNS[:-1]}:
            raise ConfigError(f"{file}, line 1: the first line must be {','.join(_COLUMNS)!r}.")
        for cells in lines:
            number = lines.line_num  # type: ignore[attr-defined] # csv.reader has it.
            if cells:
                yield _row(f"{file}, line {number}", head, cells)
    except csv.Error as error:
        raise ConfigError(f"{file}, line {number + 1}: this is no CSV: {error}.") from None


def _row(place: str, head: tuple[str, ...], cells: list[str]) -> LabelRow:
    if len(cells) != len(head):
        raise ConfigError(f"{place}: it has {len(cells)} values. Write {len(head)}.")
    text = dict(zip(head, (cell.strip() for cell in cells), strict=True))
    if not text["address"]:
        raise ConfigError(f"{place}: address is empty. Write one.")
    if not _CATEGORY.fullmatch(text["category"]):
        raise ConfigError(
            f"{place}: category is {text['category']!r}. Write small letters, digits and _, such "
            "as exchange."
        )
    entity = text["entity"]
    if not entity or len(entity) > _LONGEST_ENTITY or not entity.isprintable():
        raise ConfigError(
            f"{place}: entity is {entity!r}. Write a name of up to {_LONGEST_ENTITY} characters."
        )
    first = _day(place, "valid_from", text)
    if first is None:
        raise ConfigError(f"{place}: valid_from is empty. Write the first day, as 2026-03-01.")
    last = _day(place, "valid_to", text)
    return LabelRow(text["address"], text["category"], entity, first, last, place)


def _day(place: str, column: str, text: Mapping[str, str]) -> date | None:
    told = text.get(column)
    if not told:
        return None
    wrong = ConfigError(f"{place}: {column} is {told!r}. Write a day as 2026-03-01.")
    # Other forms of ISO 8601 are as likely a typing error.
    if not _DAY.fullmatch(told):
        raise wrong
    try:
        return date.fromisoformat(told)
    except ValueError:
        raise wrong from None
