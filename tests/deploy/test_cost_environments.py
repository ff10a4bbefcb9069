"""What the packaged cost inputs say of each environment is what the manifests ask for."""

from pathlib import Path

import pytest
import yaml

from onchain_agg.costs.inputs import PACKAGED, load_inputs
from onchain_agg.costs.model import share_of
from onchain_agg.routing.sizing import Amount
from onchain_agg.routing.workload_file import PACKAGED as TABLE
from onchain_agg.routing.workload_file import load_workloads
from tests.manifests.rendered import ENVIRONMENTS, TIER, built, of_kind, pods

ROOT = Path(__file__).parents[2]


def test_the_inputs_of_the_deployment_are_those_of_the_package():
    assert (ROOT / "deploy/costs/inputs.yaml").resolve() == PACKAGED
    assert set(yaml.safe_load(PACKAGED.read_text())["environments"]) == {
        *("cluster", "prod", "dev", "preview")
    }


def _packaged():
    return load_inputs(load_workloads(TABLE))


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_an_environment_keeps_the_core_nodes_that_its_pods_ask_for(name):
    inputs = _packaged()
    machine, packing = inputs.machine_of("core"), inputs.assumptions.packing
    asked = Amount()
    for pod in pods(built(f"overlays/{name}")):
        if pod.kind != "Job" and pod.labels.get(TIER) == "core":
            requests = [one["resources"]["requests"] for one in pod.running]
            cpu = sum(_thousandths(one["cpu"]) for one in requests)
            memory = sum(_mebibytes(one["memory"]) for one in requests)
            asked = asked + Amount(cpu=cpu, memory=memory) * pod.replicas

    assert inputs.environments[name].nodes == {
        "core": pytest.approx(share_of(machine, asked) / packing, abs=0.05)
    }


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_workers_are_kept_where_the_scaler_keeps_them(name):
    table = load_workloads(TABLE)
    scaled = of_kind(built(f"overlays/{name}"), "ScaledObject")
    fewest = [one["spec"]["minReplicaCount"] for one in scaled]
    keeps = _packaged().environments[name].workers

    assert sorted(fewest) == sorted(
        queue.autoscale.min if keeps else 0 for queue in table.queues.values()
    )


def test_nodes_that_are_always_there_are_those_of_the_cluster():
    cluster = yaml.safe_load((ROOT / "deploy/cluster/eksctl.yaml").read_text())
    groups = {one["name"]: one for one in cluster["managedNodeGroups"]}
    inputs = _packaged()

    for name in ("core", "system"):
        assert inputs.machine_of(name).type == groups[name]["instanceTypes"][0]
    kept = inputs.environments["cluster"]
    assert kept.nodes == {"system": groups["system"]["desiredCapacity"]}
    # One in each zone.
    assert cluster["vpc"]["nat"]["gateway"] == "HighlyAvailable"
    assert kept.services["nat-gateway"] == 3


def _thousandths(cpu):
    return int(cpu[:-1]) if str(cpu).endswith("m") else int(cpu) * 1000


def _mebibytes(memory):
    return int(memory[:-2]) * {"Mi": 1, "Gi": 1024}[memory[-2:]]
