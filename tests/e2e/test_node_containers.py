"""What a container on the node of these tests gets: variables, volumes, its user, its image."""

import base64
import json

import pytest

from tests.e2e.node import node
from tests.e2e.node_environment import expanded
from tests.e2e.node_pods import Pods, conditions, container, end_of, pod

_NAMESPACE = "metadata.namespace"
_RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


@pytest.fixture(scope="module")
def small_node(local_plane, tmp_path_factory):
    home = tmp_path_factory.mktemp("containers")
    with node(local_plane, home, "oa-contents") as started:
        yield started


@pytest.fixture(scope="module")
def pods(small_node, local_plane, new_namespace):
    found = Pods(local_plane.api(), new_namespace("containers"))
    _make(found, "config", {"colour": "blue", "file.txt": "text"})
    secret = {"metadata": {"name": "secret"}, "stringData": {"password": "hidden"}}
    found.core.create_namespaced_secret(found.namespace, secret)
    return found


def _make(pods, name, data):
    body = {"metadata": {"name": name}, "data": data}
    pods.core.create_namespaced_config_map(pods.namespace, body)


def _printed(pods, name, script, **spec):
    """Return what a pod printed that ran the lines of *script*."""
    base = {key: spec.pop(key) for key in ("env", "envFrom", "volumeMounts") if key in spec}
    own = container("base", *script, **base)
    own["securityContext"] = spec.pop("rights", {})
    ended = pods.run(pod(name, containers=[own], **spec))
    printed = pods.log(name)
    assert ended.status.phase == "Succeeded", printed
    return printed


def test_variables_come_from_values_objects_and_fields(pods):
    env = [
        {"name": "PLAIN", "value": "1"},
        {"name": "JOINED", "value": "$(PLAIN)-$(COLOUR)-$(UNKNOWN)-$$(PLAIN)"},
        {
            "name": "COLOUR",
            "valueFrom": {"configMapKeyRef": {"name": "config", "key": "colour"}},
        },
        {
            "name": "PASSWORD",
            "valueFrom": {"secretKeyRef": {"name": "secret", "key": "password"}},
        },
        {
            "name": "LACKS",
            "valueFrom": {"configMapKeyRef": {"name": "none", "key": "k", "optional": True}},
        },
        *(
            {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}
            for name, path in (
                ("POD", "metadata.name"),
                ("NODE", "spec.nodeName"),
                ("IP", "status.podIP"),
            )
        ),
    ]
    script = ("echo $PLAIN; echo $JOINED; echo $COLOUR $PASSWORD ${LACKS-unset} $POD $NODE $IP",)

    printed = _printed(pods, "variables", script, env=env).splitlines()

    # What comes later is not known yet.
    assert printed[:2] == ["1", "1-$(COLOUR)-$(UNKNOWN)-$(PLAIN)"]
    assert printed[2] == "blue hidden unset variables oa-contents 127.0.0.1"


def test_whole_objects_become_variables_and_a_variable_of_its_own_wins(pods):
    _make(pods, "whole", {"ONE": "1", "TWO": "2"})
    sources = [
        {"configMapRef": {"name": "whole"}},
        {"secretRef": {"name": "secret"}, "prefix": "THE_"},
        {"secretRef": {"name": "none", "optional": True}},
    ]

    printed = _printed(
        pods,
        "whole-objects",
        ("echo $ONE $TWO $THE_password",),
        envFrom=sources,
        env=[{"name": "TWO", "value": "own"}],
    )

    assert printed == "1 own hidden\n"


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("$(A)$(A)", "11"),
        ("$(B)", "$(B)"),
        ("$$(A)", "$(A)"),
        ("$A $", "$A $"),
        ("$$$(A)", "$1"),
    ],
)
def test_references_are_replaced_as_kubernetes_says(text, result):
    assert expanded(text, {"A": "1"}) == result


def test_a_container_waits_for_a_config_map_and_starts_once_it_is_there(pods):
    source = [{"configMapRef": {"name": "later"}}]
    body = pod("waits", containers=[container("base", "echo $K", envFrom=source)])
    pods.create(body)
    waiting = pods.when("waits", lambda one: _waits_for(one) == "CreateContainerConfigError")
    (base,) = waiting.status.container_statuses
    assert base.state.waiting.message == 'configmap "later" not found'
    assert (waiting.status.phase, conditions(waiting)["Ready"][0]) == ("Pending", "False")

    _make(pods, "later", {"K": "here"})

    assert pods.ended("waits").status.phase == "Succeeded"
    assert pods.log("waits") == "here\n"


def test_an_image_that_cannot_be_pulled_keeps_the_pod_pending(pods):
    own = {**container("base", "true"), "image": "registry.invalid/none:1"}
    pods.create(pod("unpulled", containers=[own]))

    waiting = pods.when("unpulled", lambda one: _waits_for(one) == "ErrImagePull")

    assert waiting.status.phase == "Pending"
    pods.delete("unpulled")


def test_a_mount_that_cannot_be_made_keeps_the_pod_pending(pods):
    mounts = [{"name": "v", "mountPath": "/usr/none/such"}]
    own = container("base", "true", volumeMounts=mounts)
    pods.create(pod("unmade", containers=[own], volumes=[{"name": "v", "emptyDir": {}}]))

    waiting = pods.when("unmade", lambda one: _waits_for(one) == "CreateContainerError")

    assert waiting.status.phase == "Pending"
    pods.delete("unmade")


