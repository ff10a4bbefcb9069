"""Argo CD's Applications and projects, and what a project does not let an Application do."""

from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import yaml

from tests.manifests.rendered import DEPLOY, Manifest

ARGOCD = DEPLOY / "argocd"
WAVE = "argocd.argoproj.io/sync-wave"
# Kinds without a namespace, among those that this repository deploys.
CLUSTER_WIDE = {
    "ClusterSecretStore",
    "EC2NodeClass",
    "Namespace",
    "NodePool",
    "StorageClass",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
}


def manifests() -> list[Manifest]:
    """Return what `root` deploys, and `root` itself."""
    files = [ARGOCD / "root.yaml", *sorted((ARGOCD / "apps").rglob("*.yaml"))]
    return [one for path in files for one in yaml.safe_load_all(path.read_text())]


def applications() -> dict[str, Manifest]:
    """Return each Application by its name, those that generators make as templates."""
    made = {}
    for one in manifests():
        if one["kind"] == "Application":
            made[one["metadata"]["name"]] = one
        elif one["kind"] == "ApplicationSet":
            made[one["metadata"]["name"]] = one["spec"]["template"] | {
                "metadata": one["metadata"] | one["spec"]["template"]["metadata"]
            }
    return made


def projects() -> dict[str, Manifest]:
    """Return each project by its name."""
    return {one["metadata"]["name"]: one for one in manifests() if one["kind"] == "AppProject"}


def sources(application: Manifest) -> list[dict[str, Any]]:
    """Return where an Application's manifests come from."""
    spec = application["spec"]
    return [spec["source"]] if "source" in spec else spec["sources"]


def wave(one: Manifest) -> int:
    """Return the wave of the sync in which Argo CD applies *one*."""
    return int(one["metadata"].get("annotations", {}).get(WAVE, "0"))


def paths(application: Manifest) -> list[Path]:
    """Return the folders of this repository that an Application deploys."""
    root = DEPLOY.parent
    return [root / source["path"] for source in sources(application) if "path" in source]


def refusals(
    application: Manifest,
    project: Manifest,
    deployed: list[Manifest] = (),  # type: ignore[assignment]
) -> list[str]:
    """Return a sentence for each thing of *application* that *project* refuses."""
    spec = project["spec"]
    target = application["spec"]["destination"]
    faults = [
        f"repository {source['repoURL']}"
        for source in sources(application)
        if not _any(source["repoURL"], spec["sourceRepos"])
    ]
    namespaces = {target["namespace"]} | {
        one["metadata"]["namespace"] for one in deployed if "namespace" in one["metadata"]
    }
    allowed = [
        one["namespace"] for one in spec["destinations"] if one["server"] == target["server"]
    ]
    faults += [
        f"namespace {name}" for name in sorted(namespaces) if not _any(_sample(name), allowed)
    ]
    return faults + sorted({fault for one in deployed for fault in _refused_kind(one, spec)})


def _refused_kind(one: Manifest, spec: dict[str, Any]) -> Iterator[str]:
    group = one["apiVersion"].rpartition("/")[0]
    is_wide = one["kind"] in CLUSTER_WIDE
    # Where a project names no kinds of a namespace, Argo CD allows all; none of the cluster's.
    entries = (
        spec.get("clusterResourceWhitelist", [])
        if is_wide
        else spec.get("namespaceResourceWhitelist", [{"group": "*", "kind": "*"}])
    )
    name = one["metadata"]["name"]
    for entry in entries:
        if (
            _any(group, [entry["group"]])
            and _any(one["kind"], [entry["kind"]])
            and _any(name, [entry.get("name", "*")])
        ):
            return
    yield f"kind {one['kind']}" + (f" {name}" if is_wide else "")


def _any(text: str, patterns: list[str]) -> bool:
    return any(fnmatchcase(text, pattern) for pattern in patterns)


def _sample(namespace: str) -> str:
    """Return a generator's namespace with something in place of its variable."""
    return namespace.replace("{{ .number }}", "12").replace("{{ .developer }}", "ada")
