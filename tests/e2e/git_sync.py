"""git-sync as the deployment starts it, on folders and ports of a test's own.

The flags are those of deploy/components/git-sync, but for the places and the times.
"""

import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPResponse
from pathlib import Path

import yaml

from onchain_agg.local.processes import free_port
from tests.e2e.binaries import folder
from tests.e2e.daemons import Daemon, running
from tests.e2e.git_sync_remote import BRANCH

_SIDECAR = Path(__file__).parents[2] / "deploy/components/git-sync/sidecar.yaml"
_WAIT_S = 30.0
_PAUSE_S = 0.01


@dataclass(frozen=True)
class Program:
    """A command that takes git-sync's flags; *missing* says why it cannot be started."""

    name: str
    command: tuple[str, ...]
    missing: str = ""


def programs() -> tuple[Program, Program]:
    """Return git-sync itself and its stand-in."""
    binary = folder("binaries") / "git-sync"
    why = "" if binary.exists() else f"there is no {binary} (see tests/e2e/tools/git-sync/build.sh)"
    stand_in = Path(__file__).with_name("git_sync_stand_in.py")
    return (
        Program("git-sync", (str(binary),), why),
        Program("stand-in", (sys.executable, str(stand_in))),
    )


def best_program() -> Program:
    """Return git-sync, or its stand-in where it is not there."""
    return next(one for one in programs() if not one.missing)


def deployed_flags() -> dict[str, str]:
    """Return the sidecar's flags; one without a value has the empty string."""
    (container,) = yaml.safe_load(_SIDECAR.read_text())["spec"]["template"]["spec"][
        "initContainers"
    ]
    pairs = (flag.removeprefix("--").partition("=") for flag in container["args"])
    return {name: value for name, _, value in pairs}


@dataclass(frozen=True)
class GitSync:
    """A git-sync that runs, or ran."""

    daemon: Daemon
    root: Path
    port: int

    @property
    def link(self) -> Path:
        """Return the link that it moves."""
        return self.root / deployed_flags()["link"]

    def commit(self) -> str | None:
        """Return the commit that the link shows."""
        return self.link.resolve().name if self.link.is_symlink() else None

    def worktrees(self) -> set[str]:
        """Return the commits that are kept."""
        folder = self.root / ".worktrees"
        return {one.name for one in folder.iterdir()} if folder.is_dir() else set()

    def healthy(self) -> int:
        """Return the status of the page that the probes ask for; 0 while nobody listens."""
        try:
            return int(self._get("/").status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    def metrics(self) -> dict[str, float]:
        """Return its metrics, by name and labels."""
        text = self._get("/metrics").read().decode()
        lines = (line for line in text.splitlines() if line and not line.startswith("#"))
        return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}

    def syncs(self, status: str) -> int:
        """Return how many syncs ended so."""
        return int(self.metrics().get(f'git_sync_count_total{{status="{status}"}}', 0))

    def await_commit(self, commit: str) -> None:
        """Return once the link shows *commit*."""
        self.wait(lambda: self.commit() == commit, f"commit {commit}")

    def await_syncs(self, status: str, further: int = 2) -> None:
        """Return once that many *further* syncs ended so: a sync that runs now may be older."""
        before = self.syncs(status)
        self.wait(lambda: self.syncs(status) >= before + further, f"{status} syncs")

    def wait(self, condition: Callable[[], bool], what: str, limit_s: float = _WAIT_S) -> None:
        """Return once *condition* holds."""
        deadline = time.monotonic() + limit_s
        while not condition():
            end = self.daemon.log.read_text(errors="replace")[-2000:]
            assert time.monotonic() < deadline, f"not within {limit_s} s: {what}\n{end}"
            time.sleep(_PAUSE_S)

    def _get(self, path: str) -> HTTPResponse:
        answer = urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10)
        assert isinstance(answer, HTTPResponse)
        return answer


@contextmanager
def syncing(program: Program, home: Path, repo: str, **changed: str | None) -> Iterator[GitSync]:
    """Run *program* on *repo* below *home* while the block runs; its page answers then."""
    port = free_port()
    changed = {"http_bind": f"127.0.0.1:{port}", **changed}
    command = _command(program, home, repo, changed)
    daemon = Daemon("git-sync", command, home / "git-sync.log")
    with running(daemon):
        daemon.start()
        made = GitSync(daemon, home / "git", port)
        daemon.wait_until(lambda: made.healthy() != 0, _WAIT_S)
        yield made


def finished(program: Program, home: Path, repo: str, **changed: str | None) -> int:
    """Return with which code *program* ends by itself."""
    command = _command(program, home, repo, {"http_bind": None, "http_metrics": None, **changed})
    result = subprocess.run(command, capture_output=True, check=False, timeout=_WAIT_S)
    return result.returncode


def _command(
    program: Program, home: Path, repo: str, changed: Mapping[str, str | None]
) -> list[str]:
    """Return the deployed command with *changed* flags; None takes one away."""
    home.mkdir(parents=True, exist_ok=True)
    flags = deployed_flags() | {
        "repo": repo,
        "ref": BRANCH,
        "root": str(home / "git"),
        "period": "50ms",
        **{name.replace("_", "-"): value for name, value in changed.items()},
    }
    given = {name: value for name, value in flags.items() if value is not None}
    return [
        *program.command,
        *(f"--{name}={value}" if value else f"--{name}" for name, value in given.items()),
    ]
