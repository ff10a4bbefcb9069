"""Which node a pod gets: by labels, taints and what is left, as the scheduler says it."""

import pytest

from tests.e2e.node import node
from tests.e2e.node_fit import asked, misfits, quantity
from tests.e2e.node_pods import Pods, conditions, container, pod

_NO_MATCH = "node(s) didn't match Pod's node affinity/selector"
_NODE = {
    "metadata": {"name": "n", "labels": {"size": "4", "zone": "a"}},
    "spec": {},
    "status": {"allocatable": {"cpu": "2", "memory": "4Gi", "pods": "2"}},
}


@pytest.fixture(scope="module")
def one_node(local_plane, tmp_path_factory):
    home = tmp_path_factory.mktemp("placement")
    with node(local_plane, home, "oa-place", group="spot-memory", cpu="2") as started:
        yield started


@pytest.fixture(scope="module")
def pods(one_node, local_plane, new_namespace):
    return Pods(local_plane.api(), new_namespace("placement"))


def _asking(cpu):
    return [container("base", "echo up; sleep 60", resources={"requests": {"cpu": cpu}})]


def test_the_node_has_the_labels_and_the_taint_of_its_group(pods, one_node):
    found = pods.core.read_node(one_node.name)

    assert found.metadata.labels["onchain-agg/node-group"] == "spot-memory"
    assert found.metadata.labels["karpenter.sh/capacity-type"] == "spot"
    assert [(one.key, one.value, one.effect) for one in found.spec.taints] == [
        ("onchain-agg/node-group", "spot-memory", "NoSchedule")
    ]
    assert found.status.allocatable["cpu"] == "2"


@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        pytest.param("selector", {"nodeSelector": {"no": "such"}}, _NO_MATCH, id="selector"),
        pytest.param(
            "taint",
            {"tolerations": []},
            "node(s) had untolerated taint {onchain-agg/node-group: spot-memory}",
            id="taint",
        ),
        pytest.param("cpu", {"containers": _asking("3")}, "Insufficient cpu", id="too large"),
    ],
)
def test_a_pod_that_fits_nowhere_stays_pending_and_says_why(pods, name, change, reason):
    pods.create(pod(name, "true", group="spot-memory", **change))

    waiting = pods.when(name, lambda one: one.status.conditions)

    (scheduled,) = waiting.status.conditions
    assert (waiting.status.phase, waiting.spec.node_name) == ("Pending", None)
    assert (scheduled.type, scheduled.status) == ("PodScheduled", "False")
    assert scheduled.reason == "Unschedulable"
    assert scheduled.message == f"0/1 nodes are available: 1 {reason}."
    pods.delete(name)


def test_a_pod_waits_for_room_and_runs_once_there_is_some(pods):
    full = pod("first", group="spot-memory", containers=_asking("1500m"))
    pods.create(full)
    pods.started("first")
    pods.create(pod("second", group="spot-memory", containers=_asking("1")))
    waiting = pods.when("second", lambda one: one.status.conditions)
    assert conditions(waiting) == {"PodScheduled": ("False", "Unschedulable")}

    pods.delete("first", grace_s=0)

    assert conditions(pods.started("second"))["PodScheduled"] == ("True", None)
    pods.delete("second", grace_s=0)


def test_a_cordoned_node_takes_no_pod_until_it_is_uncordoned(pods, one_node):
    pods.core.patch_node(one_node.name, {"spec": {"unschedulable": True}})
    pods.create(pod("cordoned", "true", group="spot-memory"))
    waiting = pods.when("cordoned", lambda one: one.status.conditions)
    (scheduled,) = waiting.status.conditions
    assert scheduled.message == "0/1 nodes are available: 1 node(s) were unschedulable."

    pods.core.patch_node(one_node.name, {"spec": {"unschedulable": False}})

    assert pods.ended("cordoned").status.phase == "Succeeded"


@pytest.mark.parametrize(
    ("key", "operator", "values", "fits"),
    [
        ("zone", "In", ["a", "b"], True),
        ("zone", "In", ["b"], False),
        ("zone", "NotIn", ["a"], False),
        ("none", "NotIn", ["a"], True),
        ("zone", "Exists", [], True),
        ("none", "Exists", [], False),
        ("none", "DoesNotExist", [], True),
        ("zone", "DoesNotExist", [], False),
        ("size", "Gt", ["3"], True),
        ("size", "Gt", ["4"], False),
        ("size", "Lt", ["5"], True),
        ("none", "Lt", ["5"], False),
    ],
)
def test_required_node_affinity_is_read_as_the_scheduler_reads_it(key, operator, values, fits):
    term = {"matchExpressions": [{"key": key, "operator": operator, "values": values}]}
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
    wants = {"spec": {"containers": [], "affinity": {"nodeAffinity": required}}}

    assert misfits(wants, _NODE, []) == ([] if fits else [_NO_MATCH])


def test_one_of_several_terms_is_enough():
    terms = [
        {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [name]}]}
        for name in ("other", "n")
    ]
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}

    wants = {"spec": {"containers": [], "affinity": {"nodeAffinity": required}}}

    assert misfits(wants, _NODE, []) == []


@pytest.mark.parametrize(
    ("toleration", "fits"),
    [
        ({"key": "k", "value": "v", "effect": "NoSchedule"}, True),
        ({"key": "k", "value": "v"}, True),
        ({"key": "k", "operator": "Exists"}, True),
        ({"operator": "Exists"}, True),
        ({"key": "k", "value": "w"}, False),
        ({"key": "k", "value": "v", "effect": "NoExecute"}, False),
    ],
)
def test_a_toleration_fits_a_taint_as_the_scheduler_says(toleration, fits):
    tainted = {**_NODE, "spec": {"taints": [{"key": "k", "value": "v", "effect": "NoSchedule"}]}}
    wants = {"spec": {"containers": [], "tolerations": [toleration]}}

    expected = [] if fits else ["node(s) had untolerated taint {k: v}"]
    assert misfits(wants, tainted, []) == expected


def test_what_ended_leaves_its_room_to_others():
    def bound(phase):
        spec = {"containers": _asking("1500m"), "nodeName": "n"}
        return {"spec": spec, "status": {"phase": phase}}

    wants = {"spec": {"containers": _asking("1")}}

    assert misfits(wants, _NODE, [bound("Running")]) == ["Insufficient cpu"]
    assert misfits(wants, _NODE, [bound("Failed")]) == []
    assert misfits(wants, _NODE, [{"spec": {"containers": [], "nodeName": "n"}}] * 2) == [
        "Too many pods"
    ]


def test_a_pod_asks_for_the_sum_of_its_containers_or_for_its_largest_init_container():
    def one(**requests):
        return {"resources": {"requests": requests}}

    wants = {
        "spec": {
            "containers": [one(cpu="1", memory="1Gi"), {"resources": {"limits": {"cpu": "500m"}}}],
            "initContainers": [one(cpu="2"), one(memory="512Mi")],
        }
    }

    assert asked(wants) == {"cpu": 2, "memory": 2**30, "pods": 1}


@pytest.mark.parametrize(
    ("text", "value"), [("500m", "0.5"), ("2", "2"), ("24Gi", 24 * 2**30), ("1.5G", 1_500_000_000)]
)
def test_quantities_are_exact(text, value):
    assert quantity(text) == type(quantity(text))(value)


def test_what_is_no_quantity_is_refused():
    with pytest.raises(ValueError, match="'2x' is not a quantity"):
        quantity("2x")
