"""The API server takes every object of deploy/, each field of it, and without a warning."""

import copy

import pytest
import yaml

from tests.e2e.definitions import definitions
from tests.manifests import argocd
from tests.manifests.rendered import DEPLOY, ROOTS, built, named

_BUILT = (*ROOTS, "monitoring", "argocd/secrets")
# Files that stand as they are. Those of Argo CD's installation are patches, whole objects too.
_FILES = (
    "argocd/root.yaml",
    *sorted(str(path.relative_to(DEPLOY)) for path in (DEPLOY / "argocd/apps").rglob("*.yaml")),
    "argocd/install/argocd-cm.yaml",
    "argocd/install/argocd-rbac-cm.yaml",
    "argocd/install/namespace.yaml",
)
# The manifests of Argo CD's own release come from its project's site; the patches are in _FILES.
_NOT_BUILT = {"deploy/argocd/install"}
# Versions in deploy/argocd by their chart, and of the module whose definitions are used here.
_VERSIONS = {
    "karpenter": ("1.14.1", {"github.com/aws/karpenter-provider-aws v1.14.1"}),
    "keda": ("2.19.0", {"github.com/kedacore/keda/v2 v2.19.0"}),
    # From 2 on its releases are no Go modules.
    "external-secrets": ("2.8.0", {"github.com/external-secrets/external-secrets v1.3.2"}),
    # Charts 87 hold the operator 0.92.
    "kube-prometheus-stack": (
        "87.17.0",
        {"github.com/prometheus-operator/prometheus-operator v0.92.0"},
    ),
    # These charts have no kind that deploy/ uses.
    "aws-load-balancer-controller": ("3.5.0", set()),
    "external-dns": ("1.21.1", set()),
}
_ARGOCD = {"github.com/argoproj/argo-cd/v3 v3.5.4"}


@pytest.fixture(scope="module")
def server(defined, environments, monitoring, local_plane, objects):
    """Return the server with all kinds and namespaces; what it is asked here, it does not keep."""
    local_plane.namespace("argocd")
    return objects


@pytest.mark.parametrize("folder", _BUILT)
def test_the_server_takes_what_kustomize_builds(server, folder):
    assert _faults(server, built(folder)) == {}


@pytest.mark.parametrize("file", _FILES)
def test_the_server_takes_the_objects_of_argo_cd(server, file):
    assert _faults(server, list(yaml.safe_load_all((DEPLOY / file).read_text()))) == {}


def test_all_that_argo_cd_deploys_is_asked():
    deployed = {
        str(path.relative_to(DEPLOY.parent))
        for one in argocd.applications().values()
        for path in argocd.paths(one)
    }
    asked = {f"deploy/{folder}" for folder in _BUILT} | {"deploy/argocd/apps"}

    assert deployed - asked == _NOT_BUILT
    assert asked <= deployed


def test_every_definition_is_there(defined):
    assert len(defined) == len(definitions()) == 13


def test_definitions_are_of_the_versions_that_are_deployed():
    charts = {
        source["chart"]: source["targetRevision"]
        for one in argocd.applications().values()
        for source in argocd.sources(one)
        if "chart" in source
    }
    install = (DEPLOY / "argocd/install/kustomization.yaml").read_text()
    modules = {f"{one.module} {one.version}" for one in definitions()}

    assert charts == {chart: version for chart, (version, _) in _VERSIONS.items()}
    assert modules == _ARGOCD.union(*(used for _, used in _VERSIONS.values()))
    assert all(f"/{one.rpartition(' ')[2]}/manifests/" in install for one in _ARGOCD)


def _change(folder, kind, name, place, value):
    """Return an object of *folder* with *value* at *place*; None takes away what is there."""
    manifest = copy.deepcopy(named(built(folder), kind, name))
    *path, last = place
    inner = manifest
    for step in path:
        inner = inner[step]
    if value is None:
        del inner[last]
    else:
        inner[last] = value
    return manifest


_PATH = ("spec", "rules", 0, "http", "paths", 0)


