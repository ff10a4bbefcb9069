"""Rules for the queue, pool and executor that a task names."""

from collections.abc import Iterator

from onchain_agg.errors import UnknownNameError
from onchain_agg.integrity.facts import Reading
from onchain_agg.integrity.rules.rule import Finding, Rule
from onchain_agg.integrity.rules.selecting import run_tasks
from onchain_agg.routing.workloads import KUBERNETES_QUEUE


def _unknown_queue(rule: Rule, reading: Reading) -> Iterator[Finding]:
    queues, sizes = reading.deployment.queues, reading.deployment.sizes
    for _dag, task in run_tasks(reading):
        if task.queue in sizes:
            text = f"No queue is named {task.queue!r}: it is a size of pod."
            cure = f"Write @task.heavy(size={task.queue!r}) or **route({task.queue!r})."
            yield rule.in_task(task, text, cure)
        elif task.queue not in queues:
            yield rule.in_task(task, str(UnknownNameError("queue", task.queue, queues)))


def _unknown_pool(rule: Rule, reading: Reading) -> Iterator[Finding]:
    pools = reading.deployment.pools
    for _dag, task in run_tasks(reading):
        if task.pool not in pools:
            yield rule.in_task(task, str(UnknownNameError("pool", task.pool, pools)))


def _kubernetes_without_executor(rule: Rule, reading: Reading) -> Iterator[Finding]:
    deployment = reading.deployment
    for _dag, task in run_tasks(reading):
        if task.queue != KUBERNETES_QUEUE or not deployment.has_kubernetes:
            continue
        if not deployment.is_kubernetes(task.executor):
            has = f"the executor {task.executor}" if task.executor else "no executor"
            yield rule.in_task(
                task,
                f"queue={KUBERNETES_QUEUE!r} stands for {deployment.kubernetes_executor}, but the "
                f"task has {has}.",
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
)
