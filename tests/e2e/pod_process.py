"""Runs one container of a pod as processes: `python -m tests.e2e.pod_process <file>`.

The file says in JSON what to run. This process is to the container what a runtime's shim is: it
makes mount, process, host name and IPC namespaces, starts the container's first process in them,
hands SIGTERM on to it, kills it on SIGQUIT, and prints a line of JSON when it started, could not be
created or started, or ended. A container's processes die with its first one, that with this one.

A command that the pod names itself is the container's first process, so it gets only the signals
for which it has a handler, as in a real container. Memory is sampled, not limited by a cgroup; the
network is the machine's.
"""

import json
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any, NoReturn

from tests.e2e.pod_process_init import exit_code, run_as_first
from tests.e2e.pod_process_kernel import (
    NEW_HOST_NAME,
    NEW_IPC,
    NEW_MOUNTS,
    NEW_PIDS,
    die_with_parent,
    drop_capabilities,
    forbid_new_rights,
    unshare,
)
from tests.e2e.pod_process_root import enter

_SAMPLE_S = 0.25
_OUT_OF_MEMORY = {"exitCode": 137, "reason": "OOMKilled"}


def main() -> None:
    """Run the container that the file of the first argument describes."""
    container = json.loads(Path(sys.argv[1]).read_text())
    parent = os.getppid()
    die_with_parent()
    if os.getppid() != parent:
        return
    handled = {signal.SIGTERM, signal.SIGQUIT, signal.SIGCHLD, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, handled)
    readable, writable = os.pipe()
    try:
        unshare(NEW_MOUNTS | NEW_HOST_NAME | NEW_IPC | NEW_PIDS)
        first = os.fork()
    except OSError as error:
        _tell({"not_created": str(error)})
        return
    if first == 0:
        os.close(readable)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, handled)
        # Python ignores them, and a program inherits that.
        for ignored in (signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(ignored, signal.SIG_DFL)
        _start(container, writable)
    os.close(writable)
    with os.fdopen(readable) as failure:
        told = failure.read()
    if told:
        os.waitpid(first, 0)
        _tell(json.loads(told))
        return
    _tell({"started": first})
    _tell(_supervise(first, container["memory"], handled))


def _start(container: dict[str, Any], failure: int) -> NoReturn:
    """Become the container's first process; *failure* closes by itself once it runs."""
    stage = "not_created"
    try:
        die_with_parent()
        os.setsid()
        _output(Path(container["log"]))
        socket.sethostname(container["hostname"])
        os.umask(0o022)
        enter(container)
        stage = "not_started"
        _give_up_rights(container)
        # A change of user forgets it.
        die_with_parent()
        if container["init"]:
            os.close(failure)
            run_as_first(container["command"], container["environment"])
        command = container["command"]
        os.execvpe(command[0], command, container["environment"])  # noqa: S606 - what the pod asks
    except (OSError, IndexError) as error:
        os.write(failure, json.dumps({stage: str(error)}).encode())
    os._exit(1)


def _output(log: Path) -> None:
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
    os.close(nothing)


def _give_up_rights(container: dict[str, Any]) -> None:
    if container["drop_all"]:
        drop_capabilities()
    if container["user"] is not None:
        os.setgroups(container["groups"])
        os.setgid(container["group"])
        os.setuid(container["user"])
    if container["no_new_rights"]:
        forbid_new_rights()


def _supervise(first: int, memory: int | None, handled: set[signal.Signals]) -> dict[str, Any]:
    """Wait for the end of *first*, whose children may take *memory* bytes with it."""
    out_of_memory = False
    while True:
        told = signal.sigtimedwait(handled, _SAMPLE_S)
        if told is not None and told.si_signo == signal.SIGTERM:
            os.kill(first, signal.SIGTERM)
        elif told is not None and told.si_signo in (signal.SIGQUIT, signal.SIGINT):
            os.kill(first, signal.SIGKILL)
        pid, status = os.waitpid(first, os.WNOHANG)
        if pid:
            code = exit_code(status)
            reason = "Completed" if code == 0 else "Error"
            return _OUT_OF_MEMORY if out_of_memory else {"exitCode": code, "reason": reason}
        if memory is not None and _anonymous(first) > memory:
            out_of_memory = True
            os.kill(first, signal.SIGKILL)


def _anonymous(first: int) -> int:
    """Return the bytes that the container's processes hold and share with no file."""
    pages = 0
    # The container's own /proc lists no other processes.
    for path in Path(f"/proc/{first}/root/proc").glob("[0-9]*/statm"):
        try:
            _, resident, shared, *_ = path.read_text().split()
        except (OSError, ValueError):
            continue  # It has just ended.
        pages += int(resident) - int(shared)
    return pages * os.sysconf("SC_PAGE_SIZE")


def _tell(line: dict[str, Any]) -> None:
    print(json.dumps(line), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
