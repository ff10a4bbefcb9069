"""Recording facts that no block carries, with every corrected one kept.

Rows are staged and compared with what is believed: equal rows stay as they are, corrected ones
move to the table's ``…_history`` with the span of time in which they were believed, new ones
arrive. The days that changed become dirty for whatever reads them, and the puller's watermark
moves, all in one transaction.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cache
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Engine,
    MetaData,
    Numeric,
    Table,
    Text,
    and_,
    cast,
    exists,
    func,
    literal,
    or_,
    select,
    text,
    union_all,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.schema import CreateTable, DropTable

from onchain_agg.errors import ConfigError, DataSetError
from onchain_agg.markets import GLOBAL
from onchain_agg.warehouse import dirty
from onchain_agg.warehouse.load import append, clear_errors
from onchain_agg.warehouse.locks import lock_facts
from onchain_agg.warehouse.tables import METADATA
from onchain_agg.warehouse.tables.market import is_by_venue, is_fact
from onchain_agg.warehouse.tables.ops import FACT_DAY, PULL
from onchain_agg.warehouse.types import TIME

Clock = Callable[[], datetime]

_EARLIEST = date(1970, 1, 1)
# The column whose UTC day is a row's day, where the source does not tell the day itself.
_TIMES = ("traded_at", "open_at", "funded_at", "priced_at")


@dataclass(frozen=True)
class Pull:
    """How far an incremental read came.

    Attributes:
        name: Who reads, such as ``trades.kraken``.
        scope: What is read: a market, a table.
        watermark: Where the next read begins; anything that JSON holds.
    """

    name: str
    scope: str
    watermark: Mapping[str, Any]


@dataclass(frozen=True)
class Recorded:
    """What recording did; rows that were believed already are in neither count.

    Attributes:
        inserted: New rows.
        corrected: Rows with other values than before.
        days: Days that changed, in order.
    """

    inserted: int
    corrected: int
    days: tuple[date, ...]


def record(
    engine: Engine,
    table: Table,
    scope: str,
    batch: pa.RecordBatch,
    *,
    pull: Pull | None = None,
    clock: Clock | None = None,
) -> Recorded:
    """Make *table* believe the rows of *batch*, by primary key, and return what changed.

    A row whose corrected time lies on the day before or after takes the place of the former one
    there: clocks and zones err by hours. To look for it on every day would read the whole table.

    Args:
        engine: The warehouse.
        table: A fact table of the schema ``market``.
        scope: The venue of every row; ``global`` where the table has none.
        batch: The table's columns without ``known_from``, ``venue`` and, where a time column
            says it, ``day``; numeric columns as decimals or as text. Columns that may be NULL
            may be left out.
        pull: The reader's progress, written in the same transaction.
        clock: Tells since when the rows are believed; by default the database's clock.

    Raises:
        ConfigError: *table* or *scope* do not fit, or the batch lacks a column or has one too many.
        DataSetError: A key comes twice with different values, a day is before 1970 or in the
            future, or PostgreSQL refused a row. Nothing was written.
    """
    _check_scope(table, scope)
    with engine.begin() as connection:
        lock_facts(connection, table.fullname, scope)
        at = clock() if clock is not None else connection.scalars(select(func.now())).one()
        stage = _staged(connection, table, scope, batch)
        _refuse_unknowable(connection, table, stage, at)
        corrected = _move_corrected(connection, table, stage, at)
        if _tells_its_day(table):
            corrected += _move_from_beside(connection, table, stage, at)
        new = _add_new(connection, table, stage, at)
        days = tuple(sorted({*corrected, *new}))
        changed(connection, table.fullname, scope, days)
        connection.execute(DropTable(stage))
        if pull is not None:
            _note(connection, pull, at)
    return Recorded(len(new) - len(corrected), len(corrected), days)


def changed(connection: Connection, name: str, scope: str, days: Iterable[date]) -> None:
    """Note that facts *name* of *scope* changed on *days*, and mark dirty what reads them."""
    unique = sorted(set(days))
    if not unique:
        return
    rows = [{"input": name, "scope": scope, "day": day, "version": 1} for day in unique]
    statement = insert(FACT_DAY).on_conflict_do_update(
        index_elements=[FACT_DAY.c.input, FACT_DAY.c.scope, FACT_DAY.c.day],
        set_={"version": FACT_DAY.c.version + 1},
    )
    connection.execute(statement, rows)
    dirty.mark_input(connection, name, scope, unique)


def watermark(engine: Engine, name: str, scope: str) -> dict[str, Any] | None:
    """Return where the read *name* of *scope* goes on, or None where it never began."""
    query = select(PULL.c.watermark).where(PULL.c.name == name, PULL.c.scope == scope)
    with engine.connect() as connection:
        found: dict[str, Any] | None = connection.scalar(query)
    return found


def history_of(table: Table) -> Table:
    """Return the table that keeps the corrected rows of a fact *table*."""
    return METADATA.tables[f"{table.fullname}_history"]


def _check_scope(table: Table, scope: str) -> None:
    if not is_fact(table):
        raise ConfigError(f"{table.fullname} holds no facts of markets. Load it another way.")
    if is_by_venue(table) == (scope == GLOBAL):
        wanted = "the venue's name" if is_by_venue(table) else repr(GLOBAL)
        raise ConfigError(f"{table.fullname}: the scope is {scope!r}. Give {wanted}.")


def _staged(connection: Connection, table: Table, scope: str, batch: pa.RecordBatch) -> Table:
    """Return a temporary table with the batch, its columns of the table's types."""
    wanted = _told(table)
    columns, missing = _columns(table, batch, wanted)
    raw, stage = _temporary(table)
    for one in (raw, stage):
        connection.execute(CreateTable(one))
    append(
        connection,
        raw,
        pa.RecordBatch.from_pydict(columns),
        dict.fromkeys(missing),
    )
    values = [literal(scope).label("venue")] if is_by_venue(table) else []
    names = ["venue"] if is_by_venue(table) else []
    query = select(*values, *(cast(raw.c[c.name], c.type) for c in wanted)).distinct()
    with clear_errors(table):
        connection.execute(stage.insert().from_select([*names, *(c.name for c in wanted)], query))
    connection.execute(DropTable(raw))
    # Without statistics the planner reads the whole fact table for every batch.
    connection.execute(text(f"ANALYZE {stage.name}"))
    _refuse_twins(connection, table, stage)
    return stage


