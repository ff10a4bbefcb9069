"""What one container needs to start, as `pod_process` reads it."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.node_api import Api
from tests.e2e.node_environment import expanded_all, variables
from tests.e2e.node_fit import quantity
from tests.e2e.node_images import image
from tests.e2e.node_objects import NotYetError, Objects
from tests.e2e.node_volumes import mounts


@dataclass(frozen=True)
class Settings:
    """How the node runs pods."""

    api: Api
    node: str
    home: Path
    # A persistent volume claim is the folder <namespace>/<name> in it.
    claims: Path
    images: Mapping[str, Any]
    # Folders of the machine that every container may write, such as one with a Unix socket.
    shared: tuple[Path, ...]
    # The module that runs a container: it takes the file and prints the lines of `pod_process`.
    runner: str = "tests.e2e.pod_process"
    host_ip: str = "127.0.0.1"

    def pod_folder(self, uid: str) -> Path:
        """Return the folder of a pod's volumes, which lives as long as the pod."""
        return self.home / "pods" / uid

    def log(self, pod: Mapping[str, Any], container: str) -> Path:
        """Return the file of what a container prints; it outlives the pod."""
        meta = pod["metadata"]
        folder = f"{meta['namespace']}_{meta['name']}_{meta['uid']}"
        return self.home / "logs" / folder / f"{container}.log"


async def description(
    settings: Settings,
    pod: Mapping[str, Any],
    container: Mapping[str, Any],
    volumes: Mapping[str, Path],
    objects: Objects,
) -> dict[str, Any]:
    """Return what `pod_process` is told of *container*.

    Raises:
        NotYetError: It needs something that is not there.
        ImagePullError: Its image cannot be had.
    """
    own = image(container["image"], dict(settings.images))
    name = pod["metadata"]["name"]
    host, port = settings.api.host_and_port()
    first = {
        **own.environment,
        "HOSTNAME": name,
        "KUBERNETES_SERVICE_HOST": host,
        "KUBERNETES_SERVICE_PORT": str(port),
    }
    environment = await variables(container, objects, first)
    command, init = own.command(
        expanded_all(container.get("command", ()), environment),
        expanded_all(container.get("args", ()), environment),
    )
    place = settings.pod_folder(pod["metadata"]["uid"]) / "containers" / container["name"]
    (place / "root").mkdir(parents=True, exist_ok=True)
    limit = container.get("resources", {}).get("limits", {}).get("memory")
    return {
        "root": str(place / "root"),
        "log": str(settings.log(pod, container["name"])),
        "command": command,
        "init": init,
        "environment": environment,
        "folder": container.get("workingDir", own.folder),
        "hostname": name,
        "memory": None if limit is None else int(quantity(limit)),
        "files": _files(pod, settings.host_ip),
        "mounts": [
            *({"source": str(what), "path": where, "read_only": True}
              for where, what in own.content.items()),
            *({"source": str(path), "path": str(path), "read_only": False}
              for path in settings.shared),
            *mounts(container, volumes, objects),
        ],
        **_rights(pod, container, own.user),
    }  # fmt: skip


def _rights(pod: Mapping[str, Any], container: Mapping[str, Any], user: int) -> dict[str, Any]:
    of_pod = pod["spec"].get("securityContext", {})
    asked = {**of_pod, **container.get("securityContext", {})}
    runs_as = asked.get("runAsUser", user)
    if asked.get("runAsNonRoot") and runs_as == 0:
        raise NotYetError("container has runAsNonRoot and image will run as root")
    extra = of_pod.get("supplementalGroups", [])
    if "fsGroup" in of_pod:
        extra = [*extra, of_pod["fsGroup"]]
    return {
        # Only root can become another user.
        "user": runs_as if os.geteuid() == 0 else None,
        "group": asked.get("runAsGroup", 0),
        "groups": extra,
        "read_only": asked.get("readOnlyRootFilesystem", False),
        "no_new_rights": not asked.get("allowPrivilegeEscalation", True),
        "drop_all": "ALL" in asked.get("capabilities", {}).get("drop", ()),
    }


def _files(pod: Mapping[str, Any], host_ip: str) -> dict[str, str]:
    name = pod["metadata"]["name"]
    aliases = [
        f"{alias['ip']}\t{' '.join(alias['hostnames'])}"
        for alias in pod["spec"].get("hostAliases", ())
    ]
    hosts = ["127.0.0.1\tlocalhost", f"{host_ip}\t{name}", *aliases]
    return {
        "/etc/hosts": "\n".join(hosts) + "\n",
        "/etc/hostname": name + "\n",
        # Often a link to a file that a container does not see.
        "/etc/resolv.conf": Path("/etc/resolv.conf").read_text(),
    }
