"""A queue or size of pod → the arguments of an operator."""

from collections.abc import Mapping
from typing import Any

from onchain_agg.routing.workload_file import configured_workloads
from onchain_agg.routing.workloads import (
    KUBERNETES_QUEUE,
    CeleryQueue,
    PodSize,
    QueueName,
    SizeName,
)
from onchain_agg.settings import load_routing_options


def route(name: QueueName | SizeName | str, **chosen: Any) -> dict[str, Any]:
    """Return the operator arguments that place a task on the queue or size of pod *name*.

    They are ``queue``, ``pool``, ``pool_slots``, ``execution_timeout``, ``retries`` and
    ``retry_delay``, and for a size ``executor_config``. What is *chosen* beside the name wins, as
    in ``BashOperator(task_id="x", bash_command="…", **route("memory", retries=5))``; keys of an
    ``executor_config`` are added to the size's.

    Raises:
        UnknownNameError: No such queue or size; lists those that there are.
        ConfigError: The table of queues and sizes is wrong.
    """
    return placed(configured_workloads().named(name), chosen)


def placed(workload: CeleryQueue | PodSize, chosen: Mapping[str, Any]) -> dict[str, Any]:
    """Return the operator arguments that place a task on *workload*, with the *chosen* ones."""
    arguments: dict[str, Any] = {
        "queue": workload.name,
        "pool": workload.pool,
        "pool_slots": workload.slots,
        "execution_timeout": workload.timeout,
        "retries": workload.retries,
        "retry_delay": workload.retry_delay,
    }
    if not isinstance(workload, PodSize):
        return {**arguments, **chosen}
    # A pod_override of the author's must not lose the template of the size.
    template = {"pod_template_file": template_path(workload)}
    config = {**template, **(chosen.get("executor_config") or {})}
    return {**arguments, "queue": KUBERNETES_QUEUE, **chosen, "executor_config": config}


def template_path(size: PodSize) -> str:
    """Return the path of the size's pod template, as the scheduler reads it."""
    return str(load_routing_options().pod_templates / size.pod_template)
