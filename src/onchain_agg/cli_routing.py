"""``onchain-agg routing``: where tasks run, what to set for it, and whether they run well there."""

import json
import shlex
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import click

from onchain_agg.command_errors import FAILED, one_line_errors
from onchain_agg.costs.inputs import packaged_pod_start
from onchain_agg.errors import ConfigError
from onchain_agg.integrity.facts import DagFile, TaskFacts
from onchain_agg.integrity.import_errors import message_of
from onchain_agg.integrity.reading import read
from onchain_agg.routing import manifests as cluster
from onchain_agg.routing import pod_templates
from onchain_agg.routing.advice import BREAK_EVEN, MIN_RUNS, Model, Prices, advise
from onchain_agg.routing.advice_text import advice_data, advice_text
from onchain_agg.routing.columns import Row, aligned
from onchain_agg.routing.executors import Executors, executors_of
from onchain_agg.routing.history import History
from onchain_agg.routing.history_api import Server, read_api
from onchain_agg.routing.history_database import read_database
from onchain_agg.routing.recommended import finishing_time, recommended_settings, worker_command
from onchain_agg.routing.table_text import pools_data, table_data, table_text
from onchain_agg.routing.workload_file import configured_workloads
from onchain_agg.settings import load_routing_options

Command = TypeVar("Command", bound=Callable[..., Any])

_TASK_HEADS: Row = ("dag", "task", "queue", "executor", "template", "pool")
# Comments, so that what is printed stays a file or a script.
_WHERE = "# Run where the scheduler runs, in its image: the paths are those of this machine."
_STOP = """\
# Stop its pod with SIGQUIT (preStop or stopSignal): tasks have {seconds} s to end, then they are
# interrupted. On SIGTERM it waits for them without a limit, and the end of the grace kills them."""


def _format(help_text: str, default: str, *others: str) -> Callable[[Command], Command]:
    """Return the option of the formats *default* and *others*."""
    return click.option(
        "--format",
        "form",
        type=click.Choice([default, *others]),
        default=default,
        show_default=True,
        help=help_text,
    )


_text_or_json = _format("How it is printed.", "text", "json")
_only_check = click.option(
    "--check", is_flag=True, help="Write nothing; fail where a file is not as it would."
)


@click.group()
def routing() -> None:
    """Where tasks run: the table of queues and sizes, and advice from what tasks did."""


@routing.command()
@click.argument("folder", required=False, type=Path)
@_text_or_json
@one_line_errors
def show(folder: Path | None, form: str) -> None:
    """Print the queues and sizes of pod, or each task of the DAGs in FOLDER and where it runs."""
    if folder is None:
        table = configured_workloads()
        click.echo(table_text(table) if form == "text" else _json(table_data(table)))
        return
    reading = read(folder)
    tasks = [task for file in reading.files for task in file.tasks]
    if form == "json":
        click.echo(_json([_data(task) for task in tasks]))
    else:
        click.echo(aligned(_TASK_HEADS, [_row(task) for task in tasks]))
    if assumption := reading.deployment.assumption:
        click.echo(f"Note: {assumption}", err=True)
    _tell_import_errors(reading.files)


@routing.command("advise")
@click.option("--database", help="Airflow's metadata database; default: that of airflow.cfg.")
@click.option("--api", help="URL of Airflow's API server, to ask it instead.")
@click.option("--token", envvar="ONCHAIN_AGG_API_TOKEN", show_envvar=True, help="For --api.")
@click.option("--user", help="For --api, with --password, where there is no token.")
@click.option("--password", envvar="ONCHAIN_AGG_API_PASSWORD", show_envvar=True, help="Of --user.")
@click.option("--days", type=click.IntRange(1, 366), default=7, show_default=True, help="Period.")
@click.option(
    "--pod-start",
    type=click.IntRange(1, 86_400),
    default=lambda: int(packaged_pod_start().total_seconds()),
    show_default="as `onchain-agg cost`",
    help=f"Seconds that a pod takes to start, where fewer than {MIN_RUNS} were seen.",
)
@click.option(
    "--break-even",
    type=float,
    default=BREAK_EVEN,
    show_default=True,
    help="A task belongs in a pod when it takes as many times a pod's start.",
)
@click.option("--slot-hour", type=float, help="Price of a worker's slot; with --pod-hour.")
@click.option("--pod-hour", type=float, help="Price of a pod; with --slot-hour.")
@_text_or_json
@one_line_errors
def advise_tasks(**given: Any) -> None:
    """Say which tasks are on the wrong side, and what moving them saves a day.

    Reads what tasks did in the last days; changes nothing. What the names of executors mean comes
    from this machine's Airflow configuration, with --api too.
    """
    model = Model(
        pod_start=timedelta(seconds=given["pod_start"]),
        break_even=given["break_even"],
        prices=_prices(given["slot_hour"], given["pod_hour"]),
        executors=_executors(),
    )
    history = _history(given)
    if not history.tasks:
        raise ConfigError(
            f"No task ended in the last {given['days']} days that waited for a worker or pod. "
            "Ask for more --days, or of another deployment with --database or --api."
        )
    report = advise(history, model)
    if given["form"] == "json":
        click.echo(_json(advice_data(history, report)))
    else:
        click.echo(advice_text(history, report))


