"""What the cluster itself refuses of an Ingress, a ConfigMap and a Secret."""

import pytest
import yaml

from tests.e2e.admission import (
    ALB,
    LOGIN,
    SPOT,
    config_map,
    deployment,
    ingress_of_group,
    opening,
    secret,
)
from tests.e2e.objects import Objects
from tests.manifests.rendered import DEPLOY, ENVIRONMENTS, built, of_kind

# Kinds of Kubernetes' own that a policy is about.
_KINDS = ("ConfigMap", "Deployment", "Ingress", "Job", "StatefulSet")
_TO_TASKS = "leads to the API of tasks, which is served inside the cluster alone. Remove the path."
_PUBLIC = "Give it auth-type oidc and auth-idp-oidc, and let nobody pass without."


@pytest.mark.parametrize("environment", ENVIRONMENTS)
@pytest.mark.parametrize(
    "text",
    [
        pytest.param("https://bob:hunter2@git.example.com/dags.git", id="git"),
        pytest.param("url = postgresql+psycopg://a:b@db:5432/airflow", id="database"),
        pytest.param("redis://:pw@redis:6379/0", id="password without a user"),
        pytest.param("first: line\nbroker: amqp://me:pw@host/\nlast: line", id="in many lines"),
    ],
)
def test_a_credential_in_a_config_map_is_refused(in_force, environments, environment, text):
    refused = in_force.refusal(config_map(environments[environment], text))

    assert "A ConfigMap holds a user and a password in a URL." in refused


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("https://git.example.com:8443/dags.git", id="port"),
        pytest.param("ssh://git@git.example.com/dags.git", id="user alone"),
        pytest.param("git@git.example.com:team/dags.git", id="without a scheme"),
        pytest.param("http://a.example.com:80/x http://me@b.example.com", id="two URLs"),
    ],
)
def test_a_url_without_a_password_is_admitted(in_force, text):
    assert in_force.refusal(config_map("airflow-prod", text)) == ""


def test_a_namespace_of_others_is_left_alone(in_force):
    text = "https://bob:hunter2@git.example.com/dags.git"

    assert in_force.refusal(config_map("oa-e2e-other", text)) == ""


@pytest.mark.parametrize(
    ("namespace", "group"),
    [
        ("airflow-dev", "prod"),
        ("airflow-preview", "prod"),
        ("airflow-prod", "dev"),
        ("oa-e2e-other", "prod"),
        ("oa-e2e-other", "other"),
    ],
)
def test_a_namespace_may_not_join_the_load_balancer_of_another(in_force, namespace, group):
    refused = in_force.refusal(ingress_of_group(namespace, group))

    assert f"namespace {namespace} may not join the group onchain-agg.{group}" in refused


@pytest.mark.parametrize(
    ("namespace", "group"), [("airflow-dev", "dev"), ("airflow-preview", "preview")]
)
def test_a_namespace_may_join_its_own(in_force, namespace, group):
    assert in_force.refusal(ingress_of_group(namespace, group)) == ""


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_the_policies_admit_what_they_are_about_in_an_environment(in_force, name):
    manifests = of_kind(built(f"overlays/{name}"), *_KINDS)

    assert {one["kind"] for one in manifests} == set(_KINDS)
    assert [reason for one in manifests if (reason := in_force.refusal(one))] == []


def test_the_policies_admit_the_ingress_of_grafana(in_force, monitoring):
    (ingress,) = of_kind(built("overlays/prod/grafana"), "Ingress")

    assert ingress["metadata"]["namespace"] == monitoring
    assert in_force.refusal(ingress) == ""


@pytest.mark.parametrize(
    ("path", "service", "annotations"),
    [
        pytest.param("/execution", "airflow-api-server", {}, id="path"),
        pytest.param("/execution/", "example", LOGIN, id="with a login"),
        pytest.param("/", "airflow-execution-api", LOGIN, id="service"),
        pytest.param(
            "/x", "x", {f"{ALB}/actions.x": '{"serviceName": "airflow-execution-api"}'}, id="action"
        ),
    ],
)
def test_an_ingress_to_the_api_of_tasks_is_refused(in_force, path, service, annotations):
    refused = in_force.refusal(opening("airflow-prod", path, service, annotations))

    assert f"Ingress example {_TO_TASKS}" in refused


