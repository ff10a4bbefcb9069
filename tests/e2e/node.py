"""Starts nodes for a test and is sure to end them."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.e2e.control_plane import ControlPlane
from tests.e2e.daemons import Daemon, running

_START_S = 90.0


class StartedNode:
    """A node that a test started."""

    def __init__(self, name: str, home: Path, daemon: Daemon) -> None:
        self.name = name
        self.home = home
        self._daemon = daemon

    @property
    def claims(self) -> Path:
        """Return the folder of the persistent volume claims, <namespace>/<name>."""
        return self.home / "claims"

    @property
    def pid(self) -> int:
        """Return the node's process id."""
        return self._daemon.pid

    def start(self) -> None:
        """Start the node again after it was killed."""
        self._daemon.start()

    def kill(self) -> None:
        """Lose the node: its containers end with it, and nobody tells the API server."""
        self._daemon.kill()


@contextmanager
def node(
    plane: ControlPlane, home: Path, name: str, group: str = "spot-small", **options: Any
) -> Iterator[StartedNode]:
    """Start a node and yield it once it is ready; its Node object is deleted at the end.

    Args:
        plane: The cluster.
        home: The folder of its pods and logs.
        name: The Node's name.
        group: Its node group, which gives it labels and taints.
        options: Further options of `tests.e2e.kubelet`: `cpu="2"`, `pod_capacity=1`.
    """
    from kubernetes import client
    from kubernetes.client.exceptions import ApiException

    home.mkdir(parents=True, exist_ok=True)
    command = [
        *(sys.executable, "-m", "tests.e2e.kubelet"),
        *("--kubeconfig", str(plane.kubeconfig), "--node", name, "--group", group),
        *("--home", str(home)),
    ]
    for option, value in options.items():
        command += [f"--{option.replace('_', '-')}", str(value)]
    daemon = Daemon(name, command, home / "node.log")
    core = client.CoreV1Api(plane.api())

    def ready() -> bool:
        try:
            conditions = core.read_node(name).status.conditions or []
        except ApiException:
            return False
        return any((one.type, one.status) == ("Ready", "True") for one in conditions)

    with running(daemon):
        daemon.start()
        daemon.wait_until(ready, _START_S)
        try:
            yield StartedNode(name, home, daemon)
        finally:
            daemon.stop()
            # A test may have let `node_lifecycle` delete it.
            if any(one.metadata.name == name for one in core.list_node().items):
                core.delete_node(name)
