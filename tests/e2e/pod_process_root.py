"""A container's view of the file system, built of bind mounts in a mount namespace of its own.

The root is a small tmpfs, the image's writable layer. Into it go this machine's system folders, and
this Python environment and checkout under their own paths, all read-only; what a container may
write beyond the tmpfs are its volumes. Neither the machine's /tmp nor its home folders are seen.
"""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tests.e2e.pod_process_kernel import (
    BIND,
    MOVE,
    NODEV,
    NOSUID,
    PRIVATE,
    RDONLY,
    REC,
    REMOUNT,
    mount,
    set_read_only,
)

SYSTEM = ("usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32", "sys")
# The user of the image, and the one of git-sync's, as their images list them.
FILES = {
    "/etc/passwd": (
        "root:x:0:0:root:/root:/bin/sh\n"
        "airflow:x:50000:0:airflow:/home/airflow:/bin/bash\n"
        "git-sync:x:65533:65533::/tmp:/sbin/nologin\n"
    ),
    "/etc/group": "root:x:0:airflow\ngit-sync:x:65533:\n",
}
OWNED = ("/opt/airflow", "/home/airflow")


def enter(container: Mapping[str, Any]) -> None:
    """Make the root of *container* and change into it; needs a mount namespace of its own.

    Raises:
        OSError: A mount failed, such as one at a path below a read-only folder.
    """
    root = Path(container["root"])
    mount("none", Path("/"), "", REC | PRIVATE)
    mount("tmpfs", root, "tmpfs", NOSUID, "mode=755")
    _system(root, own={*FILES, *container["files"]})
    for path, text in {**FILES, **container["files"]}.items():
        _make_file(_within(root, path)).write_text(text)
    for path in ("/tmp", "/var/tmp", "/run"):  # noqa: S108 - the container's, not the machine's
        _folder(root, path, 0o1777, None)
    for path in OWNED:
        _folder(root, path, 0o775, 50000)
    _volumes(root, container["mounts"])
    if container["read_only"]:
        mount("none", root, "", REMOUNT | BIND | RDONLY | NOSUID)
    os.chdir(root)
    mount(".", Path("/"), "", MOVE)
    os.chroot(".")
    os.chdir(container["folder"])


def _system(root: Path, own: set[str]) -> None:
    for name in SYSTEM:
        _same(root, Path("/", name))
    (root / "etc").mkdir()
    for path in sorted(Path("/etc").iterdir()):
        if str(path) not in own:
            _same(root, path)
    (root / "proc").mkdir()
    mount("proc", root / "proc", "proc", NOSUID | NODEV)
    (root / "dev").mkdir()
    mount("/dev", root / "dev", "", BIND | REC)
    mount("tmpfs", root / "dev/shm", "tmpfs", NOSUID | NODEV, "mode=1777")


def _same(root: Path, path: Path) -> None:
    """Show the machine's *path* read-only; a symbolic link stays one."""
    place = _within(root, str(path))
    if path.is_symlink():
        place.symlink_to(path.readlink())
    elif path.is_dir() or path.is_file():
        _bind(path, place, read_only=True)


def _volumes(root: Path, mounts: Iterable[Mapping[str, Any]]) -> None:
    # From the outside to the inside, so that a mount does not hide one below it.
    for one in sorted(mounts, key=lambda one: one["path"].rstrip("/").count("/")):
        place = _within(root, one["path"])
        _bind(Path(one["source"]), place, read_only=one["read_only"])


def _bind(source: Path, place: Path, *, read_only: bool) -> None:
    if source.is_dir():
        place.mkdir(parents=True, exist_ok=True)
    elif not place.exists():
        _make_file(place)
    mount(str(source), place, "", BIND | REC)
    if read_only:
        set_read_only(place)


def _make_file(place: Path) -> Path:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.touch()
    return place


def _folder(root: Path, path: str, mode: int, owner: int | None) -> None:
    place = _within(root, path)
    place.mkdir(parents=True, exist_ok=True)
    place.chmod(mode)
    if owner is not None and os.geteuid() == 0:
        try:
            os.chown(place, owner, 0)
        except OSError:
            # A user namespace of one user knows no other; there the container runs as that one.
            place.chmod(0o777)


def _within(root: Path, path: str) -> Path:
    return root / path.lstrip("/")