def test_a_command_that_is_not_there_fails_the_pod(pods):
    own = {**container("base"), "command": ["/no/such"], "args": []}

    ended = pods.run(pod("unstarted", containers=[own]))

    assert (ended.status.phase, end_of(ended)) == ("Failed", (128, "StartError"))


def test_volumes_are_mounted_at_their_paths(pods, small_node):
    claim = small_node.claims / pods.namespace / "kept"
    claim.mkdir(parents=True)
    body = {
        "metadata": {"name": "kept"},
        "spec": {
            "accessModes": ["ReadWriteMany"],
            "resources": {"requests": {"storage": "1Gi"}},
        },
    }
    pods.core.create_namespaced_persistent_volume_claim(pods.namespace, body)
    volumes = [
        {"name": "tmp", "emptyDir": {}},
        {"name": "config", "configMap": {"name": "config"}},
        {"name": "secret", "secret": {"secretName": "secret", "defaultMode": 0o440}},
        {"name": "kept", "persistentVolumeClaim": {"claimName": "kept"}},
        {"name": "optional", "secret": {"secretName": "none", "optional": True}},
    ]
    mounts = [
        {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - the container's
        {"name": "tmp", "mountPath": "/scratch", "subPath": "below"},
        {"name": "config", "mountPath": "/etc/config", "readOnly": True},
        {"name": "secret", "mountPath": "/etc/secret", "readOnly": True},
        {"name": "kept", "mountPath": "/opt/airflow/logs"},
        {"name": "optional", "mountPath": "/etc/optional"},
    ]
    script = (
        "cat /etc/config/colour /etc/config/file.txt; echo",
        "stat -c '%a %g' /etc/secret/password; cat /etc/secret/password; echo",
        "echo kept > /opt/airflow/logs/file; echo scratch > /scratch/file; cat /tmp/below/file",
        "ls /etc/optional | wc -l; touch /etc/config/new || echo read-only",
    )

    printed = _printed(
        pods,
        "volumes",
        script,
        volumes=volumes,
        volumeMounts=mounts,
        rights=_RESTRICTED,
        securityContext={"fsGroup": 0},
    )

    lines = printed.splitlines()
    assert [line for line in lines if "touch" not in line] == [
        "bluetext",
        "440 0",
        "hidden",
        "scratch",
        "0",
        "read-only",
    ]
    assert (claim / "file").read_text() == "kept\n"


def test_a_projected_volume_holds_a_token_of_the_service_account(pods):
    sources = [
        {"serviceAccountToken": {"path": "token", "expirationSeconds": 600}},
        {"configMap": {"name": "kube-root-ca.crt"}},
        {"downwardAPI": {"items": [{"path": "ns", "fieldRef": {"fieldPath": _NAMESPACE}}]}},
    ]
    printed = _printed(
        pods,
        "projected",
        ("cut -d. -f2 /projected/token; cat /projected/ns; echo; head -1 /projected/ca.crt",),
        volumes=[{"name": "v", "projected": {"sources": sources}}],
        volumeMounts=[{"name": "v", "mountPath": "/projected"}],
    )

    claims, namespace, certificate = printed.splitlines()
    told = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
    assert told["sub"] == f"system:serviceaccount:{pods.namespace}:default"
    assert (namespace, certificate) == (pods.namespace, "-----BEGIN CERTIFICATE-----")


def test_a_container_has_the_rights_that_its_pod_gives_it(pods):
    script = (
        "id -u; id -g; grep -E 'CapBnd|NoNewPrivs' /proc/self/status",
        "for path in / /opt/airflow /usr /work; do",
        "  touch $path/new 2>/dev/null && echo wrote $path",
        "done",
        "ls /proc | grep -c '^[0-9]'; hostname",
    )

    printed = _printed(
        pods,
        "rights",
        script,
        rights=_RESTRICTED,
        securityContext={"runAsUser": 65533, "runAsGroup": 0, "runAsNonRoot": True},
    )

    lines = printed.split()
    assert lines[:6] == ["65533", "0", "CapBnd:", "0000000000000000", "NoNewPrivs:", "1"]
    assert "wrote" not in lines
    # The first process, bash, and the two of the pipe: no other process of the machine is seen.
    assert lines[-2:] == ["4", "rights"]


def test_root_is_refused_where_a_pod_must_not_run_as_root(pods):
    context = {"runAsUser": 0, "runAsNonRoot": True}
    pods.create(pod("root", "true", securityContext=context))

    waiting = pods.when("root", lambda one: _waits_for(one) == "CreateContainerConfigError")

    (base,) = waiting.status.container_statuses
    assert base.state.waiting.message == "container has runAsNonRoot and image will run as root"
    pods.delete("root")


def test_the_project_runs_in_a_container_of_its_image(pods):
    ended = pods.run(pod("package", "onchain-agg --help"))

    assert end_of(ended) == (0, "Completed")
    assert "Usage: onchain-agg" in pods.log("package")


def _waits_for(one):
    (base,) = one.status.container_statuses or [None]
    waiting = base and base.state.waiting
    return waiting and waiting.reason
