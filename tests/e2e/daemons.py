"""Servers that tests start: each is stopped by its process id, whatever happens to the tests.

A test that fails, Ctrl-C and SIGTERM stop a server through the block that started it. SIGKILL
leaves no time for that, so the kernel is told to end the servers with the process that started
them.
"""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

# The kernel ends a child with the thread, not the process, that started it. So all are started in
# one thread, which lives as long as the process.
_STARTER = ThreadPoolExecutor(max_workers=1, thread_name_prefix="daemons")
# What died before the kernel was told can no longer be noticed by it, so the parent is compared.
_DIE_WITH = (
    *("setpriv", "--pdeathsig", "KILL"),
    *("sh", "-c", '[ "$PPID" = "$1" ] || exit 1; shift; exec "$@"', "sh"),
)
_KILL_S = 10.0
_PAUSE_S = 0.05


class DaemonError(Exception):
    """A server ended, or did not get ready; shows the end of its log."""


class Daemon:
    """A server with its log. It can be killed and started again with the same arguments."""

    def __init__(self, name: str, command: list[str], log: Path, grace_s: float = 10.0) -> None:
        self.name = name
        self.log = log
        self._grace_s = grace_s
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Return the process id of the latest start."""
        assert self._process is not None, f"{self.name} was never started"
        return self._process.pid

    def alive(self) -> bool:
        """Return whether the server runs."""
        return self._process is not None and self._process.poll() is None

    def memory_mb(self) -> int:
        """Return the resident memory."""
        return int(psutil.Process(self.pid).memory_info().rss / 2**20)

    def start(self) -> None:
        """Start the server; returns before it is ready."""
        assert not self.alive(), f"{self.name} runs already"
        self._process = _STARTER.submit(self._spawn).result()

    def kill(self) -> None:
        """End the server as a crash would, and wait for its end."""
        if self.alive():
            assert self._process is not None
            self._process.kill()
            self._process.wait(_KILL_S)

    def stop(self) -> None:
        """End the server; what has not ended after its grace is killed."""
        if self.alive() and self._grace_s:
            assert self._process is not None
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(self._grace_s)
        self.kill()

    def wait_until(self, ready: Callable[[], bool], timeout_s: float) -> None:
        """Return once *ready* holds.

        Raises:
            DaemonError: The server ended, or *timeout_s* went by.
        """
        deadline = time.monotonic() + timeout_s
        while not ready():
            if not self.alive():
                raise DaemonError(f"{self.name} ended: {self._end_of_log()}")
            if time.monotonic() > deadline:
                raise DaemonError(f"{self.name} is not ready: {self._end_of_log()}")
            time.sleep(_PAUSE_S)

    def _spawn(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as output:
            return subprocess.Popen(
                [*_DIE_WITH, str(os.getpid()), *self._command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # Ctrl-C goes to the terminal's group; a server must outlive what still asks it.
                start_new_session=True,
            )

    def _end_of_log(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-8:])


@contextmanager
def running(*daemons: Daemon) -> Iterator[None]:
    """Stop *daemons*, the last first, when the block ends; SIGTERM ends it as Ctrl-C does."""
    is_main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, _interrupt) if is_main else None
    try:
        yield
    finally:
        for daemon in reversed(daemons):
            daemon.stop()
        if is_main:
            signal.signal(signal.SIGTERM, before)


def _interrupt(number: int, _frame: object) -> None:
    raise KeyboardInterrupt(f"signal {number}")
