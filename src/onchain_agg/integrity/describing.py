"""Airflow's objects → facts. Runs in the interpreter that reads a folder, never in the caller's."""

import os
import traceback
from collections.abc import Iterator, Mapping, Sequence
from configparser import ConfigParser
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onchain_agg.errors import ConfigError
from onchain_agg.integrity.facts import DagFacts, Deployment, TaskFacts, plain_text
from onchain_agg.integrity.import_errors import message_of
from onchain_agg.integrity.source_lines import SourceLines
from onchain_agg.routing.executors import CELERY, KUBERNETES
from onchain_agg.routing.workload_file import configured_workloads
from onchain_agg.routing.workloads import DEFAULT_POOL
from onchain_agg.settings import load_routing_options

if TYPE_CHECKING:
    from airflow.sdk import DAG
    from airflow.sdk.types import Operator

_WARM_UP = """
from airflow.sdk import DAG, task

@task
def step(number): ...

with DAG("warm_up", schedule="@daily"):
    step.expand(number=[1])
"""
# Of a sensor that says nothing.
_POKE_INTERVAL_S = 60
_EXECUTOR_ENV = "AIRFLOW__CORE__EXECUTOR"
# Of a schedule, as much as it takes to see its rhythm: a day, or runs every ten minutes of one.
_RUNS_SEEN, _TIME_SEEN = 145, timedelta(days=1)


def deployment() -> Deployment:
    """Return what Airflow and this package are configured to.

    Where ``[core] executor`` is set nowhere, as in CI, and Airflow's default is not the executor of
    ``queue="kubernetes"``, Celery and that one are taken for it.

    Raises:
        ConfigError: An option or the table of workloads is wrong.
    """
    from airflow.configuration import conf  # noqa: PLC0415 - the process sets its context first

    options, table = load_routing_options(), configured_workloads()
    assumed = _assumed_executors(options.kubernetes_executor)
    if assumed:
        os.environ[_EXECUTOR_ENV] = assumed
    spot = {name for name, group in table.node_groups.items() if group.capacity == "spot"}
    return Deployment(
        executors=dict(_executors()),
        assumed_executors=assumed,
        kubernetes_executor=options.kubernetes_executor,
        queues=table.queue_names,
        sizes=tuple(table.sizes),
        pools=(DEFAULT_POOL, *table.pools),
        spot_queues=frozenset(q.name for q in table.queues.values() if q.node_group in spot),
        spot_templates=frozenset(
            size.pod_template for size in table.sizes.values() if size.node_group in spot
        ),
        pod_templates=options.pod_templates,
        default_owner=conf.get("operators", "default_owner"),
        default_sensor_timeout=timedelta(seconds=conf.getfloat("sensors", "default_timeout")),
    )


def _assumed_executors(wanted: str) -> str | None:
    """Return what to take for ``[core] executor``; None for what it is."""
    from airflow.configuration import conf  # noqa: PLC0415 - see `deployment`
    from airflow.executors.executor_constants import CORE_EXECUTOR_NAMES  # noqa: PLC0415 - the same

    # The file alone: what Airflow's own method answers has the defaults in it.
    is_set = _EXECUTOR_ENV in os.environ or ConfigParser.has_option(conf, "core", "executor")
    if is_set or wanted == conf.get("core", "executor"):
        return None
    # Airflow could not read a name that is none; a rule tells of it.
    is_name = "." in wanted or wanted in CORE_EXECUTOR_NAMES
    return ",".join(dict.fromkeys((CELERY, wanted if is_name else KUBERNETES)))


def _executors() -> Iterator[tuple[str, str]]:
    """Yield each name of each executor that any DAG may use, with the executor's path."""
    from onchain_agg.routing.configured_executors import (  # noqa: PLC0415 - see `deployment`
        everyones_executors,
        names_of,
    )

    for one in everyones_executors():
        yield from ((name, one.module_path) for name in names_of(one))


def load_airflow(scratch: Path) -> None:
    """Read a DAG, so that what any file makes Airflow import is there and each costs its own."""
    path = scratch / "warm_up.py"
    path.write_text(_WARM_UP, encoding="utf-8")
    dags, errors = imported(path, scratch)
    if errors:
        raise ConfigError(f"Airflow cannot read a DAG here: {message_of(errors[0])}")
    dag_facts(storable(dags)[0], path, path.name)


