"""`onchain-agg routing manifests`: what it writes, and what it says of what is not so."""

from dataclasses import replace
from datetime import timedelta

import pytest
import yaml
from click.testing import CliRunner

from onchain_agg.cli_routing import routing
from onchain_agg.errors import ConfigError
from onchain_agg.routing import manifests as cluster
from onchain_agg.routing.sizing import of_worker
from onchain_agg.routing.worker_manifest import worker_names
from onchain_agg.routing.workload_file import PACKAGED, load_workloads
from tests.manifests.rendered import DEPLOY, built, of_kind

TABLE = load_workloads(PACKAGED)


def test_the_checked_in_manifests_are_what_the_table_makes():
    assert cluster.drift(DEPLOY, TABLE) == []


def test_a_changed_a_missing_and_a_foreign_file_are_found(tmp_path):
    cluster.write(tmp_path, TABLE)
    assert cluster.drift(tmp_path, TABLE) == []

    (tmp_path / "base/quota.yaml").write_text("kind: ResourceQuota\n")
    (tmp_path / "base/workers/worker-default.yaml").unlink()
    (tmp_path / "cluster/karpenter/gpu.yaml").write_text("")

    command = f"Run `onchain-agg routing manifests {tmp_path}`."
    foreign = "belongs to no queue or node group. Remove it, or add that to the workloads file."
    assert cluster.drift(tmp_path, TABLE) == [
        f"{tmp_path}/base/quota.yaml is not what the table makes. {command}",
        f"{tmp_path}/base/workers/worker-default.yaml is missing. {command}",
        f"{tmp_path}/cluster/karpenter/gpu.yaml {foreign}",
    ]


def test_the_command_writes_the_manifests_and_finds_them_changed(tmp_path):
    def run(*options):
        return CliRunner().invoke(routing, ["manifests", str(tmp_path), *options])

    written = run()
    assert (written.exit_code, len(written.output.splitlines())) == (0, 15)
    assert run("--check").output == f"{tmp_path} is what the table makes.\n"

    (tmp_path / "base/airflow-routing.env").unlink()
    checked = run("--check")
    assert checked.exit_code == 1
    assert checked.output == (
        f"{tmp_path}/base/airflow-routing.env is missing."
        f" Run `onchain-agg routing manifests {tmp_path}`.\n"
    )


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "base").write_text("")

    with pytest.raises(ConfigError, match=r"cannot be written: .* Name another folder\.$"):
        cluster.write(tmp_path, TABLE)


def test_paths_are_those_of_the_image_whatever_machine_writes_them(tmp_path, monkeypatch):
    monkeypatch.setenv("ONCHAIN_AGG_POD_TEMPLATES", "/home/somebody/pod_templates")

    cluster.write(tmp_path, TABLE)

    assert cluster.drift(DEPLOY, TABLE) == []
    assert "/home/somebody" not in (tmp_path / "base/airflow-routing.env").read_text()


def test_a_worker_asks_for_what_its_tasks_need():
    asked = of_worker(TABLE.queue("default"))

    # 250 and 8 times 125; 1024 and 8 times 384.
    assert (asked.cpu, asked.memory, asked.disk, asked.pods) == (1250, 4096, 5120, 1)


def test_a_node_pool_holds_what_the_table_lets_run_on_it():
    limits = {
        one["metadata"]["name"]: (one["spec"]["limits"]["cpu"], one["spec"]["limits"]["memory"])
        for one in of_kind(built("cluster"), "NodePool")
    }

    # 16 pods of 7 CPUs and 12 GiB, each with git-sync's 100m and 128 MiB, and a quarter.
    assert limits["spot-cpu"] == ("142", "243Gi")
    assert limits["spot-small"] == ("12", "43Gi")


def test_a_group_that_a_workload_comes_to_name_gets_a_node_pool(tmp_path):
    queue = TABLE.queue("default").model_copy(update={"node_group": "on-demand"})
    queues = {"default": queue}

    cluster.write(tmp_path, replace(TABLE, queues=queues))

    names = {path.stem for path in (tmp_path / "cluster/karpenter").glob("*.yaml")}
    assert names == {"kustomization", "spot-small", "spot-memory", "spot-cpu", "on-demand"}


def _spot_policy(folder):
    """Return the groups that the policy of *folder* takes for spot, and what else it says."""
    text = (folder / "cluster/policies/spot-grace.yaml").read_text()
    spec = next(yaml.safe_load_all(text))["spec"]
    variables = {one["name"]: one["expression"] for one in spec["variables"]}
    (validation,) = spec["validations"]
    return variables["spot"], validation


def test_the_policy_of_spot_nodes_names_the_groups_and_the_grace_of_the_table(tmp_path):
    groups = {**TABLE.node_groups, "workers": TABLE.node_groups["core"]}
    changed = replace(TABLE, node_groups=groups, grace=timedelta(seconds=80))

    cluster.write(tmp_path, changed)

    assert _spot_policy(DEPLOY)[0] == "['workers', 'spot-small', 'spot-memory', 'spot-cpu']"
    spot, validation = _spot_policy(tmp_path)
    assert spot == "['spot-small', 'spot-memory', 'spot-cpu']"
    assert validation["expression"].startswith("variables.grace <= 80 || ")
    assert "Ask for 80 at most," in validation["messageExpression"]


@pytest.mark.parametrize(
    ("queues", "message"),
    [
        pytest.param(
            ["nft_worker", "nft.worker"],
            "The workers of queues 'nft_worker' and 'nft.worker' would both be called"
            " 'worker-nft-worker'. Rename one of the queues.",
            id="same name",
        ),
        pytest.param(
            ["q" * 40],
            f"The workers of queue '{'q' * 40}' would be called 'worker-{'q' * 40}', which is"
            " longer than 46 characters. Give the queue a shorter name.",
            id="too long",
        ),
    ],
)
def test_queues_that_kubernetes_cannot_name_are_refused(queues, message):
    table = replace(
        TABLE,
        queues={name: TABLE.queue("default").model_copy(update={"name": name}) for name in queues},
    )

    with pytest.raises(ConfigError) as error:
        worker_names(table)

    assert str(error.value) == message
