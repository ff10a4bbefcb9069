"""The pods that the real KubernetesExecutor asks a (stub) cluster for, from a DAG file's tasks."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.fakes.kubernetes_api import kubernetes_api

pytestmark = pytest.mark.airflow

ROOT = Path(__file__).parents[2]
TEMPLATES = ROOT / "pod_templates"
_RUN_S = 90.0

_ROUTED = """
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG, task
from kubernetes.client import models as k8s

from onchain_agg.routing.placement import route

with DAG("routed"):

    @task.heavy(size="memory")
    def heavy(): ...

    @task.heavy(size="cpu")
    def mapped(part): ...

    @task(queue="kubernetes")
    def bare(): ...

    @task(queue="nft_worker")
    def create_whale_table(): ...

    base = k8s.V1Container(
        name="base",
        env=[k8s.V1EnvVar(name="OWN", value="1")],
        resources=k8s.V1ResourceRequirements(requests={"cpu": "3"}),
    )
    spec = k8s.V1PodSpec(containers=[base], node_selector={"disk": "ssd"})
    own = k8s.V1Pod(spec=spec, metadata=k8s.V1ObjectMeta(labels={"team": "whales"}))

    @task.heavy(executor_config={"pod_override": own})
    def overridden(): ...

    @task(queue="kubernetes", executor_config={"pod_template_file": "/nowhere/lost.yaml"})
    def lost(): ...

    heavy(), mapped.expand(part=[1, 2]), bare(), create_whale_table(), overridden(), lost()
    BashOperator(task_id="classic", bash_command="true", **route("on-demand"))
"""

_BROKEN = """
from airflow.sdk import DAG, task

with DAG("broken"):

    @task.heavy(size="memory", priority_weight=2)
    def before(): ...

    @task(queue="kubernetes", executor_config={"pod_template_file": "BROKEN"})
    def broken(): ...

    before(), broken()
