"""Whether a pod fits a node, by the rules of the scheduler that the project's pods depend on.

These are: cordoned nodes, taints, the node selector, required node affinity, and what is asked for
against what is left. Preferences, spreading, pod affinity and preemption are not looked at.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

Object = Mapping[str, Any]

_SUFFIXES = {
    "": Decimal(1), "m": Decimal("0.001"), "k": Decimal(10**3), "M": Decimal(10**6),
    "G": Decimal(10**9), "T": Decimal(10**12), "Ki": Decimal(2**10), "Mi": Decimal(2**20),
    "Gi": Decimal(2**30), "Ti": Decimal(2**40),
}  # fmt: skip
_TERMINAL = ("Succeeded", "Failed")

# Has a label of this value the wanted property? The value is None where there is no such label.
_OPERATORS: dict[str, Callable[[str | None, Sequence[str]], bool]] = {
    "In": lambda value, wanted: value in wanted,
    "NotIn": lambda value, wanted: value not in wanted,
    "Exists": lambda value, _: value is not None,
    "DoesNotExist": lambda value, _: value is None,
    "Gt": lambda value, wanted: value is not None and int(value) > int(wanted[0]),
    "Lt": lambda value, wanted: value is not None and int(value) < int(wanted[0]),
}


def quantity(text: str | int) -> Decimal:
    """Return the number that a quantity such as 500m or 24Gi means."""
    found = re.fullmatch(r"([\d.]+)([a-zA-Z]*)", str(text))
    if found is None or found[2] not in _SUFFIXES:
        raise ValueError(f"{text!r} is not a quantity that the node reads")
    return Decimal(found[1]) * _SUFFIXES[found[2]]


def asked(pod: Object) -> dict[str, Decimal]:
    """Return what *pod* asks for: the sum of its containers, or one init container if that is more.

    A pod takes one of the node's `pods` too.
    """
    total: dict[str, Decimal] = {}
    for container in pod["spec"]["containers"]:
        for name, amount in _requests(container).items():
            total[name] = total.get(name, Decimal(0)) + amount
    for container in pod["spec"].get("initContainers", ()):
        for name, amount in _requests(container).items():
            total[name] = max(total.get(name, amount), amount)
    return {**total, "pods": Decimal(1)}


def takes_room(pod: Object, node: str) -> bool:
    """Return whether *pod* is bound to *node* and has not ended."""
    return (
        pod["spec"].get("nodeName") == node and pod.get("status", {}).get("phase") not in _TERMINAL
    )


def misfits(pod: Object, node: Object, pods: Iterable[Object]) -> list[str]:
    """Return why *pod* cannot go to *node* beside *pods*, in the scheduler's words; [] if it can.

    Like the scheduler it stops at the first kind of reason, so that one node counts once.
    """
    if node["spec"].get("unschedulable"):
        return ["node(s) were unschedulable"]
    for taint in node["spec"].get("taints", ()):
        if taint["effect"] != "PreferNoSchedule" and not _tolerated(taint, pod):
            shown = f"{taint['key']}: {taint.get('value', '')}"
            return [f"node(s) had untolerated taint {{{shown}}}"]
    if not _selects(pod, node):
        return ["node(s) didn't match Pod's node affinity/selector"]
    return _lacking(pod, node, pods)


def verdict(pod: Object, nodes: Sequence[Object], pods: Sequence[Object]) -> str | None:
    """Return what the scheduler says of a *pod* that fits none of *nodes*, or None if it does."""
    reasons: Counter[str] = Counter()
    for node in nodes:
        found = misfits(pod, node, pods)
        if not found:
            return None
        reasons.update(found)
    told = ", ".join(sorted(f"{count} {reason}" for reason, count in reasons.items()))
    if not nodes:
        return "no nodes available to schedule pods"
    return f"0/{len(nodes)} nodes are available: {told}."


def _requests(container: Object) -> dict[str, Decimal]:
    resources = container.get("resources", {})
    # What has a limit and no request asks for its limit.
    wanted = {**resources.get("limits", {}), **resources.get("requests", {})}
    return {name: quantity(amount) for name, amount in wanted.items()}


def _lacking(pod: Object, node: Object, pods: Iterable[Object]) -> list[str]:
    left = {name: quantity(amount) for name, amount in node["status"]["allocatable"].items()}
    for other in pods:
        if takes_room(other, node["metadata"]["name"]):
            for name, amount in asked(other).items():
                left[name] = left.get(name, Decimal(0)) - amount
    short = [name for name, amount in asked(pod).items() if amount > left.get(name, Decimal(0))]
    return ["Too many pods" if name == "pods" else f"Insufficient {name}" for name in short]


def _tolerated(taint: Object, pod: Object) -> bool:
    return any(
        one.get("effect") in (None, "", taint["effect"])
        and one.get("key") in (None, "", taint["key"])
        and (one.get("operator") == "Exists" or one.get("value", "") == taint.get("value", ""))
        for one in pod["spec"].get("tolerations", ())
    )


def _selects(pod: Object, node: Object) -> bool:
    labels = node["metadata"].get("labels", {})
    selector = pod["spec"].get("nodeSelector", {})
    if any(labels.get(key) != value for key, value in selector.items()):
        return False
    affinity = pod["spec"].get("affinity", {}).get("nodeAffinity", {})
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    if required is None:
        return True
    fields = {"metadata.name": node["metadata"]["name"]}
    return any(
        _all_hold(term.get("matchExpressions", ()), labels)
        and _all_hold(term.get("matchFields", ()), fields)
        for term in required["nodeSelectorTerms"]
    )


def _all_hold(expressions: Iterable[Object], values: Mapping[str, str]) -> bool:
    return all(
        _OPERATORS[one["operator"]](values.get(one["key"]), one.get("values", ()))
        for one in expressions
    )
