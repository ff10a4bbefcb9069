"""Starts a node's process for a test and is sure to stop it, by its process id."""

import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

READY_WITHIN_S = 30.0
STOPPED_WITHIN_S = 10.0
_ASK_EVERY_S = 0.03


class NodeStartError(Exception):
    """A node ended or stayed silent before it answered; the message ends with its last output."""


def free_port() -> int:
    """Return a TCP port of the loopback interface that nothing listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@contextmanager
def running_process(
    command: Sequence[str],
    output: Path,
    is_ready: Callable[[], bool],
    stopped_within_s: float = STOPPED_WITHIN_S,
) -> Iterator[int]:
    """Start *command*, wait until *is_ready*, yield the process id and stop it at the end.

    Args:
        command: The program and its arguments.
        output: The file that takes what the node prints.
        is_ready: Says whether the node answers; called until it does.
        stopped_within_s: How long it may take to end by itself before it is killed.

    Raises:
        NodeStartError: The node ended, or did not answer within ``READY_WITHIN_S``.
    """
    with (
        output.open("wb") as sink,
        subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT
        ) as process,
    ):
        try:
            _wait_until_ready(process, output, is_ready)
            yield process.pid
        finally:
            _stop(process, stopped_within_s)


def _wait_until_ready(
    process: subprocess.Popen[bytes], output: Path, is_ready: Callable[[], bool]
) -> None:
    deadline = time.monotonic() + READY_WITHIN_S
    while not is_ready():
        if process.poll() is not None or time.monotonic() > deadline:
            tail = output.read_text(errors="replace")[-800:]
            raise NodeStartError(f"{process.args!r} did not start. It printed: {tail}")
        time.sleep(_ASK_EVERY_S)


def _stop(process: subprocess.Popen[bytes], within_s: float) -> None:
    process.terminate()
    try:
        process.wait(within_s)
    except subprocess.TimeoutExpired:
        process.kill()
