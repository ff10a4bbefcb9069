"""What pods ask beside Airflow's API: the warehouse and the DAG repository, on loopback ports."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Engine

from onchain_agg.local import processes
from tests.e2e.daemons import Daemon, running

_GIT = ("git", "-c", "user.name=tests", "-c", "user.email=tests@localhost")


@contextmanager
def warehouse_by_tcp(home: Path, engine: Engine) -> Iterator[dict[str, str]]:
    """Yield the variable by which pods find the warehouse."""
    port, folder = processes.free_port(), engine.url.query["host"]
    program = (sys.executable, "-m", "tests.e2e.stack_database", str(port))
    daemon = Daemon("database", [*program, f"{folder}/.s.PGSQL.5432"], home / "database.log")
    url = engine.url.set(host="127.0.0.1", port=port, query={})
    with running(daemon):
        daemon.start()
        yield {"ONCHAIN_AGG_WAREHOUSE_URL": url.render_as_string(hide_password=False)}


@contextmanager
def dag_repository(home: Path, dags: Path) -> Iterator[str]:
    """Make a git repository of the DAGs, serve it, and yield its URL."""
    repository, port = home / "repository", processes.free_port()
    shutil.copytree(dags, repository / "dags", ignore=shutil.ignore_patterns("__pycache__"))
    for command in (
        ("init", "--quiet", "--initial-branch=main"),
        ("add", "."),
        ("commit", "--quiet", "--message=DAGs"),
    ):
        subprocess.run([*_GIT, *command], cwd=repository, check=True)
    # Not by way of `git`, which would run it as a child.
    where = subprocess.run([*_GIT, "--exec-path"], capture_output=True, text=True, check=True)
    options = (f"--base-path={home}", "--export-all", "--listen=127.0.0.1", f"--port={port}")
    daemon = Daemon("git", [f"{where.stdout.strip()}/git-daemon", *options], home / "git.log")
    with running(daemon):
        daemon.start()
        yield f"git://127.0.0.1:{port}/repository"
