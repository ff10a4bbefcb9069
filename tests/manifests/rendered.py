"""Kustomize's output, and the parts of it that tests ask for."""

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

DEPLOY = Path(__file__).parents[2] / "deploy"
# What is applied to a cluster, and by the name of its folder.
ENVIRONMENTS = ("prod", "dev", "preview")
ROOTS = (*(f"overlays/{name}" for name in ENVIRONMENTS), "overlays/prod/grafana", "cluster")

GROUP = "onchain-agg/node-group"
TIER = "onchain-agg/tier"

Manifest = dict[str, Any]


@dataclass(frozen=True)
class PodOf:
    """A pod as a workload makes it."""

    kind: str
    name: str
    labels: dict[str, str]
    spec: dict[str, Any]
    replicas: int = 1

    @property
    def containers(self) -> list[dict[str, Any]]:
        """Return init containers, then containers."""
        return [*self.spec.get("initContainers", []), *self.spec["containers"]]

    @property
    def running(self) -> list[dict[str, Any]]:
        """Return the containers that run for as long as the pod does."""
        sidecars = [one for one in self.spec.get("initContainers", []) if one.get("restartPolicy")]
        return [*sidecars, *self.spec["containers"]]


def built(folder: str) -> list[Manifest]:
    """Return the manifests of *folder* of deploy; skips the test where nothing can build them."""
    return [dict(one) for one in _built(str(DEPLOY / folder))]


def build_of(folder: Path) -> list[Manifest]:
    """Return the manifests of any *folder*."""
    return [dict(one) for one in _built(str(folder))]


@cache
def _built(folder: str) -> tuple[Manifest, ...]:
    result = subprocess.run(
        [*_command(), folder], capture_output=True, text=True, check=False, timeout=60
    )
    assert result.returncode == 0, result.stderr
    return tuple(yaml.safe_load_all(result.stdout))


def _command() -> list[str]:
    if kubectl := shutil.which("kubectl"):
        return [kubectl, "kustomize"]
    if kustomize := shutil.which("kustomize"):
        return [kustomize, "build"]
    return pytest.skip(
        "neither kubectl nor kustomize is here; install one, such as by"
        " `go install sigs.k8s.io/kustomize/kustomize/v5@v5.5.0`"
    )


def of_kind(manifests: list[Manifest], *kinds: str) -> list[Manifest]:
    """Return the manifests of *kinds*."""
    return [one for one in manifests if one["kind"] in kinds]


def named(manifests: list[Manifest], kind: str, name: str) -> Manifest:
    """Return the one manifest of *kind* and *name*."""
    (found,) = [one for one in of_kind(manifests, kind) if one["metadata"]["name"] == name]
    return found


def pods(manifests: list[Manifest]) -> Iterator[PodOf]:
    """Yield the pod of every workload."""
    for one in manifests:
        name = one["metadata"]["name"]
        if one["kind"] == "Pod":
            yield PodOf("Pod", name, one["metadata"].get("labels", {}), one["spec"])
        elif one["kind"] in {"Deployment", "StatefulSet", "Job", "DaemonSet"}:
            template = one["spec"]["template"]
            yield PodOf(
                one["kind"],
                name,
                template["metadata"].get("labels", {}),
                template["spec"],
                one["spec"].get("replicas", 1),
            )


def pod_templates() -> list[Manifest]:
    """Return the templates of KubernetesExecutor's pods."""
    folder = DEPLOY.parent / "pod_templates"
    return [yaml.safe_load(path.read_text()) for path in sorted(folder.glob("*.yaml"))]


def texts(value: Any, place: str = "") -> Iterator[tuple[str, str]]:
    """Yield every text in *value* with its place, such as ``data.users``."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from texts(inner, f"{place}.{key}" if place else str(key))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from texts(inner, f"{place}[{number}]")
    elif isinstance(value, str):
        yield place, value
