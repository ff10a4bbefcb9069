"""The same node with real containers: podman's cgroup, seccomp profile, user and read-only root."""

import os
import shutil

import psutil
import pytest

from tests.e2e.node import node
from tests.e2e.node_pods import Pods, container, end_of, pod

pytestmark = [
    pytest.mark.skipif(
        shutil.which("podman") is None,
        reason="podman is not installed (Debian: apt-get install podman runc)",
    ),
    pytest.mark.skipif(os.geteuid() != 0, reason="podman runs the pods as their users for root"),
]

_RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("podman")


@pytest.fixture(scope="module")
def podman_node(local_plane, home):
    with node(local_plane, home, "oa-podman", runtime="podman") as started:
        yield started


@pytest.fixture(scope="module")
def pods(podman_node, local_plane, new_namespace):
    return Pods(local_plane.api(), new_namespace("podman"))


def test_a_container_has_its_user_its_mounts_and_no_rights(pods):
    script = (
        "id -u; id -g; pwd; hostname",
        "grep -E 'CapBnd|NoNewPrivs|Seccomp:' /proc/self/status | tr -s '\\t' ' '",
        "touch /new 2>/dev/null || echo 'the root is read-only'",
        "touch /opt/airflow/new 2>/dev/null || echo 'so is the home'",
        "echo scratch > /tmp/file && cat /tmp/file",
        "python -c 'import onchain_agg; print(onchain_agg.__name__)'",
    )
    mounts = [{"name": "tmp", "mountPath": "/tmp"}]  # noqa: S108 - the container's
    own = container("base", *script, volumeMounts=mounts, securityContext=_RESTRICTED)
    body = pod("restricted", containers=[own], volumes=[{"name": "tmp", "emptyDir": {}}])

    ended = pods.run(body)

    assert pods.log("restricted").splitlines() == [
        *("50000", "0", "/opt/airflow", "restricted"),
        *("CapBnd: 0000000000000000", "NoNewPrivs: 1", "Seccomp: 2"),
        *("the root is read-only", "so is the home", "scratch", "onchain_agg"),
    ]
    assert (ended.status.phase, end_of(ended)) == ("Succeeded", (0, "Completed"))


def test_sigterm_ends_a_container_within_its_grace_and_sigkill_after_it(pods):
    loop = "echo ready; while :; do sleep 0.05; done"
    pods.create(pod("polite", "trap 'exit 0' TERM", loop))
    pods.create(pod("deaf", "trap '' TERM", loop))
    pods.started("polite")
    pods.started("deaf")

    assert end_of(pods.delete("polite", grace_s=20)) == (0, "Completed")
    assert end_of(pods.delete("deaf", grace_s=1)) == (137, "Error")


@pytest.mark.parametrize(
    ("name", "fields", "end"),
    [
        pytest.param("code", {"args": ["bash", "-c", "exit 3"]}, (3, "Error"), id="exit code"),
        pytest.param("none", {"command": ["/no/such"]}, (128, "StartError"), id="no such command"),
        pytest.param(
            "hungry",
            {
                "args": ["python", "-c", "kept = b'x' * (200 * 2**20)"],
                "resources": {"limits": {"memory": "100Mi"}},
            },
            (137, "OOMKilled"),
            id="out of memory",
        ),
    ],
)
def test_a_container_that_fails_fails_its_pod(pods, name, fields, end):
    ended = pods.run(pod(name, containers=[{**container("base"), **fields}]))

    assert (ended.status.phase, end_of(ended)) == ("Failed", end)


def test_a_killed_node_takes_its_containers_along(local_plane, home, pods):
    # A command of its own, which no other process of the machine has.
    script = f"echo ready; while :; do sleep 0.05; done # of node {os.getpid()}"
    with node(local_plane, home / "lost", "oa-lost", group="spot-cpu", runtime="podman") as victim:
        pods.create(pod("lost", script, group="spot-cpu"))
        pods.started("lost")
        assert _running(script)

        victim.kill()

        pods.when("lost", lambda _: not _running(script))


def _running(script):
    """Return the ids of the processes that run bash with *script*."""
    found = psutil.process_iter(["cmdline"])
    return [one.pid for one in found if one.info["cmdline"] == ["/bin/bash", "-c", script]]
