"""The nodes of a stack: programs that run pods as processes, and can be lost."""

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import yaml

from tests.e2e.daemons import Daemon
from tests.e2e.git_sync import best_program
from tests.e2e.stack_namespace import LOGS

if TYPE_CHECKING:
    from tests.e2e.control_plane import ControlPlane


GIT_SYNC = "registry.k8s.io/git-sync/git-sync"


class Nodes:
    """Nodes of the table's node groups, by name."""

    def __init__(self, plane: "ControlPlane", home: Path, namespace: str, logs: Path) -> None:
        self._plane = plane
        self._home = home
        self._namespace = namespace
        self._numbers: Counter[str] = Counter()
        self._daemons: dict[str, Daemon] = {}
        # The claim of the templates is the folder of Airflow's logs here.
        (claims := home / "claims" / namespace).mkdir(parents=True)
        (claims / LOGS).symlink_to(logs)
        (home / "images.yaml").write_text(yaml.safe_dump({GIT_SYNC: {"entrypoint": _git_sync()}}))

    @property
    def pids(self) -> list[int]:
        """Return the process ids of the nodes that run."""
        return [daemon.pid for daemon in self._daemons.values() if daemon.alive()]

    def start(self, group: str, *arguments: str) -> str:
        """Start one more node of *group*, with further *arguments*; return its name."""
        self._numbers[group] += 1
        name = f"{group}-{self._numbers[group]}-{self._namespace}"
        command = [
            *(sys.executable, "-m", "tests.e2e.kubelet"),
            *("--kubeconfig", str(self._plane.kubeconfig), "--node", name, "--group", group),
            *("--home", str(self._home / "nodes" / name)),
            *("--claims", str(self._home / "claims")),
            *("--images", str(self._home / "images.yaml")),
            *arguments,
        ]
        daemon = Daemon(name, command, self._home / f"{name}.log")
        daemon.start()
        self._daemons[name] = daemon
        return name

    def kill(self, name: str) -> None:
        """End the node and its pods at once."""
        family: list[psutil.Process] = []
        with suppress(psutil.Error):
            main = psutil.Process(self._daemons[name].pid)
            family = [main, *main.children(recursive=True)]
        for process in family:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self._daemons[name].kill()
        psutil.wait_procs(family, timeout=10)

    def kill_group(self, group: str) -> None:
        """End all nodes of *group* at once."""
        for name in [one for one in self._daemons if one.startswith(f"{group}-")]:
            self.kill(name)

    def kill_task(self, pod_uid: str) -> None:
        """Kill what runs in the containers of a pod, as the out-of-memory killer does."""
        for pid in self.pids:
            for process in psutil.Process(pid).children(recursive=True):
                # The shim of a container, and its first process below it, are the node's own.
                with suppress(psutil.Error):
                    if pod_uid in " ".join(process.parent().cmdline()):
                        _kill_unless_shim(process)

    @contextmanager
    def running(self) -> Iterator["Nodes"]:
        """End all nodes when the block ends."""
        try:
            yield self
        finally:
            for name in self._daemons:
                self.kill(name)


def _git_sync() -> list[str]:
    """Return the command of git-sync, or of what stands in for it where it was not built."""
    name, *arguments = best_program().command
    # Containers of that image see the machine's Python, not this environment.
    return ["/usr/bin/python3", *arguments] if arguments else [name]


def _kill_unless_shim(process: psutil.Process) -> None:
    if "tests.e2e.pod_process" not in process.cmdline():
        process.kill()
