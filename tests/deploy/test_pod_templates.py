"""The pod templates are what the table of sizes makes, and the executor can use them."""

import re
from dataclasses import replace
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path

import kubernetes_validate
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from onchain_agg.errors import ConfigError
from onchain_agg.routing import pod_templates
from onchain_agg.routing.workload_file import PACKAGED, load_workloads

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "pod_templates"
TABLE = load_workloads(PACKAGED)
SIZES = list(TABLE.sizes)
# The oldest release that clusters still run, and the newest that the validator knows.
_RELEASES = ("1.33", kubernetes_validate.latest_version())


def _pod(size):
    return yaml.safe_load(pod_templates.rendered(TABLE.size(size), TABLE))


def _base(size):
    return _pod(size)["spec"]["containers"][0]


def test_the_checked_in_templates_are_what_the_table_makes():
    assert pod_templates.drift(FOLDER, TABLE) == []


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("release", _RELEASES)
def test_kubernetes_knows_every_field_of_a_template(size, release):
    served = ".".join(release.split(".")[:2])

    assert kubernetes_validate.validate(_pod(size), release, strict=True) == served


def test_the_validator_finds_a_field_that_kubernetes_does_not_know():
    pod = _pod("small")
    pod["spec"]["restartPolcy"] = "Never"

    with pytest.raises(kubernetes_validate.ValidationError, match="'restartPolcy' was unexpected"):
        kubernetes_validate.validate(pod, _RELEASES[-1], strict=True)


@pytest.mark.parametrize(
    ("size", "resources"),
    [
        ("small", {"cpu": "500m", "memory": "2Gi", "ephemeral-storage": "10Gi"}),
        ("memory", {"cpu": "2", "memory": "24Gi", "ephemeral-storage": "50Gi"}),
        ("cpu", {"cpu": "7", "memory": "12Gi", "ephemeral-storage": "50Gi"}),
        ("on-demand", {"cpu": "2", "memory": "8Gi", "ephemeral-storage": "50Gi"}),
    ],
)
def test_a_pod_asks_for_what_its_size_says_and_may_use_no_more_memory(size, resources):
    told = _base(size)["resources"]

    assert told == {"requests": resources, "limits": {"memory": resources["memory"]}}


@pytest.mark.parametrize(
    ("size", "group"),
    [
        ("small", "spot-small"),
        ("memory", "spot-memory"),
        ("cpu", "spot-cpu"),
        ("on-demand", "on-demand"),
    ],
)
def test_a_pod_goes_to_the_nodes_of_its_group_and_tolerates_their_taint_alone(size, group):
    spec = _pod(size)["spec"]

    assert spec["nodeSelector"] == {"onchain-agg/node-group": group}
    assert spec["tolerations"] == [
        {
            "key": "onchain-agg/node-group",
            "operator": "Equal",
            "value": group,
            "effect": "NoSchedule",
        }
    ]


@pytest.mark.parametrize("size", SIZES)
def test_a_pod_on_spot_nodes_ends_within_their_notice_and_gets_its_sigterm(size):
    pod = _pod(size)
    spot = TABLE.node_groups[TABLE.size(size).node_group].capacity == "spot"

    assert pod["spec"]["terminationGracePeriodSeconds"] == 100
    # Karpenter sends no SIGTERM to a pod that must not be disrupted, so none on spot says so.
    undisturbed = None if spot else {"karpenter.sh/do-not-disrupt": "true"}
    assert pod["metadata"].get("annotations") == undisturbed


def test_a_pod_has_the_grace_of_the_table():
    table = replace(TABLE, grace=timedelta(minutes=3))

    on_demand = yaml.safe_load(pod_templates.rendered(table.size("on-demand"), table))
    assert on_demand["spec"]["terminationGracePeriodSeconds"] == 180


