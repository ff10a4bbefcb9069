"""The control plane itself is the one that the deployment names, and behaves as one."""

import re
from pathlib import Path

import pytest
import yaml

from tests.manifests.rendered import DEPLOY

_TOOLS = Path(__file__).parent / "tools"
_CLUSTER = yaml.safe_load((DEPLOY / "cluster/eksctl.yaml").read_text())["metadata"]["version"]


def test_what_is_built_is_the_version_of_the_cluster():
    (version,) = re.findall(r"^require k8s.io/kubernetes v(\S+)$", _go_mod(), re.MULTILINE)

    assert version.rpartition(".")[0] == _CLUSTER


def test_all_parts_of_kubernetes_are_of_one_version():
    (version,) = re.findall(r"^require k8s.io/kubernetes v1\.(\S+)$", _go_mod(), re.MULTILINE)
    replaced = re.findall(r"^replace (k8s.io/\S+) => (k8s.io/\S+) (\S+)$", _go_mod(), re.MULTILINE)

    assert len(replaced) > 20
    assert {(new, at) for _, new, at in replaced} == {
        (old, f"v0.{version}") for old, _, _ in replaced
    }


def test_the_server_says_its_version(local_plane, kube):
    answer = kube.VersionApi(local_plane.api()).get_code()

    assert f"{answer.major}.{answer.minor}" == _CLUSTER


def test_a_crash_of_the_server_loses_nothing(local_plane, kube, new_namespace):
    core = kube.CoreV1Api(local_plane.api())
    namespace = new_namespace("crash")
    core.create_namespaced_config_map(namespace, {"metadata": {"name": "kept"}, "data": {"a": "b"}})
    before = local_plane.pids

    local_plane.restart()

    assert core.read_namespaced_config_map("kept", namespace).data == {"a": "b"}
    assert local_plane.pids["kube-apiserver"] != before["kube-apiserver"]
    assert local_plane.pids["etcd"] == before["etcd"]


def test_a_namespace_has_what_pods_mount(plane, kube, new_namespace):
    core = kube.CoreV1Api(plane.api())
    namespace = new_namespace("furnished")

    assert [one.metadata.name for one in core.list_namespaced_service_account(namespace).items] == [
        "default"
    ]
    assert "ca.crt" in core.read_namespaced_config_map("kube-root-ca.crt", namespace).data


def test_a_pod_of_an_account_that_is_not_there_is_refused(plane, kube, new_namespace):
    core = kube.CoreV1Api(plane.api())
    namespace = new_namespace("accounts")
    pod = {
        "metadata": {"name": "lost"},
        "spec": {
            "serviceAccountName": "nobody",
            "containers": [{"name": "base", "image": "example/image:1"}],
        },
    }

    with pytest.raises(kube.ApiException) as refused:
        core.create_namespaced_pod(namespace, pod)

    assert refused.value.status == 403
    assert 'serviceaccount \\"nobody\\" not found' in refused.value.body


def test_a_client_can_be_another_user(plane, kube):
    client = plane.as_user("ada", group="auditors")

    myself = kube.AuthenticationV1Api(client).create_self_subject_review({}).status.user_info

    assert myself.username == "ada"
    assert set(myself.groups) == {"auditors", "system:authenticated"}


def _go_mod():
    return (_TOOLS / "go.mod").read_text()
