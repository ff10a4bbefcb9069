"""A DAG repository of somebody else's, with nothing but the package, under a real Airflow."""

import json
import textwrap
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass

import pytest
from sqlalchemy import Engine, create_engine, make_url, text

from onchain_agg import sample
from onchain_agg.chains import chain_named
from onchain_agg.local import processes
from onchain_agg.local.environment import Site, airflow_environment
from onchain_agg.local.inputs import sample_inputs
from onchain_agg.local.job import prepared_warehouse, running_airflow
from onchain_agg.local.rest import AirflowApi, DagRun
from onchain_agg.metrics.registry import all_datasets
from onchain_agg.settings import load_settings, warehouse_url
from onchain_agg.warehouse import embedded
from onchain_agg.warehouse.tables import METADATA
from tests.fakes.http_server import serving
from tests.fakes.scenes import scalar
from tests.fakes.servers_home import AIRFLOW, servers_home

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(240)]

_PARTS = ("api-server", "dag-processor", "scheduler", "triggerer")
_RUN_S = 90.0
_LAST_DAY = "2026-03-08"
_CLOCK = json.dumps({"error": [], "result": {"unixtime": 1_591_502_873}}).encode()
_DAG_FILE = '''
"""Whales as our own team needs them."""

from airflow.sdk import DAG, PartitionedAssetTimetable, get_current_context, task

from onchain_agg.chains import chain_named
from onchain_agg.hooks import BitcoinHook, EvmHook, MarketHook
from onchain_agg.operators import (
    IngestBlocksOperator,
    PublishDataSetOperator,
    RebuildOperator,
    SourceTableReadySensor,
)
from onchain_agg.operators.waking import blocks_of


@task(queue="nft_worker")
def tips():
    anvil = EvmHook("onchain_anvil").source(chain_named("anvil"))
    regtest = BitcoinHook("onchain_regtest").source(chain_named("regtest"))
    return {"anvil": anvil.tip().height, "regtest": regtest.tip().height}


@task.light(queue="market_worker")
def exchange_clock():
    return MarketHook("onchain_kraken").client().fetch_time()


with DAG("whales", schedule=None, params={"until": "", "last": None}):
    trades = SourceTableReadySensor(
        task_id="trades",
        table="public.trades",
        watermark={"traded_at": "{{ params.until }}"},
        where={"venue": "a"},
        conn_id="source",
        deferrable=True,
        poke_interval=0.5,
        timeout=60,
    )
    ingest = IngestBlocksOperator(
        task_id="ingest", chain="anvil", last="{{ params.last }}", queue="whale_worker"
    )
    again = IngestBlocksOperator(task_id="again", chain="anvil")
    other = IngestBlocksOperator(task_id="other", chain="regtest", conn_id="onchain_regtest")
    publish = PublishDataSetOperator(task_id="publish", dataset="whale_transfer", scope="anvil")
    rows = SourceTableReadySensor(
        task_id="rows", table="public.trades", min_rows=2, conn_id="source", deferrable=False
    )
    window = SourceTableReadySensor(
        task_id="window",
        window={"dataset": "whale_transfer", "scope": "anvil", "day": "2026-03-01"},
        deferrable=False,
    )
    rebuild = RebuildOperator(task_id="rebuild", chain="regtest")
    tips()
    exchange_clock()
    trades >> ingest >> again >> publish >> window
    trades >> rows
    trades >> other >> rebuild

with DAG("on_blocks", schedule=PartitionedAssetTimetable(assets=blocks_of(chain_named("anvil")))):

    @task
    def key():
        return get_current_context()["dag_run"].partition_key

    key()

with DAG("mistakes", schedule=None):
    IngestBlocksOperator(task_id="swapped", chain="anvil", first=9, last=8)
    SourceTableReadySensor(
        task_id="no_table", table="public.trade", min_rows=1, conn_id="source", deferrable=True
    )
'''


