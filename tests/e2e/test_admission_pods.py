"""What the cluster itself refuses of a pod: its own policies, and Kubernetes' rules for pods."""

import pytest

from tests.e2e.admission import DIGEST, SPOT, deployment, digested, of_template, pod_of, task_pod
from tests.manifests.rendered import ENVIRONMENTS, built, named, pod_templates, pods


@pytest.mark.parametrize(
    "container",
    [
        pytest.param({"args": ["--repo=https://bob:hunter2@git.example.com/dags.git"]}, id="args"),
        pytest.param({"command": ["psql", "postgresql://a:b@db:5432/airflow"]}, id="command"),
        pytest.param({"env": [{"name": "BROKER", "value": "redis://:pw@redis:6379/0"}]}, id="env"),
        pytest.param(
            {"args": ["sh", "-c", "cp http://$(U):$(P)@good http://me:$(P)x@bad"]}, id="second"
        ),
    ],
)
def test_a_credential_in_what_a_container_is_told_is_refused(in_force, furnished, container):
    reason = (
        "is told a user and a password in a URL, in its arguments or variables."
        " Put them into the store of secrets."
    )

    assert f"container web {reason}" in in_force.refusal(deployment("airflow-dev", **container))
    for place in ("initContainers", "containers"):
        pod = of_template(furnished["dev"])
        told = pod["spec"][place][0]
        told |= container
        assert f"container {told['name']} {reason}" in in_force.refusal(pod)


def test_a_url_whose_password_is_a_variable_is_admitted(in_force):
    told = ["postgresql://$(USER):$(PASSWORD)@db/x", "https://${U}:${P}@h/", "ssh://git@h:22/x"]

    assert in_force.refusal(deployment("airflow-dev", args=told)) == ""


@pytest.mark.parametrize(
    "image",
    [
        "registry.k8s.io/git-sync/git-sync:v4.7.1",
        "onchain-agg",
        "example.com:5000/web:latest",
        f"web:latest{DIGEST}",
        "web@sha256:abc",
    ],
)
def test_an_image_that_may_be_another_tomorrow_is_refused(in_force, furnished, image):
    reason = (
        f"image {image} may be another one tomorrow. Name it by its digest, and not as latest:"
        " deploy/image/pin-git-sync.sh does so for git-sync, the workflow image for ours."
    )
    pod = of_template(furnished["prod"])
    pod["spec"]["initContainers"][0]["image"] = image

    assert reason in in_force.refusal(pod)
    assert reason in in_force.refusal(deployment("airflow-prod", image=image))


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_no_pod_runs_while_its_digest_is_still_to_come(in_force, furnished, name):
    waiting = [one for one in pods(built(f"overlays/{name}")) if one.name == "worker-default"]
    templates = [task_pod(name, one, "0") for one in pod_templates()]
    workers = [pod_of(one.name, furnished[name], {}, digested(one.spec, "0")) for one in waiting]

    assert len(templates) == 4
    assert len(workers) == 1
    for pod in (*templates, *workers):
        refused = in_force.refusal(pod)
        assert (
            "has zeros where its digest is still to come: deploy/image/pin-git-sync.sh" in refused
        )
        assert f"registry.k8s.io/git-sync/git-sync:v4.7.1@sha256:{'0' * 64}" in refused
        assert f"/onchain-agg@sha256:{'0' * 64}" in refused


def test_a_template_whose_image_airflow_did_not_replace_is_refused(in_force, furnished):
    (small,) = [one for one in pod_templates() if one["metadata"]["name"] == "onchain-agg-small"]
    pod = pod_of("example", furnished["prod"], {}, digested(small["spec"], "a"))

    image = small["spec"]["containers"][0]["image"]
    assert f"image {image} may be another one tomorrow." in in_force.refusal(pod)


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_the_server_makes_the_pod_of_every_workload(in_force, furnished, objects, name):
    manifests = built(f"overlays/{name}")
    refused = {}
    for pod in pods(manifests):
        spec = digested(pod.spec, "a")
        made = pod_of(f"{pod.kind}-{pod.name}".lower(), furnished[name], pod.labels, spec)
        if pod.kind == "StatefulSet":
            made["spec"] = _with_claims(spec, named(manifests, "StatefulSet", pod.name))
        refused |= _refused(objects, made)

    assert refused == {}


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_the_server_makes_the_pod_of_every_template(in_force, furnished, objects, name):
    refused = {}
    for template in pod_templates():
        refused |= _refused(objects, task_pod(name, template, "a"))

    assert len(pod_templates()) == 4
    assert refused == {}


@pytest.mark.parametrize("group", SPOT)
def test_a_pod_that_outlives_its_spot_node_is_refused(in_force, furnished, group):
    reason = (
        "terminationGracePeriodSeconds of 101 is longer than a spot node gives. Ask for 100 at"
        " most, or select a node group that is on demand."
    )
    pod = of_template(furnished["prod"])
    spec = pod["spec"]
    spec |= {"nodeSelector": {"onchain-agg/node-group": group}}
    spec["terminationGracePeriodSeconds"] = 101
    assert reason in in_force.refusal(pod)
    assert reason in in_force.refusal(deployment("airflow-prod", grace=101, group=group))
    assert in_force.refusal(deployment("airflow-prod", grace=100, group=group)) == ""
    # It selects none and may run on any that it tolerates.
    spec["nodeSelector"] = {}
    taint = {"key": "onchain-agg/node-group", "value": group, "effect": "NoSchedule"}
    for tolerated in (taint, {"key": taint["key"], "operator": "Exists"}, {"operator": "Exists"}):
        spec["tolerations"] = [tolerated]
        assert reason in in_force.refusal(pod)
    for elsewhere in ("core", "on-demand"):
        spec["nodeSelector"] = {"onchain-agg/node-group": elsewhere}
        assert in_force.refusal(pod) == ""


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
    pod = of_template(furnished[environment])
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
    pod = of_template(furnished["prod"])
    pod["spec"]["volumes"] = [*pod["spec"]["volumes"], *change.pop("volumes", [])]

    assert reason in objects.refusal({**pod, "spec": {**pod["spec"], **change}})


def _with_claims(spec, stateful_set):
    """Return the pod's *spec* with the volumes that the controller would add."""
    claims = [
        {"name": one["metadata"]["name"], "persistentVolumeClaim": {"claimName": "example"}}
        for one in stateful_set["spec"].get("volumeClaimTemplates", [])
    ]
    return {**spec, "volumes": [*spec.get("volumes", []), *claims]}


def _refused(objects, pod):
    """Return the server's reason by its name where it refuses or warns."""
    reason = objects.refusal(pod) or objects.apply(pod, dry_run=True).warnings
    return {pod["metadata"]["name"]: reason} if reason else {}
