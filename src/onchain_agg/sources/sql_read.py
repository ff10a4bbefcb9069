"""A declared table → Arrow batches of facts, in the order of its watermark. Writes nothing.

Pages follow one another by (watermark, key), so rows of one watermark that a page's end separates
are neither lost nor read twice. What a pull reads ends at the highest watermark there was when it
began.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
from sqlalchemy import (
    ColumnElement,
    Engine,
    Row,
    Select,
    TableClause,
    and_,
    bindparam,
    column,
    func,
    inspect,
    or_,
    select,
    table,
)
from sqlalchemy.engine import Inspector
from sqlalchemy.types import NullType

from onchain_agg.errors import ConfigError, DataSetError, UnknownNameError
from onchain_agg.markets import GLOBAL
from onchain_agg.sources import sql_watermark
from onchain_agg.sources.sql import Mapped, SqlSource
from onchain_agg.sources.sql_engine import asking
from onchain_agg.sources.sql_targets import TARGETS, Field, Kind
from onchain_agg.sources.sql_values import (
    ARROW_TYPES,
    BadValueError,
    day_of,
    number_of,
    text_of,
    time_of,
    whole_of,
)
from onchain_agg.sources.table_cells import row_problem, value_problem

Convert = Callable[[Any], Any]


@dataclass(frozen=True)
class Reading:
    """A declared table as it stands in its database, found fit to be read.

    Attributes:
        source: The declaration.
        table: The table, with the columns that are read.
        key: The columns that tell rows of one watermark apart.
        types: What the database says of each column's type, for people.
        nullable: Watermark and key columns that the database would let be NULL.
    """

    source: SqlSource
    table: TableClause
    key: tuple[str, ...]
    types: Mapping[str, str]
    nullable: tuple[str, ...]


@dataclass(frozen=True)
class Page:
    """Some rows of the table.

    Attributes:
        rows: How many they are.
        batches: The facts, by the scope that `warehouse.facts.record` takes.
        watermark: The last row's.
    """

    rows: int
    batches: Mapping[str, pa.RecordBatch]
    watermark: sql_watermark.Raw


def reading_of(engine: Engine, source: SqlSource) -> Reading:
    """Return what is to be read of *source*; its table is looked at, no row is read.

    Raises:
        UnknownNameError: There is no such table or column; lists those that there are.
        ConfigError: Rows cannot be told apart, a constant is not what its column holds, or the
            database refuses.
        SourceError: The database does not answer, and waiting may help.
    """
    schema, _, name = source.table.rpartition(".")
    with asking(source.name, engine):
        inspector = inspect(engine)
        if not inspector.has_table(name, schema=schema or None):
            raise _no_table(inspector, source, schema or None)
        found = {one["name"]: one for one in inspector.get_columns(name, schema=schema or None)}
        constraint = inspector.get_pk_constraint(name, schema=schema or None)
    key = tuple(one for one in source.key or constraint["constrained_columns"])
    _check_columns(source, key, found)
    _converters(source)
    order = (source.watermark, *(one for one in key if one != source.watermark))
    wanted = dict.fromkeys((*order, *_columns_read(source)))
    # Untyped, so that values come as the driver has them: SQLAlchemy would round some numbers.
    return Reading(
        source=source,
        table=table(name, *(column(one, NullType()) for one in wanted), schema=schema or None),
        key=order[1:],
        types={one: str(found[one]["type"]) for one in wanted},
        nullable=tuple(one for one in order if found[one].get("nullable", True)),
    )


def read_pages(engine: Engine, reading: Reading, since: sql_watermark.Raw | None) -> Iterator[Page]:
    """Yield the rows from watermark *since* on, that row's included; None is the beginning.

    Memory is bounded by one page of ``batch_rows``.

    Raises:
        DataSetError: A value is not what its column is to hold, or rows cannot be read in order;
            names column, watermark and key. No row of that page was yielded.
        ConfigError: The database refuses.
        SourceError: The database does not answer, and waiting may help.
    """
    with asking(reading.source.name, engine), engine.connect() as connection:
        _refuse_nulls(reading, connection.execute(_rows_with_null(reading)).first())
        end = connection.scalar(select(func.max(reading.table.c[reading.source.watermark])))
    after: Sequence[Any] | None = None
    while end is not None:
        with asking(reading.source.name, engine), engine.connect() as connection:
            # One row more tells whether there is a next page, and how its first row differs.
            rows = connection.execute(page_query(reading, since, after, end)).all()
        _check_order(reading, rows)
        some = rows[: reading.source.batch_rows]
        if some:
            yield _page(reading, some)
        if len(rows) == len(some):
            return
        after = some[-1][: len(reading.key) + 1]


def page_query(
    reading: Reading,
    since: sql_watermark.Raw | None,
    after: Sequence[Any] | None,
    end: Any,
) -> Select[Any]:
    """Return the query of the next page and one row more.

    Args:
        reading: The table.
        since: Lowest watermark; None is the beginning.
        after: Watermark and key of the last row that was read; None is none.
        end: Highest watermark.
    """
    columns = reading.table.c
    order = [columns[reading.source.watermark], *(columns[one] for one in reading.key)]
    conditions = [order[0] <= _bound(end)]
    if after is not None:
        # The first condition alone is one that every database answers through an index.
        conditions += [order[0] >= _bound(after[0]), _is_after(order, after)]
    elif since is not None:
        conditions.append(order[0] >= _bound(since))
    query = select(*columns).where(*conditions).order_by(*order)
    return query.limit(reading.source.batch_rows + 1)


def _is_after(order: Sequence[ColumnElement[Any]], last: Sequence[Any]) -> ColumnElement[bool]:
    """Return the condition of the rows behind *last*; not every database compares tuples."""
    return or_(
        *(
            and_(
                *(order[j] == _bound(last[j]) for j in range(i)),
                order[i] > _bound(last[i]),
            )
            for i in range(len(order))
        )
    )


def _bound(value: Any) -> ColumnElement[Any]:
    # Untyped, so that the driver writes it as it read it.
    return bindparam(None, value, type_=NullType(), unique=True)


def _columns_read(source: SqlSource) -> list[str]:
    return [one.column for one in source.columns.values() if one.column is not None]


def _check_columns(source: SqlSource, key: Sequence[str], found: Mapping[str, Any]) -> None:
    told = [("watermark", source.watermark), *(("key", one) for one in source.key)]
    told += [(f"columns.{name}", one.column) for name, one in source.columns.items() if one.column]
    for place, name in told:
        if name not in found:
            raise UnknownNameError(
                f"column of {source.table} (source {source.name}, {place})", name, found
            )
    if not key:
        raise ConfigError(
            f"Source {source.name}: {source.table} has no primary key, so rows of one "
            f"{source.watermark} cannot be told apart. Declare key: columns that together are "
            "different in every row."
        )


def _no_table(inspector: Inspector, source: SqlSource, schema: str | None) -> ConfigError:
    names = [*inspector.get_table_names(schema), *inspector.get_view_names(schema)]
    known = [f"{schema}.{one}" if schema else one for one in names]
    return UnknownNameError(f"table of source {source.name}", source.table, known)


def _rows_with_null(reading: Reading) -> Select[Any]:
    columns = reading.table.c
    order = [columns[reading.source.watermark], *(columns[one] for one in reading.key)]
    nulls = [columns[one].is_(None) for one in reading.nullable]
    # Without such a column there is nothing to look for.
    return select(*order).where(or_(*nulls) if nulls else order[0].is_(None)).limit(1)


def _refuse_nulls(reading: Reading, row: Row[Any] | None) -> None:
    if row is not None:
        raise DataSetError(
            f"Source {reading.source.name}: a row of {reading.source.table} has NULL among "
            f"{_shown(reading, row)}, so it could not be read in order. Fill it, or leave it out "
            "with a view."
        )


def _check_order(reading: Reading, rows: Sequence[Row[Any]]) -> None:
    width = len(reading.key) + 1
    for row, following in pairwise(rows):
        if row[:width] == following[:width]:
            raise DataSetError(
                f"Source {reading.source.name}: two rows of {reading.source.table} have "
                f"{_shown(reading, row)}. Declare a key that is different in every row."
            )
        if sql_watermark.is_before(_mark(reading, following), _mark(reading, row)):
            raise DataSetError(
                f"Source {reading.source.name}: {reading.source.watermark} goes back from "
                f"{row[0]!r} to {following[0]!r}, as {reading.source.table} sorts it. Write all of "
                "them in one form and zone."
            )


def _page(reading: Reading, rows: Sequence[Row[Any]]) -> Page:
    source, target = reading.source, TARGETS[reading.source.target]
    places = {name: i for i, name in enumerate(reading.table.c.keys())}
    columns: dict[str, list[Any]] = {}
    for name, (mapped, convert) in _converters(source).items():
        if mapped.column is None:
            columns[name] = [convert(mapped.constant)] * len(rows)
            continue
        at = places[mapped.column]
        columns[name] = [_converted(reading, row, mapped, row[at], convert) for row in rows]
    _refuse_contradictions(reading, rows, columns)
    scopes = columns.pop(target.scope) if target.scope else [GLOBAL] * len(rows)
    places_of: dict[str, list[int]] = defaultdict(list)
    for i, scope in enumerate(scopes):
        places_of[scope].append(i)
    whole = pa.RecordBatch.from_pydict(
        {
            name: pa.array(values, ARROW_TYPES[target.fields[name].kind])
            for name, values in columns.items()
        }
    )
    batches = {scope: whole.take(pa.array(at)) for scope, at in sorted(places_of.items())}
    return Page(len(rows), batches, _mark(reading, rows[-1]))


def _refuse_contradictions(
    reading: Reading, rows: Sequence[Row[Any]], columns: Mapping[str, Sequence[Any]]
) -> None:
    target = reading.source.target
    unmapped = dict.fromkeys(TARGETS[target].fields)
    for row, values in zip(rows, zip(*columns.values(), strict=True), strict=True):
        told = unmapped | dict(zip(columns, values, strict=True))
        if problem := row_problem(target, told):
            raise DataSetError(
                f"Source {reading.source.name}: {reading.source.table}: {problem}, in the row with "
                f"{_shown(reading, row)}. Correct the row, or leave it out with a view."
            )


def _converters(source: SqlSource) -> dict[str, tuple[Mapped, Convert]]:
    """Return how each of our columns is filled.

    Raises:
        ConfigError: A constant is not what its column holds.
    """
    fields = TARGETS[source.target].fields
    found: dict[str, tuple[Mapped, Convert]] = {}
    for name, mapped in source.columns.items():
        found[name] = (mapped, _convert(source, name, fields[name], mapped.values))
        if mapped.constant is not None:
            try:
                found[name][1](mapped.constant)
            except BadValueError as error:
                raise ConfigError(
                    f"Source {source.name}: columns.{name}: the constant {error}."
                ) from None
    return found


def _convert(source: SqlSource, name: str, field: Field, values: Mapping[str, str]) -> Convert:
    zone = ZoneInfo(source.time_zone) if source.time_zone else None
    plain: Mapping[Kind, Convert] = {
        Kind.TEXT: text_of,
        Kind.NUMBER: lambda value: str(number_of(value)),
        Kind.WHOLE: whole_of,
        Kind.SMALL: lambda value: whole_of(value, 16),
        Kind.TIME: lambda value: time_of(value, zone, source.time_unit),
        Kind.DAY: lambda value: day_of(value, zone, source.time_unit),
    }

    def convert(value: Any) -> Any:
        if value is None:
            if field.required:
                raise BadValueError(f"is NULL. {field.kind.value.capitalize()} is needed")
            return None
        converted = plain[field.kind](value)
        if values:
            converted = _translated(converted, values)
        if field.choices and converted not in field.choices:
            raise BadValueError(
                f"is {converted!r}. {' or '.join(field.choices)} is needed: translate it by values"
            )
        if problem := value_problem(source.target, name, field, converted):
            raise BadValueError(problem)
        return converted

    return convert


def _translated(text: str, values: Mapping[str, str]) -> str:
    if text not in values:
        raise BadValueError(f"is {text!r}, which values do not translate. Add it to them")
    return values[text]


def _converted(
    reading: Reading, row: Row[Any], mapped: Mapped, value: Any, convert: Convert
) -> Any:
    try:
        return convert(value)
    except BadValueError as error:
        raise _wrong(reading, row, mapped.column, error) from None


def _mark(reading: Reading, row: Row[Any]) -> sql_watermark.Raw:
    try:
        return sql_watermark.checked(row[0])
    except BadValueError as error:
        raise _wrong(reading, row, reading.source.watermark, error) from None


def _wrong(reading: Reading, row: Row[Any], name: str | None, error: BadValueError) -> DataSetError:
    return DataSetError(
        f"Source {reading.source.name}: column {name!r} of {reading.source.table} {error}, in the "
        f"row with {_shown(reading, row)}. Correct the row, or leave it out with a view."
    )


def _shown(reading: Reading, row: Row[Any]) -> str:
    """Return watermark and key of *row*, as an error names it."""
    names = (reading.source.watermark, *reading.key)
    return " and ".join(
        f"{name} {value}" for name, value in zip(names, row[: len(names)], strict=True)
    )