@pytest.mark.parametrize(
    ("folder", "kind", "name", "place", "value", "reason"),
    [
        pytest.param(
            "overlays/prod", "Ingress", "airflow", (*_PATH, "pathType"), "Prefx",
            'pathType: Unsupported value: "Prefx"', id="kind of path"),
        pytest.param(
            "overlays/prod", "Deployment", "scheduler", ("spec", "replcas"), 2,
            ".spec.replcas: field not declared in schema", id="field"),
        pytest.param(
            "overlays/prod", "Deployment", "scheduler",
            ("spec", "selector", "matchLabels", "app.kubernetes.io/component"), "other",
            "`selector` does not match template `labels`", id="selector"),
        pytest.param(
            "overlays/prod", "PodDisruptionBudget", "scheduler", ("spec", "minAvailable"), 1,
            "minAvailable and maxUnavailable cannot be both set", id="both ends of a budget"),
        pytest.param(
            "cluster", "NodePool", "on-demand",
            ("spec", "disruption", "consolidationPolicy"), "WhenEmtpy",
            'consolidationPolicy: Unsupported value: "WhenEmtpy"', id="Karpenter's enum"),
        pytest.param(
            "cluster", "NodePool", "on-demand", ("spec", "disruption", "consolidateafter"), "2m",
            ".spec.disruption.consolidateafter: field not declared in schema",
            id="Karpenter's field"),
        pytest.param(
            "cluster", "NodePool", "on-demand",
            ("spec", "template", "spec", "requirements", 0, "key"), "karpenter.sh/capacity",
            "is restricted", id="Karpenter's rule"),
        pytest.param(
            "cluster", "EC2NodeClass", "on-demand", ("spec", "role"), None,
            "must specify exactly one of ['role', 'instanceProfile']", id="node without a role"),
        pytest.param(
            "overlays/prod", "ScaledObject", "worker-default", ("spec", "scaleTargetRef"), None,
            "spec.scaleTargetRef: Required value", id="KEDA without a target"),
        pytest.param(
            "overlays/prod", "ExternalSecret", "onchain-agg-git", ("spec", "refreshinterval"), "1h",
            ".spec.refreshinterval: field not declared in schema", id="External Secrets' field"),
        pytest.param(
            "overlays/prod", "PodMonitor", "git-sync",
            ("spec", "podMetricsEndpoints", 0, "interval"), "30 s",
            "spec.podMetricsEndpoints[0].interval: Invalid value", id="Prometheus' interval"),
        pytest.param(
            "monitoring", "PrometheusRule", "onchain-agg",
            ("spec", "groups", 0, "rules", 0, "for"), "5 minutes",
            "spec.groups[0].rules[0].for: Invalid value", id="Prometheus' duration"),
    ],
)  # fmt: skip
def test_the_server_refuses_a_mistake(server, folder, kind, name, place, value, reason):
    assert reason in server.refusal(_change(folder, kind, name, place, value))


def test_the_server_refuses_an_application_without_a_project(server):
    application = yaml.safe_load((DEPLOY / "argocd/root.yaml").read_text())
    del application["spec"]["project"]

    assert "spec.project: Required value" in server.refusal(application)


def test_a_warning_is_seen(server):
    place = ("spec", "template", "spec", "securityContext", "runAsNonRoot")
    manifest = _change("overlays/prod", "Deployment", "scheduler", place, value=False)

    (fault,) = _faults(server, [manifest]).items()

    assert fault[0] == "Deployment scheduler"
    assert 'would violate PodSecurity "restricted:latest": runAsNonRoot != true' in fault[1]


def _faults(server, manifests):
    """Return what the server refuses, or warns of, by kind and name."""
    assert manifests
    faults = {}
    for one in manifests:
        # Argo CD puts the objects of its own installation where its Application says.
        if one["kind"] == "ConfigMap":
            one["metadata"].setdefault("namespace", "argocd")
        reason = server.refusal(one) or server.apply(one, dry_run=True).warnings
        if reason:
            faults[f"{one['kind']} {one['metadata']['name']}"] = reason
    return faults
