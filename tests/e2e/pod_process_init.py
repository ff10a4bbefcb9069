"""The first process of a container with the image's entry point: hands signals on, reaps orphans.

It does what dumb-init does in the image: with DUMB_INIT_SETSID=0 a signal goes to the child alone,
else the child leads a session and its whole process group gets it.
"""

import os
import signal
import sys
from collections.abc import Mapping, Sequence
from typing import NoReturn

_NOT_FOUND = 127


def run_as_first(command: Sequence[str], environment: Mapping[str, str]) -> NoReturn:
    """Run *command* as a child and end with its exit code, or 128 and the signal that ended it."""
    own_session = environment.get("DUMB_INIT_SETSID", "1") != "0"
    # As the image's entry point sets it.
    os.umask(0o002)
    every = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}
    signal.pthread_sigmask(signal.SIG_BLOCK, every)
    child = os.fork()
    if child == 0:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, every)
        if own_session:
            os.setsid()
        _become(command, environment)
    while True:
        number = signal.sigwait(every)
        if number != signal.SIGCHLD:
            _hand_on(child, number, own_session=own_session)
            continue
        ended = _reap(child)
        if ended is not None:
            _hand_on(child, signal.SIGTERM, own_session=own_session)
            os._exit(ended)


def exit_code(status: int) -> int:
    """Return the exit code that a container runtime makes of a wait status."""
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _become(command: Sequence[str], environment: Mapping[str, str]) -> NoReturn:
    try:
        os.execvpe(command[0], list(command), dict(environment))  # noqa: S606 - what the pod asks
    except OSError as error:
        print(f"{command[0]}: {error.strerror}", file=sys.stderr, flush=True)  # noqa: T201
        os._exit(_NOT_FOUND)


def _hand_on(child: int, number: int, *, own_session: bool) -> None:
    try:
        os.kill(-child if own_session else child, number)
    except ProcessLookupError:
        return


def _reap(child: int) -> int | None:
    """Reap what ended; return the exit code of *child* if it is among it."""
    code = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return code
        if pid == 0:
            return code
        if pid == child:
            code = exit_code(status)


if __name__ == "__main__":
    run_as_first(sys.argv[1:], os.environ)
