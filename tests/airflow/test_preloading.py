"""What the DAG processor loads once, so that its parses need not."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.airflow

_STARTED = """
import sys
from airflow.listeners.listener import get_listener_manager
from airflow.sdk.execution_time.task_runner import TaskRunnerMarker

class Job:
    job_type = sys.argv[1]

def loaded():
    return "onchain_agg.routing.assignment" in sys.modules

manager = get_listener_manager()
manager.hook.on_starting(component=TaskRunnerMarker())
before = loaded()
manager.hook.on_starting(component=Job())
print(before, loaded(), "onchain_agg.routing.workload_file" in sys.modules)
"""


@pytest.mark.parametrize(
    ("job", "printed"),
    [("DagProcessorJob", "False True True"), ("SchedulerJob", "False False False")],
)
def test_only_the_dag_processor_loads_the_policys_modules_as_it_starts(job, printed):
    answer = subprocess.run(
        [sys.executable, "-c", _STARTED, job], capture_output=True, text=True, check=True
    )

    assert answer.stdout.splitlines()[-1] == printed
