"""Queues, sizes and node groups: what workloads.yaml says is what is deployed."""

import json
import os
import re
import shlex
import subprocess
import sys

import pytest
import yaml

from onchain_agg.routing.recommended import worker_command
from onchain_agg.routing.workload_file import PACKAGED, load_workloads
from tests.manifests.rendered import (
    DEPLOY,
    ENVIRONMENTS,
    GROUP,
    TIER,
    built,
    named,
    of_kind,
    pod_templates,
    pods,
)

TABLE = load_workloads(PACKAGED)
QUEUES = list(TABLE.queues)
_MANAGED = yaml.safe_load((DEPLOY / "cluster/eksctl.yaml").read_text())["managedNodeGroups"]
# Airflow's own options of 3.3 that no installed distribution here declares: the FAB provider is in
# the image alone.
_OF_THE_IMAGE = {("fab", "config_file")}


@pytest.mark.parametrize("queue", QUEUES)
@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_a_queue_has_workers_that_serve_it_alone_and_what_scales_them(environment, queue):
    manifests = built(f"overlays/{environment}")
    wanted = [
        one["metadata"]["name"]
        for one in of_kind(manifests, "Deployment")
        if one["metadata"]["labels"].get("onchain-agg/queue") == queue
    ]
    assert len(wanted) == 1

    deployment = named(manifests, "Deployment", wanted[0])
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    scaler = named(manifests, "ScaledObject", wanted[0])["spec"]
    assert ["airflow", *container["args"]] == [*worker_command(TABLE.queue(queue))]
    assert "replicas" not in deployment["spec"]
    assert scaler["scaleTargetRef"] == {"name": wanted[0]}
    query = scaler["triggers"][0]["metadata"]["query"]
    assert re.findall(r"queue = '(.*?)'", query) == [queue]
    assert f"/ {TABLE.queue(queue).concurrency})" in query
    assert "executor IS DISTINCT FROM 'KubernetesExecutor'" in query
    # The worker's name in Celery, by which the probe asks it.
    asked = container["livenessProbe"]["exec"]["command"][-1]
    assert f'"{queue}@$(hostname)"' in asked


def test_prod_scales_between_the_bounds_of_the_table():
    bounds = {
        one["metadata"]["labels"]["onchain-agg/queue"]: (
            one["spec"]["minReplicaCount"],
            one["spec"]["maxReplicaCount"],
        )
        for one in of_kind(built("overlays/prod"), "ScaledObject")
    }

    assert bounds == {
        "default": (1, 4),
        "ingest_worker": (1, 8),
        "whale_worker": (1, 6),
        "nft_worker": (1, 6),
        "market_worker": (1, 6),
    }
    assert bounds.keys() == TABLE.queues.keys()


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_a_pod_runs_on_nodes_of_one_group_and_tolerates_their_taint_alone(environment):
    for pod in [*pods(built(f"overlays/{environment}")), *pods(pod_templates())]:
        group = pod.spec["nodeSelector"][GROUP]

        assert pod.spec["nodeSelector"] == {GROUP: group}
        assert pod.spec["tolerations"] == [
            {"key": GROUP, "operator": "Equal", "value": group, "effect": "NoSchedule"}
        ]
        assert group in TABLE.node_groups


def test_each_queue_and_size_runs_on_the_group_that_the_table_names():
    placed = {}
    for pod in [*pods(built("overlays/prod")), *pods(pod_templates())]:
        name = pod.labels.get("onchain-agg/queue") or pod.labels.get("onchain-agg/size")
        if name:
            placed[name] = pod.spec["nodeSelector"][GROUP]

    assert placed == {
        **{name: one.node_group for name, one in TABLE.queues.items()},
        **{name: one.node_group for name, one in TABLE.sizes.items()},
    }


def test_each_group_of_a_workload_has_a_node_pool_with_its_label_taint_and_capacity():
    pools = {one["metadata"]["name"]: one["spec"] for one in of_kind(built("cluster"), "NodePool")}
    used = {one.node_group for one in (*TABLE.queues.values(), *TABLE.sizes.values())}

    assert pools.keys() == used
    for group, spec in pools.items():
        inner = spec["template"]["spec"]
        told = {one["key"]: one["values"] for one in inner["requirements"]}
        spot = TABLE.node_groups[group].capacity == "spot"
        assert spec["template"]["metadata"]["labels"] == {GROUP: group}
        assert inner["taints"] == [{"key": GROUP, "value": group, "effect": "NoSchedule"}]
        # Spot first, and on-demand where there is none.
        assert told["karpenter.sh/capacity-type"] == (
            ["spot", "on-demand"] if spot else ["on-demand"]
        )
        assert spec["disruption"]["consolidationPolicy"] == "WhenEmpty"
        assert named(built("cluster"), "EC2NodeClass", inner["nodeClassRef"]["name"])


