"""Which tasks rules look at."""

from collections.abc import Iterator

from onchain_agg.integrity.facts import DagFacts, Reading, TaskFacts
from onchain_agg.routing.workloads import KUBERNETES_QUEUE


def run_tasks(reading: Reading) -> Iterator[tuple[DagFacts, TaskFacts]]:
    """Yield the tasks that Airflow runs; others have no place, and neither fail nor hang."""
    for file in reading.files:
        for dag in file.dags:
            yield from ((dag, task) for task in dag.tasks if not task.is_empty)


def pod_tasks(reading: Reading) -> Iterator[tuple[DagFacts, TaskFacts]]:
    """Yield the tasks that are meant for pods, whether or not this deployment has any."""
    deployment = reading.deployment
    for dag, task in run_tasks(reading):
        in_pod = task.executor is not None and deployment.is_kubernetes(task.executor)
        if in_pod or (task.executor is None and task.queue == KUBERNETES_QUEUE):
            yield dag, task
