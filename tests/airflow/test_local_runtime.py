"""The local Airflow: real processes, a real run by REST, and nothing left behind."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from rich.console import Console
from sqlalchemy import text

from onchain_agg.errors import ConfigError
from onchain_agg.local import job, processes
from onchain_agg.local.broker import Broker
from onchain_agg.local.environment import Site, airflow_environment, dag_folder
from onchain_agg.local.follow import RunFailedError
from onchain_agg.local.inputs import Input
from onchain_agg.local.rest import AirflowApi
from onchain_agg.local.workers import local_workers
from onchain_agg.routing.workload_file import PACKAGED, load_workloads
from onchain_agg.settings import Settings, warehouse_url
from onchain_agg.warehouse import embedded

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(240)]

_WORKERS = local_workers(load_workloads(PACKAGED))
_DAG = """
from airflow.sdk import dag, task

@dag(
    dag_id="ingest_bitcoin", schedule="* * * * *", catchup=False, max_active_runs=1,
    params={"first": None, "last": None},
)
def ingest():
    @task
    def load(params=None):
        import os, sqlalchemy as sa
        first, last = params["first"], params["last"]
        if first == 13:
            raise ValueError("block 13 is missing")
        engine = sa.create_engine(os.environ["ONCHAIN_AGG_WAREHOUSE_URL"])
        with engine.begin() as connection:
            for height in range(first, last + 1):
                connection.execute(sa.text(
                    "INSERT INTO chain.block (chain, height, day, block_hash, parent_hash,"
                    " header_at, block_at, tx_count, traced) VALUES ('bitcoin', :height,"
                    " '2009-01-03', '\\\\\\\\x00', '\\\\\\\\x00', now(), now(), 1, true)"
                    " ON CONFLICT DO NOTHING"), {"height": height})
    load()

ingest()
"""


_PLACES = """
from airflow.sdk import dag, task

@dag(dag_id="places", schedule=None, is_paused_upon_creation=False)
def places():
    def place():
        from pathlib import Path

        status = Path("/proc/self/status").read_text()
        parent = status.split("PPid:")[1].split()[0]
        above = Path(f"/proc/{parent}/status").read_text().split("PPid:")[1].split()[0]
        return Path(f"/proc/{above}/cmdline").read_text().replace("\\0", " ")

    task(task_id="light")(place)()
    task(task_id="nft", queue="nft_worker")(place)()
    task(task_id="heavy", queue="kubernetes", pool="heavy")(place)()

