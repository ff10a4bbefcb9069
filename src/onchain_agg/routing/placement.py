"""A queue or size of pod → the arguments of an operator."""

from typing import Any

from onchain_agg.routing.workload_file import configured_workloads
from onchain_agg.routing.workloads import KUBERNETES_QUEUE, CeleryQueue, PodSize
from onchain_agg.settings import load_routing_options


def route(name: str, **chosen: Any) -> dict[str, Any]:
    """Return the operator arguments that place a task on the queue or size of pod *name*.

    They are ``queue``, ``pool``, ``pool_slots``, ``execution_timeout``, ``retries`` and
    ``retry_delay``, and for a size ``executor_config``. What is *chosen* beside the name wins, as
    in ``BashOperator(task_id="x", bash_command="…", **route("memory", retries=5))``.

    Raises:
        UnknownNameError: No such queue or size; lists those that there are.
        ConfigError: The table of queues and sizes is wrong.
    """
    return arguments(configured_workloads().named(name)) | chosen


def arguments(workload: CeleryQueue | PodSize) -> dict[str, Any]:
    """Return the operator arguments that place a task on *workload*."""
    placed = {
        "queue": workload.name,
        "pool": workload.pool,
        "pool_slots": workload.slots,
        "execution_timeout": workload.timeout,
        "retries": workload.retries,
        "retry_delay": workload.retry_delay,
    }
    if isinstance(workload, PodSize):
        placed["queue"] = KUBERNETES_QUEUE
        placed["executor_config"] = {"pod_template_file": template_path(workload)}
    return placed


def template_path(size: PodSize) -> str:
    """Return the path of the size's pod template, as the scheduler reads it."""
    return str(load_routing_options().pod_templates / size.pod_template)