"""
_OPTIONS = {
    "routed": {"worker_container_repository": "", "worker_container_tag": ""},
    "broken": {
        "worker_container_repository": "registry.example/airflow",
        "worker_container_tag": "7",
    },
}


@dataclass(frozen=True)
class Executed:
    """What an executor did: the pods that it asked for, by task, and what it told."""

    pods: dict[str, dict[str, Any]]
    import_errors: dict[str, str]
    states: dict[str, str]
    errors: dict[str, str | None]

    def base(self, task_id: str) -> dict[str, Any]:
        (base,) = self.pods[task_id]["spec"]["containers"]
        return base


@pytest.fixture(scope="module")
def broken_template(tmp_path_factory):
    path = tmp_path_factory.mktemp("templates") / "broken.yaml"
    path.write_text("kind: Pod\nmetadata: {name: x\n")
    return path


@pytest.fixture(scope="module")
def executed(tmp_path_factory, broken_template):
    folder = tmp_path_factory.mktemp("kubernetes")
    dags = folder / "dags"
    dags.mkdir()
    (dags / "routed.py").write_text(_ROUTED)
    (dags / "broken.py").write_text(_BROKEN.replace("BROKEN", str(broken_template)))
    # A socket's path must be short, so pytest's own folders do not do.
    with tempfile.TemporaryDirectory(prefix="oa-") as home, kubernetes_api(folder) as api:
        environment = {
            **os.environ,
            "AIRFLOW_HOME": home,
            "TMPDIR": home,
            "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor,KubernetesExecutor",
            "AIRFLOW__KUBERNETES_EXECUTOR__IN_CLUSTER": "False",
            "AIRFLOW__KUBERNETES_EXECUTOR__CONFIG_FILE": str(api.kubeconfig),
            "AIRFLOW__KUBERNETES_EXECUTOR__NAMESPACE": "onchain",
            "AIRFLOW__KUBERNETES_EXECUTOR__WORKER_PODS_CREATION_BATCH_SIZE": "16",
            "ONCHAIN_AGG_POD_TEMPLATES": str(TEMPLATES),
        }
        told = json.loads(_printed(dags, environment).splitlines()[-1])
        pods = {pod["metadata"]["annotations"]["task_id"]: pod for pod in api.pods}
        return Executed(pods=pods, **told)


def _printed(dags: Path, environment: dict[str, str]) -> str:
    program = ROOT / "tests/fakes/kubernetes_scheduler.py"
    command = [sys.executable, program, dags, json.dumps(_OPTIONS)]
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        printed, _ = process.communicate(timeout=_RUN_S)
    finally:
        # Watchers and managers outlive a scheduler that was killed.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 0, printed
    return printed


def _template(size: str) -> dict[str, Any]:
    return yaml.safe_load((TEMPLATES / f"{size}.yaml").read_text())


def test_every_pod_task_becomes_a_pod_and_a_celery_task_does_not(executed):
    assert (executed.import_errors, executed.errors["routed"]) == ({}, None)
    pod_tasks = {"heavy", "mapped", "bare", "overridden", "lost", "classic"}
    assert executed.states == dict.fromkeys({*pod_tasks, "before", "broken"}, "queued")
    assert set(executed.pods) == {*pod_tasks, "before"}


@pytest.mark.parametrize(
    ("task_id", "size"),
    [
        pytest.param("heavy", "memory", id="a decorator's size"),
        pytest.param("mapped", "cpu", id="a mapped task"),
        pytest.param("bare", "small", id="no size: the default one"),
        pytest.param("classic", "on-demand", id="an operator's route"),
    ],
)
def test_a_pod_is_its_sizes_template_with_the_task_in_it(executed, task_id, size):
    template = _template(size)
    (base,) = template["spec"]["containers"]
    base["args"] = executed.base(task_id)["args"]
    base["env"].append({"name": "AIRFLOW_IS_K8S_EXECUTOR_POD", "value": "True"})

    assert executed.pods[task_id]["spec"] == template["spec"]


def test_a_heavy_task_of_a_size_gets_its_nodes_its_resources_and_its_grace(executed):
    spec = executed.pods["heavy"]["spec"]

    assert spec["nodeSelector"] == {"onchain-agg/node-group": "spot-memory"}
    assert [(one["key"], one["value"], one["effect"]) for one in spec["tolerations"]] == [
        ("onchain-agg/node-group", "spot-memory", "NoSchedule")
    ]
    assert executed.base("heavy")["resources"] == {
        "requests": {"cpu": "2", "memory": "24Gi", "ephemeral-storage": "50Gi"},
        "limits": {"memory": "24Gi"},
    }
    assert spec["terminationGracePeriodSeconds"] == 100
    assert [one["name"] for one in spec["initContainers"]] == ["git-sync"]


def test_a_pod_runs_the_workload_of_its_task(executed):
    *program, workload = executed.base("mapped")["args"]
    told = json.loads(workload)

    assert program == [
        *("python", "-m", "airflow.sdk.execution_time.execute_workload"),
        "--json-string",
    ]
    assert (told["type"], told["dag_rel_path"]) == ("ExecuteTask", "routed.py")
    fields = ("dag_id", "task_id", "run_id", "map_index", "try_number", "queue")
    assert [told["ti"][name] for name in fields] == ["routed", "mapped", "run", 0, 1, "kubernetes"]
    # Whoever may read pods may act as the task.
    assert told["token"] == "a token"  # noqa: S105 - no server takes it


def test_labels_and_annotations_of_the_template_stand_beside_the_executors(executed):
    metadata = executed.pods["classic"]["metadata"]

    assert metadata["namespace"] == "onchain"
    assert metadata["name"].startswith("routed-classic-")
    assert metadata["labels"] == {
        "app.kubernetes.io/name": "onchain-agg",
        "app.kubernetes.io/component": "worker",
        "onchain-agg/size": "on-demand",
        "dag_id": "routed",
        "task_id": "classic",
        "run_id": "run",
        "try_number": "1",
        "kubernetes_executor": "True",
        "airflow_version": version("apache-airflow"),
        "airflow-worker": "stub",
    }
    assert metadata["annotations"] == {
        "karpenter.sh/do-not-disrupt": "true",
        "dag_id": "routed",
        "task_id": "classic",
        "run_id": "run",
        "try_number": "1",
    }


def test_the_image_is_the_templates_unless_the_executor_is_given_one(executed):
    assert executed.base("heavy")["image"] == f"onchain-agg:{version('onchain-agg')}"
    assert executed.base("before")["image"] == "registry.example/airflow:7"


def test_a_pod_override_adds_variables_and_labels_and_replaces_resources_and_nodes(executed):
    template, pod = _template("small"), executed.pods["overridden"]
    base = executed.base("overridden")

    assert base["env"] == [
        *template["spec"]["containers"][0]["env"],
        {"name": "AIRFLOW_IS_K8S_EXECUTOR_POD", "value": "True"},
        {"name": "OWN", "value": "1"},
    ]
    labels = pod["metadata"]["labels"]
    assert (labels["team"], labels["onchain-agg/size"]) == ("whales", "small")
    # The template's memory, its limit and its node group are gone.
    assert base["resources"] == {"requests": {"cpu": "3"}}
    assert pod["spec"]["nodeSelector"] == {"disk": "ssd"}
    for kept in ("tolerations", "initContainers", "volumes", "terminationGracePeriodSeconds"):
        assert pod["spec"][kept] == template["spec"][kept]


def test_a_template_that_the_scheduler_does_not_find_makes_a_pod_with_nothing_but_the_task(
    executed,
):
    base = executed.base("lost")

    assert executed.pods["lost"]["spec"] == {"containers": [base]}
    assert base == {
        "name": "base",
        "args": base["args"],
        "env": [{"name": "AIRFLOW_IS_K8S_EXECUTOR_POD", "value": "True"}],
    }


def test_a_template_that_is_no_yaml_stops_the_scheduler_and_makes_no_pod(executed, broken_template):
    assert executed.errors["broken"] == (
        f'ParserError: while parsing a flow mapping\n  in "{broken_template}", line 2, column 11\n'
        f"did not find expected ',' or '}}'\n  in \"{broken_template}\", line 3, column 1"
    )
    assert "before" in executed.pods
    assert "broken" not in executed.pods
