"""Starting and stopping Airflow's parts as process groups, and knowing which ones run."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType

import psutil
import psycopg

from onchain_agg.errors import ConfigError
from onchain_agg.local.environment import Site
from onchain_agg.warehouse.embedded import embedded_url

PARTS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "api-server": ("api-server", "--workers", "1"),
        # Its log server is for workers elsewhere; here the pages read the log files themselves.
        "scheduler": ("scheduler", "--skip-serve-logs"),
        "dag-processor": ("dag-processor",),
        "triggerer": ("triggerer", "--skip-serve-logs"),
    }
)
# What a worker's part is called, before the worker's own name.
WORKER = "worker-"
# Where there are workers: their tasks tell the API server how they end, and they tell Redis.
_STOPPED_LAST = ("api-server", "redis")
_STOP_TIMEOUT_S = 10.0
_MIGRATE_TIMEOUT_S = 300
_PAUSE_S = 0.2


@dataclass(frozen=True)
class Program:
    """What can be started: its name, which is also its log's, and its whole command."""

    name: str
    command: tuple[str, ...]


@dataclass(frozen=True)
class Part:
    """One of Airflow's processes; *created* tells it from a later process of the same id."""

    name: str
    pid: int
    created: float

    def alive(self) -> bool:
        """Return whether the process runs."""
        with suppress(psutil.Error):
            process = psutil.Process(self.pid)
            return bool(
                abs(process.create_time() - self.created) < 1
                and process.status() != psutil.STATUS_ZOMBIE
            )
        return False


def migrate_metadata(site: Site, environment: Mapping[str, str], home: Path) -> None:
    """Bring Airflow's own tables to the installed version; asks the database first, which is quick.

    Raises:
        ConfigError: The migration failed; names the log.
    """
    marker = site.home / "migrated.json"
    now = {"airflow": version("apache-airflow-core"), "revision": _metadata_revision(home)}
    if now["revision"] and marker.exists() and json.loads(marker.read_text()) == now:
        return
    log = site.logs / "migrate.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as output:
        result = subprocess.run(
            [sys.executable, "-m", "airflow", "db", "migrate"],
            env=dict(environment),
            stdout=output,
            stderr=subprocess.STDOUT,
            timeout=_MIGRATE_TIMEOUT_S,
            check=False,
        )
    if result.returncode:
        raise ConfigError(f"`airflow db migrate` failed: {_last_line(log)} Its log is {log}.")
    marker.write_text(json.dumps({**now, "revision": _metadata_revision(home)}))


def start(
    site: Site,
    environment: Mapping[str, str],
    programs: Iterable[str | Program],
    *,
    beside: Iterable[Part] = (),
) -> tuple[Part, ...]:
    """Start *programs*, each in a process group of its own, and remember them.

    Args:
        site: Where Airflow lives.
        environment: The variables of the new processes.
        programs: Keys of `PARTS`, or others.
        beside: Parts of the same Airflow that run already.

    Returns:
        All parts, those *beside* first.

    Raises:
        ConfigError: Another local Airflow of this home runs.
    """
    parts = tuple(beside)
    check_stopped(site.home, but=parts)
    for program in programs:
        chosen = _airflow(program) if isinstance(program, str) else program
        parts = (*parts, _started(site, environment, chosen))
        _remember(site.home, parts)
    return parts


def check_stopped(home: Path, but: Iterable[Part] = ()) -> None:
    """Return where no part under the AIRFLOW_HOME *home* runs, *but* those aside.

    Raises:
        ConfigError: One does.
    """
    if set(running(home)) - set(but):
        raise ConfigError(
            f"A local Airflow of {home} runs already. Stop it with `make down`, "
            "or choose another ONCHAIN_AGG_HOME."
        )


def running(home: Path) -> tuple[Part, ...]:
    """Return the parts under the AIRFLOW_HOME *home* that run."""
    return tuple(part for part in _remembered(home) if part.alive())


def stop(home: Path, names: Container[str] | None = None) -> tuple[Part, ...]:
    """Stop the parts *names* under *home* (None: all), with all their children.

    A Celery worker takes no further task and ends with the ones it has; what is left after 10 s is
    killed, as everything else is. So are the children of a part that ended without them.

    Returns:
        The parts that were running.
    """
    known = _remembered(home)
    parts = tuple(part for part in known if names is None or part.name in names)
    alive = tuple(part for part in parts if part.alive())
    late = _STOPPED_LAST if any(part.name.startswith(WORKER) for part in alive) else ()
    _end(home, [part for part in parts if part.name not in late])
    _end(home, [part for part in parts if part.name in late])
    if left := [part for part in known if part not in parts]:
        _remember(home, left)
    else:
        _state_file(home).unlink(missing_ok=True)
    return alive


