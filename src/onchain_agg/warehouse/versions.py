"""Publishing one window of a serving table, with every former version kept.

The new rows are staged and compared with what is served: equal rows stay as they are, changed and
vanished rows move to the `history` twin with the span of time in which readers saw them, new rows
arrive. All of it is one transaction under the data set's lock, so a reader never sees half a
window, and a run that changes nothing writes nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from typing import Any

from sqlalchemy import (
    Column,
    Connection,
    Index,
    Label,
    MetaData,
    Select,
    Table,
    exists,
    func,
    literal,
    literal_column,
    or_,
    select,
    text,
)
from sqlalchemy.exc import IntegrityError
from sqlalchemy.schema import CreateTable, SetColumnComment

from onchain_agg.errors import DataSetError
from onchain_agg.markets import GLOBAL
from onchain_agg.warehouse.types import DIALECT, TIME

_PHYSICAL = MetaData()


@dataclass(frozen=True)
class Twins:
    """The two physical tables of a data set: what is served, and what used to be."""

    serving: Table
    history: Table


@dataclass(frozen=True)
class Change:
    """What publishing a window did.

    Attributes:
        rows: Rows in the window now.
        arrived: Rows that are new or have new values.
        moved: Rows that changed or vanished; their former version is in history.
        checksum: Of the window's rows, whatever their order.
        at: The publish clock of the change.
    """

    rows: int
    arrived: int
    moved: int
    checksum: str
    at: datetime


def twins(table: Table) -> Twins:
    """Return the physical tables of a data set's *table*: its columns and the time of knowledge."""
    known = f"serving.{table.name}"
    if known in _PHYSICAL.tables:
        return Twins(_PHYSICAL.tables[known], _PHYSICAL.tables[f"history.{table.name}"])
    since = Column("known_from", TIME, nullable=False, comment="Readers see the row since then.")
    serving = Table(
        table.name,
        _PHYSICAL,
        *_copies(table),
        since,
        *_series(table),
        *_further(table),
        schema="serving",
    )
    until = Column("known_to", TIME, nullable=False, comment="Readers saw the row until then.")
    history = Table(
        table.name,
        _PHYSICAL,
        *_copies(table),
        Column("known_from", TIME, primary_key=True),
        until,
        # Thinning looks at days of every chain.
        Index(f"ix_{table.name}_day", "day"),
        schema="history",
    )
    return Twins(serving, history)


def _series(table: Table) -> list[Index]:
    """Return the index that finds many days of one thing, where the table says what that is.

    None where a further index of the table begins with the same columns: the planner would take
    the smaller one, and sort. A venue's table has another one, by day.
    """
    thing = table.info.get("series")
    if thing is None:
        return []
    key = [column.name for column in table.primary_key]
    scope = key[: key.index("day")]
    columns = (*scope, thing, "day")
    wanted = table.info.get("indexes", {}).values()
    if any(further[: len(columns)] == columns for further in wanted):
        return []
    series = Index(f"ix_{table.name}_series", *columns)
    # Prices are made of a day of every venue.
    return [series, Index(f"ix_{table.name}_day", "day")] if scope == ["venue"] else [series]


def _further(table: Table) -> list[Index]:
    """Return the indexes that the table's definition asks for: columns, as SQL, by name."""
    wanted: dict[str, tuple[str, ...]] = table.info.get("indexes", {})
    return [
        Index(f"ix_{table.name}_{name}", *map(text, columns)) for name, columns in wanted.items()
    ]


def _copies(table: Table) -> list[Column[Any]]:
    return [
        Column(c.name, c.type, primary_key=c.primary_key, nullable=c.nullable, comment=c.comment)
        for c in table.columns
    ]


def create_tables(connection: Connection, table: Table) -> None:
    """Create the serving and history tables, their comments and the as-of view's index."""
    pair = twins(table)
    for physical in (pair.serving, pair.history):
        physical.create(connection, checkfirst=True)
        for column in physical.columns:
            connection.execute(SetColumnComment(column))


def create_view(
    connection: Connection,
    dataset: str,
    table: Table,
    derived: Sequence[Label[Any]],
    scope_column: str | None,
) -> None:
    """Create the view ``serving.<dataset>``: the rows, derived columns and the window's status.

    The status says whether the day can still change with the chain: ``provisional`` or ``final``.
    It belongs to the ledger, so a day that becomes final rewrites no row. The ledger's scope is
    in *scope_column*; without one it is ``global``.
    """
    serving = twins(table).serving
    # The definition's own table stands for the physical one; both have the same name.
    columns = [*(table.c[c.name] for c in table.columns), *derived]
    rows = (
        select(*columns, literal_column("known_from"))
        .select_from(table)
        .compile(dialect=DIALECT, compile_kwargs={"literal_binds": True})
    )
    name = f"{serving.schema}.{dataset}"
    scope = f"r.{scope_column}" if scope_column else f"'{GLOBAL}'"
    connection.execute(text(f"DROP VIEW IF EXISTS {name}"))
    connection.exec_driver_sql(
        f"CREATE VIEW {name} AS SELECT r.*, w.status FROM ({rows}) r JOIN ops.window w"
        f" ON w.dataset = '{dataset}' AND w.scope = {scope} AND w.day = r.day"
    )