@cache
def _temporary(table: Table) -> tuple[Table, Table]:
    """Return the tables that hold a batch as it is told and in the types of *table*.

    The same objects each time, so that statements stay compiled.
    """
    raw = [Column(c.name, Text() if isinstance(c.type, Numeric) else c.type) for c in _told(table)]
    typed = [Column(c.name, c.type) for c in table.columns if c.name != "known_from"]
    return (
        Table(f"raw_{table.name}", MetaData(), *raw, prefixes=["TEMPORARY"]),
        Table(f"stage_{table.name}", MetaData(), *typed, prefixes=["TEMPORARY"]),
    )


def _told(table: Table) -> list[Column[Any]]:
    """Return the columns of a fact *table* that a batch may have."""
    return [c for c in table.columns if c.name not in {"known_from", "venue"}]


def _columns(
    table: Table, batch: pa.RecordBatch, wanted: list[Column[Any]]
) -> tuple[dict[str, pa.Array], list[str]]:
    """Return the batch's columns in the staged form, and the names that are all NULL."""
    given = dict(zip(batch.schema.names, batch.columns, strict=True))
    for name in _TIMES:
        if name in given and "day" not in given:
            given["day"] = pc.cast(given[name], pa.date32())
    unknown = sorted({*given} - {c.name for c in wanted})
    missing = [c.name for c in wanted if c.name not in given]
    required = [c.name for c in wanted if c.name in missing and not c.nullable]
    if unknown or required:
        raise ConfigError(
            f"The batch for {table.fullname} lacks {required} and has {unknown} too many."
        )
    for column in wanted:
        if isinstance(column.type, Numeric) and column.name in given:
            given[column.name] = pc.cast(given[column.name], pa.string())
    return given, missing


