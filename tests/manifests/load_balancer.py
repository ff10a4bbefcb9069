"""How AWS's controller turns a group of Ingresses into rules, and which one a request meets.

It knows what decides that: orders and their default, ties, path types, hosts, listeners and the
redirect to HTTPS. It knows neither health nor weights.
"""

import fnmatch
import json
import re
from dataclasses import dataclass
from typing import Any

from tests.manifests.rendered import Manifest

_PREFIX = "alb.ingress.kubernetes.io/"
_KINDS = {"Exact": 0, "Prefix": 1, "ImplementationSpecific": 2}


@dataclass(frozen=True)
class Rule:
    """A rule of a listener: the first one that fits a request decides."""

    ingress: str
    ports: frozenset[int]
    host: str | None
    patterns: tuple[str, ...]
    target: str
    login: bool


class GroupError(Exception):
    """The controller would refuse the group, and change nothing of the load balancer."""


def rules_of(ingresses: list[Manifest], group: str) -> list[Rule]:
    """Return the rules of *group*, in the order in which they are tried.

    Raises:
        GroupError: Two members contradict one another, or an order is none.
    """
    members = [one for one in ingresses if _said(one, "group.name") == group]
    _check_exclusive(members)
    members.sort(key=lambda one: (_order(one), _full_name(one)))
    return [rule for one in members for rule in _rules(one)]


def answer(rules: list[Rule], ingresses: list[Manifest], url: str) -> str:
    """Return where *url* leads: a service, ``redirect``, ``404`` or ``login, then`` a service."""
    scheme, host, path = re.fullmatch(r"(https?)://([^/]+)(/.*)", url).groups()  # type: ignore[union-attr]
    if scheme == "http" and any(_said(one, "ssl-redirect") for one in ingresses):
        return "redirect"
    port = 443 if scheme == "https" else 80
    for rule in rules:
        fits = rule.host is None or rule.host == host
        if port in rule.ports and fits and any(_fits(path, one) for one in rule.patterns):
            return f"login, then {rule.target}" if rule.login else rule.target
    return "404"


def _rules(ingress: Manifest) -> list[Rule]:
    rules = []
    for told in ingress["spec"]["rules"]:
        paths = told["http"]["paths"]
        exact_first = sorted(
            enumerate(paths),
            key=lambda one: (
                _KINDS[one[1]["pathType"]],
                -len(one[1]["path"]) if one[1]["pathType"] == "Prefix" else 0,
                one[0],
            ),
        )
        rules += [
            Rule(
                ingress=_full_name(ingress),
                ports=_ports(ingress),
                host=told.get("host"),
                patterns=_patterns(path),
                target=_target(ingress, path["backend"]["service"]),
                login=_said(ingress, "auth-type") not in (None, "none"),
            )
            for _, path in exact_first
        ]
    return rules


def _patterns(path: dict[str, Any]) -> tuple[str, ...]:
    text = path["path"]
    if path["pathType"] == "Prefix":
        stem = text.rstrip("/")
        return ("/*",) if not stem else (stem, f"{stem}/*")
    return (text,)


def _fits(path: str, pattern: str) -> bool:
    # A load balancer knows * and ? and no sets.
    return fnmatch.fnmatchcase(path, pattern.replace("[", "[[]"))


def _target(ingress: Manifest, service: dict[str, Any]) -> str:
    if service["port"].get("name") != "use-annotation":
        return str(service["name"])
    action = json.loads(_said(ingress, f"actions.{service['name']}") or "{}")
    return str(action["fixedResponseConfig"]["statusCode"])


def _ports(ingress: Manifest) -> frozenset[int]:
    told = _said(ingress, "listen-ports")
    if told is None:
        return frozenset({443 if _said(ingress, "certificate-arn") else 80})
    return frozenset(port for one in json.loads(told) for port in one.values())


def _order(ingress: Manifest) -> int:
    told = _said(ingress, "group.order")
    if told is None:
        return 0
    if not re.fullmatch(r"-?\d+", told) or not -1000 <= int(told) <= 1000:
        raise GroupError(f"{_full_name(ingress)}: order {told!r} is not from -1000 to 1000")
    return int(told)


def _check_exclusive(members: list[Manifest]) -> None:
    for name in ("scheme", "ssl-redirect", "load-balancer-name", "ip-address-type"):
        told = {_said(one, name) for one in members} - {None}
        if len(told) > 1:
            raise GroupError(f"{name} is said in {len(told)} ways: {sorted(map(str, told))}")


def _said(ingress: Manifest, name: str) -> str | None:
    annotations: dict[str, str] = ingress["metadata"].get("annotations", {})
    return annotations.get(_PREFIX + name)


def _full_name(ingress: Manifest) -> str:
    metadata = ingress["metadata"]
    return f"{metadata.get('namespace', 'default')}/{metadata['name']}"
