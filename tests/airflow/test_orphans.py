"""A task ends with its supervisor, as a real process does with a real parent."""

import subprocess
import sys

import psutil
import pytest

pytestmark = pytest.mark.airflow

# A supervisor that forks its task, tells the task's process id and waits; the task says so once
# it has started as Airflow's do.
_SUPERVISOR = """
import os, sys, time
from airflow.listeners.listener import get_listener_manager
from airflow.sdk.execution_time.task_runner import TaskRunnerMarker

class Job:
    job_type = "SchedulerJob"

reader, writer = os.pipe()
task = os.fork()
if task == 0:
    component = TaskRunnerMarker() if sys.argv[1] == "task" else Job()
    get_listener_manager().hook.on_starting(component=component)
    os.write(writer, b"started")
    time.sleep(60)
    os._exit(0)
os.read(reader, 7)
print(task, flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize(("kind", "is_ended"), [("task", True), ("job", False)])
def test_only_a_task_ends_when_its_supervisor_is_killed(kind, is_ended):
    with subprocess.Popen(
        [sys.executable, "-c", _SUPERVISOR, kind], stdout=subprocess.PIPE, text=True
    ) as supervisor:
        task = psutil.Process(int(supervisor.stdout.readline()))
        supervisor.kill()
        supervisor.wait()

    gone, _ = psutil.wait_procs([task], timeout=10 if is_ended else 0.5)
    if not gone:
        task.kill()

    assert bool(gone) is is_ended
