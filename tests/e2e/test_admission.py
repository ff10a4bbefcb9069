"""What the cluster itself refuses: its own policies, and Kubernetes' rules for pods."""

import copy
import time

import pytest

from tests.manifests.rendered import ENVIRONMENTS, built, named, of_kind, pod_templates, pods

# What a pod needs to be admitted, beside the rules for pods.
_AROUND = ("ServiceAccount", "LimitRange", "ResourceQuota")


@pytest.fixture(scope="module")
def in_force(policies, environments, local_plane, objects):
    """Return the server once its policies refuse; it loads them a moment after they are made."""
    local_plane.namespace("oa-e2e-other", {"pod-security.kubernetes.io/enforce": "baseline"})
    deadline = time.monotonic() + 30
    last = [_config_map("airflow-prod", "https://a:b@example.com"), _ingress("airflow-prod", "x")]
    while not all(objects.refusal(one) for one in last):
        assert time.monotonic() < deadline, "the policies are not in force"
        time.sleep(0.2)
    return objects


@pytest.fixture(scope="module")
def furnished(environments, objects):
    """Put accounts, default resources and quotas into the namespace of each environment."""
    for name in ENVIRONMENTS:
        for one in of_kind(built(f"overlays/{name}"), *_AROUND):
            objects.apply(one)
    return environments


def _config_map(namespace, text):
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "example", "namespace": namespace},
        "data": {"text": text},
    }


def _ingress(namespace, environment):
    group = {"alb.ingress.kubernetes.io/group.name": f"onchain-agg.{environment}"}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"name": "example", "namespace": namespace, "annotations": group},
        "spec": {
            "defaultBackend": {"service": {"name": "example", "port": {"number": 80}}},
        },
    }


def test_these_are_the_policies(policies):
    assert policies == ["onchain-agg-ingress-group", "onchain-agg-no-credentials"]


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
    refused = in_force.refusal(_config_map(environments[environment], text))

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
    assert in_force.refusal(_config_map("airflow-prod", text)) == ""


def test_a_namespace_of_others_is_left_alone(in_force):
    text = "https://bob:hunter2@git.example.com/dags.git"

    assert in_force.refusal(_config_map("oa-e2e-other", text)) == ""


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
    refused = in_force.refusal(_ingress(namespace, group))

    assert f"namespace {namespace} may not join the group onchain-agg.{group}" in refused


@pytest.mark.parametrize(
    ("namespace", "group"), [("airflow-dev", "dev"), ("airflow-preview", "preview")]
)
def test_a_namespace_may_join_its_own(in_force, namespace, group):
    assert in_force.refusal(_ingress(namespace, group)) == ""


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_the_policies_admit_what_they_are_about_in_an_environment(in_force, name):
    manifests = of_kind(built(f"overlays/{name}"), "ConfigMap", "Ingress")

    assert len(manifests) >= 8
    assert [reason for one in manifests if (reason := in_force.refusal(one))] == []


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_the_server_makes_the_pod_of_every_workload(furnished, objects, name):
    manifests = built(f"overlays/{name}")
    refused = {}
    for pod in pods(manifests):
        made = _pod(f"{pod.kind}-{pod.name}".lower(), furnished[name], pod.labels, pod.spec)
        if pod.kind == "StatefulSet":
            made["spec"] = _with_claims(pod.spec, named(manifests, "StatefulSet", pod.name))
        refused |= _refused(objects, made)

    assert refused == {}


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_the_server_makes_the_pod_of_every_template(furnished, objects, name):
    refused = {}
    for template in pod_templates():
        meta = template["metadata"]
        made = _pod(meta["name"], furnished[name], meta["labels"], template["spec"])
        refused |= _refused(objects, made)

    assert len(pod_templates()) == 4
    assert refused == {}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        pytest.param({"runAsUser": 0}, "runAsUser=0", id="user 0"),
        pytest.param({"runAsNonRoot": False}, "runAsNonRoot != true", id="may be root"),
        pytest.param(
            {"privileged": True, "allowPrivilegeEscalation": True},
            'container "base" must not set securityContext.privileged=true',
            id="privileged",
        ),
        pytest.param(
            {"allowPrivilegeEscalation": True}, "allowPrivilegeEscalation != false", id="setuid"
        ),
        pytest.param({"capabilities": {"drop": []}}, "unrestricted capabilities", id="kept rights"),
        pytest.param(
            {"capabilities": {"drop": ["ALL"], "add": ["SYS_ADMIN"]}},
            "unrestricted capabilities",
            id="added rights",
        ),
        pytest.param(
            {"seccompProfile": {"type": "Unconfined"}}, "seccompProfile", id="all system calls"
        ),
    ],
)
@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_a_container_with_more_rights_is_refused(furnished, objects, environment, change, reason):
    pod = _of_template(furnished[environment])
    pod["spec"]["containers"][0]["securityContext"] |= change

    refused = objects.refusal(pod)

    assert 'violates PodSecurity "restricted:latest": ' in refused
    assert reason in refused


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"hostNetwork": True}, "host namespaces (hostNetwork=true)"),
        ({"hostPID": True}, "host namespaces (hostPID=true)"),
        (
            {"volumes": [{"name": "root", "hostPath": {"path": "/"}}]},
            'restricted volume types (volume "root" uses restricted volume type "hostPath")',
        ),
    ],
)
def test_a_pod_that_reaches_its_node_is_refused(furnished, objects, change, reason):
    pod = _of_template(furnished["prod"])
    pod["spec"]["volumes"] = [*pod["spec"]["volumes"], *change.pop("volumes", [])]

    assert reason in objects.refusal({**pod, "spec": {**pod["spec"], **change}})


def _of_template(namespace):
    (template,) = [one for one in pod_templates() if one["metadata"]["name"] == "onchain-agg-small"]
    return _pod("example", namespace, {}, copy.deepcopy(template["spec"]))


def _pod(name, namespace, labels, spec):
    # A Deployment's pod restarts always, which is what a pod does that says nothing.
    meta = {"name": f"e2e-{name}", "namespace": namespace, "labels": labels}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}


def _with_claims(spec, stateful_set):
    """Return the pod's *spec* with the volumes that the controller would add."""
    claims = [
        {"name": one["metadata"]["name"], "persistentVolumeClaim": {"claimName": "example"}}
        for one in stateful_set["spec"].get("volumeClaimTemplates", [])
    ]
    return {**spec, "volumes": [*spec.get("volumes", []), *claims]}


def _refused(objects, pod):
    """Make *pod*; return the server's reason by its name where it refuses or warns."""
    reason = objects.refusal(pod) or objects.apply(pod).warnings
    return {pod["metadata"]["name"]: reason} if reason else {}
