"""A CSV or Parquet file → typed Arrow batches of one kind of fact, or one clear error.

Columns have the names of the fact's own, or are mapped to them. A value is taken exactly or not at
all: nothing is guessed, rounded or put into a time zone. Knows neither SQL nor what is believed.
"""

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa

from onchain_agg.errors import ConfigError, UnknownNameError, did_you_mean
from onchain_agg.sources.sql_targets import TARGETS, Kind, Target
from onchain_agg.sources.sql_values import ARROW_TYPES, BadValueError
from onchain_agg.sources.table_cells import cell_of, row_problem

# The column with each row's place in its file: the line of a CSV, the row of a Parquet file.
LINE = "line"

_BATCH_ROWS = 20_000


@dataclass(frozen=True, kw_only=True)
class FileForm:
    """What is said about a file that it does not say itself.

    Attributes:
        columns: Our column by the file's, where the names differ.
        constants: The text that every row has in one of our columns.
        ignored: Columns of the file that are not read.
        time_unit: What a time counts since 1970: s, ms, us or ns; None: times are ISO 8601 with
            an offset.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    constants: Mapping[str, str] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()
    time_unit: str | None = None


@dataclass(frozen=True)
class _Rows:
    """The rows of a file: its columns, what a row is called, and each row with its number."""

    names: Sequence[str]
    called: str
    numbered: Iterator[tuple[int, Sequence[Any]]]


def read_facts(file: Path, fact: str, form: FileForm) -> Iterator[pa.RecordBatch]:
    """Yield the facts in *file*: the columns of `TARGETS`, ``day`` and `LINE`, without the scope.

    Numbers are exact texts. Memory is bounded by one batch.

    Args:
        file: A ``.csv``, ``.parquet`` or ``.pq``.
        fact: A name in `TARGETS`.
        form: What the file does not say itself.

    Raises:
        ConfigError: The file cannot be read, a column is missing or unknown, or a value is wrong;
            names the file, the line and the column.
    """
    target = target_named(fact)
    with _opened(file) as rows:
        places = _places(file, fact, target, form, rows.names)
        while some := list(islice(rows.numbered, _BATCH_ROWS)):
            yield _batch(f"{file}, {rows.called}", fact, target, places, (form, some))


def target_named(fact: str) -> Target:
    """Return the columns of a kind of fact.

    Raises:
        UnknownNameError: There is no such kind.
    """
    if fact not in TARGETS:
        raise UnknownNameError("kind of fact", fact, TARGETS)
    return TARGETS[fact]


def _batch(
    place: str,
    fact: str,
    target: Target,
    places: Mapping[str, tuple[int, str]],
    given: tuple[FileForm, list[tuple[int, Sequence[Any]]]],
) -> pa.RecordBatch:
    form, rows = given
    names = [name for name in target.fields if name != target.scope]
    found: dict[str, list[Any]] = {name: [] for name in [*names, "day", LINE]}
    for number, cells in rows:
        values = _values(f"{place} {number}", fact, target, places, (form, cells))
        if problem := row_problem(fact, values):
            raise ConfigError(f"{place} {number}: {problem}.")
        moment = next((v for n, v in values.items() if target.fields[n].kind is Kind.TIME), None)
        if moment is not None:
            values["day"] = moment.date()
        values[LINE] = number
        for name, value in values.items():
            found[name].append(value)
    types = {name: ARROW_TYPES[target.fields[name].kind] for name in names}
    types |= {"day": pa.date32(), LINE: pa.int64()}
    return pa.RecordBatch.from_pydict(
        {name: pa.array(values, types[name]) for name, values in found.items()}
    )


def _values(
    place: str,
    fact: str,
    target: Target,
    places: Mapping[str, tuple[int, str]],
    given: tuple[FileForm, Sequence[Any]],
) -> dict[str, Any]:
    form, cells = given
    values: dict[str, Any] = {}
    for name, wanted in target.fields.items():
        if name == target.scope:
            continue
        index, shown = places.get(name, (-1, ""))
        cell = cells[index] if shown else form.constants.get(name)
        try:
            values[name] = cell_of(fact, name, wanted, cell, form.time_unit)
        except BadValueError as error:
            where = f"column {shown!r}" if shown else f"the given {name}"
            raise ConfigError(f"{place}, {where} {error}.") from None
    return values


def _places(
    file: Path, fact: str, target: Target, form: FileForm, names: Sequence[str]
) -> dict[str, tuple[int, str]]:
    """Return where the file has each of our columns, and under which name."""
    ours = [name for name in target.fields if name != target.scope]
    _check_form(file, target, form, names)
    places: dict[str, tuple[int, str]] = {}
    for index, name in enumerate(names):
        if name in form.ignored:
            continue
        our = form.columns.get(name, name)
        if our not in ours:
            raise ConfigError(
                f"{file}: column {name!r} is none of {fact}. {did_you_mean(name, ours)}Map it with "
                f"--map {name}=<column>, or leave it out with --ignore {name}. There is: "
                f"{', '.join(ours)}."
            )
        if our in places or our in form.constants:
            raise ConfigError(f"{file}: {our} is given twice, also by {name!r}. Give it once.")
        places[our] = (index, name)
    _check_complete(file, target, form, {our: name for our, (_, name) in places.items()}, names)
    return places


def _check_complete(
    file: Path,
    target: Target,
    form: FileForm,
    found: Mapping[str, str],
    names: Sequence[str],
) -> None:
    known = {*found, *form.constants, *filter(None, [target.scope])}
    for name, wanted in target.fields.items():
        if wanted.required and name not in known:
            raise ConfigError(
                f"{file}: column {name!r} is missing. {did_you_mean(name, names)}Map another with "
                f"--map <its name>={name}, or give all rows one with --set {name}=<value>."
            )


def _check_form(file: Path, target: Target, form: FileForm, names: Sequence[str]) -> None:
    """Check that what is said of the file is about columns that are there."""
    ours = [name for name in target.fields if name != target.scope]
    for kind, said, known in (
        ("--map", form.columns, names),
        ("--ignore", form.ignored, names),
        ("--map", form.columns.values(), ours),
        ("--set", form.constants, [*ours, *filter(None, [target.scope])]),
    ):
        for name in said:
            if name not in known:
                raise ConfigError(
                    f"{file}: {kind} names {name!r}. {did_you_mean(name, known)}"
                    f"There is: {', '.join(known)}."
                )


@contextmanager
def _opened(file: Path) -> Iterator[_Rows]:
    readers: dict[str, Callable[[Path], Any]] = {
        ".csv": _csv,
        ".parquet": _parquet,
        ".pq": _parquet,
    }
    if file.suffix.lower() not in readers:
        raise ConfigError(f"{file} is neither .csv nor .parquet. Convert it, or rename it.")
    try:
        with readers[file.suffix.lower()](file) as rows:
            yield rows
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        told = str(error).splitlines()[0]
        raise ConfigError(
            f"{file} cannot be read: {told}. Correct the path, or write the file again "
            "(CSV in UTF-8)."
        ) from None


@contextmanager
def _csv(file: Path) -> Iterator[_Rows]:
    with file.open(newline="", encoding="utf-8-sig") as lines:
        reader = csv.reader(lines, strict=True)
        names = [name.strip() for name in next(reader, [])]
        if not any(names):
            raise ConfigError(f"{file}, line 1: the names of the columns are missing. Add them.")
        if len(names) == 1 and ";" in names[0]:
            raise ConfigError(
                f"{file}, line 1: the columns are separated by semicolons. Write the file again "
                "with commas between them, and with points in its numbers."
            )
        for name in names:
            if names.count(name) > 1:
                raise ConfigError(f"{file}, line 1: column {name!r} comes twice. Remove one.")
        yield _Rows(names, "line", _csv_rows(file, len(names), reader))


def _csv_rows(file: Path, width: int, reader: Any) -> Iterator[tuple[int, list[str]]]:
    number = 1
    try:
        for cells in reader:
            # A cell may hold line breaks; the row is named by its last line, as editors count.
            number = reader.line_num
            if cells and len(cells) != width:
                raise ConfigError(
                    f"{file}, line {number}: it has {len(cells)} cells, but line 1 has {width}. "
                    "Correct the commas or the quotes."
                )
            if cells:
                yield number, cells
    except csv.Error as error:
        raise ConfigError(
            f"{file}, line {number + 1}: {error}. Correct the commas or the quotes."
        ) from None


@contextmanager
def _parquet(file: Path) -> Iterator[_Rows]:
    # It takes a while to import, and most files are CSV.
    from pyarrow import parquet  # noqa: PLC0415

    with parquet.ParquetFile(file) as opened:
        names = list(opened.schema_arrow.names)
        yield _Rows(names, "row", _parquet_rows(opened))


def _parquet_rows(opened: Any) -> Iterator[tuple[int, list[Any]]]:
    number = 0
    for batch in opened.iter_batches(_BATCH_ROWS):
        for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            number += 1
            yield number, list(row)
