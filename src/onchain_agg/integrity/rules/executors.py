"""Rules for the deployment's own executors."""

from collections.abc import Iterator

from onchain_agg.errors import did_you_mean
from onchain_agg.integrity.facts import Deployment, Reading
from onchain_agg.integrity.rules.rule import Finding, Rule
from onchain_agg.integrity.rules.selecting import pod_tasks
from onchain_agg.routing.executors import CELERY, KUBERNETES, LOCAL
from onchain_agg.routing.workloads import KUBERNETES_QUEUE

_AIRFLOWS_OWN = (CELERY, KUBERNETES, LOCAL)
# Executors of Airflow 2, with what stands for them now.
_GONE = {
    "CeleryKubernetesExecutor": f"{CELERY},{KUBERNETES}",
    "LocalKubernetesExecutor": f"{LOCAL},{KUBERNETES}",
    "SequentialExecutor": LOCAL,
    "DebugExecutor": LOCAL,
}


def _core_executor(rule: Rule, reading: Reading) -> Iterator[Finding]:
    for text, cure in _faults(reading.deployment):
        yield rule.in_deployment(text, cure)


def _faults(deployment: Deployment) -> Iterator[tuple[str, str | None]]:
    """Yield what is wrong with each executor that Airflow cannot load, and a cure of its own."""
    for path in dict.fromkeys(deployment.executors.values()):
        package, _, name = path.rpartition(".")
        if name in _GONE and package.partition(".")[0] in {"", "airflow"}:
            text = f"[core] executor has {name}. Airflow 3 does not start with it."
            yield text, f"Write {_GONE[name]}."
        elif not package:
            hint = did_you_mean(name, _AIRFLOWS_OWN)
            text = f"[core] executor has {name!r}, which is no executor of Airflow. {hint}"
            yield text.strip(), None


def _no_kubernetes_executor(rule: Rule, reading: Reading) -> Iterator[Finding]:
    deployment = reading.deployment
    tasks = [task for _dag, task in pod_tasks(reading)]
    # One that Airflow cannot load may be meant for it, and has a finding already.
    if deployment.has_kubernetes or not tasks or any(_faults(deployment)):
        return
    wanted, first = deployment.kubernetes_executor, tasks[0]
    counted = "1 task" if len(tasks) == 1 else f"{len(tasks)} tasks"
    known = [name for name in deployment.executors if "." not in name]
    # All of Airflow's own look alike, and one of them is hardly a mistake for another.
    hint = "" if wanted in _AIRFLOWS_OWN else did_you_mean(wanted, (*known, KUBERNETES))
    yield rule.in_deployment(
        f"{counted} with queue={KUBERNETES_QUEUE!r}, such as {first.dag_id}.{first.task_id}, would "
        f"{_fate(deployment)}: [core] executor does not have {wanted}. {hint}".strip()
    )


def _fate(deployment: Deployment) -> str:
    default = next(iter(deployment.executors.values())).rpartition(".")[2]
    if default == CELERY:
        return "wait in a Celery queue of that name, which no worker serves"
    return f"run on {default} beside all others"


RULES = (
    Rule(
        id="core-executor",
        statement="Airflow has every executor of [core] executor.",
        reason="The scheduler does not start.",
        cure="Correct [core] executor, or AIRFLOW__CORE__EXECUTOR.",
        find=_core_executor,
        can_be_waived=False,
    ),
    Rule(
        id="no-kubernetes-executor",
        statement='[core] executor has what queue="kubernetes" stands for, where a task names it.',
        reason=(
            "Heavy tasks go to the default executor: in Celery they wait for a worker that nobody "
            "starts, in others they run where the light ones do."
        ),
        cure=(
            "Add it to [core] executor, or set [onchain_agg] kubernetes_executor to one that is "
            "there. On a machine that is not the deployment's, set AIRFLOW__CORE__EXECUTOR to what "
            "the deployment has."
        ),
        find=_no_kubernetes_executor,
        can_be_waived=False,
    ),
)
