"""Rules for tasks in pods."""

from collections.abc import Iterator
from datetime import timedelta

from onchain_agg.integrity.facts import Reading
from onchain_agg.integrity.rules.rule import Finding, Rule
from onchain_agg.integrity.rules.selecting import pod_tasks

# A pod takes tens of seconds to start, and minutes where a node has to be made for it.
SHORTEST_ON_POD = timedelta(minutes=10)


def _executor_config(rule: Rule, reading: Reading) -> Iterator[Finding]:
    for _dag, task in pod_tasks(reading):
        if task.config_fault:
            yield rule.in_task(task, task.config_fault)


def _pod_template(rule: Rule, reading: Reading) -> Iterator[Finding]:
    for _dag, task in pod_tasks(reading):
        if task.pod_template and (fault := _template_fault(task.pod_template, reading)):
            yield rule.in_task(task, fault)


def _template_fault(template: str, reading: Reading) -> str | None:
    # It loads Kubernetes' schema, which only this rule needs.
    from onchain_agg.routing.pod_templates import template_fault  # noqa: PLC0415

    path = reading.template_at(template)
    if path is None:
        return None
    if not path.exists() and not reading.is_sizes_template(template):
        # The command that writes the templates of sizes would not write this one.
        return f"{path} does not exist."
    return template_fault(path)


def _short_interval_on_pod(rule: Rule, reading: Reading) -> Iterator[Finding]:
    for dag, task in pod_tasks(reading):
        if dag.interval is not None and dag.interval < SHORTEST_ON_POD:
            # Microseconds of a mean tell nothing.
            every = timedelta(seconds=round(dag.interval.total_seconds()))
            when = (
                f"every {every}" if dag.interval else "in each run, and runs follow without a pause"
            )
            yield rule.in_task(
                task, f"The task starts a pod {when}; the limit is {SHORTEST_ON_POD}."
            )


RULES = (
    Rule(
        id="executor-config",
        statement="A pod's task has an executor_config that KubernetesExecutor takes.",
        reason="The executor makes no pod of another one, and fails the task.",
        cure=(
            "Write @task.heavy(size=…) or executor_config={'pod_template_file': …}; what "
            "pod_override is to change is a kubernetes.client.models.V1Pod."
        ),
        find=_executor_config,
    ),
    Rule(
        id="pod-template",
        statement="A task's pod template is a Pod whose first container is named base.",
        reason=(
            "Of a file that is missing the executor makes a pod without image, nodes and DAGs; one "
            "that is not YAML stops the scheduler's loop."
        ),
        cure="Correct the file, or name a size of workloads.yaml by @task.heavy(size=…).",
        find=_pod_template,
        depends_on_machine=True,
    ),
    Rule(
        id="short-interval-on-pod",
        statement=(
            f"A DAG with tasks in pods runs every {SHORTEST_ON_POD} or less often, over a day."
        ),
        reason="Starting a pod takes longer than a short task does, and each start is paid for.",
        cure="Run the task on a Celery queue, or the DAG less often.",
        find=_short_interval_on_pod,
    ),
)
