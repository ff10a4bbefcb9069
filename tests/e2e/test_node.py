"""The node of these tests does to a pod what a kubelet does, on the real API server."""

import time

import pytest

from tests.e2e.node import node
from tests.e2e.node_lifecycle import lost_nodes, node_lifecycle, wait_until_lost
from tests.e2e.node_pods import Pods, conditions, container, end_of, pod

# Prints a line once it listens to SIGTERM, and waits.
_UNTIL_TERM = ("trap 'echo term; exit 0' TERM", "echo ready", "while :; do sleep 0.05; done")
_DEAF = ("trap 'echo term' TERM", "echo ready", "while :; do sleep 0.05; done")
_COMPLETED = ("False", "PodCompleted")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("node")


@pytest.fixture(scope="module")
def small_node(local_plane, home):
    with node(local_plane, home / "small", "oa-small") as started:
        yield started


@pytest.fixture(scope="module")
def pods(small_node, local_plane, new_namespace):
    return Pods(local_plane.api(), new_namespace("node"))


def test_a_pod_that_runs_to_its_end_succeeds_with_a_kubelets_status(pods, small_node):
    ended = pods.run(pod("completes", "echo done; id -u; pwd"))

    status = ended.status
    assert (status.phase, end_of(ended)) == ("Succeeded", (0, "Completed"))
    assert ended.spec.node_name == small_node.name
    assert (status.pod_ip, status.qos_class) == ("127.0.0.1", "BestEffort")
    assert conditions(ended) == {
        "PodScheduled": ("True", None),
        "PodReadyToStartContainers": ("True", None),
        "Initialized": ("True", None),
        "Ready": _COMPLETED,
        "ContainersReady": _COMPLETED,
    }
    (base,) = status.container_statuses
    assert (base.name, base.ready, base.restart_count) == ("base", False, 0)
    ran = base.state.terminated
    assert status.start_time <= ran.started_at <= ran.finished_at
    assert ran.container_id == f"process://{ended.metadata.uid}/base"
    assert pods.log("completes") == "done\n50000\n/opt/airflow\n"


def test_a_running_pod_is_ready_and_its_log_can_be_read(pods):
    pods.create(pod("runs", *_UNTIL_TERM))

    running = pods.started("runs")

    assert conditions(running)["Ready"] == ("True", None)
    (base,) = running.status.container_statuses
    assert (base.ready, base.started, base.state.running is not None) == (True, True, True)
    assert pods.log("runs") == "ready\n"
    pods.delete("runs")


@pytest.mark.parametrize(
    ("script", "code"),
    [
        pytest.param("exit 3", 3, id="exit code"),
        pytest.param("kill -SEGV $BASHPID", 139, id="signal"),
    ],
)
def test_an_exit_code_fails_the_pod(pods, script, code):
    ended = pods.run(pod(f"fails-{code}", script))

    assert (ended.status.phase, end_of(ended)) == ("Failed", (code, "Error"))
    assert conditions(ended)["Ready"] == ("False", "PodFailed")


def test_a_container_beyond_its_memory_is_killed(pods):
    hungry = container("base", resources={"limits": {"memory": "100Mi"}})
    # It must still hold the memory when that is looked at.
    script = "import time; kept = b'x' * (200 * 2**20); time.sleep(60)"
    hungry["args"] = ["python", "-c", script]

    ended = pods.run(pod("hungry", containers=[hungry]))

    assert (ended.status.phase, end_of(ended)) == ("Failed", (137, "OOMKilled"))


def test_sigterm_lets_a_container_end_within_its_grace(pods):
    pods.create(pod("polite", *_UNTIL_TERM))
    pods.started("polite")

    last = pods.delete("polite", grace_s=20)

    assert (last.status.phase, end_of(last)) == ("Succeeded", (0, "Completed"))


def test_a_child_that_has_no_handler_ends_by_sigterm_with_143(pods):
    sleeper = {**container("base"), "args": ["bash", "-c", "echo ready; exec sleep 60"]}
    pods.create(pod("sleeps", containers=[sleeper]))
    pods.started("sleeps")

    last = pods.delete("sleeps", grace_s=20)

    assert (last.status.phase, end_of(last)) == ("Failed", (143, "Error"))


def test_a_first_process_without_a_handler_does_not_feel_sigterm(pods):
    # As in every container: the kernel keeps it from the first process of a PID namespace.
    own = {**container("base"), "command": ["sh", "-c", "echo ready; exec sleep 60"], "args": []}
    pods.create(pod("first", containers=[own]))
    pods.started("first")
    begin = time.monotonic()

    last = pods.delete("first", grace_s=2)

    assert end_of(last) == (137, "Error")
    assert time.monotonic() - begin >= 2


def test_sigkill_comes_after_the_grace(pods):
    pods.create(pod("deaf", *_DEAF))
    pods.started("deaf")
    begin = time.monotonic()

    last = pods.delete("deaf", grace_s=2)

    assert (last.status.phase, end_of(last)) == ("Failed", (137, "Error"))
    assert 2 <= time.monotonic() - begin < 10


def test_a_shorter_grace_overtakes_a_longer_one(pods):
    pods.create(pod("impatient", *_DEAF))
    pods.started("impatient")
    begin = time.monotonic()
    pods.core.delete_namespaced_pod("impatient", pods.namespace, grace_period_seconds=60)

    last = pods.delete("impatient", grace_s=1)

    assert end_of(last) == (137, "Error")
    assert time.monotonic() - begin < 10


