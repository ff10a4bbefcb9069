"""Opens the database that a sensor looks at, with an end to every wait. Knows no Airflow.

A server's own time limit ends nothing where the server, or a proxy before it, says no more.
"""

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from threading import Timer
from typing import Any

from sqlalchemy import Engine, NullPool, create_engine, event
from sqlalchemy.engine import URL

from onchain_agg.settings import configured_warehouse
from onchain_agg.sources import sql_engine

# Longer than the client waits for a look, whose message says more than a lost connection's.
_CUT_S = 95.0
_SILENCE_S = 60


def limits_of(url: URL) -> dict[str, int]:
    """Return the options that keep the driver of *url* from waiting for ever; none if unknown."""
    return sql_engine.limits_of(url, _SILENCE_S)


@contextmanager
def opened(url: URL | None) -> Iterator[Engine]:
    """Yield an engine on the database of *url*, for one look; None is the warehouse.

    Raises:
        ConfigError: The warehouse cannot be used.
        SourceError: The warehouse does not answer.
    """
    with _cutting() as watch:
        if url is None:
            with configured_warehouse() as engine:
                # It has been connected to already.
                event.listen(engine, "checkout", watch)
                yield engine
            return
        # Looks are minutes apart, so no connection is kept.
        engine = create_engine(url, poolclass=NullPool, connect_args=limits_of(url))
        if "keepalives" in limits_of(url):
            # Before SQLAlchemy's own listener, which asks the server for its version.
            event.listen(engine, "connect", watch, insert=True)
        try:
            yield engine
        finally:
            engine.dispose()


@contextmanager
def _cutting() -> Iterator[Callable[..., None]]:
    """Yield what is told of a connection of libpq's, whose socket is shut down when time is up."""
    with ExitStack() as ending:

        def watch(driver: Any, *_: object) -> None:
            # A descriptor of its own: the driver's number may be another file's by then.
            line = ending.enter_context(socket.socket(fileno=os.dup(driver.fileno())))
            timer = Timer(_CUT_S, _cut, [line])
            timer.daemon = True
            ending.callback(timer.cancel)
            timer.start()

        yield watch


def _cut(line: socket.socket) -> None:
    # The server may have closed it at the same moment.
    with suppress(OSError):
        line.shutdown(socket.SHUT_RDWR)
