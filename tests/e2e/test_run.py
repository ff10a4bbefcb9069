"""The project's own DAGs on the packaged sample: ingest on workers, heavy work in pods.

The tests run in order: each goes on with what the one before it left.
"""

from datetime import date

import pytest
import urllib3
from moto.server import ThreadedMotoServer
from sqlalchemy import delete, func, select

from onchain_agg import sample
from onchain_agg.chains import chain_named
from onchain_agg.metrics.registry import all_datasets
from onchain_agg.warehouse.tables import METADATA
from onchain_agg.warehouse.tables.chain import BLOCK
from onchain_agg.warehouse.tables.ops import ARCHIVED_DAY, ASSET, DIRTY, WINDOW
from onchain_agg.warehouse.tables.state import BALANCE, SPENT_OUTPUT
from onchain_agg.warehouse.versions import twins
from tests.e2e.stack import ROOT, Wanted, stack
from tests.fakes.warehouse import RUNNING, contents, differences

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(600)]

_CHAINS = ("anvil", "regtest")
# Days with blocks; regtest's first block is the network's genesis block of 2011.
_WINDOWS = {"anvil": 8, "regtest": 9}
# That of both chains' newest block: it waits for its next refresh.
_OPEN_DAY = date(2026, 3, 8)
# Final days in the archive, and whether they left PostgreSQL: three stay hot, and on regtest also
# those that a fork may undo.
_ARCHIVED = {
    ("anvil", False): 1,
    ("anvil", True): 5,
    ("regtest", False): 4,
    ("regtest", True): 4,
}
_UPKEEP = ("sweep", "thin_history", "archive", "audit")
_NODES = {"small": "spot-small-1", "memory": "spot-memory-1"}


@pytest.fixture(scope="module")
def storage():
    """Return the variables that lead to an S3 server with an empty bucket."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    # Without a name and a key everybody may make one.
    urllib3.request("PUT", f"{url}/facts")
    yield {
        "ONCHAIN_AGG_ARCHIVE_URL": "s3://facts/archive",
        "ONCHAIN_AGG_HOT_DAYS": "3",
        "FSSPEC_S3_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "archivist",
        "AWS_SECRET_ACCESS_KEY": "nobody checks it",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    server.stop()


@pytest.fixture(scope="module")
def airflow(local_plane, storage, tmp_path_factory):
    """An Airflow with the project's DAGs, of whose data sets a few of each kind run."""
    shared = tmp_path_factory.getbasetemp()
    wanted = Wanted(
        dags=ROOT / "dags",
        needed=frozenset({"ingest_anvil", "archive", "rebuild", "audit", *all_datasets()}),
        options=storage,
        sample=True,
    )
    with stack(local_plane, shared, wanted) as airflow:
        for name in all_datasets().keys() - RUNNING:
            airflow.api.pause(name)
        # They begin with a run of their own schedule, which finds nothing to do yet.
        airflow.settle()
        for name in _UPKEEP:
            airflow.api.pause(name)
        yield airflow


@pytest.fixture(scope="module")
def ingested(airflow):
    """Return the tasks of both chains' ingest runs, once all that they woke is done."""
    runs = {chain: airflow.trigger(f"ingest_{chain}") for chain in _CHAINS}
    tasks = {chain: airflow.finish(run) for chain, run in runs.items()}
    for chain in _CHAINS:
        airflow.api.pause(f"ingest_{chain}")
    airflow.settle()
    return tasks


@pytest.fixture(scope="module")
def served(airflow, ingested):
    """Return the rows of state and of what is served, as ingest left them."""
    return _rows(airflow)


def test_ingest_runs_on_workers_and_its_windows_are_served(airflow, ingested):
    for tasks in ingested.values():
        assert {one["queue"] for one in tasks.values()} == {"ingest_worker"}
        assert {one["executor"] for one in tasks.values()} == {None}
        assert {one["try_number"] for one in tasks.values()} == {1}
    assert airflow.pods.all() == []
    log = (airflow.site.logs / "worker-light.log").read_text()
    assert all(one["id"] in log for tasks in ingested.values() for one in tasks.values())
    running = [all_datasets()[name] for name in sorted(RUNNING)]
    with airflow.engine.connect() as connection:
        for chain in _CHAINS:
            blocks = select(func.count()).where(BLOCK.c.chain == chain)
            assert connection.scalar(blocks) == sample.expected()[chain]["tip"]["height"] + 1
            windows = select(WINDOW.c.dataset, func.count()).where(WINDOW.c.scope == chain)
            found = dict(connection.execute(windows.group_by(WINDOW.c.dataset)).all())
            covering = [d for d in running if d.covers(chain_named(chain))]
            # The day of the newest block is open.
            assert found == {d.name: _WINDOWS[chain] - d.at_close for d in covering}


