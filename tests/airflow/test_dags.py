"""The DAG folder as Airflow reads it, without any service."""

import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import AssetAny
from airflow.sdk.providers_manager_runtime import ProvidersManagerTaskRuntime

import airflow
from onchain_agg.chains import all_chains
from onchain_agg.dag_building.pull import pull_dags
from onchain_agg.markets import all_venues
from onchain_agg.metrics.registry import all_datasets, dataset_named
from onchain_agg.operators.waking import facts_of, woken_scope
from onchain_agg.provider_info import get_provider_info
from onchain_agg.routing.workload_file import configured_workloads
from onchain_agg.routing.workloads import KUBERNETES_QUEUE

pytestmark = pytest.mark.airflow

DAGS = Path(__file__).parents[2] / "dags"
_PARSE_BUDGET_S = 0.3


@pytest.fixture(scope="module")
def bag():
    return DagBag(str(DAGS))


def test_every_file_of_the_folder_is_read_without_an_error(bag):
    assert bag.import_errors == {}
    # Without a folder of sources there is none to pull.
    assert {Path(dag.fileloc).name for dag in bag.dags.values()} == {
        file.name for file in DAGS.glob("*.py") if file.name != "pull.py"
    }


def test_every_chain_venue_and_data_set_has_its_dag(bag):
    assert set(bag.dags) == {
        *(f"ingest_{chain}" for chain in all_chains()),
        *(f"ingest_market_{venue}" for venue in all_venues()),
        *(f"ingest_market_{venue}_hourly" for venue in all_venues()),
        *all_datasets(),
        "archive",
        "audit",
        "rebuild",
        "sweep",
        "backfill",
        "recompute",
        "thin_history",
    }


def test_only_the_ingest_dags_are_created_paused(bag):
    paused = {dag_id for dag_id, dag in bag.dags.items() if dag.is_paused_upon_creation}

    assert paused == {dag_id for dag_id in bag.dags if dag_id.startswith("ingest_")}
    assert len(paused) == len(all_chains()) + 2 * len(all_venues())


def test_a_data_set_is_woken_by_the_chains_that_it_covers_and_by_its_turn(bag):
    condition = bag.dags["bitcoin_network_daily"].timetable.asset_condition

    assert isinstance(condition, AssetAny)
    assert {asset.uri for asset in condition.objects} == {
        *(f"onchain-agg://chain/{name}" for name in ("bitcoin", "litecoin", "regtest")),
        "onchain-agg://turn/bitcoin_network_daily",
    }


def test_a_data_set_explains_itself_on_its_page_and_runs_where_it_says(bag):
    for name in all_datasets():
        dag, dataset = bag.dags[name], dataset_named(name)

        assert dag.doc_md.strip() == sys.modules[dataset.rows.__module__].__doc__.strip()
        assert dag.get_task("publish").queue == dataset.workload
        assert (dag.max_active_runs, dataset.family in dag.tags) == (1, True)


def test_every_task_takes_what_the_table_says_of_its_queue(bag):
    table = configured_workloads()
    tasks = [task for dag in bag.dags.values() for task in dag.tasks]

    for task in tasks:
        is_heavy = task.queue == KUBERNETES_QUEUE
        size = "small" if task.task_id == "publish_in_pod" else "memory"
        queue = table.size(size) if is_heavy else table.queue(task.queue)
        assert task.executor is None
        assert (task.execution_timeout, task.retries, task.retry_delay, task.pool) == (
            queue.timeout,
            queue.retries,
            queue.retry_delay,
            queue.pool,
        )
    queues = {dag.dag_id: {task.queue for task in dag.tasks} for dag in bag.dags.values()}
    assert queues["ingest_bitcoin"] == {"ingest_worker"}
    assert (
        queues["ingest_market_kraken"] == queues["ingest_market_kraken_hourly"] == {"market_worker"}
    )
    assert queues["whale_transfer"] == {"whale_worker"}
    assert queues["archive"] == {"default", "ingest_worker"}
    assert queues["audit"] == {"default", "kubernetes"}
    assert queues["rebuild"] == {"kubernetes"}


def test_a_declared_source_has_a_dag_that_wakes_what_reads_its_facts(tmp_path, monkeypatch):
    monkeypatch.setenv("ONCHAIN_AGG_SOURCES_FOLDER", str(tmp_path))
    assert pull_dags() == {}
    columns = "{source: {constant: bank}, day: day, base: base, quote: quote, rate: rate}"
    (tmp_path / "bank.yaml").write_text(
        f"connection: bank\ntable: rates\ntarget: fx\nwatermark: id\ncolumns: {columns}\n"
    )

    dags = pull_dags()

    assert set(dags) == {"pull_bank"}
    task = dags["pull_bank"].get_task("pull_table")
    assert (task.queue, task.outlets) == ("market_worker", [facts_of("market.fx_rate")])


def test_the_tasks_of_a_venue_wake_what_reads_their_facts(bag):
    dags = [bag.dags[name] for name in ("ingest_market_binance", "ingest_market_binance_hourly")]

    outlets = {
        task.task_id: [one.name for one in task.outlets] for dag in dags for task in dag.tasks
    }

    assert outlets["trades_btc_usdt"] == ["onchain_agg.facts.market.trade"]
    assert outlets["candles_btc_usdt_1d"] == ["onchain_agg.facts.market.candle"]
    assert outlets["funding_btc_usdt_usdt"] == ["onchain_agg.facts.market.funding_rate"]


def test_no_file_is_slow_to_read():
    # In a process of its own: what another test imported would hide a slow import.
    answer = subprocess.run(
        [sys.executable, "-c", _TIMED, str(DAGS)], capture_output=True, text=True, check=True
    )
    took = json.loads(answer.stdout.splitlines()[-1])

    assert set(took) == {file.name for file in DAGS.glob("*.py")}
    assert {file: seconds for file, seconds in took.items() if seconds > _PARSE_BUDGET_S} == {}


def test_what_airflow_reads_of_the_provider_is_valid():
    schema = json.loads((Path(airflow.__file__).parent / "provider_info.schema.json").read_text())
    jsonschema.validate(get_provider_info(), schema)

    manager = ProvidersManagerTaskRuntime()
    assert {
        manager.hooks[kind].hook_class_name.rsplit(".", 1)[1]
        for kind in ("onchain_evm", "onchain_bitcoin")
    } == {"EvmHook", "BitcoinHook"}


def test_describing_the_provider_imports_nothing():
    code = (
        "import sys, onchain_agg.provider_info as p; p.get_provider_info();"
        "print([m for m in sys.modules if m.split('.')[0] in ('airflow', 'sqlalchemy', 'pyarrow')])"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert answer.stdout == "[]\n"


@pytest.mark.parametrize(
    ("key", "scope"), [("base|2026-03-01", "base"), (None, None), ("", None), ("base", "base")]
)
def test_a_run_knows_the_scope_that_woke_it(key, scope):
    assert woken_scope(key) == scope


# Each file's own cost, on top of what every task process has loaded already. The processor's time,
# because another process may hold the cores.
_TIMED = """
import json, runpy, sys, time
from pathlib import Path
import airflow.sdk
from airflow.dag_processing.dagbag import DagBag
took = {}
for file in sorted(Path(sys.argv[1]).glob("*.py")):
    began = time.process_time()
    runpy.run_path(str(file))
    took[file.name] = time.process_time() - began
print(json.dumps(took))
"""
