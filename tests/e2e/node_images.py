"""What an image's name means on the node: this Python environment, or a program that a file names.

The project's image is the base image of Airflow with this package in it; here the checkout and its
environment stand for it, under their own paths, with the folders and variables that the image sets.
"""

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
_DOCKERFILE = ROOT / "deploy" / "image" / "Dockerfile"
# The registry of this name does not exist (RFC 2606), so such an image cannot be pulled.
_NOWHERE = ".invalid"
_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class ImagePullError(Exception):
    """An image cannot be had."""


@dataclass(frozen=True)
class Image:
    """How containers of an image start.

    Without an entry point of its own it is Airflow's image: dumb-init and a script that runs
    `bash`, `python` and the subcommands of `airflow`.
    """

    entrypoint: tuple[str, ...] = ()
    user: int = 50000
    folder: str = "/opt/airflow"
    environment: dict[str, str] = field(default_factory=dict)
    # Folders and files of this machine that the image holds: where, what.
    content: dict[str, Path] = field(default_factory=dict)

    def command(self, command: Sequence[str], args: Sequence[str]) -> tuple[list[str], bool]:
        """Return what runs for a container's *command* and *args*, and whether below dumb-init."""
        if command:
            return [*command, *args], False
        if self.entrypoint:
            return [*self.entrypoint, *args], False
        match list(args):
            case ["bash", *rest]:
                return ["/bin/bash", *rest], True
            case ["python" | "airflow" as program, *rest]:
                return [program, *rest], True
            case rest:
                return ["airflow", *rest], True


def image(name: str, table: dict[str, Any]) -> Image:
    """Return what containers of image *name* get; *table* is that of `read_table`.

    Raises:
        ImagePullError: Its registry does not exist.
    """
    registry = name.split("/", maxsplit=1)[0]
    if registry.endswith(_NOWHERE):
        raise ImagePullError(f"failed to pull and unpack image {name!r}: no such host {registry}")
    own = table.get(name.split("@", maxsplit=1)[0].rsplit(":", 1)[0])
    if own is not None:
        files = [path for path in own["entrypoint"] if path.startswith("/")]
        return Image(
            entrypoint=tuple(own["entrypoint"]),
            user=own.get("user", 65533),
            folder="/",
            environment={"PATH": _SYSTEM_PATH, "HOME": "/tmp"},  # noqa: S108 - the container's
            content={path: Path(path) for path in files},
        )
    return Image(environment=_environment(), content=_content())


def read_table(file: Path | None) -> dict[str, Any]:
    """Return the table of *file*: name without tag → `{entrypoint: [program, …], user: …}`."""
    return yaml.safe_load(file.read_text()) if file else {}


def _environment() -> dict[str, str]:
    return {
        "PATH": f"{sys.prefix}/bin:{_SYSTEM_PATH}",
        "HOME": "/home/airflow",
        "LANG": "C.UTF-8",
        "AIRFLOW_HOME": "/opt/airflow",
        # Modules lie on folders that no container may write.
        "PYTHONDONTWRITEBYTECODE": "1",
        **_set_by_the_dockerfile(),
    }


def _set_by_the_dockerfile() -> dict[str, str]:
    lines = _DOCKERFILE.read_text().replace("\\\n", " ").splitlines()
    words = [word for line in lines if line.startswith("ENV ") for word in shlex.split(line)[1:]]
    return dict(word.split("=", 1) for word in words)


def _content() -> dict[str, Path]:
    interpreter = Path(sys.executable).resolve().parents[1]
    own = {Path(sys.prefix), Path(sys.base_prefix), interpreter, ROOT}
    # What lies below another one comes with it.
    outer = {path for path in own if not any(other in path.parents for other in own)}
    return {
        **{str(path): path for path in outer},
        "/opt/airflow/dags": ROOT / "dags",
        "/opt/airflow/pod_templates": ROOT / "pod_templates",
    }
