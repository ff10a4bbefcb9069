"""What a cluster's controllers do about a node that is gone; the tests' API server has none.

On a real cluster the node lifecycle controller notices the missing heartbeat, taints the Node and
marks its pods as not ready. When the machine is terminated, its Node is deleted, and then the pod
garbage collector fails the node's pods and deletes them without asking the kubelet.
"""

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

_UNREACHABLE = "node.kubernetes.io/unreachable"
_LEASES = "kube-node-lease"
_TERMINAL = ("Succeeded", "Failed")
_AGAIN_S = 0.1

Outcome = Literal["collected", "failed"]


def lost_nodes(api: "ApiClient") -> list[str]:
    """Return the nodes whose lease ran out, as it does some seconds after a node was killed."""
    from kubernetes import client

    leases = client.CoordinationV1Api(api).list_namespaced_lease(_LEASES).items
    nodes = {one.metadata.name for one in client.CoreV1Api(api).list_node().items}
    clock = datetime.fromtimestamp(time.time(), UTC)
    return sorted(
        lease.metadata.name
        for lease in leases
        if lease.metadata.name in nodes
        and clock - lease.spec.renew_time > timedelta(seconds=lease.spec.lease_duration_seconds)
    )


def node_lifecycle(api: "ApiClient", outcome: Outcome = "collected") -> dict[str, list[str]]:
    """Deal with every lost node; return the names of the pods that ended with each.

    Args:
        api: A client with an admin's rights.
        outcome: `collected`, what happens where the machine is gone: the pods get phase Failed and
            are deleted, and so is the Node. `failed`: the pods stay, with phase Failed and reason
            NodeLost, and so does the Node.
    """
    return {name: _end_node(api, name, outcome) for name in lost_nodes(api)}


def wait_until_lost(api: "ApiClient", node: str, within_s: float = 60.0) -> None:
    """Return once the lease of *node* ran out.

    Raises:
        TimeoutError: It is still renewed.
    """
    deadline = time.monotonic() + within_s
    while node not in lost_nodes(api):
        if time.monotonic() > deadline:
            raise TimeoutError(f"the lease of {node} has not run out in {within_s:.0f} s")
        time.sleep(_AGAIN_S)


def _end_node(api: "ApiClient", node: str, outcome: Outcome) -> list[str]:
    from kubernetes import client

    core = client.CoreV1Api(api)
    _mark_unreachable(core, node)
    ended = []
    for pod in core.list_pod_for_all_namespaces(field_selector=f"spec.nodeName={node}").items:
        name, namespace = pod.metadata.name, pod.metadata.namespace
        if pod.status.phase not in _TERMINAL:
            core.patch_namespaced_pod_status(name, namespace, {"status": _end(node, outcome)})
            ended.append(name)
        if outcome == "collected":
            core.delete_namespaced_pod(name, namespace, grace_period_seconds=0)
    if outcome == "collected":
        core.delete_node(node)
    return sorted(ended)


def _mark_unreachable(core: Any, node: str) -> None:
    stamp = datetime.fromtimestamp(time.time(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    condition = {
        "type": "Ready",
        "status": "Unknown",
        "reason": "NodeStatusUnknown",
        "message": "Kubelet stopped posting node status.",
        "lastTransitionTime": stamp,
    }
    core.patch_node_status(node, {"status": {"conditions": [condition]}})
    taints = [
        {"key": taint.key, "value": taint.value, "effect": taint.effect}
        for taint in core.read_node(node).spec.taints or []
        if taint.key != _UNREACHABLE
    ]
    new = [{"key": _UNREACHABLE, "effect": effect} for effect in ("NoSchedule", "NoExecute")]
    core.patch_node(node, {"spec": {"taints": [*taints, *new]}})


def _end(node: str, outcome: Outcome) -> dict[str, Any]:
    if outcome == "failed":
        message = f"Node {node} which was running the pod is unresponsive"
        return {"phase": "Failed", "reason": "NodeLost", "message": message}
    condition = {
        "type": "DisruptionTarget",
        "status": "True",
        "reason": "DeletionByPodGC",
        "message": "PodGC: node no longer exists",
    }
    return {"phase": "Failed", "conditions": [condition]}
