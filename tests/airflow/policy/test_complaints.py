"""The policy: what it says of a queue, a table or a configuration that is wrong."""

import json
import subprocess
import sys

import pytest

from tests.fakes.dag_file import ALL_KINDS, BOTH, KINDS, read_routes

pytestmark = pytest.mark.airflow

QUEUES = "default, ingest_worker, kubernetes, market_worker, nft_worker, whale_worker"
UNKNOWN = (
    "Task 'lost' of DAG 'cases': No queue is named 'nft_wroker'. Did you mean 'nft_worker'? "
    f"Defined: {QUEUES}. Correct the name, or add the queue to the file in [onchain_agg] "
    "workloads_file."
)
LOST = 'EmptyOperator(task_id="lost", queue="nft_wroker")'


@pytest.mark.parametrize(
    ("executors", "option", "message"),
    [
        pytest.param(
            "LocalExecutor",
            "KubernetesExecutor",
            "Tasks with queue='kubernetes' run on the default executor, LocalExecutor: option "
            "[onchain_agg] kubernetes_executor is 'KubernetesExecutor', which [core] executor does "
            "not have. Add it there, or set the option to one that is there: LocalExecutor.",
            id="standalone",
        ),
        pytest.param(
            "CeleryExecutor",
            "KubernetesExecutor",
            "Tasks with queue='kubernetes' run on the default executor, CeleryExecutor, and wait "
            "until a worker serves that queue: option [onchain_agg] kubernetes_executor is "
            "'KubernetesExecutor', which [core] executor does not have. Add it there, or set the "
            "option to one that is there: CeleryExecutor.",
            id="Celery alone",
        ),
        pytest.param(
            "LocalExecutor,KubernetesExecutor",
            "KubernetsExecutor",
            "Tasks with queue='kubernetes' run on the default executor, LocalExecutor: option "
            "[onchain_agg] kubernetes_executor is 'KubernetsExecutor', which [core] executor does "
            "not have. Did you mean 'KubernetesExecutor'? Add it there, or set the option to one "
            "that is there: LocalExecutor, KubernetesExecutor.",
            id="misspelt",
        ),
    ],
)
def test_without_the_kubernetes_executor_tasks_stay_and_that_is_said_once(
    parse, heard, executors, option, message
):
    bag = parse(KINDS.replace("QUEUE", '"kubernetes"'), executors, kubernetes_executor=option)

    assert read_routes(bag) == dict.fromkeys(ALL_KINDS, ("kubernetes", None, {}))
    assert heard == [("WARNING", message)]


def test_a_size_of_pod_as_a_queue_names_the_helper(parse, heard):
    parse('EmptyOperator(task_id="lost", queue="memory")')

    message = (
        f"Task 'lost' of DAG 'cases': No queue is named 'memory'. Defined: {QUEUES}. It is a size "
        "of pod: write @task.heavy(size='memory') or **route(…)."
    )
    assert heard == [("WARNING", message)]


def test_an_unknown_queue_is_a_warning_once_a_task(parse, heard):
    bag = parse(LOST)
    bag.process_file(next(iter(bag.file_last_changed)), only_if_updated=False)

    assert read_routes(bag) == {"lost": ("nft_wroker", None, {})}
    assert heard == [("WARNING", UNKNOWN)]


def test_no_queue_at_all_is_the_default_one(parse, heard):
    bag = parse(
        "EmptyOperator(task_id='none')", default_args="{'queue': None}", strict_queues="True"
    )

    assert read_routes(bag) == {"none": ("default", None, {})}
    assert heard == []


def test_in_strict_mode_an_unknown_queue_is_an_import_error(parse):
    bag = parse(LOST, strict_queues="True")

    assert bag.dags == {}
    assert list(bag.import_errors.values()) == [f"AirflowClusterPolicyViolation: {UNKNOWN}"]


def test_a_queue_of_the_deployments_own_is_known(parse, heard, tmp_path):
    own = tmp_path / "workloads.yaml"
    own.write_text(
        "workloads:\n  nft_wroker: {executor: celery, timeout: 1h, retries: 1, retry_delay: 1m, "
        "concurrency: 1, autoscale: {min: 0, max: 1}, node_group: workers}\ndefault_size: cpu\n"
    )

    bag = parse(f"{LOST}\n{BOTH}", workloads_file=str(own))

    assert read_routes(bag)["pod"][2] == {"pod_template_file": "/templates/cpu.yaml"}
    assert heard == []


def test_a_broken_table_is_an_import_error_that_names_its_line(parse, tmp_path):
    own = tmp_path / "workloads.yaml"
    own.write_text("workloads:\n  nft_worker: {retries: some}\n")

    bag = parse(BOTH, workloads_file=str(own))

    assert bag.dags == {}
    (error,) = bag.import_errors.values()
    assert error == (
        f"AirflowClusterPolicyViolation: {own}, line 2: workloads.nft_worker.retries: input should "
        "be a valid integer. It is 'some'."
    )


def test_a_broken_option_is_an_import_error_that_names_it(parse):
    bag = parse(BOTH, strict_queues="perhaps")

    (error,) = bag.import_errors.values()
    assert error == (
        "AirflowClusterPolicyViolation: Option [onchain_agg] strict_queues is 'perhaps'. Set True "
        "or False, in airflow.cfg or as ONCHAIN_AGG_STRICT_QUEUES."
    )


_PARSE = """
import selectors, sys, time, uuid
from pathlib import Path
import structlog
from airflow.dag_processing.processor import DagFileProcessorProcess
from airflow.sdk.api.client import Client
from airflow.sdk.log import logging_processors

file, log = map(Path, sys.argv[1:])
with log.open("wb") as written:
    process = DagFileProcessorProcess.start(
        id=uuid.uuid4(), path=str(file), bundle_path=file.parent, bundle_name="b", callbacks=[],
        dag_file_rel_path=file.name, selector=selectors.DefaultSelector(),
        logger=structlog.wrap_logger(
            structlog.BytesLogger(written), processors=logging_processors(json_output=True)
        ).bind(),
        logger_filehandle=written, subprocess_logs_to_stdout=False,
        client=Client(base_url=None, token="", dry_run=True),
    )
    until = time.monotonic() + 60
    while not process.is_ready and time.monotonic() < until:
        process._service_subprocess(0.1)
(dag,) = process.parsing_result.serialized_dags
print([(t["__var"]["task_id"], t["__var"].get("executor")) for t in dag.data["dag"]["tasks"]])
"""


def test_the_dag_processor_keeps_the_route_and_writes_the_warning_to_the_parse_log(parse, tmp_path):
    parse(f"{LOST}\n{BOTH}")
    log = tmp_path / "parse.log"

    printed = subprocess.run(
        [sys.executable, "-c", _PARSE, tmp_path / "cases.py", log],
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    lines = [json.loads(line) for line in log.read_text().splitlines()]
    warnings = [line["event"] for line in lines if line["level"] == "warning"]
    assert warnings == [UNKNOWN]
    assert printed.strip() == "[('lost', None), ('pod', 'KubernetesExecutor'), ('light', None)]"
