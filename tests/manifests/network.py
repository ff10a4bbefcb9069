"""Which pod may reach which, as NetworkPolicies say it together.

It knows pods, namespaces by name, addresses and ports by number. A pod that no policy selects for a
direction is open in that direction.
"""

from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Any

from tests.manifests.rendered import Manifest, of_kind


@dataclass(frozen=True)
class End:
    """One end of a connection: a pod of the namespace, or of another one, or an address."""

    labels: tuple[tuple[str, str], ...] = ()
    # None for the namespace of the policies.
    namespace: str | None = None
    address: str | None = None


def pod(namespace: str | None = None, **labels: str) -> End:
    """Return a pod that has *labels*, of our namespace or another one."""
    return End(labels=tuple(labels.items()), namespace=namespace)


def component(name: str, tier: str = "core") -> End:
    """Return the pod of a part of ours."""
    return End((("app.kubernetes.io/component", name), ("onchain-agg/tier", tier)))


def address(text: str) -> End:
    """Return a machine outside of the cluster."""
    return End(address=text)


def allowed(manifests: list[Manifest], start: End, end: End, port: int, protocol: str) -> bool:
    """Return whether *start* may open a connection to *end*; policies are of one namespace."""
    return _passes(manifests, "Egress", "to", start, end, (port, protocol)) and _passes(
        manifests, "Ingress", "from", end, start, (port, protocol)
    )


def _passes(
    manifests: list[Manifest],
    direction: str,
    peers: str,
    own: End,
    other: End,
    port: tuple[int, str],
) -> bool:
    if own.address or own.namespace:
        return True
    policies = [
        one["spec"]
        for one in of_kind(manifests, "NetworkPolicy")
        if direction in one["spec"]["policyTypes"] and _selects(one["spec"]["podSelector"], own)
    ]
    rules = [rule for spec in policies for rule in spec.get(direction.lower(), [])]
    return not policies or any(
        _has_port(rule, port) and any(_is(peer, other) for peer in rule.get(peers, []))
        for rule in rules
    )


def _has_port(rule: dict[str, Any], port: tuple[int, str]) -> bool:
    return "ports" not in rule or port in [(one["port"], one["protocol"]) for one in rule["ports"]]


def _is(peer: dict[str, Any], end: End) -> bool:
    if "ipBlock" in peer:
        block = peer["ipBlock"]
        return end.address is not None and (
            ip_address(end.address) in ip_network(block["cidr"])
            and not any(
                ip_address(end.address) in ip_network(one) for one in block.get("except", [])
            )
        )
    if end.address is not None:
        return False
    if "namespaceSelector" in peer:
        there = End((("kubernetes.io/metadata.name", end.namespace or ""),))
        if not _selects(peer["namespaceSelector"], there):
            return False
    elif end.namespace is not None:
        return False
    return _selects(peer.get("podSelector", {}), end)


def _selects(selector: dict[str, Any], end: End) -> bool:
    labels = dict(end.labels)
    for one in selector.get("matchExpressions", []):
        inside = labels.get(one["key"]) in one["values"]
        if inside != (one["operator"] == "In"):
            return False
    return bool(selector.get("matchLabels", {}).items() <= labels.items())