def publish(
    connection: Connection,
    table: Table,
    rows: Select[Any] | None,
    window: Mapping[str, object],
    clock: Callable[[], datetime],
    check: Callable[[Table], None] | None = None,
) -> Change:
    """Make *rows* what readers see of *window*, and return what changed.

    Args:
        connection: In the transaction that holds the data set's lock.
        table: The data set's table.
        rows: Query whose columns are the table's, by name; None empties the window.
        window: Values of the key columns that say which rows are in the window.
        clock: Tells the publish clock, later than that of every publish before. Asked when the
            rows are ready, so that what readers saw and what `as_of` says differ by a commit.
        check: Looks at the staged rows before any reader does, and raises to refuse them.

    Raises:
        DataSetError: The query's columns are not the table's, a key comes twice, a value is
            missing, or a row lies outside the window.
    """
    stage = _stage(connection, table, rows, window)
    if check is not None and rows is not None:
        check(stage)
    count, checksum = _fingerprint(connection, stage)
    at = clock()
    # A day that was never served has no statistics: the planner would compare each of its rows
    # with every other one.
    connection.execute(text("SET LOCAL enable_nestloop = off"))
    moved = _move_gone(connection, table, stage, window, at)
    arrived = _add_new(connection, table, stage, window, at)
    connection.execute(text("SET LOCAL enable_nestloop TO DEFAULT"))
    connection.execute(text(f"DROP TABLE {stage.name}"))
    return Change(count, arrived, moved, checksum, at)


def _move_gone(
    connection: Connection,
    table: Table,
    stage: Table,
    window: Mapping[str, object],
    clock: datetime,
) -> int:
    """Move the window's rows that are not staged as they are to history; return how many."""
    serving, history = twins(table).serving, twins(table).history
    names = [column.name for column in table.columns]
    staged = exists().where(
        *(stage.c[c.name] == serving.c[c.name] for c in table.primary_key),
        *(
            stage.c[c.name].is_not_distinct_from(serving.c[c.name])
            for c in table.columns
            if not c.primary_key
        ),
    )
    gone = (
        serving.delete()
        .where(*(serving.c[name] == value for name, value in window.items()), ~staged)
        .returning(*serving.c)
        .cte("gone")
    )
    former = select(*(gone.c[name] for name in names), gone.c.known_from, literal(clock, TIME))
    move = history.insert().from_select([*names, "known_from", "known_to"], former)
    return connection.execute(move, execution_options={"preserve_rowcount": True}).rowcount


def _add_new(
    connection: Connection,
    table: Table,
    stage: Table,
    window: Mapping[str, object],
    clock: datetime,
) -> int:
    """Add the staged rows that are not served yet; return how many.

    Raises:
        DataSetError: A row lacks a value that the table wants.
    """
    serving = twins(table).serving
    names = [column.name for column in table.columns]
    served = exists().where(
        *(stage.c[c.name] == serving.c[c.name] for c in table.primary_key),
        # The window again, as constants: only its rows are looked at, however large the table.
        *(serving.c[name] == value for name, value in window.items()),
    )
    # In the order of the key, so that what is read together lies on few pages.
    new = (
        select(*(stage.c[name] for name in names), literal(clock, TIME))
        .where(~served)
        .order_by(*(stage.c[c.name] for c in table.primary_key))
    )
    add = serving.insert().from_select([*names, "known_from"], new)
    try:
        return connection.execute(add, execution_options={"preserve_rowcount": True}).rowcount
    except IntegrityError as error:
        raise DataSetError(f"{table.name}: {_first_line(error)}") from error


def _stage(
    connection: Connection, table: Table, rows: Select[Any] | None, window: Mapping[str, object]
) -> Table:
    """Return a temporary table that holds the checked rows."""
    stage = _stage_of(table)
    connection.execute(CreateTable(stage))
    if rows is None:
        return stage
    given, wanted = [c.name for c in rows.selected_columns], [c.name for c in table.columns]
    if sorted(given) != sorted(wanted):
        missing, extra = sorted({*wanted} - {*given}), sorted({*given} - {*wanted})
        raise DataSetError(f"{table.name}: the query lacks {missing} and has {extra} too many.")
    connection.execute(stage.insert().from_select(given, rows))
    connection.execute(text(f"ANALYZE {stage.name}"))
    _check(connection, table, stage, window)
    return stage