@dataclass(frozen=True)
class Repository:
    """The foreign repository's Airflow, the warehouse, and the database of its source tables."""

    api: AirflowApi
    engine: Engine
    source: Engine
    site: Site
    environment: Mapping[str, str]

    def stop_triggerer(self):
        processes.stop(self.site.home, {"triggerer"})

    def start_triggerer(self):
        others = processes.running(self.site.home)
        processes.start(self.site, self.environment, ["triggerer"], beside=others)

    def tasks(self, run):
        return {one["task_id"]: one for one in self.api.task_instances(run)}

    def wait(self, run, condition):
        deadline = time.monotonic() + _RUN_S
        while not condition(tasks := self.tasks(run)):
            states = {name: one["state"] for name, one in tasks.items()}
            assert time.monotonic() < deadline, f"{run.dag_id} after {_RUN_S} s: {states}"
            assert "failed" not in states.values(), states
            time.sleep(0.2)
        return tasks

    def result(self, run, task_id):
        path = f"/api/v2/dags/{run.dag_id}/dagRuns/{run.run_id}/taskInstances/{task_id}"
        return self.api._call("GET", f"{path}/xcomEntries/return_value")["value"]


@pytest.fixture(scope="module")
def repository(shared_folder):
    with ExitStack() as stack:
        home = stack.enter_context(servers_home(shared_folder))
        dags = home / "their-dags"
        dags.mkdir()
        (dags / "whales.py").write_text(textwrap.dedent(_DAG_FILE))
        settings = load_settings({"ONCHAIN_AGG_HOME": str(home)})
        inputs = stack.enter_context(sample_inputs(home))
        engine = stack.enter_context(prepared_warehouse(settings))
        exchange = stack.enter_context(serving(lambda _path, _body: (200, _CLOCK)))
        source = create_engine(embedded.embedded_url(home, "source"))
        stack.callback(source.dispose)
        site = Site(home=home / AIRFLOW, dags=dags, port=processes.free_port(), quick=True)
        environment = {
            **airflow_environment(site, settings, warehouse_url(settings), inputs),
            "AIRFLOW_CONN_SOURCE": _connection(source),
            "AIRFLOW_CONN_ONCHAIN_KRAKEN": json.dumps(
                {"conn_type": "onchain_market", "host": "kraken", "extra": {"url": exchange.url}}
            ),
        }
        needed = {"whales", "on_blocks", "mistakes"}
        api, _ = stack.enter_context(running_airflow(site, environment, home, _PARTS, needed))
        for dag_id in needed:
            api.unpause(dag_id)
        yield Repository(api, engine, source, site, environment)


def _connection(source: Engine) -> str:
    url = make_url(source.url)
    socket = url.query["host"]
    return (
        f'{{"conn_type": "postgres", "host": "{socket}", "login": "{url.username}", '
        f'"schema": "{url.database}"}}'
    )


@pytest.fixture(scope="module")
def run(repository):
    """Return the run of ``whales``, and what its tasks were like while it waited."""
    with repository.source.begin() as connection:
        connection.execute(text("CREATE TABLE trades (venue text, traded_at timestamptz)"))
        connection.execute(text("INSERT INTO trades VALUES ('b', '2026-04-01T00:00:00Z')"))
    last = sample.expected()["anvil"]["tip"]["height"]
    repository.api.trigger("mistakes", {})
    run = repository.api.trigger("whales", {"until": "2026-04-01T00:00:00Z", "last": last})
    waiting = repository.wait(
        run,
        lambda tasks: (
            [tasks[name]["state"] for name in ("trades", "tips", "exchange_clock")]
            == ["deferred", "success", "success"]
        ),
    )
    # What the sensor waits for arrives while nobody looks, and another triggerer finds it.
    repository.stop_triggerer()
    with repository.source.begin() as connection:
        connection.execute(text("INSERT INTO trades VALUES ('a', '2026-04-01T02:00:00+02:00')"))
    repository.start_triggerer()
    ended = repository.wait(
        run, lambda tasks: {one["state"] for one in tasks.values()} == {"success"}
    )
    return run, waiting, ended


def test_the_sensor_is_deferred_and_a_restarted_triggerer_ends_its_wait(run):
    _, waiting, ended = run

    assert waiting["trades"]["trigger"]["classpath"] == (
        "onchain_agg.operators.triggers.SourceTableTrigger"
    )
    assert {waiting[name]["state"] for name in ("ingest", "other")} == {None}
    assert (ended["trades"]["state"], ended["trades"]["try_number"]) == ("success", 1)