places()
"""


def _input(first: int, last: int) -> Input:
    return Input(chain="bitcoin", connection={"conn_type": "x"}, first=first, last=last)


def _airflow(site, settings, inputs):
    """Run the parts that the local job runs, with its environment."""
    environment = airflow_environment(site, settings, warehouse_url(settings), inputs)
    needed = {f"ingest_{one.chain}" for one in inputs}
    return job.running_airflow(site, environment, settings.home, job._WITHOUT_TRIGGERER, needed)


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    """Yield a started job on a DAG folder of one file, and stop everything after the module."""
    home: Path = tmp_path_factory.mktemp("local")
    dags = home / "dags"
    dags.mkdir()
    (dags / "ingest.py").write_text(_DAG)
    settings = Settings(home=home, warehouse_url=None, assets_file=None, refresh_minutes=10)
    site = Site(home=home / "airflow", dags=dags, port=processes.free_port(), quick=True)
    try:
        with (
            job.prepared_warehouse(settings) as engine,
            _airflow(site, settings, [_input(0, 2)]) as (api, parts),
        ):
            yield job._Job(site, api, parts, engine, [_input(0, 2)])
        assert processes.running(site.home) == ()
    finally:
        processes.stop(site.home)
        embedded.stop(home)


def test_a_run_is_triggered_followed_and_told(local):
    outcome = job._load(local, Console(quiet=True))

    with local.engine.connect() as connection:
        heights = connection.execute(text("SELECT height FROM chain.block ORDER BY 1")).scalars()
        assert list(heights) == [0, 1, 2]
    assert outcome.sentence() == "Loaded 3 blocks and wrote 0 windows."


def test_a_second_run_says_that_nothing_is_new(local):
    job._load(local, Console(quiet=True))

    outcome = job._load(local, Console(quiet=True))

    assert outcome.sentence() == "Nothing new: every window was already up to date."


def test_a_failed_run_names_its_task_its_error_and_its_log(local):
    failing = job._Job(local.site, local.api, local.parts, local.engine, [_input(13, 14)])

    with pytest.raises(RunFailedError) as caught:
        job._load(failing, Console(quiet=True))

    first, log, run = str(caught.value).splitlines()
    assert first == "DAG ingest_bitcoin failed in task load: ValueError: block 13 is missing"
    assert Path(log.removeprefix("Log: ")).is_file()
    assert run.startswith("Run: local__")


def test_a_second_airflow_of_one_home_is_refused(local):
    with pytest.raises(ConfigError, match="runs already"):
        processes.start(local.site, {}, ["scheduler"])


def test_a_refused_job_leaves_the_running_airflow_alone(local):
    home = local.site.home.parent
    settings = Settings(home=home, warehouse_url=None, assets_file=None, refresh_minutes=10)

    with (
        pytest.raises(ConfigError, match="runs already"),
        _airflow(local.site, settings, []),
    ):
        pass

    assert processes.running(local.site.home) == local.parts


def test_stopping_leaves_no_process_and_no_state(tmp_path):
    settings = Settings(home=tmp_path, warehouse_url=None, assets_file=None, refresh_minutes=10)
    site = Site(home=tmp_path / "airflow", dags=tmp_path, port=processes.free_port(), quick=True)
    environment = airflow_environment(site, settings, "postgresql://unused/x")
    (part,) = processes.start(site, environment, ["scheduler"])
    family = [psutil.Process(part.pid), *psutil.Process(part.pid).children(recursive=True)]

    stopped = processes.stop(site.home)

    embedded.stop(tmp_path)
    assert [one.name for one in stopped] == ["scheduler"]
    assert processes.running(site.home) == ()
    alive = [p for p in family if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
    assert alive == []


@pytest.fixture(scope="module")
def hybrid(tmp_path_factory):
    """Yield the home of an Airflow that `up` started, and the environment of the commands."""
    home: Path = tmp_path_factory.mktemp("up")
    (home / "dags").mkdir()
    (home / "dags" / "places.py").write_text(_PLACES)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    environment = {**kept, "ONCHAIN_AGG_HOME": str(home)}
    try:
        told = _local(environment, "up", "--port", str(processes.free_port()), "--dags", "dags")
        assert "Airflow is up" in told
        yield home, environment, told.split()[3]
    finally:
        processes.stop(home / "airflow")
        embedded.stop(home)


def _local(environment: dict[str, str], *arguments: str) -> str:
    return subprocess.run(
        [sys.executable, "-m", "onchain_agg.local", *arguments],
        cwd=environment["ONCHAIN_AGG_HOME"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=200,
    ).stdout


def test_up_runs_each_task_where_its_queue_says(hybrid):
    _, _, url = hybrid
    api = AirflowApi(url)

    run = api.trigger("places", {})
    processes.wait_until(lambda: run in api.runs("success", "failed"), 90, "The run did not end")

    path = f"/api/v2/dags/places/dagRuns/{run.run_id}/taskInstances"
    told = {
        name: api._call("GET", f"{path}/{name}/xcomEntries/return_value")["value"]
        for name in ("light", "nft", "heavy")
    }
    log = api._call("GET", f"{path}/nft/logs/1")["content"]
    pools = {one["name"]: one["slots"] for one in api._pages("/api/v2/pools", {}, "pools")}
    api.close()
    assert "[celeryd: light@" in told["light"]
    assert "[celeryd: metrics@" in told["nft"]
    assert "airflow scheduler" in told["heavy"]
    assert "task_id=nft/attempt=1.log" in str(log)
    assert pools["heavy"] == 16


def test_status_tells_all_parts(hybrid):
    _, environment, _ = hybrid

    assert _local(environment, "status").splitlines() == [
        "api-server     running",
        "scheduler      running",
        "dag-processor  running",
        "triggerer      running",
        "redis          running",
        "worker-light   running",
        "worker-metrics running",
    ]


def test_a_killed_worker_is_told(hybrid):
    home, environment, _ = hybrid
    (killed,) = (one for one in processes.running(home / "airflow") if one.name == "worker-light")
    children = psutil.Process(killed.pid).children(recursive=True)

    psutil.Process(killed.pid).kill()
    psutil.wait_procs([psutil.Process(killed.pid), *children], timeout=10)

    assert "worker-light   stopped" in _local(environment, "status")
    site = Site(home=home / "airflow", dags=home, port=1, quick=False)
    with pytest.raises(ConfigError, match="Airflow's worker-light ended"):
        processes.check_alive(site, [killed])


def test_down_ends_every_process_and_says_what_ran(hybrid):
    home, environment, _ = hybrid
    parts = processes.running(home / "airflow")
    family = [
        process
        for part in parts
        for process in (
            psutil.Process(part.pid),
            *psutil.Process(part.pid).children(recursive=True),
        )
    ]

    told = _local(environment, "down")

    names = ("redis", "worker-metrics", "api-server", "dag-processor", "scheduler", "triggerer")
    assert told == f"Stopped: {', '.join(names)}, PostgreSQL.\n"
    assert [one for one in family if one.is_running() and one.status() != "zombie"] == []
    assert processes.running(home / "airflow") == ()


def test_a_part_that_does_not_start_is_told_and_nothing_stays(tmp_path):
    settings = Settings(home=tmp_path, warehouse_url=None, assets_file=None, refresh_minutes=10)
    broker = Broker(port=processes.free_port())
    site = Site(
        home=tmp_path / "airflow",
        dags=tmp_path,
        port=processes.free_port(),
        quick=False,
        broker=broker,
    )
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", broker.port))
        taken.listen()
        api = AirflowApi(site.url)
        try:
            environment = airflow_environment(site, settings, "postgresql://unused/x")
            with pytest.raises(ConfigError) as caught:
                job.start_airflow(api, site, environment, (), set(), _WORKERS)
        finally:
            stopped = processes.stop(site.home)
            embedded.stop(tmp_path)

    assert str(caught.value).startswith("Airflow's redis ended: ")
    assert str(caught.value).endswith(f"Its log is {site.logs / 'redis.log'}.")
    assert {part.name for part in stopped} <= {"worker-light", "worker-metrics"}
    assert processes.running(site.home) == ()


def test_secrets_are_for_this_user_only_and_stay(tmp_path):
    settings = Settings(home=tmp_path, warehouse_url=None, assets_file=None, refresh_minutes=10)
    site = Site(home=tmp_path / "airflow", dags=tmp_path, port=1, quick=False)
    try:
        first = airflow_environment(site, settings, "postgresql://unused/x", [_input(0, 0)])
        second = airflow_environment(site, settings, "postgresql://unused/x")
    finally:
        embedded.stop(tmp_path)

    mode = (site.home / "secrets.json").stat().st_mode
    assert oct(mode & 0o777) == "0o600"
    key = "AIRFLOW__API_AUTH__JWT_SECRET"
    assert first[key] == second[key]
    assert len(first[key]) == 64
    assert first["AIRFLOW_CONN_ONCHAIN_BITCOIN"] == '{"conn_type": "x"}'
    assert "AIRFLOW_CONN_ONCHAIN_BITCOIN" not in second
    assert first["AIRFLOW__API__HOST"] == "127.0.0.1"


def test_a_folder_without_dags_is_named(tmp_path):
    with pytest.raises(ConfigError) as caught:
        dag_folder(str(tmp_path))

    assert str(caught.value) == (
        f"No DAG file lies in {tmp_path}. Name the DAG folder with --dags."
    )
