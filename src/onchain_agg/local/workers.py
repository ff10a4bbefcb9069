"""The Celery workers of the local Airflow: how they start, and which of them answer."""

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from onchain_agg.local.broker import Broker, redis_command
from onchain_agg.local.environment import WORKER_TASKS, Site
from onchain_agg.local.processes import WORKER, Program
from onchain_agg.routing.recommended import worker_arguments
from onchain_agg.routing.workloads import Workloads

_LIGHT = ("default", "ingest_worker")
_ANSWER_S = 1.0


@dataclass(frozen=True, kw_only=True)
class Worker:
    """A Celery worker: its name on this machine, its queues, and its tasks at a time."""

    name: str
    queues: tuple[str, ...]
    concurrency: int = WORKER_TASKS

    @property
    def program(self) -> Program:
        """Return what starts it; the part is called ``worker-<name>``."""
        arguments = worker_arguments(self.name, self.queues, self.concurrency)
        # Its log server is for pages on another machine; here they read the log files themselves.
        command = (sys.executable, "-m", "airflow", *arguments, "--skip-serve-logs")
        return Program(f"{WORKER}{self.name}", command)


def local_workers(table: Workloads) -> tuple[Worker, ...]:
    """Return two workers that together serve every Celery queue of *table*."""
    light = tuple(name for name in table.queues if name in _LIGHT)
    rest = tuple(name for name in table.queues if name not in _LIGHT)
    shares = {"light": light, "metrics": rest}
    return tuple(Worker(name=name, queues=queues) for name, queues in shares.items() if queues)


def redis_programs(site: Site) -> tuple[Program, ...]:
    """Return what starts the Redis of *site*; nothing where it has none."""
    if site.broker is None:
        return ()
    return (Program("redis", redis_command(site.broker, site.home)),)


def serving(site: Site, workers: Iterable[Worker]) -> bool:
    """Return whether each of *workers* takes tasks from its queues; asks them for a second."""
    wanted = {worker.name: frozenset(worker.queues) for worker in workers}
    if not wanted or site.broker is None:
        return not wanted
    found = answering(site.broker)
    return all(queues <= found.get(name, frozenset()) for name, queues in wanted.items())


def answering(broker: Broker) -> Mapping[str, frozenset[str]]:
    """Return the queues that each worker which answers now takes tasks from; waits a second."""
    # Only an Airflow with workers needs it.
    from celery import Celery  # type: ignore[import-untyped] # noqa: PLC0415 - it ships no types
    from kombu.exceptions import OperationalError  # noqa: PLC0415 - as above

    # Whoever waits asks again, so one try is enough.
    with Celery(broker=broker.url, set_as_current=False) as app:
        app.conf.broker_transport_options = {"max_retries": 1, "interval_start": 0}
        try:
            told = app.control.inspect(timeout=_ANSWER_S).active_queues() or {}
        except OperationalError:
            # Redis has just been started.
            return {}
    return {
        node.partition("@")[0]: frozenset(queue["name"] for queue in queues)
        for node, queues in told.items()
    }
