"""Tasks in pods that wait until the test lets them go: on a worker, in a pod, or on no node yet."""

from datetime import timedelta

from airflow.sdk import dag, task
from noting import await_flag, note

from onchain_agg.routing.placement import route

_SOON = {"retries": 2, "retry_delay": timedelta(seconds=1)}


def _wait() -> None:
    note("begin")
    await_flag()
    note("done")


@dag(schedule=None)
def placed():
    """A pod of a size that has a node."""
    task(task_id="work", **route("small", **_SOON))(_wait)()


@dag(schedule=None)
def unplaced():
    """A pod of a size that has a node only once the test starts one."""
    task(task_id="work", **route("cpu", **_SOON))(_wait)()


@dag(schedule=None)
def safe():
    """A pod whose task is told that its node goes away."""
    task.heavy(task_id="work", size="small", **_SOON)(_wait)()


placed()
unplaced()
safe()