def test_a_pod_that_must_not_be_disrupted_is_off_spot_and_its_node_waits_for_it():
    pools = {one["metadata"]["name"]: one["spec"] for one in of_kind(built("cluster"), "NodePool")}
    undisturbed = [
        (size, TABLE.size(size["metadata"]["labels"]["onchain-agg/size"]))
        for size in pod_templates()
        if "karpenter.sh/do-not-disrupt" in size["metadata"].get("annotations", {})
    ]

    assert [size.name for _, size in undisturbed] == ["on-demand"]
    for template, size in undisturbed:
        ends = pools[size.node_group]["template"]["spec"]["terminationGracePeriod"]
        grace = template["spec"]["terminationGracePeriodSeconds"]
        assert TABLE.node_groups[size.node_group].capacity == "on-demand"
        assert int(ends.removesuffix("s")) >= size.timeout.total_seconds() + grace
    assert all("terminationGracePeriod" in pool["template"]["spec"] for pool in pools.values())


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_no_pod_of_the_core_can_land_on_spot(environment):
    managed = {
        taint["value"]: group
        for group in _MANAGED
        for taint in group.get("taints", [])
        if taint["key"] == GROUP
    }
    core = [pod for pod in pods(built(f"overlays/{environment}")) if pod.labels.get(TIER) == "core"]
    spot = {name for name, one in TABLE.node_groups.items() if one.capacity == "spot"}
    pools = {one["metadata"]["name"] for one in of_kind(built("cluster"), "NodePool")}

    assert {pod.name for pod in core} >= {
        *("api-server", "execution-api", "scheduler", "dag-processor", "triggerer"),
        *("pgbouncer", "redis", "statsd-exporter", "migrations"),
    }
    for pod in core:
        group = pod.spec["nodeSelector"][GROUP]
        assert group in managed
        assert managed[group]["labels"] == {GROUP: group}
        assert not managed[group].get("spot", False)
        assert group not in spot | pools
    # Whatever is no worker is core: nothing is left out by a forgotten label.
    assert all(
        pod.labels.get(TIER) in {"core", "workers"}
        for pod in pods(built(f"overlays/{environment}"))
    )


def test_a_pod_on_spot_nodes_ends_within_their_notice():
    on_spot = [
        pod
        for pod in [*pods(built("overlays/prod")), *pods(pod_templates())]
        if TABLE.node_groups[pod.spec["nodeSelector"][GROUP]].capacity == "spot"
    ]

    assert len(on_spot) == 8
    assert {pod.spec["terminationGracePeriodSeconds"] for pod in on_spot} == {100}


def test_a_worker_is_stopped_by_sigquit_and_nothing_stops_it_earlier():
    workers = [pod for pod in pods(built("overlays/prod")) if pod.labels.get(TIER) == "workers"]

    assert len(workers) == len(QUEUES)
    for pod in workers:
        container = pod.spec["containers"][0]
        stop = shlex.split(container["lifecycle"]["preStop"]["exec"]["command"][-1])
        assert stop == ["kill", "-QUIT", "1;", "sleep", "100"]
        assert int(stop[-1]) >= pod.spec["terminationGracePeriodSeconds"]
        variables = {one["name"]: one["value"] for one in container["env"]}
        # The image's init would hand the signal to the tasks as well.
        assert variables["DUMB_INIT_SETSID"] == "0"
        assert "REMAP_SIGTERM" not in variables


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_every_process_and_every_task_pod_runs_the_same_image(environment):
    manifests = built(f"overlays/{environment}")
    options = named(manifests, "ConfigMap", "onchain-agg-airflow")["data"]
    section = "AIRFLOW__KUBERNETES_EXECUTOR__WORKER_CONTAINER_"

    ours = {
        container["image"]
        for pod in pods(manifests)
        for container in pod.containers
        if "onchain-agg" in container["image"]
    }
    assert ours == {f"{options[section + 'REPOSITORY']}:{options[section + 'TAG']}"}
    # What names no registry is a name that no overlay replaced.
    assert all("/" in image for image in ours)


