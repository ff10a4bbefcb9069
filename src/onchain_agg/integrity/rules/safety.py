"""Rules for tasks that fail, hang or belong to nobody."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import PurePath

from onchain_agg.integrity.facts import Deployment, Reading, TaskFacts
from onchain_agg.integrity.rules.rule import Finding, Rule
from onchain_agg.integrity.rules.selecting import run_tasks

# A scheduler under load hears of a task's end seconds after it.
SHORTEST_RESCHEDULE = timedelta(seconds=30)


def _no_retries_on_spot(rule: Rule, reading: Reading) -> Iterator[Finding]:
    for _dag, task in run_tasks(reading):
        if not task.retries and (place := _spot_place(task, reading.deployment)):
            yield rule.in_task(task, f"The task has retries=0, but {place} on spot nodes.")


def _spot_place(task: TaskFacts, deployment: Deployment) -> str | None:
    """Return what of *task* is on spot nodes, with its verb; None where nothing is."""
    template = PurePath(task.pod_template or "").name
    if template in deployment.spot_templates:
        return f"pods of {template} are"
    if task.queue in deployment.spot_queues and deployment.has_workers(task.executor):
        return f"the workers of queue {task.queue!r} are"
    return None


def _no_timeout(rule: Rule, reading: Reading) -> Iterator[Finding]:
    longest = reading.deployment.default_sensor_timeout
    for _dag, task in run_tasks(reading):
        if task.sensor_timeout is not None:
            if task.sensor_timeout >= longest:
                text = f"The sensor waits for {task.sensor_timeout}: timeout= is left at that."
                # What routes a task brings no sensor's timeout.
                yield rule.in_task(task, text, "Set timeout= to what the sensor may wait.")
        elif task.execution_timeout is None:
            yield rule.in_task(task, "The task has no execution_timeout.")


def _quick_reschedule(rule: Rule, reading: Reading) -> Iterator[Finding]:
    for _dag, task in run_tasks(reading):
        every = task.reschedule_interval
        if every is not None and every < SHORTEST_RESCHEDULE and not task.retries:
            text = f"The sensor is rescheduled every {every} and has retries=0."
            yield rule.in_task(task, text)


def _no_owner(rule: Rule, reading: Reading) -> Iterator[Finding]:
    default = reading.deployment.default_owner
    for _dag, task in run_tasks(reading):
        if task.owner.strip() in {"", default}:
            yield rule.in_task(task, f"The task's owner is {task.owner!r}, which is nobody.")


RULES = (
    Rule(
        id="no-retries-on-spot",
        statement="A task on spot nodes has at least one retry.",
        reason=(
            "A spot node may go at any time, and the task fails with it: a pod's as a worker's. "
            "Airflow's default is retries=0."
        ),
        cure=(
            "Set retries= to 1 or more; @task.light, @task.heavy and route(…) bring the queue's or "
            "size's own. What cannot be repeated runs on size on-demand."
        ),
        find=_no_retries_on_spot,
    ),
    Rule(
        id="no-timeout",
        statement="A task has an execution_timeout; a sensor, a timeout below Airflow's default.",
        reason="A task that hangs keeps its worker or pod, its pool slot and its DAG run.",
        cure=(
            "Set execution_timeout=, for a sensor timeout=. @task.light, @task.heavy and route(…) "
            "bring an execution_timeout."
        ),
        find=_no_timeout,
    ),
    Rule(
        id="quick-reschedule",
        statement=(
            f'A sensor with mode="reschedule" looks every {SHORTEST_RESCHEDULE.seconds} s or less '
            "often, or has a retry."
        ),
        reason=(
            "Where the next look is due before the scheduler has heard of the last one, it takes "
            "the late word for a crash and fails the sensor: apache/airflow#71172."
        ),
        cure=(
            f"Set poke_interval= to {SHORTEST_RESCHEDULE.seconds} s or more and retries= to 1 or "
            "more, or use a deferrable sensor."
        ),
        find=_quick_reschedule,
    ),
    Rule(
        id="no-owner",
        statement="A task names its owner.",
        reason="Nobody is told where a task of Airflow's default owner fails.",
        cure='Set owner= to a team, once in the DAG: default_args={"owner": "TEAM"}.',
        find=_no_owner,
    ),
)
