"""Rules for tasks that fail, hang or belong to nobody."""

from collections.abc import Iterator
from pathlib import PurePath

from onchain_agg.integrity.facts import Reading, TaskFacts
from onchain_agg.integrity.rules.rule import Finding, Rule


def _tasks(reading: Reading) -> Iterator[TaskFacts]:
    for file in reading.files:
        # One that Airflow does not run neither fails nor hangs.
        yield from (task for task in file.tasks if not task.is_empty)


def _no_retries_on_spot(rule: Rule, reading: Reading) -> Iterator[Finding]:
    for task in _tasks(reading):
        template = PurePath(task.pod_template or "").name
        if template in reading.deployment.spot_templates and not task.retries:
            yield rule.in_task(task, f"The task has retries=0, but {template} is for spot nodes.")


def _no_timeout(rule: Rule, reading: Reading) -> Iterator[Finding]:
    longest = reading.deployment.default_sensor_timeout
    for task in _tasks(reading):
        if task.sensor_timeout is not None:
            if task.sensor_timeout >= longest:
                text = f"The sensor waits for {task.sensor_timeout}: timeout= is left at that."
                yield rule.in_task(task, text)
        elif task.execution_timeout is None:
            yield rule.in_task(task, "The task has no execution_timeout.")


def _no_owner(rule: Rule, reading: Reading) -> Iterator[Finding]:
    default = reading.deployment.default_owner
    for task in _tasks(reading):
        if task.owner.strip() in {"", default}:
            yield rule.in_task(task, f"The task's owner is {task.owner!r}, which is nobody.")


RULES = (
    Rule(
        id="no-retries-on-spot",
        statement="A task on spot nodes has at least one retry.",
        reason="A spot node may go at any time, and the task fails with it.",
        cure="Set retries= to 1 or more, or use size on-demand for what cannot be repeated.",
        find=_no_retries_on_spot,
    ),
    Rule(
        id="no-timeout",
        statement="A task has an execution_timeout; a sensor, a timeout below Airflow's default.",
        reason="A task that hangs keeps its worker or pod, its pool slot and its DAG run.",
        cure="Set execution_timeout=, for a sensor timeout=; **route(…) brings the queue's own.",
        find=_no_timeout,
    ),
    Rule(
        id="no-owner",
        statement="A task names its owner.",
        reason="Nobody is told where a task of Airflow's default owner fails.",
        cure='Set owner= to a team, once in the DAG: default_args={"owner": "TEAM"}.',
        find=_no_owner,
    ),
)
