"""DAG files for the policy, and what the scheduler reads of them."""

import json

from airflow.executors import executor_loader
from airflow.serialization.serialized_objects import DagSerialization

from onchain_agg.routing import assignment
from onchain_agg.routing.workload_file import configured_workloads

HYBRID = "CeleryExecutor,KubernetesExecutor"
# Every kind of task, on the queue QUEUE.
KINDS = """
@task(queue=QUEUE)
def plain(x=1): ...
@task(queue=QUEUE)
async def waits(): ...
@task.sensor(queue=QUEUE, mode="reschedule")
def sensor(): return True
@task_group
def group(x):
    plain.override(task_id="in_group")(x)
@setup
@task(queue=QUEUE)
def before(): ...
@teardown
@task(queue=QUEUE)
def after(): ...

plain()
waits()
sensor()
plain.override(task_id="mapped").expand(x=[1, 2])
plain.override(task_id="mapped_kwargs").expand_kwargs([{"x": 1}])
group.expand(x=[1, 2])
before() >> after()
BashOperator(task_id="classic", bash_command="true", queue=QUEUE)
BashOperator.partial(task_id="classic_mapped", queue=QUEUE).expand(bash_command=["true"])
BashSensor(task_id="classic_sensor", bash_command="true", queue=QUEUE)
EmptyOperator(task_id="empty", queue=QUEUE)
"""
ALL_KINDS = {
    "plain",
    "waits",
    "sensor",
    "mapped",
    "mapped_kwargs",
    "group.in_group",
    "before",
    "after",
    "classic",
    "classic_mapped",
    "classic_sensor",
    "empty",
}
HEAD = """
from airflow.providers.standard.operators.bash import BashOperator
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.providers.standard.sensors.bash import BashSensor
from airflow.sdk import DAG, setup, task, task_group, teardown
"""
BOTH = 'EmptyOperator(task_id="pod", queue="kubernetes")\nEmptyOperator(task_id="light")'


def read_routes(bag):
    """Return queue, executor and executor_config of each task, as the scheduler reads them."""
    assert bag.import_errors == {}
    (dag,) = bag.dags.values()
    read = DagSerialization.from_dict(json.loads(json.dumps(DagSerialization.to_dict(dag))))
    return {task.task_id: (task.queue, task.executor, task.executor_config) for task in read.tasks}


def read_executors(bag):
    """Return the executor of each task, as the scheduler reads it."""
    return {name: executor for name, (_, executor, _) in read_routes(bag).items()}


def forget():
    """Make this process read its configuration anew."""
    for cache in (assignment._rules, assignment._warn_once, configured_workloads):
        cache.cache_clear()
    executor_loader._executor_names.clear()
    for known in (
        executor_loader._alias_to_executors_per_team,
        executor_loader._module_to_executors_per_team,
        executor_loader._classname_to_executors_per_team,
        executor_loader._team_name_to_executors,
    ):
        known.clear()