@pytest.mark.parametrize("size", SIZES)
def test_every_container_meets_the_restricted_pod_security_standard(size):
    spec = _pod(size)["spec"]

    pod = spec["securityContext"]
    assert (pod["runAsNonRoot"], pod["runAsUser"], pod["runAsGroup"]) == (True, 50000, 0)
    assert pod["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in (*spec["initContainers"], *spec["containers"]):
        security = container["securityContext"]
        assert security["allowPrivilegeEscalation"] is False
        assert security["readOnlyRootFilesystem"] is True
        assert security["capabilities"] == {"drop": ["ALL"]}
        assert security.get("runAsUser", 50000) != 0


@pytest.mark.parametrize("size", SIZES)
def test_every_mount_has_its_volume_and_every_volume_a_mount(size):
    spec = _pod(size)["spec"]
    containers = (*spec["initContainers"], *spec["containers"])
    mounts = {mount["name"] for container in containers for mount in container["volumeMounts"]}

    assert mounts == {volume["name"] for volume in spec["volumes"]}


def test_the_first_container_is_base_with_the_image_of_this_version():
    base = _base("small")

    assert (base["name"], base["image"]) == ("base", f"onchain-agg:{version('onchain-agg')}")


def test_git_sync_puts_one_commit_of_the_configured_repository_where_base_reads_dags():
    spec = _pod("small")["spec"]
    (sync,) = spec["initContainers"]
    env = {one["name"]: one for one in (*sync["env"], *_base("small")["env"])}

    name, _, digest = sync["image"].partition("@")
    assert name == "registry.k8s.io/git-sync/git-sync:v4.7.1"
    # Zeros until deploy/image/pin-git-sync.sh has it.
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", digest)
    assert sync["args"] == [
        "--repo=$(DAGS_REPO)",
        "--ref=$(DAGS_REF)",
        "--root=/git",
        "--link=current",
        "--one-time",
        "--depth=1",
        "--max-failures=5",
        "--git-config=credential.helper:store --file=/etc/git-secret/credentials",
    ]
    source = {
        name: (
            one["valueFrom"]["configMapKeyRef"]["name"],
            one["valueFrom"]["configMapKeyRef"]["key"],
        )
        for name, one in env.items()
        if "valueFrom" in one
    }
    assert source == {
        "DAGS_REPO": ("onchain-agg-dags", "repo"),
        "DAGS_REF": ("onchain-agg-dags", "ref"),
        "DAGS_FOLDER": ("onchain-agg-dags", "folder"),
    }
    assert env["AIRFLOW__CORE__DAGS_FOLDER"]["value"] == "/git/current/$(DAGS_FOLDER)"
    assert {"name": "dags", "mountPath": "/git"} in sync["volumeMounts"]
    shared = {"name": "dags", "mountPath": "/git", "readOnly": True}
    assert shared in _base("small")["volumeMounts"]


def test_a_secret_is_a_file_or_a_reference_and_never_text():
    spec = _pod("small")["spec"]
    secrets = [volume["secret"] for volume in spec["volumes"] if "secret" in volume]

    assert secrets == [{"secretName": "onchain-agg-git", "optional": True, "defaultMode": 0o440}]
    assert _base("small")["envFrom"] == [
        {"configMapRef": {"name": "onchain-agg-airflow"}},
        {"secretRef": {"name": "onchain-agg-connections", "optional": True}},
    ]


def test_sigterm_reaches_the_supervisor_alone_and_no_database_is_waited_for():
    env = {one["name"]: one.get("value") for one in _base("small")["env"]}

    assert (env["DUMB_INIT_SETSID"], env["CONNECTION_CHECK_MAX_COUNT"]) == ("0", "0")


def test_a_size_that_a_deployment_adds_gets_its_template(tmp_path):
    own = tmp_path / "own.yaml"
    own.write_text(
        "node_groups: {gpu: {capacity: spot}}\n"
        "workloads:\n"
        "  gpu_large: {executor: kubernetes, pod_template: gpu.yaml, timeout: 1h, retries: 2,\n"
        "    retry_delay: 1m, node_group: gpu, cpu: '4', memory: 8Gi, disk: 20Gi}\n"
    )
    table = load_workloads(PACKAGED, own)

    paths = pod_templates.write(tmp_path / "made", table)

    assert [path.name for path in paths] == [
        *("small.yaml", "memory.yaml", "cpu.yaml", "on-demand.yaml", "gpu.yaml")
    ]
    assert pod_templates.drift(tmp_path / "made", table) == []
    pod = yaml.safe_load(paths[-1].read_text())
    # A pod's name has no underscore; a label's value may.
    assert pod["metadata"]["name"] == "onchain-agg-gpu-large"
    assert pod["metadata"]["labels"]["onchain-agg/size"] == "gpu_large"
    assert pod["spec"]["nodeSelector"] == {"onchain-agg/node-group": "gpu"}


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    file = tmp_path / "file"
    file.touch()

    with pytest.raises(ConfigError) as error:
        pod_templates.write(file, TABLE)

    assert str(error.value) == (
        f"{file} cannot be written: [Errno 17] File exists: '{file}'. Name another folder."
    )


def test_drift_names_the_changed_the_orphan_and_the_missing_file(tmp_path):
    pod_templates.write(tmp_path, TABLE)
    changed, orphan, missing = (tmp_path / name for name in ("cpu.yaml", "gpu.yaml", "small.yaml"))
    changed.write_text(changed.read_text().replace("12Gi", "16Gi"))
    orphan.write_text("kind: Pod\n")
    missing.unlink()

    run = f"Run `onchain-agg routing templates {tmp_path}`."
    assert pod_templates.drift(tmp_path, TABLE) == [
        f"{changed} is not what the table of sizes makes. {run}",
        f"{orphan} belongs to no size of pod. Remove it, or add the size to the workloads file.",
        f"{missing} is missing. {run}",
    ]


@pytest.mark.parametrize("size", SIZES)
def test_a_template_that_was_made_has_no_fault(size):
    assert pod_templates.template_fault(FOLDER / TABLE.size(size).pod_template) is None


@given(
    name=st.from_regex(r"[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?", fullmatch=True)
    | st.sampled_from(["on", "null", "1", "1e3", "2026-01-01"]),
    cpu=st.integers(1, 192000).map(lambda number: f"{number}m"),
    disk=st.integers(1, 10**6).map(lambda number: f"{number}Mi"),
    seconds=st.integers(1, 100),
)
def test_whatever_a_size_says_stands_in_its_template(name, cpu, disk, seconds):
    groups = {name: TABLE.node_groups["spot-cpu"]}
    table = replace(TABLE, grace=timedelta(seconds=seconds), node_groups=groups)
    told = {"name": name, "node_group": name, "cpu": cpu, "disk": disk}
    size = TABLE.size("small").model_copy(update=told)

    pod = yaml.safe_load(pod_templates.rendered(size, table))

    requests = {"cpu": cpu, "memory": "2Gi", "ephemeral-storage": disk}
    assert pod["spec"]["containers"][0]["resources"]["requests"] == requests
    assert pod["spec"]["nodeSelector"] == {"onchain-agg/node-group": name}
    assert pod["spec"]["tolerations"][0]["value"] == name
    assert pod["spec"]["terminationGracePeriodSeconds"] == seconds
    assert pod["metadata"]["labels"]["onchain-agg/size"] == name
    assert kubernetes_validate.validate(pod, "1.33", strict=True) == "1.33"


_NO_POD = "is not a Pod. Write `apiVersion: v1` and `kind: Pod`, and the pod below them."
_NO_CONTAINERS = "has no containers. Add one named `base` to spec.containers."
_PUT_INTO = (
    "Name it `base`: the executor puts the task into the first container and reads the logs of "
    "`base`."
)
_POD = "apiVersion: v1\nkind: Pod\n"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        pytest.param(
            "a: [1\nb: 2\n",
            ", line 2: this is not YAML: expected ',' or ']', but got ':'. Correct it.",
            id="not YAML",
        ),
        pytest.param(
            "2026-13-01", ": this is not YAML: month must be in 1..12. Correct it.", id="no date"
        ),
        pytest.param("", " holds 0 documents. Leave one: the Pod.", id="empty"),
        pytest.param(f"{_POD}---\n{_POD}", " holds 2 documents. Leave one: the Pod.", id="two"),
        pytest.param("words", f" {_NO_POD}", id="no table"),
        pytest.param("apiVersion: apps/v1\nkind: Deployment\n", f" {_NO_POD}", id="other kind"),
        pytest.param("apiVersion: v2\nkind: Pod\n", f" {_NO_POD}", id="other version"),
        pytest.param(_POD, f" {_NO_CONTAINERS}", id="no spec"),
        pytest.param(f"{_POD}spec: {{containers: []}}", f" {_NO_CONTAINERS}", id="none"),
        pytest.param(f"{_POD}spec: {{containers: x}}", f" {_NO_CONTAINERS}", id="no list"),
        pytest.param(
            f"{_POD}spec: {{containers: [{{name: main}}, {{name: base}}]}}",
            f" names its first container 'main'. {_PUT_INTO}",
            id="base is second",
        ),
        pytest.param(
            f"{_POD}spec: {{containers: [base]}}",
            f" names its first container None. {_PUT_INTO}",
            id="no container",
        ),
    ],
)
def test_a_file_that_is_no_worker_template_is_told_with_a_cure(tmp_path, text, fault):
    path = tmp_path / "own.yaml"
    path.write_text(text)

    assert pod_templates.template_fault(path) == f"{path}{fault}"


def test_a_template_that_is_not_there_is_told_with_the_command_that_makes_it(tmp_path):
    path = tmp_path / "small.yaml"

    assert pod_templates.template_fault(path) == (
        f"{path} does not exist. Correct the path, or run `onchain-agg routing templates "
        f"{tmp_path}`."
    )


@given(text=st.text(alphabet="apiVersion: v1\nkdPod[]{},-'\"!&*%#0123456789"))
def test_no_text_makes_the_search_for_faults_fail(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_text(text)

    # So short a text holds no container.
    assert pod_templates.template_fault(path).startswith(str(path))


def test_a_template_that_cannot_be_read_is_told(tmp_path):
    assert pod_templates.template_fault(tmp_path) == (
        f"{tmp_path} cannot be read: [Errno 21] Is a directory: '{tmp_path}'. Correct the path or "
        "the file."
    )