def check_alive(site: Site, parts: Iterable[Part]) -> None:
    """Return where every part runs.

    Raises:
        ConfigError: One ended; names it, the last line of its log and the log.
    """
    for part in parts:
        if not part.alive():
            log = site.logs / f"{part.name}.log"
            raise ConfigError(f"Airflow's {part.name} ended: {_last_line(log)} Its log is {log}.")


def free_port(wanted: int = 0) -> int:
    """Return a loopback port that is free now: *wanted*, or any for 0.

    Raises:
        ConfigError: *wanted* is taken.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError as error:
            raise ConfigError(
                f"Port {wanted} is taken. Name another one, as in `make up PORT={wanted + 1}`."
            ) from error
        return int(probe.getsockname()[1])


def wait_until(condition: Callable[[], bool], timeout_s: float, what: str) -> None:
    """Return once *condition* holds.

    Raises:
        ConfigError: It did not within *timeout_s*; says *what* was waited for.
    """
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise ConfigError(f"{what} within {timeout_s:.0f} s.")
        time.sleep(_PAUSE_S)


def _airflow(name: str) -> Program:
    return Program(name, (sys.executable, "-m", "airflow", *PARTS[name]))


def _started(site: Site, environment: Mapping[str, str], program: Program) -> Part:
    site.logs.mkdir(parents=True, exist_ok=True)
    with (site.logs / f"{program.name}.log").open("w") as output:
        process = subprocess.Popen(  # noqa: S603 - the commands are this package's own
            program.command,
            env=dict(environment),
            cwd=site.home,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return Part(program.name, process.pid, psutil.Process(process.pid).create_time())


def _remembered(home: Path) -> tuple[Part, ...]:
    try:
        state = json.loads(_state_file(home).read_text())
    except FileNotFoundError:
        return ()
    return tuple(Part(**one) for one in state["parts"])


def _remember(home: Path, parts: Iterable[Part]) -> None:
    _state_file(home).write_text(json.dumps({"parts": [asdict(part) for part in parts]}))


def _end(home: Path, parts: Collection[Part]) -> None:
    # Some children leave their parent's group, so the whole family is listed first.
    family = {process for part in parts for process in _family(home, part)}
    alive = [part for part in parts if part.alive()]
    for part in alive:
        _terminate(part)
    _, left = psutil.wait_procs([*family], timeout=_STOP_TIMEOUT_S if alive else 0)
    for part in alive:
        _signal_group(part.pid, signal.SIGKILL)
    for process in left:
        with suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(left, timeout=_STOP_TIMEOUT_S)


def _terminate(part: Part) -> None:
    if not part.name.startswith(WORKER):
        _signal_group(part.pid, signal.SIGTERM)
        return
    # To the whole group it would end the children before their tasks do.
    with suppress(ProcessLookupError, PermissionError):
        os.kill(part.pid, signal.SIGTERM)


def _family(home: Path, part: Part) -> Iterator[psutil.Process]:
    """Yield the part's process, those below it, and those that lost their parent."""
    if part.alive():
        with suppress(psutil.Error):
            process = psutil.Process(part.pid)
            yield from (process, *process.children(recursive=True))
    for process in psutil.process_iter():
        # Each part leads a session and works in the home; the session of another program may have
        # its number by now.
        with suppress(psutil.Error, ProcessLookupError, PermissionError):
            if os.getsid(process.pid) == part.pid and Path(process.cwd()) == home:
                yield process


def _signal_group(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def _metadata_revision(home: Path) -> str | None:
    url = embedded_url(home, "airflow").replace("postgresql+psycopg:", "postgresql:")
    with psycopg.connect(url) as connection:
        try:
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        except psycopg.errors.UndefinedTable:
            return None
    return str(row[0]) if row else None


def _state_file(home: Path) -> Path:
    return home / "processes.json"


def _last_line(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines()]
    return next((line for line in reversed(lines) if line), "it printed nothing.")
