"""Calls of the Linux kernel that Python 3.11 does not have."""

import ctypes
import os
import signal
from pathlib import Path

NOSUID, NODEV, RDONLY, REMOUNT, BIND, MOVE, REC, PRIVATE = (
    2, 4, 1, 32, 4096, 8192, 16384, 1 << 18,
)  # fmt: skip
NEW_MOUNTS, NEW_HOST_NAME, NEW_IPC, NEW_PIDS = 0x20000, 0x4000000, 0x8000000, 0x20000000

_NEW_USER = 0x10000000
_MOUNT_SETATTR = 442  # The same number on x86-64 and arm64.
_AT_FDCWD, _AT_RECURSIVE = -100, 0x8000
_PDEATHSIG, _CAPBSET_DROP, _NO_NEW_PRIVS = 1, 24, 38
_LIBC = ctypes.CDLL(None, use_errno=True)


def mount(source: str, place: Path, kind: str, flags: int, options: str = "") -> None:
    """Mount *source* at *place*.

    Raises:
        OSError: The kernel refused; says what was to be mounted where.
    """
    done = _LIBC.mount(
        source.encode(), str(place).encode(), kind.encode() or None, flags, options.encode() or None
    )
    _check(done, f"mount of {source} at {place}")


def set_read_only(place: Path) -> None:
    """Make what is mounted at *place* read-only, with everything mounted below it."""
    # attr_set, attr_clr, propagation, userns_fd
    attributes = (ctypes.c_uint64 * 4)(RDONLY, 0, 0, 0)
    done = _LIBC.syscall(
        _MOUNT_SETATTR,
        _AT_FDCWD,
        ctypes.c_char_p(str(place).encode()),
        _AT_RECURSIVE,
        ctypes.byref(attributes),
        ctypes.c_size_t(ctypes.sizeof(attributes)),
    )
    _check(done, f"read-only mount at {place}")


def unshare(flags: int) -> None:
    """Leave the machine's namespaces; who is not root becomes that of a namespace of one user."""
    user, group = os.geteuid(), os.getegid()
    _check(_LIBC.unshare(flags | (_NEW_USER if user else 0)), "new namespaces")
    if user:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1")


def die_with_parent() -> None:
    """Let SIGKILL end this process when the thread that started it ends.

    A change of user or group takes it back.
    """
    _LIBC.prctl(_PDEATHSIG, signal.SIGKILL)


def drop_capabilities() -> None:
    """Keep this process and its children from ever having a capability after the next exec."""
    highest = int(Path("/proc/sys/kernel/cap_last_cap").read_text())
    for capability in range(highest + 1):
        _LIBC.prctl(_CAPBSET_DROP, capability, 0, 0, 0)


def forbid_new_rights() -> None:
    """Keep set-user-id programs from giving this process rights."""
    _LIBC.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0)


def _check(done: int, what: str) -> None:
    if done != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
