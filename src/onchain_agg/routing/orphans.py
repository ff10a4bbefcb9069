"""Ends a task whose supervisor was killed.

A task's process has a process group of its own, so what kills its supervisor (the out-of-memory
killer, a stopped worker) leaves it running while Airflow, which hears nothing any more, starts its
next try: the same task twice at once. Linux can end a process with its parent; elsewhere this does
nothing. Programs that the task itself started are not reached.
"""

import ctypes
import signal
import sys
from typing import Any

from airflow.listeners import hookimpl

# From <sys/prctl.h>.
_PR_SET_PDEATHSIG = 1


@hookimpl
def on_starting(component: Any) -> None:
    """Let this process end with its parent where *component* is a task that starts."""
    # By name: the class is in a module that only task processes have loaded.
    if sys.platform == "linux" and type(component).__name__ == "TaskRunnerMarker":
        # SIGTERM would ask the task to tell the supervisor, which is gone.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
