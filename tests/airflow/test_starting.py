"""What the DAG processor loads and says once, so that its parses need not."""

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.airflow

_STARTED = """
import logging, sys
from airflow.listeners.listener import get_listener_manager
from airflow.sdk.execution_time.task_runner import TaskRunnerMarker

class Job:
    job_type = sys.argv[1]

logging.basicConfig(stream=sys.stdout, format="%(message)s", force=True)
manager = get_listener_manager()
component = TaskRunnerMarker() if sys.argv[1] == "task" else Job()
manager.hook.on_starting(component=component)
print("loaded", "onchain_agg.routing.assignment" in sys.modules)
from onchain_agg.routing import assignment
from airflow.sdk import DAG
from airflow.providers.standard.operators.empty import EmptyOperator
with DAG("heavy"):
    for n in range(2):
        assignment.assign(EmptyOperator(task_id=f"t{n}", queue="kubernetes"))
"""


def _started(kind, executors):
    answer = subprocess.run(
        [sys.executable, "-c", _STARTED, kind],
        env={**os.environ, "AIRFLOW__CORE__EXECUTOR": executors},
        capture_output=True,
        text=True,
        check=True,
    )
    lines = answer.stdout.splitlines()
    at = next(n for n, line in enumerate(lines) if line.startswith("loaded "))
    is_fallback = [line.startswith("Tasks with queue='kubernetes' run on the d") for line in lines]
    return lines[at], sum(is_fallback[:at]), sum(is_fallback[at:])


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        pytest.param("DagProcessorJob", ("loaded True", 1, 0), id="once for all parses"),
        pytest.param("SchedulerJob", ("loaded False", 0, 1), id="once for this process"),
        pytest.param("task", ("loaded True", 0, 0), id="not where the route was decided before"),
    ],
)
def test_a_fallback_to_the_default_executor_is_told_once(kind, told):
    assert _started(kind, "LocalExecutor") == told


def test_nothing_is_told_where_pods_can_be_started():
    told = _started("DagProcessorJob", "CeleryExecutor,KubernetesExecutor")

    assert told == ("loaded True", 0, 0)
