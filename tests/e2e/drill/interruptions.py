"""What can happen to a task in a pod, each kind as it happens in a cluster.

A kind hits one victim and returns what it hit, or None where there is nothing to hit just now.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from tests.e2e.drill.field import Field, container_of, kill
from tests.e2e.node_lifecycle import node_lifecycle, wait_until_lost

Kind = Callable[[Field], str | None]


def _drained(field: Field) -> str | None:
    """Delete a running pod with its grace, as a node that is drained does."""
    pod = field.one_of(field.pods(_is_running))
    if pod is None:
        return None
    field.stack.core.delete_namespaced_pod(
        pod.metadata.name, field.stack.namespace, grace_period_seconds=field.grace_s
    )
    return str(pod.metadata.name)


def _evicted(field: Field) -> str | None:
    """Evict a running pod by the Eviction API, as a drain that respects budgets does."""
    pod = field.one_of(field.pods(_is_running))
    if pod is None:
        return None
    named = {"name": pod.metadata.name, "namespace": field.stack.namespace}
    grace = {"gracePeriodSeconds": field.grace_s}
    field.stack.core.create_namespaced_pod_eviction(
        pod.metadata.name, field.stack.namespace, {"metadata": named, "deleteOptions": grace}
    )
    return str(pod.metadata.name)


def _killed(field: Field) -> str | None:
    """Kill the first process of a running container, and so all, as for want of memory."""
    pod = field.one_of(field.pods(_is_running))
    if pod is None or not (first := container_of(pod)):
        return None
    kill(first)
    return str(pod.metadata.name)


def _deleted_while_pending(field: Field) -> str | None:
    """Delete a pod that no node has taken yet."""
    pod = field.one_of(field.pods(_is_waiting))
    if pod is None:
        return None
    field.stack.core.delete_namespaced_pod(
        pod.metadata.name,
        field.stack.namespace,
        grace_period_seconds=0,
        # A node may have taken it meanwhile: then it is not this kind of victim any more.
        body={"preconditions": {"resourceVersion": pod.metadata.resource_version}},
    )
    return str(pod.metadata.name)


def _node_lost(field: Field) -> str | None:
    """Let a node that runs pods vanish with all on it; the cluster notices, and another joins."""
    busy = sorted({str(pod.spec.node_name) for pod in field.pods(_is_running)})
    name = field.one_of(busy)
    if name is None:
        return None
    field.stack.nodes.kill(name)
    wait_until_lost(field.plane.api(), name)
    ended = node_lifecycle(field.plane.api())[name]
    return f"{name} with {len(ended)} pods, replaced by {field.start_node()}"


def _api_server_restarted(field: Field) -> str | None:
    """Crash the API server and start it again."""
    field.plane.restart()
    return "kube-apiserver"


def _scheduler_killed(field: Field) -> str | None:
    """Kill Airflow's scheduler with its watchers, and start another one."""
    part = field.part("scheduler")
    if part is None:
        return None
    field.stack.kill_scheduler()
    field.stack.start_scheduler()
    return f"process {part.pid}"


def _is_running(pod: Any) -> bool:
    return bool(pod.status.phase == "Running")


def _is_waiting(pod: Any) -> bool:
    return pod.status.phase == "Pending" and not pod.spec.node_name


POD_KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "drained": _drained,
        "evicted": _evicted,
        "killed": _killed,
        "deleted while pending": _deleted_while_pending,
        "node lost": _node_lost,
        "API server restarted": _api_server_restarted,
        "scheduler killed": _scheduler_killed,
    }
)