def dag_files(folder: Path) -> list[Path]:
    """Return the files that Airflow would look for DAGs in, by name."""
    from airflow.configuration import conf  # noqa: PLC0415 - see `deployment`
    from airflow.dag_processing.importers import get_importer_registry  # noqa: PLC0415 - the same

    safe_mode = conf.getboolean("core", "dag_discovery_safe_mode")
    found = get_importer_registry().list_dag_files(str(folder), safe_mode=safe_mode)
    return sorted(map(Path, found))


def import_timeout(path: Path) -> float:
    """Return the seconds that Airflow gives the import of *path*."""
    from airflow import settings  # noqa: PLC0415 - see `deployment`

    seconds: float = settings.get_dagbag_import_timeout(str(path))
    return seconds if seconds > 0 else float("inf")


def imported(path: Path, folder: Path) -> tuple[list["DAG"], tuple[str, ...]]:
    """Return the DAGs of *path*, the policies applied, and the errors that kept any out."""
    from airflow.dag_processing.dagbag import DagBag  # noqa: PLC0415 - see `deployment`

    bag = DagBag(dag_folder=os.devnull, collect_dags=False, bundle_path=folder)
    dags: list[DAG] = bag.process_file(str(path), only_if_updated=False)  # type: ignore[no-untyped-call]  # Airflow's
    return sorted(dags, key=lambda dag: dag.dag_id), tuple(bag.import_errors.values())


def storable(dags: list["DAG"]) -> tuple[list["DAG"], tuple[str, ...]]:
    """Return those of *dags* that Airflow can store, and why it cannot the others.

    It tells that as import errors.
    """
    from airflow.serialization.serialized_objects import DagSerialization  # noqa: PLC0415 - as above

    kept, errors = [], []
    for dag in dags:
        try:
            DagSerialization.to_dict(dag)
            kept.append(dag)
        # An author's object may raise any, and the other DAGs are read all the same.
        except Exception:
            errors.append(traceback.format_exc())
    return kept, tuple(errors)


def dag_facts(dags: list["DAG"], path: Path, name: str) -> tuple[DagFacts, ...]:
    """Return the facts of *dags*, which are of the file at *path*."""
    lines = SourceLines(path)
    return tuple(_dag_facts(dag, lines, name) for dag in dags)


def _dag_facts(dag: "DAG", lines: SourceLines, name: str) -> DagFacts:
    dates = [dag.start_date, *(task.start_date for task in dag.tasks)]
    return DagFacts(
        dag_id=plain_text(dag.dag_id),
        file=name,
        line=lines.of_name(dag.dag_id),
        interval=_interval(dag),
        start_dates=tuple(dict.fromkeys(_plain(date) for date in dates if date)),
        tasks=tuple(_task_facts(task, lines, name) for task in dag.tasks),
    )


def _plain(moment: datetime) -> datetime:
    """Return *moment*, which is pendulum's, as one of Python's that any process can read."""
    return datetime.fromisoformat(moment.isoformat())


def _task_facts(task: "Operator", lines: SourceLines, name: str) -> TaskFacts:
    from airflow.sdk import BaseOperator  # noqa: PLC0415 - see `deployment`

    function = _given(task, "python_callable")
    return TaskFacts(
        dag_id=plain_text(task.dag_id),
        task_id=plain_text(task.task_id),
        file=name,
        line=lines.of_callable(function) or lines.of_name(task.task_id.rpartition(".")[2]),
        operator=plain_text(task.task_type),
        # As Airflow stores it: an author's None is the default one.
        queue=plain_text(task.queue or BaseOperator.queue),
        executor=None if task.executor is None else plain_text(task.executor),
        pod_template=_pod_template(task.executor_config),
        config_fault=_config_fault(task.executor_config),
        pool=plain_text(task.pool),
        retries=int(task.retries or 0),
        owner=plain_text(task.owner),
        execution_timeout=_as_duration(task.execution_timeout),
        sensor_timeout=_sensor_timeout(task),
        reschedule_interval=_reschedule_interval(task),
        is_mapped=task.is_mapped,
        is_empty=task.inherits_from_empty_operator,
    )


