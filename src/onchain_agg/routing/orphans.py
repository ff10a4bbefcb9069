"""Ends a task whose supervisor was killed.

A task's process has a process group of its own, so what kills its supervisor (the out-of-memory
killer, a stopped worker) leaves it running while Airflow, which hears nothing any more, starts its
next try: the same task twice at once. Linux can end a process with its parent; elsewhere this does
nothing. Programs that the task itself started are not reached.
"""

import ctypes
import signal
import sys

# From <sys/prctl.h>.
_PR_SET_PDEATHSIG = 1


def end_with_parent() -> None:
    """Let this process end when its parent does."""
    if sys.platform == "linux":
        # SIGTERM would ask the task to tell the supervisor, which is gone.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
