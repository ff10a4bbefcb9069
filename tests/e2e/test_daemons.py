"""No server outlives the tests that started it, however they end."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.e2e.daemons import Daemon, DaemonError, running

_ROOT = Path(__file__).parents[2]
# Starts a server from a thread that ends at once, and tells the server's process id.
_PROGRAM = """
import sys, threading, time
from pathlib import Path
from tests.e2e.daemons import Daemon, running
daemon = Daemon("sleep", ["sleep", "600"], Path(sys.argv[1]))
with running(daemon):
    starter = threading.Thread(target=daemon.start)
    starter.start()
    starter.join()
    print(daemon.pid, flush=True)
    {then}
"""


def _gone(pid):
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _wait(condition, timeout_s=20):
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_signal_to_the_tests_ends_the_server(tmp_path, number):
    # Short sleeps: a signal that comes just before a long one would be noticed after it.
    code = _PROGRAM.format(then="for _ in range(6000): time.sleep(0.1)")
    program = subprocess.Popen(
        [sys.executable, "-c", code, tmp_path / "log"],
        cwd=_ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with program:
        pid = int(program.stdout.readline())
        try:
            assert not _gone(pid)
            program.send_signal(number)

            _wait(lambda: _gone(pid))
        finally:
            program.kill()


def test_a_failure_ends_the_server(tmp_path):
    code = _PROGRAM.format(then="raise AssertionError")

    ended = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "log"],
        cwd=_ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 1
    assert _gone(int(ended.stdout))


def test_a_server_that_ignores_sigterm_is_killed(tmp_path):
    command = ["sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.05; done"]
    daemon = Daemon("stubborn", command, tmp_path / "log", grace_s=0.2)

    with running(daemon):
        daemon.start()
        daemon.wait_until(lambda: "ready" in daemon.log.read_text(), 10)

    assert _gone(daemon.pid)


def test_a_server_that_ends_shows_its_log(tmp_path):
    daemon = Daemon("etcd", ["sh", "-c", "echo the port is taken; exit 3"], tmp_path / "log")

    with running(daemon):
        daemon.start()
        with pytest.raises(DaemonError) as raised:
            daemon.wait_until(lambda: False, 10)

    assert str(raised.value) == "etcd ended: the port is taken"
