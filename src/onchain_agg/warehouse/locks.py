"""Advisory locks, held until the transaction ends."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date

from sqlalchemy import Connection, Engine, text

_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))")
# A holder may wait for a node or for a computation on another connection; ending its session would
# free the lock in the middle.
_STAY = text("SET LOCAL idle_in_transaction_session_timeout = 0")


def _take(connection: Connection, name: str) -> None:
    connection.execute(_STAY)
    connection.execute(_LOCK, {"name": name})


def lock_chain(connection: Connection, chain: str) -> None:
    """Wait until no other transaction changes the state of *chain*."""
    _take(connection, f"chain:{chain}")


@contextmanager
def publishing(engine: Engine, dataset: str, scope: str) -> Iterator[Connection]:
    """Yield a transaction that alone publishes *dataset* for *scope* and sees one moment.

    The lock is taken on a connection of its own: a repeatable-read snapshot dates from the
    transaction's first statement, so it must begin after the wait, not before.
    """
    with engine.begin() as holder:
        _take(holder, f"dataset:{dataset}:{scope}")
        snapshot = engine.execution_options(isolation_level="REPEATABLE READ")
        with snapshot.begin() as connection:
            yield connection


def lock_definitions(connection: Connection) -> None:
    """Wait until no other transaction synchronises definitions."""
    _take(connection, "definitions")


def lock_partitions(connection: Connection, table: str) -> None:
    """Wait until no other transaction makes or drops partitions of *table*."""
    _take(connection, f"partitions:{table}")


def lock_archived_day(connection: Connection, chain: str, day: date) -> None:
    """Wait until no other transaction holds an archived day of *chain* readable."""
    _take(connection, f"archived:{chain}:{day}")
