"""The Node object: as Karpenter would make it of the group's NodePool, with a heartbeat."""

import asyncio
import platform
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from tests.e2e.kubelet_status import now
from tests.e2e.node_api import STRATEGIC, UNREACHABLE, Api, ApiError
from tests.e2e.node_images import ROOT

_POOLS = ROOT / "deploy" / "cluster" / "karpenter"
_NODES = "/api/v1/nodes"
_LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
_CAPACITY_TYPE = "karpenter.sh/capacity-type"
# A restart of the API server takes ten seconds on a busy machine, and no node is lost by it.
_LEASE_BEATS = 20


def node_object(name: str, group: str, capacity: dict[str, str]) -> dict[str, Any]:
    """Return the Node *name* of *group*: labels and taints of its NodePool, and *capacity*."""
    pool = _pool(group)
    template = pool["spec"]["template"]
    labels = {
        **template["metadata"]["labels"],
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()],
        "karpenter.sh/nodepool": pool["metadata"]["name"],
        _CAPACITY_TYPE: _first_choice(template["spec"]["requirements"]),
    }
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels},
        "spec": {"taints": template["spec"].get("taints", [])},
        "status": {"capacity": capacity, "allocatable": capacity},
    }


async def register(api: Api, node: dict[str, Any], host_ip: str, port: int) -> None:
    """Create the Node, or take over the one of that name, and report it ready."""
    name = node["metadata"]["name"]
    try:
        await api.insist("POST", _NODES, node)
    except ApiError as error:
        if error.status != 409:
            raise
    # A new Node gets the taint not-ready at its admission; a controller would take it away.
    fields = {"metadata": {"labels": node["metadata"]["labels"]}, "spec": node["spec"]}
    await api.insist("PATCH", f"{_NODES}/{name}", fields, "application/merge-patch+json")
    status = {
        **node["status"],
        # By address: the API server looks for a pod's log there.
        "addresses": [{"type": "InternalIP", "address": host_ip}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
        "conditions": [_ready()],
    }
    await api.insist("PATCH", f"{_NODES}/{name}/status", {"status": status}, STRATEGIC)


async def beat(api: Api, name: str, every_s: float) -> None:
    """Renew the node's lease and its condition Ready for ever."""
    lease = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": name},
        "spec": {
            "holderIdentity": name,
            "leaseDurationSeconds": max(1, round(every_s * _LEASE_BEATS)),
        },
    }
    while True:
        renewed = now().replace("Z", ".000000Z")
        with suppress(*UNREACHABLE, ApiError):
            await _renew(api, lease, renewed)
            status = {"status": {"conditions": [_ready()]}}
            await api.patch(f"{_NODES}/{name}/status", status, STRATEGIC)
        await asyncio.sleep(every_s)


async def _renew(api: Api, lease: dict[str, Any], renewed: str) -> None:
    name = lease["metadata"]["name"]
    body = {**lease, "spec": {**lease["spec"], "renewTime": renewed}}
    try:
        await api.patch(f"{_LEASES}/{name}", {"spec": body["spec"]})
    except ApiError as error:
        if error.status != 404:
            raise
        await api.post(_LEASES, body)


def _ready() -> dict[str, str]:
    return {
        "type": "Ready",
        "status": "True",
        "reason": "KubeletReady",
        "message": "the node runs pods as processes",
        "lastHeartbeatTime": now(),
    }


def _pool(group: str) -> dict[str, Any]:
    objects = yaml.safe_load_all(Path(_POOLS / f"{group}.yaml").read_text())
    return next(one for one in objects if one["kind"] == "NodePool")


def _first_choice(requirements: Sequence[dict[str, Any]]) -> str:
    return str(next(one["values"][0] for one in requirements if one["key"] == _CAPACITY_TYPE))
