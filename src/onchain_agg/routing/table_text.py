"""The table of queues and sizes as text for people, as data for JSON, and as Airflow's pools."""

from typing import Any

from onchain_agg.routing.columns import Row, aligned
from onchain_agg.routing.workloads import CeleryQueue, PodSize, Workloads

_HEADS: Row = (
    *("name", "executor", "pool", "slots", "timeout", "retries", "node group"),
    *("concurrency", "workers", "template", "cpu", "memory", "disk"),
)


def table_text(table: Workloads) -> str:
    """Return a line for each queue and size of *table*."""
    return aligned(_HEADS, [_row(one, table) for one in _entries(table)])


def table_data(table: Workloads) -> list[dict[str, Any]]:
    """Return each queue and size of *table* as JSON takes it; durations in seconds."""
    return [
        {
            **one.model_dump(),
            "timeout": one.timeout.total_seconds(),
            "retry_delay": one.retry_delay.total_seconds(),
        }
        for one in _entries(table)
    ]


def pools_data(table: Workloads) -> dict[str, Any]:
    """Return the pools of *table* as ``airflow pools import`` reads them."""
    return {
        name: {
            "slots": pool.slots,
            "description": pool.description,
            # A deferred task holds neither pod nor worker.
            "include_deferred": False,
        }
        for name, pool in table.pools.items()
    }


def _entries(table: Workloads) -> tuple[CeleryQueue | PodSize, ...]:
    return (*table.queues.values(), *table.sizes.values())


def _row(one: CeleryQueue | PodSize, table: Workloads) -> Row:
    row = (
        f"{one.name} (default)" if one.name == table.default_size else one.name,
        one.executor,
        one.pool,
        str(one.slots),
        str(one.timeout),
        str(one.retries),
        one.node_group,
    )
    if isinstance(one, CeleryQueue):
        workers = f"{one.autoscale.min}-{one.autoscale.max}"
        return (*row, str(one.concurrency), workers, "-", "-", "-", "-")
    return (*row, "-", "-", one.pod_template, one.cpu, one.memory, one.disk)