@cache
def _stage_of(table: Table) -> Table:
    """Return the definition of a temporary table; one object, so that statements stay compiled."""
    return Table(
        f"stage_{table.name}"[:63],
        MetaData(),
        # The definition's types, but no key yet: a key that comes twice deserves a better message.
        *(Column(c.name, c.type) for c in table.columns),
        prefixes=["TEMPORARY"],
        postgresql_on_commit="DROP",
    )


def _check(
    connection: Connection, table: Table, stage: Table, window: Mapping[str, object]
) -> None:
    """Raise DataSetError when staged rows share a key or lie outside the window."""
    key = [stage.c[c.name] for c in table.primary_key]
    twice = connection.execute(
        select(*key).group_by(*key).having(func.count() > 1).limit(1)
    ).first()
    if twice is not None:
        raise DataSetError(f"{table.name}: the key {tuple(twice)} comes more than once.")
    outside = connection.execute(
        select(*key)
        .where(or_(*(stage.c[n].is_distinct_from(v) for n, v in window.items())))
        .limit(1)
    ).first()
    if outside is not None:
        raise DataSetError(f"{table.name}: row {tuple(outside)} lies outside {dict(window)}.")


def _fingerprint(connection: Connection, stage: Table) -> tuple[int, str]:
    columns = ", ".join(stage.columns.keys())
    row = connection.execute(
        text(
            f"SELECT count(*), coalesce(sum(hashtextextended(row({columns})::text, 0)::numeric), 0)"
            f" FROM {stage.name}"
        )
    ).one()
    return row[0], f"{int(row[1]) % 2**64:016x}"


def _first_line(error: IntegrityError) -> str:
    return str(error.orig).splitlines()[0]


def as_of(connection: Connection, table: Table, moment: datetime, limit: int) -> list[Any]:
    """Return the rows that readers of *table* saw at *moment*, newest days first.

    Args:
        connection: Any connection to the warehouse.
        table: The data set's table.
        moment: Aware time; a row is seen from its `known_from` until just before its `known_to`.
        limit: Most rows to return.
    """
    pair = twins(table)
    names = [column.name for column in table.columns]
    now = select(*(pair.serving.c[n] for n in names)).where(pair.serving.c.known_from <= moment)
    then = select(*(pair.history.c[n] for n in names)).where(
        pair.history.c.known_from <= moment, pair.history.c.known_to > moment
    )
    both = now.union_all(then).subquery()
    key = [both.c[c.name] for c in table.primary_key]
    query = select(both).order_by(both.c.day.desc(), *key).limit(limit)
    return list(connection.execute(query))


def thin(connection: Connection, table: Table, since: date, before: date) -> int:
    """Keep of each open day only the last revision of each hour; return the rows deleted.

    A revision that ended while its day was still open was an interim value. Of such revisions
    of one row that began within one hour the last stays and takes over the span of the others,
    so `as_of` has no hole and tells the end of each hour as before. What readers saw of a closed
    day is kept in full.

    Args:
        connection: In a transaction.
        table: The data set's table.
        since: Oldest day that is thinned.
        before: Only days before this one are thinned.
    """
    name = f"history.{twins(table).history.name}"
    key = ", ".join(c.name for c in table.primary_key)
    connection.execute(
        text(
            "CREATE TEMP TABLE interim ON COMMIT DROP AS SELECT ctid AS place, known_from,"
            " min(known_from) OVER whole_hour AS since,"
            " known_from = max(known_from) OVER whole_hour AS kept"
            f" FROM {name} WHERE day >= :since AND day < :before"
            " AND known_to <= (day + 1)::timestamp AT TIME ZONE 'UTC'"
            # Not by its end: what was served as an hour began would lose to a later revision.
            f" WINDOW whole_hour AS (PARTITION BY {key}, date_trunc('hour', known_from))"
        ),
        {"since": since, "before": before},
    )
    dropped = connection.execute(
        text(f"DELETE FROM {name} h USING interim i WHERE h.ctid = i.place AND NOT i.kept")
    ).rowcount
    connection.execute(
        text(
            f"UPDATE {name} h SET known_from = i.since FROM interim i"
            " WHERE h.ctid = i.place AND i.kept AND i.since < i.known_from"
        )
    )
    connection.execute(text("DROP TABLE interim"))
    return dropped