@pytest.mark.parametrize(
    ("action", "admitted"),
    [
        ({"x": '{"type": "fixed-response"}'}, True),
        ({"x": '{"type": "redirect"}'}, False),
        ({"other": '{"type": "fixed-response"}'}, False),
    ],
)
def test_the_load_balancer_itself_may_answer_for_the_api_of_tasks(in_force, action, admitted):
    annotations = {f"{ALB}/actions.{name}": text for name, text in action.items()}
    by_annotation = {"name": "use-annotation"}

    refused = in_force.refusal(
        opening("airflow-prod", "/execution", "x", annotations, by_annotation)
    )

    assert (refused == "") is admitted
    assert admitted or _TO_TASKS in refused


@pytest.mark.parametrize(
    ("path", "service", "annotations"),
    [
        pytest.param("/flower", "flower", {}, id="Flower"),
        pytest.param("/", "kube-prometheus-stack-grafana", {}, id="Grafana"),
        pytest.param("/", "kube-prometheus-stack-prometheus", {}, id="Prometheus"),
        pytest.param("/flower", "example", {}, id="path"),
        pytest.param("/", "flower", {**LOGIN, f"{ALB}/auth-type": "none"}, id="no login"),
        pytest.param("/", "flower", {f"{ALB}/auth-type": "oidc"}, id="no provider"),
        pytest.param(
            "/",
            "flower",
            {**LOGIN, f"{ALB}/auth-on-unauthenticated-request": "allow"},
            id="allow",
        ),
        pytest.param("/", "x", {f"{ALB}/actions.x": '{"serviceName": "flower"}'}, id="action"),
    ],
)
def test_an_ingress_without_a_login_is_refused(in_force, monitoring, path, service, annotations):
    for namespace in ("airflow-dev", monitoring):
        refused = in_force.refusal(opening(namespace, path, service, annotations))

        assert "Ingress example leads to what has no login of its own" in refused
        assert _PUBLIC in refused
        with_login = opening(namespace, path, service, {**annotations, **LOGIN})
        allowed = annotations.get(f"{ALB}/auth-on-unauthenticated-request") == "allow"
        assert (in_force.refusal(with_login) == "") is not allowed


def test_the_ingress_of_flower_is_admitted_as_it_stands(in_force):
    ingress = yaml.safe_load((DEPLOY / "components/flower/ingress.yaml").read_text())
    ingress["metadata"]["namespace"] = "airflow-prod"
    ingress["metadata"]["annotations"][f"{ALB}/group.name"] = "onchain-agg.prod"

    assert in_force.refusal(ingress) == ""


def test_flower_by_a_default_backend_is_refused(in_force):
    ingress = ingress_of_group("airflow-prod", "prod")
    ingress["spec"]["defaultBackend"]["service"]["name"] = "flower"

    assert _PUBLIC in in_force.refusal(ingress)


def test_a_secret_comes_from_external_secrets_alone(in_force, local_plane):
    writer = Objects(
        local_plane.as_user(
            "system:serviceaccount:external-secrets:external-secrets", "system:masters"
        )
    )
    reason = (
        "does not come from External Secrets. Write its value into the store, and an ExternalSecret"
        " here."
    )

    assert f"Secret example {reason}" in in_force.refusal(secret("word"))
    writer.apply(secret("word", "written"))
    assert f"Secret written {reason}" in in_force.refusal(secret("other", "written"))
    labelled = secret("word", "written")
    labelled["metadata"]["labels"] = {"seen": "yes"}
    assert in_force.refusal(labelled) == ""


def test_pods_and_ingresses_of_others_are_left_alone(in_force):
    other = "oa-e2e-other"
    pod = deployment(other, image="web:latest", grace=600, group=SPOT[0], args=["x://a:b@c"])

    assert in_force.refusal(pod) == ""
    assert in_force.refusal(opening(other, "/execution", "flower")) == ""