@routing.command()
@one_line_errors
def pools() -> None:
    """Print the pools as `airflow pools import FILE` takes them."""
    click.echo(_json(pools_data(configured_workloads())))


@routing.command()
@click.argument("folder", type=Path)
@_only_check
@one_line_errors
def templates(folder: Path, check: bool) -> None:  # noqa: FBT001 - click passes it by name
    """Write the pod template of each size into FOLDER."""
    _write(pod_templates, folder, check)


@routing.command()
@click.argument("folder", type=Path)
@_only_check
@one_line_errors
def manifests(folder: Path, check: bool) -> None:  # noqa: FBT001 - click passes it by name
    """Write workers, options, quota and node pools of the table into FOLDER (deploy)."""
    _write(cluster, folder, check)


@routing.command()
@_format("Environment variables, or lines of airflow.cfg.", "env", "cfg")
@one_line_errors
def settings(form: str) -> None:
    """Print the options of Airflow that suit the table, each with its reason.

    Run it where the scheduler runs, in its image: the paths are those of this machine.
    """
    click.echo(_WHERE)
    told = recommended_settings(configured_workloads())
    if form == "env":
        for one in told:
            click.echo(f"# {one.reason}\n{one.variable}={one.value}")
        return
    for section in dict.fromkeys(one.section for one in told):
        click.echo(f"[{section}]")
        for one in told:
            if one.section == section:
                # Airflow reads a single % as the start of a reference to another option.
                value = one.value.replace("%", "%%")
                click.echo(f"# {one.reason}\n{one.option} = {value}")


@routing.command()
@click.argument("queue")
@one_line_errors
def worker(queue: str) -> None:
    """Print the command of a Celery worker that serves QUEUE, and how to stop it."""
    table = configured_workloads()
    command = shlex.join(worker_command(table.queue(queue)))
    click.echo(_STOP.format(seconds=finishing_time(table)))
    click.echo(command)


def _write(part: ModuleType, folder: Path, check: bool) -> None:  # noqa: FBT001 - as above
    """Write what *part* makes of the table; with *check*, end with `FAILED` where it is not so."""
    table = configured_workloads()
    if not check:
        for path in part.write(folder, table):
            click.echo(f"Wrote {path}.")
        return
    faults = part.drift(folder, table)
    for fault in faults:
        click.echo(fault, err=True)
    if faults:
        sys.exit(FAILED)
    click.echo(f"{folder} is what the table makes.")


def _data(task: TaskFacts) -> dict[str, str | None]:
    return {
        "dag_id": task.dag_id,
        "task_id": task.task_id,
        "queue": task.queue,
        "executor": task.executor,
        "pod_template": task.pod_template,
        "pool": task.pool,
    }


def _row(task: TaskFacts) -> Row:
    executor, template = task.executor or "default", task.pod_template or "-"
    return (task.dag_id, task.task_id, task.queue, executor, template, task.pool)


def _tell_import_errors(files: tuple[DagFile, ...]) -> None:
    """End with `FAILED` where a file could not be imported, after a line for each."""
    told = [(file.name, message_of(error)) for file in files for error in file.errors]
    for name, message in told:
        click.echo(f"Error: {name} cannot be imported: {message}", err=True)
    if told:
        sys.exit(FAILED)


def _history(given: dict[str, Any]) -> History:
    until = datetime.now(UTC)  # noqa: TID251 - a person asks about the days before this moment
    since = until - timedelta(days=given["days"])
    if not given["api"]:
        return read_database(
            given["database"] or _configured("database", "sql_alchemy_conn"), since, until
        )
    if given["database"]:
        raise ConfigError("--database and --api are two places to read. Name one of them.")
    server = Server(
        url=given["api"], token=given["token"], user=given["user"], password=given["password"]
    )
    return read_api(server, since, until)


def _prices(slot_hour: float | None, pod_hour: float | None) -> Prices | None:
    if slot_hour is None and pod_hour is None:
        return None
    if slot_hour is None or pod_hour is None:
        raise ConfigError(
            "A move trades pods for slots, so it takes both prices. Give both "
            "--slot-hour and --pod-hour, or none."
        )
    return Prices(slot_hour=slot_hour, pod_hour=pod_hour)


def _executors() -> Executors:
    return executors_of(_configured("core", "executor"), load_routing_options().kubernetes_executor)


def _configured(section: str, option: str) -> str:
    # Airflow writes a configuration file as it is imported, so only where one is asked for.
    from airflow.configuration import conf  # noqa: PLC0415

    return str(conf.get(section, option))


def _json(value: Any) -> str:
    return json.dumps(value, indent=2)
