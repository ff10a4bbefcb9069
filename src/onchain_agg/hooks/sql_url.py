"""An Airflow connection to a SQL database → SQLAlchemy's URL of it."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from onchain_agg.hooks.extra import check_extra

if TYPE_CHECKING:
    from airflow.sdk import Connection
    from sqlalchemy.engine import URL

    from onchain_agg.sources.sql import SqlSource

# Other types of connection are named as SQLAlchemy names their dialect.
_DIALECTS = MappingProxyType(
    {"postgres": "postgresql+psycopg", "postgresql": "postgresql+psycopg", "mssql": "mssql+pymssql"}
)
# Who may edit a connection must not be able to pass other options to the driver.
_EXTRAS = ("sslmode", "sslrootcert")


def sql_url(connection: "Connection", extras: Mapping[str, Any]) -> "URL":
    """Return the URL of the database of *connection*, whose extras are *extras*.

    The database is the connection's schema; of SQLite, the file is its host. The extras ``sslmode``
    and ``sslrootcert`` count for PostgreSQL, every other one is ignored.

    Raises:
        ConfigError: The connection's extra is no JSON object.
    """
    check_extra(connection)
    # A DAG file is read without it.
    from sqlalchemy.engine import URL  # noqa: PLC0415

    kind = connection.conn_type or ""
    if kind == "sqlite":
        return URL.create("sqlite", database=connection.host or connection.schema)
    dialect = _DIALECTS.get(kind, kind)
    is_postgres = dialect.startswith("postgresql")
    options = {name: str(extras[name]) for name in _EXTRAS if is_postgres and extras.get(name)}
    return URL.create(
        dialect,
        username=connection.login or None,
        password=connection.password or None,
        host=connection.host or None,
        port=connection.port or None,
        database=connection.schema or None,
        query=options,
    )


def source_url(source: "SqlSource") -> "URL":
    """Return the URL of the database of a declared source: its connection's, or its own.

    Raises:
        ConfigError: The connection does not exist, or the declaration's URL is none.
    """
    if source.connection is None:
        return source.database_url()
    # A DAG file is read without it.
    from onchain_agg.hooks.lookup import connection_named  # noqa: PLC0415

    options = "--conn-uri postgresql://user:password@host:5432/database"
    connection = connection_named(source.connection, options)
    return sql_url(connection, connection.extra_dejson)
