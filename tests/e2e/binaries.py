"""Where the programs of the control plane are, as scripts/e2e_needs.sh puts them there."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

NEEDS = Path(__file__).parents[2] / "scripts" / "e2e_needs.sh"


class MissingProgramError(Exception):
    """A program of the control plane is not there; says how to get it."""


@dataclass(frozen=True)
class Programs:
    """The two servers of the control plane."""

    etcd: Path
    kube_apiserver: Path


def programs() -> Programs:
    """Return where etcd and kube-apiserver are.

    Raises:
        MissingProgramError: One of them is not there.
    """
    etcd = shutil.which("etcd")
    if etcd is None:
        raise MissingProgramError("etcd is not installed (`make e2e-needs` installs it)")
    server = folder("binaries") / "kube-apiserver"
    if not server.exists():
        raise MissingProgramError(f"there is no {server} (`make e2e-needs` builds it)")
    return Programs(Path(etcd), server)


def folder(what: str) -> Path:
    """Return the folder of `binaries` or `crds`, which may not be there yet."""
    asked = subprocess.run([NEEDS, what], capture_output=True, text=True, check=True)
    return Path(asked.stdout.strip())
