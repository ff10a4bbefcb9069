"""The executor of a task, from its queue: Airflow itself maps no queue to an executor.

Called for each task of a DAG file that is parsed, by the dag-processor and again by each task that
starts, so what the configuration says is worked out once a process.
"""

import logging
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from airflow.exceptions import AirflowClusterPolicyViolation
from airflow.executors.executor_constants import CORE_EXECUTOR_NAMES
from airflow.sdk.definitions.mappedoperator import MappedOperator

from onchain_agg.errors import ConfigError, UnknownNameError, did_you_mean
from onchain_agg.routing.configured_executors import class_of, everyones_executors, names_of
from onchain_agg.routing.executors import CELERY
from onchain_agg.routing.placement import template_path
from onchain_agg.routing.workload_file import configured_workloads
from onchain_agg.routing.workloads import KUBERNETES_QUEUE
from onchain_agg.settings import load_routing_options

if TYPE_CHECKING:
    from airflow.executors.executor_utils import ExecutorName
    from airflow.sdk.types import Operator

_TEMPLATE = "pod_template_file"
_log = logging.getLogger(__name__)


def assign(task: "Operator") -> None:
    """Give *task* the executor of its queue, and a pod's template where it names none.

    An executor that the author chose stays. A queue that the table does not have is a warning in
    the parse log, once a task and process.

    Raises:
        AirflowClusterPolicyViolation: An import error of the task's DAG: the table or an option is
            wrong, or ``strict_queues`` is set and the table does not have the queue.
    """
    try:
        rules = _rules()
    except ConfigError as error:
        raise AirflowClusterPolicyViolation(str(error)) from error
    _check_queue(task, rules)
    if task.executor is None:
        _choose_executor(task, rules)
    config = task.executor_config or {}
    if (
        task.queue == KUBERNETES_QUEUE
        and task.executor in rules.kubernetes_names
        and not config.get(_TEMPLATE)
    ):
        # A new dict: the task's own may be the one of default_args, which other tasks share.
        _set(task, "executor_config", {**config, _TEMPLATE: rules.template})


def announce() -> None:
    """Say where ``queue="kubernetes"`` falls back to, if it does, for this process and its forks.

    A configuration that is wrong is told by each parse.
    """
    try:
        fallback = None if _rules().kubernetes else _rules().fallback
    except ConfigError:
        return
    finally:
        # Each parse is to read the files as they are then.
        _rules.cache_clear()
        configured_workloads.cache_clear()
    if fallback:
        _warn_once(fallback)


def mute() -> None:
    """Say nothing more in this process: where a task runs, its route was decided before."""
    _log.disabled = True


@dataclass(frozen=True)
class _Rules:
    """What the configuration says.

    Attributes:
        celery: The executor of Celery's queues; None leaves a task to the default executor.
        kubernetes: That of ``queue="kubernetes"``; None where it is not configured.
        kubernetes_names: All that an author may call it.
        fallback: What to say where it is not configured.
        template: Path of the default size's pod template.
        queues: Every queue that a task may name.
        sizes: Every size of pod, which is no queue.
        strict: Whether another queue is an import error.
    """

    celery: str | None
    kubernetes: str | None
    kubernetes_names: frozenset[str]
    fallback: str
    template: str
    queues: tuple[str, ...]
    sizes: frozenset[str]
    strict: bool


@cache
def _rules() -> _Rules:
    options, workloads = load_routing_options(), configured_workloads()
    configured = everyones_executors()
    wanted = options.kubernetes_executor
    called = next((names for names in map(names_of, configured) if wanted in names), ())
    return _Rules(
        celery=_celery(configured),
        kubernetes=wanted if called else None,
        kubernetes_names=frozenset(called),
        fallback=_fallback(wanted, configured),
        template=template_path(workloads.size(workloads.default_size)),
        queues=workloads.queue_names,
        sizes=frozenset(workloads.sizes),
        strict=options.strict_queues,
    )


def _celery(configured: list["ExecutorName"]) -> str | None:
    default, *others = configured
    if class_of(default) == CELERY:
        return None
    found = next((name for name in others if class_of(name) == CELERY), None)
    # The scheduler gives a Celery task its id in advance by alias or path, not by class name.
    return (found.alias or found.module_path) if found else None


def _fallback(wanted: str, configured: list["ExecutorName"]) -> str:
    known = [name.alias or name.module_path for name in configured]
    on_celery = class_of(configured[0]) == CELERY
    serve = ", and wait until a worker serves that queue" if on_celery else ""
    names = sorted({name for one in configured for name in names_of(one)})
    # All of Airflow's own look alike, and one of them is hardly a mistake for another.
    hint = "" if wanted in CORE_EXECUTOR_NAMES else did_you_mean(wanted, names)
    return (
        f"Tasks with queue={KUBERNETES_QUEUE!r} run on the default executor, {known[0]}{serve}: "
        f"option [onchain_agg] kubernetes_executor is {wanted!r}, which [core] executor does not "
        f"have. {hint}Add it there, or set the option to one that is there: {', '.join(known)}."
    )


def _check_queue(task: "Operator", rules: _Rules) -> None:
    # Authors write what they like: None, as of an unset variable, is Celery's own default queue.
    queue: Any = task.queue
    if queue is None or queue in rules.queues:
        return
    unknown = UnknownNameError("queue", str(queue), rules.queues)
    cure = "Correct the name, or add the queue to the file in [onchain_agg] workloads_file."
    if task.queue in rules.sizes:
        cure = f"It is a size of pod: write @task.heavy(size={task.queue!r}) or **route(…)."
    text = f"Task {task.task_id!r} of DAG {task.dag_id!r}: {unknown} {cure}"
    if rules.strict:
        raise AirflowClusterPolicyViolation(text)
    _warn_once(text)


def _choose_executor(task: "Operator", rules: _Rules) -> None:
    executor = rules.celery
    if task.queue == KUBERNETES_QUEUE:
        executor = rules.kubernetes
        if executor is None:
            _warn_once(rules.fallback)
    if executor is not None:
        _set(task, "executor", executor)


@cache
def _warn_once(text: str) -> None:
    # Not `warnings`: a filter must neither hide it nor make an import error of it.
    _log.warning(text)


def _set(task: "Operator", field: str, value: Any) -> None:
    if isinstance(task, MappedOperator):
        # It has no setters; each mapped task has a dict of its own.
        task.partial_kwargs[field] = value
    else:
        setattr(task, field, value)
