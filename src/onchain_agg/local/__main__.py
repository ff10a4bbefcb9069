"""``python -m onchain_agg.local run|up|down|status``, which the Makefile calls."""

import signal
import sys
import time
from collections.abc import Callable
from typing import NoReturn
from urllib.parse import unquote

import click
from rich.console import Console

from onchain_agg.command_errors import one_line_errors
from onchain_agg.local import processes
from onchain_agg.local.broker import Broker
from onchain_agg.local.environment import Site, airflow_environment, dag_folder
from onchain_agg.local.inputs import Input, Request, check_source, checked
from onchain_agg.local.job import prepared_warehouse, run_job, start_airflow
from onchain_agg.local.rest import AirflowApi
from onchain_agg.local.workers import local_workers
from onchain_agg.metrics.summary import summary
from onchain_agg.routing.workload_file import configured_workloads
from onchain_agg.settings import load_settings, warehouse_url
from onchain_agg.warehouse import embedded
from onchain_agg.warehouse.engine import shown

_AIRFLOW = ("api-server", "scheduler", "dag-processor", "triggerer")


def _with_input(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that name an input; empty texts count as not given."""
    for option, name, text in (
        ("--to", "last", "Last block, included."),
        ("--from", "first", "First block."),
        ("--chain", "chain", "The chain that the input belongs to."),
        ("--evm-rpc", "evm_rpc", "URL of an EVM node."),
        ("--btc-rpc", "btc_rpc", "URL of a Bitcoin-family node, with user and password."),
        ("--blocks", "blocks", "A blk*.dat file, or a folder of them."),
    ):
        command = click.option(option, name, default="", help=text)(command)
    return click.option("--dags", default="", help="DAG folder; default: dags")(command)


@click.group()
def main() -> None:
    """Airflow on this machine, with its databases in one embedded PostgreSQL."""
    signal.signal(signal.SIGTERM, _stop_on_signal)


@main.command()
@_with_input
@one_line_errors
def run(dags: str, **request: str) -> None:
    """Load an input through the DAGs, print what came out, and stop Airflow again."""
    given = checked(Request(**request))
    if given:
        check_source(given)
    folder, settings = dag_folder(dags), load_settings()
    # A log has no width of its own; the tables need this much.
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    began = time.monotonic()
    outcome = run_job(settings, given, folder, console)
    with prepared_warehouse(settings) as engine:
        console.print(summary(engine))
        console.print(f"{outcome.sentence()} ({time.monotonic() - began:.0f} s)", soft_wrap=True)
        console.print(_where_next(shown(engine.url), settings.home), soft_wrap=True, markup=False)


@main.command()
@click.option("--port", default=8080, show_default=True, help="Port of the pages, on loopback.")
@_with_input
@one_line_errors
def up(port: int, dags: str, **request: str) -> None:
    """Start Airflow with its pages and its Celery workers, and leave it running."""
    given = checked(Request(**request))
    if given:
        check_source(given)
    folder, settings = dag_folder(dags), load_settings()
    inputs: tuple[Input, ...] = (given,) if given else ()
    with prepared_warehouse(settings):
        pass
    home = settings.home / "airflow"
    processes.check_stopped(home)
    site = Site(
        home=home,
        dags=folder,
        port=processes.free_port(port),
        quick=False,
        broker=Broker(port=processes.free_port()),
    )
    workers = local_workers(configured_workloads())
    environment = airflow_environment(site, settings, warehouse_url(settings), inputs)
    processes.migrate_metadata(site, environment, settings.home)
    api = AirflowApi(site.url)
    try:
        needed = {f"ingest_{one.chain}" for one in inputs}
        start_airflow(api, site, environment, _AIRFLOW, needed, workers)
        for one in inputs:
            api.unpause(f"ingest_{one.chain}")
    except BaseException:
        processes.stop(site.home)
        raise
    finally:
        api.close()
    click.echo(f"Airflow is up: {site.url} (no password; this machine only). `make down` stops it.")


@main.command()
@one_line_errors
def down() -> None:
    """Stop Airflow and the embedded PostgreSQL."""
    settings = load_settings()
    stopped = [part.name for part in processes.stop(settings.home / "airflow")]
    if (settings.home / "postgres").is_dir() and embedded.stop(settings.home):
        stopped.append("PostgreSQL")
    click.echo(f"Stopped: {', '.join(stopped)}." if stopped else "Nothing was running.")


@main.command()
@one_line_errors
def status() -> None:
    """Tell which parts of the local Airflow run."""
    home = load_settings().home / "airflow"
    alive = {part.name for part in processes.running(home)}
    workers = [worker.program.name for worker in local_workers(configured_workloads())]
    for name in (*_AIRFLOW, "redis", *workers):
        click.echo(f"{name:<14} {'running' if name in alive else 'stopped'}")


def _where_next(url: str, home: object) -> str:
    # As any client of PostgreSQL takes it.
    url = unquote(url.replace("+psycopg:", ":"))
    return (
        "Next:  .venv/bin/onchain-agg show <data set>   its newest rows\n"
        "       make up                                 the DAGs in Airflow's pages\n"
        f"       {url}   the tables: schemas serving, history, ops\n"
        f"       {home}/airflow/logs   the tasks' logs"
    )


def _stop_on_signal(_number: int, _frame: object) -> NoReturn:
    # As an exception, so that what was started is stopped on the way out.
    raise SystemExit(143)


if __name__ == "__main__":
    main()