@pytest.mark.parametrize(
    ("setsid", "heard"),
    [pytest.param("0", ["parent"], id="alone"), pytest.param("1", ["child", "parent"], id="group")],
)
def test_the_image_hands_sigterm_to_whom_dumb_init_would(pods, small_node, setsid, heard):
    script = (
        "(trap 'echo child' TERM; for i in {1..60}; do sleep 0.05; done) &",
        "trap 'echo parent; wait; exit 0' TERM",
        "echo ready; wait",
    )
    asked = [{"name": "DUMB_INIT_SETSID", "value": setsid}]
    name = f"signals-{setsid}"
    pods.create(pod(name, containers=[container("base", *script, env=asked)]))
    pods.started(name)

    last = pods.delete(name, grace_s=20)

    folder = f"{pods.namespace}_{name}_{last.metadata.uid}"
    printed = (small_node.home / "logs" / folder / "base.log").read_text().split()
    # Bash tells of a child that a signal ended, too.
    assert sorted(set(printed) & {"child", "parent", "ready"}) == [*heard, "ready"]


def test_eviction_ends_a_pod_as_deletion_does(pods):
    pods.create(pod("evicted", *_UNTIL_TERM))
    pods.started("evicted")
    meta = {"name": "evicted", "namespace": pods.namespace}

    last = pods.gone(
        "evicted",
        lambda: pods.core.create_namespaced_pod_eviction(
            "evicted", pods.namespace, {"metadata": meta}
        ),
    )

    assert end_of(last) == (0, "Completed")
    assert conditions(last)["DisruptionTarget"] == ("True", "EvictionByEvictionAPI")


def test_a_pod_beyond_its_deadline_fails(pods):
    ended = pods.run(pod("late", *_UNTIL_TERM, activeDeadlineSeconds=2))

    assert (ended.status.phase, ended.status.reason) == ("Failed", "DeadlineExceeded")
    assert end_of(ended) == (0, "Completed")


def test_init_containers_run_in_order_before_the_others(pods):
    shared = {"volumeMounts": [{"name": "shared", "mountPath": "/shared"}]}
    ended = pods.run(
        pod(
            "ordered",
            volumes=[{"name": "shared", "emptyDir": {}}],
            initContainers=[
                container("first", "echo first >> /shared/order", **shared),
                container("second", "echo second >> /shared/order", **shared),
            ],
            containers=[container("base", "cat /shared/order", **shared)],
        )
    )

    assert ended.status.phase == "Succeeded"
    assert pods.log("ordered") == "first\nsecond\n"
    assert [one.ready for one in ended.status.init_container_statuses] == [True, True]


def test_an_init_container_that_fails_keeps_the_others_from_running(pods):
    inits = [container("broken", "exit 4"), container("never", "true")]

    ended = pods.run(pod("uninitialized", "true", initContainers=inits))

    broken, never = ended.status.init_container_statuses
    (base,) = ended.status.container_statuses
    assert ended.status.phase == "Failed"
    assert broken.state.terminated.exit_code == 4
    assert never.state.waiting.reason == base.state.waiting.reason == "PodInitializing"
    assert conditions(ended)["Initialized"] == ("False", "ContainersNotInitialized")


def test_a_pending_pod_is_gone_as_soon_as_it_is_deleted(pods):
    pods.create(pod("nowhere", "true", nodeSelector={"no-such": "label"}))

    pods.delete("nowhere")

    assert pods.read("nowhere") is None


def test_deletion_while_a_pod_waits_for_its_volume_ends_it(pods):
    volume = {"name": "v", "configMap": {"name": "none-such"}}
    pods.create(pod("unmounted", "true", volumes=[volume]))
    pods.when("unmounted", lambda one: "none-such" in _message(one))

    last = pods.delete("unmounted", grace_s=20)

    assert (last.status.phase, end_of(last)) == ("Failed", (137, "ContainerStatusUnknown"))


def test_the_end_of_a_pod_is_reported_after_the_api_server_was_away(pods, local_plane):
    pods.create(pod("outlives", "echo ready; sleep 1; exit 5"))
    pods.started("outlives")

    local_plane.restart()

    assert end_of(pods.ended("outlives")) == (5, "Error")
    # The watch goes on too.
    assert pods.run(pod("after", "true")).status.phase == "Succeeded"


@pytest.mark.parametrize("outcome", ["failed", "collected"])
def test_the_pods_of_a_killed_node_end_with_it(local_plane, home, pods, outcome):
    name = f"oa-lost-{outcome}"
    api = local_plane.api()
    quick = {"group": "spot-cpu", "heartbeat": 0.2}
    with node(local_plane, home / outcome, name, **quick) as victim:
        pods.create(pod(name, *_UNTIL_TERM, group="spot-cpu"))
        pods.started(name)
        victim.kill()

        wait_until_lost(api, name)

        assert pods.read(name).status.phase == "Running"
        assert node_lifecycle(api, outcome) == {name: [name]}
        left = pods.read(name)
        if outcome == "collected":
            assert left is None
        else:
            assert (left.status.phase, left.status.reason) == ("Failed", "NodeLost")
        assert lost_nodes(api) == ([] if outcome == "collected" else [name])


def test_a_node_that_comes_back_ends_the_pods_that_died_with_it(local_plane, home, pods):
    with node(local_plane, home / "back", "oa-back", group="spot-cpu") as victim:
        pods.create(pod("once", *_UNTIL_TERM, group="spot-cpu"))
        pods.started("once")
        victim.kill()

        victim.start()

        assert end_of(pods.ended("once")) == (137, "ContainerStatusUnknown")


def _message(one):
    (base,) = one.status.container_statuses or [None]
    return (base and base.state.waiting and base.state.waiting.message) or ""