def test_lost_rows_are_recomputed_in_a_small_pod(airflow, served):
    days = {"from": "2026-03-01", "to": "2026-03-08"}
    table = twins(all_datasets()["whale_transfer"].table).serving
    with airflow.engine.begin() as connection:
        lost = connection.execute(delete(table).where(table.c.chain == "anvil")).rowcount
    assert lost == sum("anvil" in row for row in served[table.fullname])
    assert lost > 0

    run, tasks = airflow.once("recompute", dataset="whale_transfer", scope="anvil", **days)

    _in_a_pod(airflow, run, tasks["publish_in_pod"], "small")
    assert airflow.pods_of(run, "mark_dirty") == []
    assert differences(served, _rows(airflow)) == {}


def test_cold_days_leave_for_the_archive_on_workers(airflow, served):
    _, tasks = airflow.once("archive")

    assert {one["executor"] for one in tasks.values()} == {None}
    assert {one["queue"] for one in tasks.values()} == {"default", "ingest_worker"}
    with airflow.engine.connect() as connection:
        columns = ARCHIVED_DAY.c.chain, ARCHIVED_DAY.c.dropped
        days = select(*columns, func.count(ARCHIVED_DAY.c.day.distinct())).group_by(*columns)
        found = {(chain, gone): count for chain, gone, count in connection.execute(days)}
    assert found == _ARCHIVED
    assert differences(served, _rows(airflow)) == {}


def test_both_chains_are_audited_in_pods_with_much_memory(airflow, served):
    run, tasks = airflow.once("audit")

    for index in range(len(_CHAINS)):
        _in_a_pod(airflow, run, tasks[f"audit_chain {index}"], "memory")


def test_a_wrong_balance_fails_the_audit_and_is_rebuilt_in_a_pod(airflow, served):
    with airflow.engine.begin() as connection:
        assets = select(ASSET.c.asset_id).where(ASSET.c.chain == "anvil")
        assert connection.execute(delete(BALANCE).where(BALANCE.c.asset_id.in_(assets))).rowcount

    _, audited = airflow.once("audit", "failed")
    run, tasks = airflow.once("rebuild", chain="anvil")
    airflow.settle()
    # What reads other data sets alone is not woken by equal rows; the sweeper finds it.
    airflow.once("sweep")
    airflow.settle()

    states = {index: audited[f"audit_chain {index}"]["state"] for index in range(2)}
    assert states == {0: "failed", 1: "success"}
    assert audited["audit_chain 0"]["try_number"] == 1
    _in_a_pod(airflow, run, tasks["rebuild_chain"], "memory")
    assert differences(served, _rows(airflow)) == {}


def _in_a_pod(airflow, run, task, size):
    """Check that *task* ran at its first try in one pod of *size*, which is gone."""
    assert (task["queue"], task["executor"]) == ("kubernetes", "KubernetesExecutor")
    assert (task["state"], task["try_number"]) == ("success", 1)
    pods = [p for p in airflow.pods_of(run, task["task_id"]) if p.map_index == task["map_index"]]
    (pod,) = pods
    assert pod.node is not None
    assert pod.node.startswith(_NODES[size])
    assert (pod.size, pod.try_number) == (size, 1)
    airflow.wait(lambda: _gone(airflow, pod), "the pod's end", run)


def _gone(airflow, pod):
    return next(one for one in airflow.pods.all() if one.name == pod.name).deleted


def _rows(airflow):
    """Return what is served by the data sets that run, and the state; nothing may be dirty."""
    with airflow.engine.connect() as connection:
        closed = select(DIRTY.c.dataset).where(DIRTY.c.dataset.in_(RUNNING))
        assert connection.execute(closed.where(DIRTY.c.day < _OPEN_DAY)).all() == []
    serving = {twins(all_datasets()[name].table).serving.fullname for name in RUNNING}
    rows = contents(airflow.engine)
    # Spent outputs are archived, and leave with their days.
    state = {t.fullname for t in METADATA.tables.values() if t.schema == "state"} - {
        SPENT_OUTPUT.fullname
    }
    return {name: one for name, one in rows.items() if name in serving | state}
