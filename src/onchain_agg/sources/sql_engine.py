"""Opens the database of a declared source, and says in this package's errors what is wrong with it.

No message holds a password, nor what a driver was told with the statement.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import Engine, create_engine
from sqlalchemy.engine import URL
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    InterfaceError,
    NoSuchModuleError,
    OperationalError,
)

from onchain_agg.errors import ConfigError, SourceError
from onchain_agg.sources.masking import scrubbed

_CONNECT_S = 10
# A page is read through an index; a server that says nothing for so long is gone.
_SILENCE_S = 300
# By SQLAlchemy's names of the drivers; another driver may refuse an option that it does not know.
_LIBPQ = frozenset({"psycopg", "psycopg2"})
_MYSQL = frozenset({"mysqldb", "pymysql", "mariadbconnector"})
# No wait repairs these; everything else may be a server that is starting or unreachable.
_FINAL = ("authentication failed", "access denied", "does not exist", "permission denied")


@contextmanager
def opened(name: str, url: URL) -> Iterator[Engine]:
    """Yield an engine on the database of source *name*; nothing is asked of it yet.

    Raises:
        ConfigError: SQLAlchemy cannot open it.
    """
    if url.get_backend_name() == "sqlite" and url.database and not Path(url.database).is_file():
        # SQLite would make an empty one.
        raise ConfigError(f"Source {name}: there is no file {url.database}. Correct its path.")
    try:
        engine = create_engine(url, connect_args=limits_of(url, _SILENCE_S))
    except (NoSuchModuleError, ArgumentError, ImportError) as error:
        raise ConfigError(
            f"Source {name}: SQLAlchemy cannot open its database: {error}. Correct the URL or the "
            "connection's type, or install the database's SQLAlchemy dialect and driver."
        ) from None
    if url.get_backend_name() == "postgresql":
        engine = engine.execution_options(postgresql_readonly=True)
    try:
        yield engine
    finally:
        engine.dispose()


@contextmanager
def asking(name: str, engine: Engine) -> Iterator[None]:
    """Turn the errors of the database of source *name* into ours.

    Raises:
        ConfigError: It refuses what is asked of it.
        SourceError: It does not answer, and waiting may help.
    """
    try:
        yield
    except DBAPIError as error:
        password = str(engine.url.password or "")
        # PostgreSQL's text goes on with the statement.
        diagnosis = getattr(error.orig, "diag", None)
        text = getattr(diagnosis, "message_primary", None) or str(error.orig)
        told = " ".join(text.split()).rstrip("?.")
        reason = scrubbed(told, {password, quote(password, safe="")} - {""})
        if may_pass(error, reason):
            raise SourceError(f"Source {name}: its database failed: {reason}.") from None
        raise ConfigError(
            f"Source {name}: its database refuses: {reason}. Correct the declaration, the "
            "connection or its user's rights."
        ) from None


def may_pass(error: DBAPIError, reason: str) -> bool:
    """Return whether waiting may help against an *error*, of which the driver says *reason*."""
    is_passing = isinstance(error, OperationalError | InterfaceError)
    return is_passing and not any(words in reason.lower() for words in _FINAL)


def limits_of(url: URL, silence_s: int) -> dict[str, int]:
    """Return the options that keep the driver of *url* from waiting for ever; none if unknown.

    A server that says nothing for *silence_s* seconds is taken for lost.
    """
    driver = url.get_driver_name()
    if driver in _LIBPQ:
        return {
            "connect_timeout": _CONNECT_S,
            # A host that vanished is noticed after a minute.
            "keepalives": 1,
            "keepalives_idle": 30,
            "keepalives_interval": 10,
            "keepalives_count": 3,
            "tcp_user_timeout": silence_s * 1000,
        }
    if driver in _MYSQL:
        return {
            "connect_timeout": _CONNECT_S,
            "read_timeout": silence_s,
            "write_timeout": silence_s,
        }
    if driver == "mysqlconnector":
        return {"connection_timeout": _CONNECT_S}
    if driver == "pymssql":
        return {"login_timeout": _CONNECT_S, "timeout": silence_s}
    return {}
