"""A login at the load balancer works: its controller can read what the Ingress names."""

import json

import pytest

from tests.manifests.argocd import applications, sources
from tests.manifests.rendered import ROOTS, built, named, of_kind

_PREFIX = "alb.ingress.kubernetes.io/"
_ACCOUNT = {
    "kind": "ServiceAccount",
    "name": "aws-load-balancer-controller",
    "namespace": "kube-system",
}


def _logins(manifests):
    """Return each Ingress with a login, by its name, and the Secret that it names."""
    return {
        one["metadata"]["name"]: json.loads(
            one["metadata"]["annotations"][f"{_PREFIX}auth-idp-oidc"]
        )["secretName"]
        for one in of_kind(manifests, "Ingress")
        if one["metadata"]["annotations"].get(f"{_PREFIX}auth-type") == "oidc"
    }


def _readers(manifests, secret):
    """Return the accounts that may get, list and watch *secret*, in the roles' own namespace."""
    roles = {
        role["metadata"]["name"]
        for role in of_kind(manifests, "Role")
        for rule in role["rules"]
        if rule["resources"] == ["secrets"]
        and rule.get("resourceNames") == [secret]
        and rule["verbs"] == ["get", "list", "watch"]
    }
    return [
        subject
        for binding in of_kind(manifests, "RoleBinding")
        if binding["roleRef"]["name"] in roles
        for subject in binding["subjects"]
    ]


@pytest.mark.parametrize(
    ("root", "ingress"), [("overlays/dev", "flower"), ("overlays/prod/grafana", "grafana")]
)
def test_the_controller_may_read_the_secret_of_a_login_and_nobody_else(root, ingress):
    manifests = built(root)
    logins = _logins(manifests)
    secret = named(manifests, "ExternalSecret", logins[ingress])
    namespaces = {
        one["metadata"]["namespace"]
        for one in of_kind(manifests, "Ingress", "ExternalSecret", "Role", "RoleBinding")
    }

    assert logins.keys() == {ingress}
    # Each reads its own namespace alone.
    assert len(namespaces) == 1
    assert {one["secretKey"] for one in secret["spec"]["data"]} == {"clientID", "clientSecret"}
    assert _readers(manifests, logins[ingress]) == [_ACCOUNT]


def test_the_account_is_the_one_that_the_controllers_chart_makes():
    controller = applications()["aws-load-balancer-controller"]
    (source,) = sources(controller)

    assert controller["spec"]["destination"]["namespace"] == _ACCOUNT["namespace"]
    assert source["helm"]["valuesObject"]["serviceAccount"]["name"] == _ACCOUNT["name"]


def test_no_other_manifest_has_a_login():
    others = set(ROOTS) - {"overlays/dev", "overlays/prod/grafana"}

    assert {root: _logins(built(root)) for root in others} == {root: {} for root in others}


@pytest.mark.parametrize("kind", ["Role", "RoleBinding"])
def test_without_its_role_nobody_reads_the_secret(kind):
    manifests = [
        one
        for one in built("overlays/dev")
        if (one["kind"], one["metadata"]["name"]) != (kind, "onchain-agg-alb-oidc")
    ]

    assert _readers(manifests, "onchain-agg-alb-oidc") == []
