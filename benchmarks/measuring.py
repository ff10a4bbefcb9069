"""What every benchmark shares: a throw-away warehouse, a stop-watch and a line of the report.

The stop-watch counts CPU seconds of this process and of the whole PostgreSQL server apart. Linux
only: it reads ``/proc``.
"""
# ruff: noqa: INP001, T201 - run from the repository; its lines are the report.

import itertools
import os
import shutil
import statistics
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, make_url, text

from onchain_agg.metrics.definitions import sync
from onchain_agg.warehouse.embedded import embedded_url, stop
from onchain_agg.warehouse.engine import engine_for
from onchain_agg.warehouse.schema import migrate

MEGABYTE = 1_000_000
_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
_TEMPLATE = "bench_template"
_VERDICTS = {True: "met", False: "NOT MET", None: ""}
_numbers = itertools.count()


@dataclass(frozen=True)
class Result:
    """One line of the report; *target* is empty for a figure that nothing was promised for."""

    what: str
    target: str
    figure: str
    met: bool | None = None


def show(result: Result) -> None:
    """Print *result* as lines of the report."""
    verdict = f"{_VERDICTS[result.met]:>9}  "
    print(f"{verdict}{result.what}")
    if result.target:
        print(f"{'':11}target {result.target}")
    for line in textwrap.wrap(result.figure, 88):
        print(f"{'':11}{line}", flush=True)


@dataclass(frozen=True)
class Spent:
    """Seconds that one run took: on the clock, of this process's CPU, of PostgreSQL's CPU."""

    wall: float
    client: float
    server: float

    @property
    def cpu(self) -> float:
        """Return the CPU seconds of both sides."""
        return self.client + self.server


@dataclass(frozen=True)
class Server:
    """An embedded PostgreSQL whose data and processes nobody else uses."""

    url: URL
    process: int

    @contextmanager
    def fresh(self) -> Iterator[Engine]:
        """Yield an engine on a new database that is migrated and knows the definitions."""
        name = f"bench_{next(_numbers)}"
        self._run(f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE}")
        engine = engine_for(_text_of(self.url.set(database=name)))
        try:
            yield engine
        finally:
            engine.dispose()
            self._run(f"DROP DATABASE {name} WITH (FORCE)")

    def measure(self, run: Callable[[], object], *, settled: bool = True) -> Spent:
        """Return what *run* took; *settled*: what the disk still owes is written before."""
        if settled:
            self._run("CHECKPOINT")
        wall, client, server = time.perf_counter(), time.process_time(), self._cpu()
        run()
        return Spent(time.perf_counter() - wall, time.process_time() - client, self._cpu() - server)

    def _cpu(self) -> float:
        """Return the CPU seconds of the server: its processes', and those that have ended."""
        used = 0
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = stat.read_text().rpartition(") ")[2].split()
            except OSError:  # the process ended after it was listed
                continue
            if int(stat.parent.name) == self.process:
                used += sum(map(int, fields[11:15]))
            elif int(fields[1]) == self.process:
                used += sum(map(int, fields[11:13]))
        return used / _TICKS_A_SECOND

    def _run(self, statement: str) -> None:
        engine = create_engine(self.url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(statement))
        engine.dispose()


@contextmanager
def running_server() -> Iterator[Server]:
    """Yield an embedded PostgreSQL of this run's own, and leave nothing of it."""
    # A short path, because the server's socket lies in it.
    home = Path(tempfile.mkdtemp(prefix="oagg-"))
    try:
        url = make_url(embedded_url(home, "postgres"))
        process = int((home / "postgres" / "postmaster.pid").read_text().split()[0])
        server = Server(url, process)
        server._run(f"CREATE DATABASE {_TEMPLATE}")  # noqa: SLF001 - this module's own
        engine = engine_for(_text_of(url.set(database=_TEMPLATE)))
        migrate(engine)
        sync(engine)
        engine.dispose()
        yield server
    finally:
        stop(home)
        shutil.rmtree(home, ignore_errors=True)


def interleaved(
    runs: Mapping[str, Callable[[], Spent]], rounds: int
) -> Mapping[str, Sequence[Spent]]:
    """Return what each run took, run in turn, so that a busy machine slows all of them alike."""
    found: dict[str, list[Spent]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            found[name].append(run())
    return found


def median(spent: Sequence[Spent]) -> Spent:
    """Return the median of each figure."""
    return Spent(
        statistics.median(one.wall for one in spent),
        statistics.median(one.client for one in spent),
        statistics.median(one.server for one in spent),
    )


def track(connection: Connection, chain: str, addresses: Sequence[str]) -> None:
    """Make the tokens at *addresses* tracked assets of *chain*; those that are it already stay."""
    rows = [
        {"chain": chain, "address": bytes.fromhex(one.removeprefix("0x")), "symbol": f"T{n}"}
        for n, one in enumerate(addresses)
    ]
    connection.execute(
        text(
            "INSERT INTO ops.asset (chain, address, symbol, decimals, start_block,"
            " whale_threshold, tracked, noncompliant)"
            " VALUES (:chain, :address, :symbol, 18, 0, 1, true, false)"
            " ON CONFLICT (chain, address) DO NOTHING"
        ),
        rows,
    )


def peak_megabytes(run: Callable[..., object], *arguments: Any) -> float:
    """Return the peak memory of a fresh process that does *run*, whose module can be imported."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_peak_after, run, arguments).result()


def _peak_after(run: Callable[..., object], arguments: Sequence[Any]) -> float:
    run(*arguments)
    # Not getrusage: its peak includes what the parent held when this process was started.
    status = Path("/proc/self/status").read_text().partition("VmHWM:")[2]
    return int(status.split()[0]) * 1024 / MEGABYTE


def _text_of(url: URL) -> str:
    return url.render_as_string(hide_password=False)
