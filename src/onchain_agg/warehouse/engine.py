"""Connections to the warehouse: PostgreSQL 15 or later through psycopg, sessions in UTC."""

from sqlalchemy import Engine, create_engine, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, OperationalError

from onchain_agg.errors import ConfigError, SourceError

MIN_POSTGRES = 15  # MERGE and NULLS NOT DISTINCT
_DRIVER = "postgresql+psycopg"
_CONNECT_TIMEOUT_S = 10
_STATEMENTS = 3000
_SESSION = {
    "timezone": "UTC",
    # Above the longest rebuild of a task; ends what a lost client left running.
    "statement_timeout": "3h",
    # A dead worker's open transaction must not hold its data set's lock for ever.
    "idle_in_transaction_session_timeout": "30min",
    # Notices a vanished client in the middle of a statement.
    "client_connection_check_interval": "10s",
}
# Of a URL's query: where the server is. Others, as sslpassword, may be secret.
_SHOWN = {"host", "hostaddr", "port", "dbname", "service"}
# No retry repairs these; everything else may be a server that is starting or unreachable.
_FINAL = ("authentication failed", "does not exist", "no pg_hba.conf entry", "permission denied")


def engine_for(url: str) -> Engine:
    """Return an engine for *url* that has been connected to once.

    Raises:
        ConfigError: *url* is not a PostgreSQL URL, the server refuses the user or the database,
            or it is older than PostgreSQL 15.
        SourceError: The server does not answer.
    """
    parsed = _with_psycopg(url)
    options = " ".join(f"-c {name}={value}" for name, value in _SESSION.items())
    given = parsed.query.get("options")
    engine = create_engine(
        parsed,
        pool_pre_ping=True,
        # Each data set has a dozen statements of its own; compiled ones are kept for the next day.
        query_cache_size=_STATEMENTS,
        connect_args={
            "connect_timeout": _CONNECT_TIMEOUT_S,
            "application_name": "onchain-agg",
            # The URL's own options come last, so that they win.
            "options": f"{options} {given}" if isinstance(given, str) else options,
        },
    )
    _check_server(engine)
    return engine


def shown(url: str | URL) -> str:
    """Return *url* as it may be shown: without its password, nor what its query may hide."""
    parsed = make_url(url)
    query = {name: value for name, value in parsed.query.items() if name in _SHOWN}
    return parsed.set(query=query).render_as_string(hide_password=True)


def _with_psycopg(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:  # the latter for a port that is no number
        # The text may hold a password, so it is not repeated.
        raise ConfigError(
            "warehouse_url is not a database URL. "
            f"Write it as {_DRIVER}://user:password@host:5432/database."
        ) from error
    if parsed.drivername in {"postgresql", "postgres"}:
        parsed = parsed.set(drivername=_DRIVER)
    if parsed.drivername != _DRIVER:
        raise ConfigError(
            f"warehouse_url is {shown(parsed)!r}, but the warehouse is PostgreSQL through psycopg. "
            f"Write it as {_DRIVER}://user:password@host:5432/database."
        )
    return parsed


def _check_server(engine: Engine) -> None:
    try:
        with engine.connect() as connection:
            version = (
                int(connection.execute(text("SHOW server_version_num")).scalar_one()) // 10_000
            )
    except OperationalError as error:
        engine.dispose()
        # The driver's text has several lines and ends in a question or a full stop.
        reason = " ".join(str(error.orig).split()).rstrip("?.")
        message = f"PostgreSQL at {shown(engine.url)} cannot be used: {reason}."
        if any(words in reason for words in _FINAL):
            raise ConfigError(f"{message} Correct warehouse_url or the server's rights.") from error
        raise SourceError(f"{message} Start the server or correct warehouse_url.") from error
    if version < MIN_POSTGRES:
        engine.dispose()
        raise ConfigError(
            f"{shown(engine.url)} is PostgreSQL {version}. "
            f"Point warehouse_url at PostgreSQL {MIN_POSTGRES} or later."
        )
