"""One Airflow for tests: Celery workers beside pods on nodes, on a real Kubernetes API server.

PostgreSQL, Redis, API server, scheduler, DAG processor, two Celery workers and nodes are processes
of this machine. Airflow has the settings that the package recommends, the packaged pod templates,
and of the cluster no more rights than ``deploy`` gives its scheduler. Pods get the DAGs from a git
repository, as deployed.
"""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from onchain_agg.local import processes
from onchain_agg.local.broker import Broker
from onchain_agg.local.environment import Site, airflow_environment
from onchain_agg.local.inputs import Input, sample_inputs
from onchain_agg.local.job import prepared_warehouse, running_airflow
from onchain_agg.local.workers import local_workers
from onchain_agg.routing.workload_file import PACKAGED, load_workloads
from onchain_agg.settings import Settings, load_settings, warehouse_url
from tests.e2e.stack_namespace import furnish, scheduler_kubeconfig
from tests.e2e.stack_nodes import Nodes
from tests.e2e.stack_pods import PodRecorder
from tests.e2e.stack_running import Stack
from tests.e2e.stack_services import dag_repository, warehouse_by_tcp
from tests.fakes.servers_home import AIRFLOW, servers_home

if TYPE_CHECKING:
    from tests.e2e.control_plane import ControlPlane

ROOT = Path(__file__).parents[2]
TEMPLATES = ROOT / "pod_templates"
_PARTS = ("api-server", "scheduler", "dag-processor")
_NOTES_IN_A_POD = {"ONCHAIN_AGG_E2E_NOTES": "/opt/airflow/logs/notes"}


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a stack is made of.

    Attributes:
        dags: The DAG folder.
        needed: DAGs that must have been read before it is ready.
        groups: Node groups that have a node from the start.
        options: Further environment variables.
        table: File in the checkout, which pods see too, that is laid over the packaged table of
            queues and sizes.
        sample: Whether connections lead to the packaged sample chains.
    """

    dags: Path
    needed: frozenset[str]
    groups: Sequence[str] = ("spot-small", "spot-memory")
    options: Mapping[str, str] = field(default_factory=dict)
    table: Path | None = None
    sample: bool = False


@contextmanager
def stack(plane: "ControlPlane", shared: Path, wanted: Wanted) -> Iterator[Stack]:
    """Run an Airflow in a namespace of its own while the block runs.

    Args:
        plane: The cluster.
        shared: Folder of this test session, for the tables that every Airflow begins with.
        wanted: See the class.
    """
    from kubernetes import client

    with ExitStack() as stopping:
        # As the image's entry point has it: workers and pods make folders of logs for each other.
        stopping.callback(os.umask, os.umask(0o002))
        home = stopping.enter_context(servers_home(shared))
        namespace = plane.namespace(home.name.replace("_", "x"))
        settings = load_settings({"ONCHAIN_AGG_HOME": str(home)})
        engine = stopping.enter_context(prepared_warehouse(settings))
        site = _site(home)
        inputs = stopping.enter_context(sample_inputs(home)) if wanted.sample else ()
        notes = _notes(site)
        environment = _environment(site, settings, wanted, inputs) | {
            "AIRFLOW__KUBERNETES_EXECUTOR__NAMESPACE": namespace,
            "ONCHAIN_AGG_E2E_NOTES": str(notes),
        }
        database = stopping.enter_context(warehouse_by_tcp(home, engine))
        repository = stopping.enter_context(dag_repository(home, wanted.dags))
        furnish(plane, namespace, {**environment, **database, **_NOTES_IN_A_POD}, repository)
        scheduler_kubeconfig(plane, namespace, home / "kubeconfig")
        core = client.CoreV1Api(plane.api())
        nodes = stopping.enter_context(Nodes(plane, home, namespace, site.logs).running())
        for group in wanted.groups:
            nodes.start(group)
        pods = stopping.enter_context(PodRecorder(core, namespace).recording())
        workers = local_workers(load_workloads(PACKAGED))
        api, _ = stopping.enter_context(
            running_airflow(site, environment, home, _PARTS, set(wanted.needed), workers)
        )
        yield Stack(plane, namespace, core, site, environment, api, engine, notes, nodes, pods)


def _site(home: Path) -> Site:
    broker = Broker(port=processes.free_port())
    dags = home / "repository" / "dags"
    port = processes.free_port()
    return Site(home=home / AIRFLOW, dags=dags, port=port, quick=True, broker=broker)


def _notes(site: Site) -> Path:
    """Make the folder of notes: among the logs, which pods may write to as well."""
    (notes := site.logs / "notes").mkdir(parents=True)
    (notes / "notes.jsonl").touch()
    for path in (site.logs, notes, notes / "notes.jsonl"):
        path.chmod(0o777)
    return notes


def _environment(
    site: Site, settings: Settings, wanted: Wanted, inputs: Sequence[Input]
) -> dict[str, str]:
    environment = {
        **airflow_environment(site, settings, warehouse_url(settings), inputs),
        "ONCHAIN_AGG_KUBERNETES_EXECUTOR": "KubernetesExecutor",
        "ONCHAIN_AGG_POD_TEMPLATES": str(TEMPLATES),
    }
    if wanted.table:
        environment["ONCHAIN_AGG_WORKLOADS_FILE"] = str(wanted.table)
    cluster = {
        "CONFIG_FILE": str(settings.home / "kubeconfig"),
        "IN_CLUSTER": "False",
        "WORKER_CONTAINER_REPOSITORY": "onchain-agg",
        "WORKER_CONTAINER_TAG": "e2e",
    }
    return {
        **environment,
        **_recommended(environment),
        **{f"AIRFLOW__KUBERNETES_EXECUTOR__{name}": value for name, value in cluster.items()},
        **wanted.options,
    }


def _recommended(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what the package's own command says that a deployment should set."""
    command = [Path(sys.executable).with_name("onchain-agg"), "routing", "settings"]
    told = subprocess.run(
        [*command, "--format", "env"],
        env=dict(environment),
        capture_output=True,
        text=True,
        check=True,
    )
    lines = (line for line in told.stdout.splitlines() if line.startswith("AIRFLOW__"))
    return dict(line.split("=", 1) for line in lines)
