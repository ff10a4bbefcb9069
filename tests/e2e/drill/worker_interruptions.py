"""What can happen to a Celery worker while it has tasks, each followed by another worker."""

import os
import signal
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from types import MappingProxyType

import psutil

from onchain_agg.local import processes
from tests.e2e.drill.field import Field, family, kill
from tests.e2e.drill.interruptions import Kind

# A worker imports Airflow before it takes tasks, which takes long on a busy machine.
_READY_S = 120.0
_IDLE_S = 20.0


def _worker_killed(field: Field) -> str | None:
    """Kill a worker and its tasks at once, as a node that vanishes does."""
    part = _busy(field)
    if part is None:
        return None
    kill(family(part.pid))
    return _followed(field, part)


def _worker_drained(field: Field) -> str | None:
    """SIGQUIT, as its pod's end sends it: some seconds to finish, SIGTERM to tasks, SIGKILL."""
    part = _busy(field)
    if part is None:
        return None
    everyone = family(part.pid)
    os.kill(part.pid, signal.SIGQUIT)
    psutil.wait_procs(everyone[:1], timeout=2 * field.grace_s)
    kill(everyone)
    return _followed(field, part)


def _worker_replaced(field: Field) -> str | None:
    """SIGTERM: it finishes what it has and takes nothing more; the next one starts beside it."""
    part = _busy(field)
    if part is None:
        return None
    os.kill(part.pid, signal.SIGTERM)
    return _followed(field, part)


def _busy(field: Field) -> processes.Part | None:
    """Return the newest worker if it has a task: a process below those of its pool."""
    part = field.part(field.worker.program.name)
    if part is None:
        return None
    with suppress(psutil.NoSuchProcess):
        if any(one.ppid() != part.pid for one in family(part.pid)[1:]):
            return part
    return None


def _followed(field: Field, before: processes.Part) -> str:
    """Start the next worker, wait until it takes tasks, and say who followed whom."""
    started = sum(
        field.worker.name in path.name for path in field.stack.site.logs.glob("worker-*.log")
    )
    following = replace(field.worker, name=f"{field.worker.name}-{started}")
    field.start_worker(following)
    processes.wait_until(
        lambda: field.takes_tasks(following), _READY_S, f"{following.name} takes no tasks"
    )
    return f"{before.name}, followed by {following.program.name}"


WORKER_KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "worker SIGKILL": _worker_killed,
        "worker SIGQUIT": _worker_drained,
        "worker SIGTERM": _worker_replaced,
    }
)