def _given(task: "Operator", name: str) -> Any:
    """Return what *task*, a mapped one too, was given as *name*; None for nothing."""
    given: dict[str, Any] = getattr(task, "partial_kwargs", {})
    value = getattr(task, name, None)
    return given.get(name) if value is None else value


def _sensor_timeout(task: "Operator") -> timedelta | None:
    if not task._is_sensor:  # noqa: SLF001 - Airflow has no public name for it
        return None
    from airflow.configuration import conf  # noqa: PLC0415 - see `deployment`

    own = _given(task, "timeout")
    # A mapped sensor gets what it was not given as it is run.
    default = conf.getfloat("sensors", "default_timeout")
    values = _mapped_over(task, "timeout", default) if own is None else [own]
    waits = [wait for wait in map(_as_duration, values) if wait is not None]
    return max(waits, default=timedelta(0))


def _mapped_over(task: "Operator", name: str, default: Any) -> Sequence[Any]:
    """Return what *task* is given as *name* by expand(); nothing where only a run knows."""
    given = getattr(getattr(task, "expand_input", None), "value", None)
    if isinstance(given, Mapping):
        values = given.get(name, [default])
        return values if isinstance(values, Sequence) else []
    if isinstance(given, Sequence):
        return [one.get(name, default) for one in given if isinstance(one, Mapping)]
    return [default]


def _reschedule_interval(task: "Operator") -> timedelta | None:
    is_sensor = task._is_sensor  # noqa: SLF001 - Airflow has no public name for it
    if not is_sensor or _given(task, "mode") != "reschedule":
        return None
    own = _given(task, "poke_interval")
    return _as_duration(_POKE_INTERVAL_S if own is None else own)


def _pod_template(config: Any) -> str | None:
    path = config.get("pod_template_file") if isinstance(config, dict) else None
    return plain_text(path) if path else None


def _config_fault(config: Any) -> str | None:
    """Return why ``PodGenerator.from_obj`` raises for *config*; None where it does not."""
    if not config:
        return None
    if not isinstance(config, dict):
        return f"executor_config is of type {type(config).__name__}, not dict."
    if config.get(KUBERNETES):
        return f"executor_config has {KUBERNETES!r}, which was Airflow 2's form."
    pod = config.get("pod_override")
    # By name: loading Kubernetes' classes takes longer than reading the file.
    if not pod or any(one.__name__ == "V1Pod" for one in type(pod).__mro__):
        return None
    return f"pod_override is of type {type(pod).__name__}, not V1Pod."


def _as_duration(wait: Any) -> timedelta | None:
    """Return a time that is a duration, perhaps of pendulum's, or a number of seconds."""
    if isinstance(wait, timedelta):
        wait = wait.total_seconds()
    return timedelta(seconds=wait) if isinstance(wait, int | float) else None


def _interval(dag: "DAG") -> timedelta | None:
    from airflow.serialization.encoders import coerce_to_core_timetable  # noqa: PLC0415 - as above
    from airflow.timetables.base import TimeRestriction  # noqa: PLC0415 - as above
    from airflow.timetables.simple import ContinuousTimetable  # noqa: PLC0415 - as above
    from pendulum import datetime as moment  # noqa: PLC0415 - Airflow's

    timetable = coerce_to_core_timetable(dag.timetable)
    if isinstance(timetable, ContinuousTimetable):
        return timedelta(0)
    # A fixed day, so that two checks of the same folder say the same.
    limits = TimeRestriction(earliest=moment(2026, 1, 1), latest=None, catchup=True)
    runs: list[datetime] = []
    last = None
    while len(runs) < _RUNS_SEEN:
        last = timetable.next_dagrun_info_v2(last_dagrun_info=last, restriction=limits)
        if last is None or last.run_after is None:
            break
        runs.append(last.run_after)
        if runs[-1] - runs[0] >= _TIME_SEEN:
            break
    if len(runs) < 2:
        return None
    return timedelta(seconds=(runs[-1] - runs[0]).total_seconds() / (len(runs) - 1))