def _thousandths(cpu):
    return int(cpu[:-1]) if cpu.endswith("m") else int(cpu) * 1000


def _mebibytes(size):
    number, unit = re.fullmatch(r"(\d+)(Mi|Gi)", size).groups()
    return int(number) * (1024 if unit == "Gi" else 1)


def _asked(pod):
    # A task's init container is gone as the task starts, but the larger of the two counts.
    requests = [one["resources"]["requests"] for one in pod.running]
    return (
        sum(_thousandths(one["cpu"]) for one in requests),
        sum(_mebibytes(one["memory"]) for one in requests),
    )


def test_prods_quota_holds_every_worker_every_pod_and_the_core_twice():
    manifests = built("overlays/prod")
    hard = named(manifests, "ResourceQuota", "onchain-agg")["spec"]["hard"]
    most = {
        one["metadata"]["name"]: one["spec"]["maxReplicaCount"]
        for one in of_kind(manifests, "ScaledObject")
    }
    asked = [
        (*_asked(pod), most[pod.name] + 1 if pod.name in most else 2 * pod.replicas)
        for pod in pods(manifests)
    ]
    heavy = [_asked(pod) for pod in pods(pod_templates())]
    slots = TABLE.pools["heavy"].slots

    cpu = sum(one[0] * one[2] for one in asked) + slots * max(one[0] for one in heavy)
    memory = sum(one[1] * one[2] for one in asked) + slots * max(one[1] for one in heavy)
    assert int(hard["requests.cpu"]) * 1000 >= cpu
    assert _mebibytes(hard["requests.memory"]) >= memory
    assert int(hard["pods"]) >= sum(one[2] for one in asked) + slots
    # A bound, not a blank cheque.
    assert int(hard["requests.cpu"]) * 1000 <= 1.2 * cpu
    assert _mebibytes(hard["requests.memory"]) <= 1.2 * memory


@pytest.mark.parametrize("environment", ["dev", "preview"])
def test_a_small_environment_starts_within_its_quota(environment):
    manifests = built(f"overlays/{environment}")
    hard = named(manifests, "ResourceQuota", "onchain-agg")["spec"]["hard"]
    asked = [_asked(pod) for pod in pods(manifests)]
    largest = [max(column) for column in zip(*map(_asked, pods(pod_templates())), strict=True)]

    assert int(hard["requests.cpu"]) * 1000 >= 2 * sum(one[0] for one in asked) + largest[0]
    assert _mebibytes(hard["requests.memory"]) >= 2 * sum(one[1] for one in asked) + largest[1]


@pytest.fixture(scope="module")
def known_options(tmp_path_factory):
    code = (
        "import json; from airflow.configuration import conf;"
        "print(json.dumps({name: sorted(one['options'])"
        " for name, one in conf.configuration_description.items()}))"
    )
    home = tmp_path_factory.mktemp("airflow")
    printed = subprocess.run(
        [sys.executable, "-c", code],
        env={"PATH": os.environ["PATH"], "HOME": str(home), "AIRFLOW_HOME": str(home)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    told = json.loads(printed.splitlines()[-1])
    return {(section, option) for section, options in told.items() for option in options}


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_every_option_exists_in_airflow(environment, known_options):
    manifests = built(f"overlays/{environment}")
    told = {
        *(key for one in of_kind(manifests, "ConfigMap") for key in one.get("data", {})),
        *(
            key
            for one in of_kind(manifests, "ExternalSecret")
            for key in (
                *one["spec"]["target"].get("template", {}).get("data", {}),
                *(data["secretKey"] for data in one["spec"].get("data", [])),
            )
        ),
        *(
            one["name"]
            for pod in [*pods(manifests), *pods(pod_templates())]
            for container in pod.containers
            for one in container.get("env", [])
        ),
    }
    options = {
        tuple(key.removeprefix("AIRFLOW__").lower().split("__", 1))
        for key in told
        if key.startswith("AIRFLOW__")
    }

    # Kombu's own, which Airflow passes on.
    options.discard(("celery_broker_transport_options", "visibility_timeout"))
    assert len(options) > 30
    assert {one for one in options if one[0] != "onchain_agg"} - known_options <= _OF_THE_IMAGE
    assert {one for one in options if one[0] == "onchain_agg"} <= {
        ("onchain_agg", "pod_templates"),
        ("onchain_agg", "archive_url"),
    }
