"""The variables and the command of a container, as a kubelet makes them of the pod."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from tests.e2e.node_objects import NotYetError, Objects

_REFERENCE = re.compile(r"\$(?:\$|\(([^()]*)\))")


async def variables(
    container: Mapping[str, Any], objects: Objects, first: Mapping[str, str]
) -> dict[str, str]:
    """Return the container's variables: *first*, then `envFrom`, then `env`; the later one wins.

    Raises:
        NotYetError: An object or key that is not optional is not there.
    """
    known = dict(first)
    for source in container.get("envFrom", ()):
        known.update(await _whole_object(source, objects))
    for one in container.get("env", ()):
        if "valueFrom" not in one:
            known[one["name"]] = expanded(one.get("value", ""), known)
            continue
        value = await _referred(one["valueFrom"], objects)
        if value is not None:
            known[one["name"]] = value
    return known


def expanded(text: str, known: Mapping[str, str]) -> str:
    """Return *text* with $(NAME) replaced; what is not known stays, and $$ is a dollar."""
    return _REFERENCE.sub(
        lambda found: "$" if found[0] == "$$" else known.get(found[1], found[0]), text
    )


def expanded_all(texts: Sequence[str], known: Mapping[str, str]) -> list[str]:
    """Return *texts*, each with its references replaced."""
    return [expanded(text, known) for text in texts]


async def _whole_object(source: Mapping[str, Any], objects: Objects) -> dict[str, str]:
    kind, field = (
        ("configmaps", "configMapRef") if "configMapRef" in source else ("secrets", "secretRef")
    )
    reference = source[field]
    optional = reference.get("optional", False)
    data = await objects.data(kind, reference["name"], optional=optional) or {}
    prefix = source.get("prefix", "")
    return {prefix + key: value.decode() for key, value in data.items()}


async def _referred(source: Mapping[str, Any], objects: Objects) -> str | None:
    if "configMapKeyRef" in source:
        return await objects.value("configmaps", source["configMapKeyRef"])
    if "secretKeyRef" in source:
        return await objects.value("secrets", source["secretKeyRef"])
    if "fieldRef" in source:
        return objects.field(source["fieldRef"]["fieldPath"])
    raise NotYetError(f"the node reads no {next(iter(source))}")