def _tells_its_day(table: Table) -> bool:
    """Return whether the key's day is that of a time beside the key, which may be corrected."""
    names = set(table.primary_key.columns.keys())
    return "day" in names and any(name in table.c and name not in names for name in _TIMES)


def _refuse_twins(connection: Connection, table: Table, stage: Table) -> None:
    same = [stage.c[c.name] for c in table.primary_key]
    key: list[ColumnElement[Any]] = [*same]
    if _tells_its_day(table):
        same = [column for column in same if column.name != "day"]
        key = [func.min(stage.c.day) if c is stage.c.day else c for c in key]
    twice = connection.execute(
        select(*key).group_by(*same).having(func.count() > 1).limit(1)
    ).first()
    if twice is not None:
        raise DataSetError(
            f"{table.fullname}: {_named(table, twice)} comes twice with different values."
            " Keep one of them."
        )


def _refuse_unknowable(connection: Connection, table: Table, stage: Table, at: datetime) -> None:
    # Clocks differ, and a day's rate may be told in its evening: one day ahead is no error.
    newest = at.date() + timedelta(days=1)
    key = [stage.c[c.name] for c in table.primary_key]
    strange = connection.execute(
        select(*key).where(~stage.c.day.between(_EARLIEST, newest)).limit(1)
    ).first()
    if strange is not None:
        raise DataSetError(
            f"{table.fullname}: {_named(table, strange)} is not between {_EARLIEST} and {newest},"
            " so nobody can know it. Correct its time."
        )


def _named(table: Table, key: Iterable[object]) -> str:
    return ", ".join(f"{c.name} {v}" for c, v in zip(table.primary_key, key, strict=True))


def _move_corrected(connection: Connection, table: Table, stage: Table, at: datetime) -> list[date]:
    """Move the believed rows that the stage contradicts to the history; return their days."""
    key = and_(*(stage.c[c.name] == c for c in table.primary_key))
    others = [c for c in stage.columns if c.name not in table.primary_key.columns]
    differs = or_(*(table.c[c.name].is_distinct_from(c) for c in others))
    return _move(connection, table, exists().where(key, differs).correlate(table), at)


def _move_from_beside(
    connection: Connection, table: Table, stage: Table, at: datetime
) -> list[date]:
    """Move what is believed on the days beside the staged ones to the history; return its days."""
    names = [c.name for c in table.primary_key if c.name != "day"]
    beside = union_all(
        *(
            select(*(stage.c[name] for name in names), (stage.c.day + step).label("day"))
            for step in (literal(1), literal(-1))
        )
    ).subquery("beside")
    key = and_(*(beside.c[c.name] == c for c in table.primary_key))
    return _move(connection, table, exists().where(key).correlate(table), at)


def _move(
    connection: Connection, table: Table, which: ColumnElement[bool], at: datetime
) -> list[date]:
    history = history_of(table)
    gone = table.delete().where(which).returning(*table.columns).cte("gone")
    names = [column.name for column in table.columns]
    former = select(*(gone.c[name] for name in names), literal(at, TIME))
    moved = history.insert().from_select([*names, "known_to"], former).returning(history.c.day)
    return list(connection.scalars(moved.add_cte(gone)))


def _add_new(connection: Connection, table: Table, stage: Table, at: datetime) -> list[date]:
    """Add the staged rows that are not believed yet; return their days."""
    names = [column.name for column in stage.columns]
    believed = exists().where(*(stage.c[c.name] == c for c in table.primary_key))
    new = select(*stage.columns, literal(at, TIME)).where(~believed.correlate(stage))
    add = table.insert().from_select([*names, "known_from"], new).returning(table.c.day)
    with clear_errors(table):
        return list(connection.scalars(add))


def _note(connection: Connection, pull: Pull, at: datetime) -> None:
    values = {"watermark": dict(pull.watermark), "pulled_at": at}
    statement = insert(PULL).values(name=pull.name, scope=pull.scope, **values)
    connection.execute(
        statement.on_conflict_do_update(index_elements=[PULL.c.name, PULL.c.scope], set_=values)
    )