def test_the_hooks_open_the_chains_from_their_connections(repository, run):
    expected = sample.expected()

    assert repository.result(run[0], "tips") == {
        chain: expected[chain]["tip"]["height"] for chain in ("anvil", "regtest")
    }


def test_the_market_hook_asks_the_exchange_of_its_connection(repository, run):
    assert repository.result(run[0], "exchange_clock") == 1_591_502_873_000


def test_each_task_is_where_its_kind_of_work_belongs(run):
    _, _, ended = run

    assert {name: (one["queue"], one["pool"]) for name, one in ended.items()} == {
        "tips": ("nft_worker", "default_pool"),
        "exchange_clock": ("market_worker", "default_pool"),
        "trades": ("default", "default_pool"),
        "ingest": ("whale_worker", "default_pool"),
        "again": ("ingest_worker", "default_pool"),
        "other": ("ingest_worker", "default_pool"),
        "publish": ("whale_worker", "default_pool"),
        "rows": ("default", "default_pool"),
        "window": ("default", "default_pool"),
        "rebuild": ("kubernetes", "heavy"),
    }


def test_blocks_are_ingested_once(repository, run):
    result = {name: repository.result(run[0], name) for name in ("ingest", "again", "other")}

    assert result == {
        "ingest": {
            "loaded": _facts(repository.engine, "anvil"),
            "height": _tip("anvil"),
            "days": 8,
        },
        "again": {"loaded": 0, "height": _tip("anvil"), "days": 0},
        "other": {
            "loaded": _facts(repository.engine, "regtest"),
            "height": _tip("regtest"),
            "days": 9,
        },
    }


def test_the_data_set_is_served(repository, run):
    rows = scalar(
        repository.engine, "SELECT count(*) FROM serving.whale_transfer WHERE chain = 'anvil'"
    )

    assert repository.result(run[0], "publish") == {"anvil": {"windows": 8, "changed": rows}}
    assert rows > 0


def test_the_state_is_rebuilt_and_its_windows_are_marked(repository, run):
    covering = [d for d in all_datasets().values() if d.covers(chain_named("regtest"))]

    assert repository.result(run[0], "rebuild") == {
        "height": _tip("regtest"),
        "waiting": 0,
        "windows": 9 * len(covering),
    }
    dirty = "SELECT count(DISTINCT (dataset, day)) FROM ops.dirty WHERE scope = 'regtest'"
    assert scalar(repository.engine, dirty) == 9 * len(covering)


def test_changed_days_wake_and_a_run_that_found_no_new_block_does_not(repository, run):
    events = repository.api._pages("/api/v2/assets/events", {}, "asset_events")
    told = {(one["source_task_id"], one["partition_key"]) for one in events}

    assert run[2]["again"]["state"] == "success"
    assert len(events) == 4
    assert told == {
        ("ingest", f"anvil|{_LAST_DAY}"),
        ("publish", f"anvil|{_LAST_DAY}"),
        ("other", f"regtest|{_LAST_DAY}"),
        ("rebuild", f"regtest|{_LAST_DAY}"),
    }


def test_their_own_dag_is_woken_with_the_day(repository, run):
    woken = repository.api._pages("/api/v2/dags/on_blocks/dagRuns", {}, "dag_runs")

    assert [one["partition_key"] for one in woken] == [f"anvil|{_LAST_DAY}"]


def test_a_mistake_fails_at_the_first_try(repository, run):
    wrong = repository.api._pages("/api/v2/dags/mistakes/dagRuns", {}, "dag_runs")
    tasks = repository.tasks(DagRun("mistakes", wrong[0]["dag_run_id"]))

    ended = {name: (one["state"], one["try_number"]) for name, one in tasks.items()}

    assert ended == {"swapped": ("failed", 1), "no_table": ("failed", 1)}


def _tip(chain):
    return sample.expected()[chain]["tip"]["height"]


def _facts(engine, chain):
    tables = [table.fullname for table in METADATA.tables.values() if table.schema == "chain"]
    return sum(
        scalar(engine, f"SELECT count(*) FROM {table} WHERE chain = '{chain}'") for table in tables
    )
