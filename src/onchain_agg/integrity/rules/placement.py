"""Rules for where tasks run."""

from collections.abc import Iterator
from datetime import timedelta

from onchain_agg.errors import UnknownNameError
from onchain_agg.integrity.facts import DagFacts, Reading, TaskFacts
from onchain_agg.integrity.rules.rule import Finding, Rule
from onchain_agg.routing.workloads import KUBERNETES_QUEUE

# A pod takes tens of seconds to start, and minutes where a node has to be made for it.
SHORTEST_ON_POD = timedelta(minutes=10)


def _tasks(reading: Reading) -> Iterator[tuple[DagFacts, TaskFacts]]:
    for file in reading.files:
        for dag in file.dags:
            # One that Airflow does not run has no place to run.
            yield from ((dag, task) for task in dag.tasks if not task.is_empty)


def _on_pods(reading: Reading) -> Iterator[tuple[DagFacts, TaskFacts]]:
    """Yield the tasks that are meant for pods, whether or not this deployment has any."""
    for dag, task in _tasks(reading):
        is_routed = task.queue == KUBERNETES_QUEUE and not _is_elsewhere(task, reading)
        if is_routed or (task.executor and reading.deployment.is_kubernetes(task.executor)):
            yield dag, task


def _is_elsewhere(task: TaskFacts, reading: Reading) -> bool:
    """Return whether *task* has an executor that does not run ``queue="kubernetes"``."""
    return task.executor is not None and not reading.deployment.is_kubernetes(task.executor)


def _unknown_queue(rule: Rule, reading: Reading) -> Iterator[Finding]:
    queues = reading.deployment.queues
    for _dag, task in _tasks(reading):
        if task.queue not in queues:
            yield rule.in_task(task, str(UnknownNameError("queue", task.queue, queues)))


def _unknown_pool(rule: Rule, reading: Reading) -> Iterator[Finding]:
    pools = reading.deployment.pools
    for _dag, task in _tasks(reading):
        if task.pool not in pools:
            yield rule.in_task(task, str(UnknownNameError("pool", task.pool, pools)))


def _kubernetes_without_executor(rule: Rule, reading: Reading) -> Iterator[Finding]:
    deployment = reading.deployment
    for _dag, task in _tasks(reading):
        if task.queue != KUBERNETES_QUEUE or not deployment.has_kubernetes:
            continue
        if not deployment.is_kubernetes(task.executor):
            has = f"the executor {task.executor}" if task.executor else "no executor"
            yield rule.in_task(
                task,
                f"queue={KUBERNETES_QUEUE!r} stands for {deployment.kubernetes_executor}, but the "
                f"task has {has}.",
            )


def _no_kubernetes_executor(rule: Rule, reading: Reading) -> Iterator[Finding]:
    if reading.deployment.has_kubernetes:
        return
    wanted = reading.deployment.kubernetes_executor
    default = next(name for name in reading.deployment.executors if "." not in name)
    tasks = [task for _dag, task in _on_pods(reading)]
    if tasks:
        yield Finding(
            rule=rule.id,
            file=None,
            line=1,
            dag_id=None,
            task_id=None,
            text=(
                f"{len(tasks)} tasks with queue={KUBERNETES_QUEUE!r}, such as "
                f"{tasks[0].dag_id}.{tasks[0].task_id}, would run on {default}: [core] executor "
                f"does not have {wanted}."
            ),
        )


def _pod_template(rule: Rule, reading: Reading) -> Iterator[Finding]:
    # It loads Kubernetes' schema, which only this rule needs.
    from onchain_agg.routing.pod_templates import template_fault  # noqa: PLC0415

    for _dag, task in _on_pods(reading):
        path = reading.template_at(task.pod_template) if task.pod_template else None
        if path and (fault := template_fault(path)):
            yield rule.in_task(task, fault)


def _short_interval_on_pod(rule: Rule, reading: Reading) -> Iterator[Finding]:
    for dag, task in _on_pods(reading):
        if dag.shortest_interval and dag.shortest_interval < SHORTEST_ON_POD:
            yield rule.in_task(
                task,
                f"The task starts a pod every {dag.shortest_interval}; the limit is "
                f"{SHORTEST_ON_POD}.",
            )


RULES = (
    Rule(
        id="unknown-queue",
        statement="A task's queue is one of workloads.yaml.",
        reason="No worker takes tasks of another queue: they wait, are queued again and fail.",
        cure="Correct queue=, or add it to the file in [onchain_agg] workloads_file.",
        find=_unknown_queue,
    ),
    Rule(
        id="unknown-pool",
        statement="A task's pool is default_pool or one of workloads.yaml.",
        reason="The scheduler leaves a task of a pool that does not exist waiting for good.",
        cure="Correct pool=, or add it to the file in [onchain_agg] workloads_file.",
        find=_unknown_pool,
    ),
    Rule(
        id="kubernetes-without-executor",
        statement='A task with queue="kubernetes" has the executor that runs pods.',
        reason='Airflow maps no queue to an executor: a Celery queue "kubernetes" has no worker.',
        cure=(
            "Drop executor=, or name a Celery queue. Where the task names no executor, have "
            "onchain-agg's policy set it: install the package with the dag-processor."
        ),
        find=_kubernetes_without_executor,
    ),
    Rule(
        id="no-kubernetes-executor",
        statement='[core] executor has what queue="kubernetes" stands for, where a task names it.',
        reason="Heavy tasks would run on the default executor's workers.",
        cure=(
            "Add it to [core] executor, or set [onchain_agg] kubernetes_executor to one that is "
            "there."
        ),
        find=_no_kubernetes_executor,
        can_be_waived=False,
    ),
    Rule(
        id="pod-template",
        statement="A task's pod template is a Pod whose first container is named base.",
        reason="The executor cannot make a pod of another file, and fails the task.",
        cure="Correct the file, or name a size of workloads.yaml by @task.heavy(size=…).",
        find=_pod_template,
        depends_on_machine=True,
    ),
    Rule(
        id="short-interval-on-pod",
        statement=f"A DAG with tasks in pods runs every {SHORTEST_ON_POD} or less often.",
        reason="Starting a pod takes longer than a short task does, and each start is paid for.",
        cure="Run the task on a Celery queue, or the DAG less often.",
        find=_short_interval_on_pod,
    ),
)
