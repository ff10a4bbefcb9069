"""Advisory locks, held until the transaction ends."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date

from sqlalchemy import Connection, Engine, Text, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY

_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))")
_SHARE = text(
    "SELECT pg_advisory_xact_lock_shared(hashtextextended(name, 0)) FROM unnest(:names) AS name"
).bindparams(bindparam("names", type_=ARRAY(Text)))
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


def lock_facts(connection: Connection, table: str, scope: str) -> None:
    """Wait until no other transaction records facts of *scope* in *table*."""
    _take(connection, f"facts:{table}:{scope}")


def lock_pull(connection: Connection, name: str) -> None:
    """Wait until no other transaction pulls the source *name*."""
    _take(connection, f"pull:{name}")


def lock_partitions(connection: Connection, table: str) -> None:
    """Wait until no other transaction makes or drops partitions of *table*."""
    _take(connection, f"partitions:{table}")


def lock_archived_day(connection: Connection, chain: str, day: date) -> None:
    """Wait until no other transaction holds an archived day of *chain* readable."""
    _take(connection, f"archived:{chain}:{day}")


def share_archived_days(connection: Connection, chain: str, days: Sequence[date]) -> None:
    """Wait until none of *days* of *chain* is leaving its tables, and keep it from doing so."""
    connection.execute(_STAY)
    connection.execute(_SHARE, {"names": [f"archived:{chain}:{day}" for day in days]})


def lock_archiving(connection: Connection, chain: str, day: date) -> None:
    """Wait until no other transaction writes *day* of *chain* to the archive."""
    _take(connection, f"archiving:{chain}:{day}")
