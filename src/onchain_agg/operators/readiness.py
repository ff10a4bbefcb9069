"""Whether a table of some SQL database has the rows that a DAG waits for. Knows no Airflow.

Statements are SQLAlchemy expressions over the table's own columns: names are quoted and values are
bound, so nothing that a template renders becomes SQL.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from sqlalchemy import (
    Connection,
    Inspector,
    Integer,
    TableClause,
    column,
    func,
    inspect,
    literal_column,
    select,
    table,
    text,
)
from sqlalchemy.engine import URL
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    NoSuchModuleError,
)

from onchain_agg.errors import ConfigError, SourceError, UnknownNameError
from onchain_agg.operators.cell_values import Scalar, bound, comparable
from onchain_agg.operators.source_engine import opened
from onchain_agg.sources.sql_engine import may_pass

# A look at a table without a fitting index must not go on for ever.
_LOOK_TIMEOUT = "60s"
_SHOWN_NAMES = 20


@dataclass(frozen=True, kw_only=True)
class Condition:
    """The rows that are waited for.

    Attributes:
        table: The table or view, with its schema before a dot where that is not the user's own.
        where: Columns and the value that each must have; None is SQL's NULL.
        watermark: A column, and the value that it must have reached.
        min_rows: How many such rows there must be.
    """

    table: str
    where: Mapping[str, Scalar]
    watermark: tuple[str, Scalar] | None
    min_rows: int

    def __str__(self) -> str:
        """Return the condition as an error can say it."""
        told = [f"{name} = {value!r}" for name, value in self.where.items()]
        if self.watermark is not None:
            told.append(f"{self.watermark[0]} >= {self.watermark[1]!r}")
        rows = "1 row" if self.min_rows == 1 else f"{self.min_rows} rows"
        of = f" with {' and '.join(told)}" if told else ""
        return f"at least {rows} of {self.table}{of}"

    def as_json(self) -> dict[str, Any]:
        """Return what `condition_of` takes, of JSON's types alone."""
        return {
            "table": self.table,
            "where": dict(self.where),
            "watermark": None if self.watermark is None else list(self.watermark),
            "min_rows": self.min_rows,
        }


def condition_of(told: Mapping[str, Any]) -> Condition:
    """Return the condition that `Condition.as_json` told."""
    watermark = told["watermark"]
    return Condition(
        table=told["table"],
        where=told["where"],
        watermark=None if watermark is None else (watermark[0], watermark[1]),
        min_rows=told["min_rows"],
    )


def look(condition: Condition, url: URL | None, conn_id: str | None) -> bool:
    """Return whether *condition* holds in the database of *url*; None is the warehouse.

    Args:
        condition: What is waited for.
        url: The database.
        conn_id: What an error calls it.

    Raises:
        UnknownNameError: There is no such schema, table or column; lists those that there are.
        ConfigError: A value does not fit its column, or the database refuses the user.
        SourceError: The database does not answer, and waiting may help.
    """
    place = place_of(conn_id)
    with _translated(place, condition), opened(url) as engine, engine.connect() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SET TRANSACTION READ ONLY"))
            connection.execute(text(f"SET LOCAL statement_timeout = '{_LOOK_TIMEOUT}'"))
        return _holds(connection, condition)


def place_of(conn_id: str | None) -> str:
    """Return what an error calls the database of connection *conn_id*; None is the warehouse."""
    return "the warehouse" if conn_id is None else f"connection {conn_id!r}"


def _holds(connection: Connection, condition: Condition) -> bool:
    where = dict(condition.where)
    source = _table(connection, condition.table)
    columns = source.c
    for name in [*where, *([condition.watermark[0]] if condition.watermark else [])]:
        if name not in columns:
            raise UnknownNameError(f"column of {condition.table}", name, columns.keys())
    tests = [columns[name] == bound(columns[name], value) for name, value in where.items()]
    if condition.watermark is not None:
        name, value = condition.watermark
        tests.append(columns[name] >= comparable(columns[name], value))
    # Stops at the rows that are enough, however many there are.
    enough = select(literal_column("1", Integer)).select_from(source).where(*tests)
    counted = select(func.count()).select_from(enough.limit(condition.min_rows).subquery())
    return connection.execute(counted).scalar_one() >= condition.min_rows


def _table(connection: Connection, full_name: str) -> TableClause:
    schema, _, name = full_name.rpartition(".")
    inspector = inspect(connection)
    if not inspector.has_table(name, schema=schema or None):
        raise _unknown(inspector, schema, full_name)
    found = inspector.get_columns(name, schema=schema or None)
    columns = [column(one["name"], one["type"]) for one in found]
    return table(name, *columns, schema=schema or None)


def _unknown(inspector: Inspector, schema: str, full_name: str) -> UnknownNameError:
    schemas = inspector.get_schema_names()
    if schema and schema not in schemas:
        return UnknownNameError("schema", schema, schemas)
    inside = schema or None
    names = [*inspector.get_table_names(inside), *inspector.get_view_names(inside)]
    known = [f"{schema}.{one}" if schema else one for one in names]
    # A source database may have thousands.
    close = get_close_matches(full_name, known, n=_SHOWN_NAMES, cutoff=0)
    return UnknownNameError("table", full_name, close)


@contextmanager
def _translated(place: str, condition: Condition) -> Iterator[None]:
    """Turn the driver's errors into ours, without the statement and its values."""
    try:
        yield
    except (NoSuchModuleError, ArgumentError, ImportError) as error:
        raise ConfigError(
            f"SQLAlchemy cannot open {place}: {error}. Correct the connection's type, or install "
            "the database's SQLAlchemy dialect and driver."
        ) from error
    except (OverflowError, UnicodeError) as error:
        raise ConfigError(
            f"The database of {place} cannot be asked for {condition}: {error}. Give values that "
            "its columns can hold."
        ) from error
    except DBAPIError as error:
        reason = " ".join(str(error.orig).split()).rstrip("?.")
        if may_pass(error, reason):
            raise SourceError(f"The database of {place} failed: {reason}.") from error
        raise ConfigError(
            f"The database of {place} refuses: {reason}. Correct the connection, its user's "
            "rights or the values."
        ) from error
