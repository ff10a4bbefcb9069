"""Looks at a table that end in time, whatever the database does or does not do."""

from concurrent.futures import Future, wait
from functools import partial
from typing import TYPE_CHECKING

from onchain_agg.errors import SourceError
from onchain_agg.hooks.asking import asked
from onchain_agg.operators import readiness

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

# Seconds, for connecting and all statements together.
LOOK_S = 90.0


def look_in_time(condition: readiness.Condition, url: "URL | None", conn_id: str | None) -> bool:
    """Return what `readiness.look` does, after `LOOK_S` at most.

    Raises:
        UnknownNameError: As `readiness.look`.
        ConfigError: As `readiness.look`.
        SourceError: As `readiness.look`, or time is up.
    """
    begun = begun_look(condition, url, conn_id)
    wait([begun], LOOK_S)
    if not begun.done():
        raise silent(conn_id, LOOK_S)
    return begun.result()


def begun_look(
    condition: readiness.Condition, url: "URL | None", conn_id: str | None
) -> "Future[bool]":
    """Return the answer to come of `readiness.look`."""
    return asked(partial(readiness.look, condition, url, conn_id))


def silent(conn_id: str | None, seconds: float) -> SourceError:
    """Return the error that the database of *conn_id* said nothing for *seconds*."""
    place = readiness.place_of(conn_id)
    return SourceError(f"The database of {place} has not answered within {seconds:.3g} s.")
