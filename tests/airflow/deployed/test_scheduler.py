"""The DAGs under a real scheduler, API server and DAG processor, on the packaged sample.

The tests run in order: each leaves the warehouse complete for the next.
"""

from datetime import UTC, date, datetime

import pytest
from sqlalchemy import func, select

from onchain_agg import sample
from onchain_agg.chains import chain_named
from onchain_agg.metrics.registry import all_datasets
from onchain_agg.warehouse import dirty
from onchain_agg.warehouse.apply import reset_state, tip_of
from onchain_agg.warehouse.tables.chain import BLOCK
from onchain_agg.warehouse.tables.ops import DIRTY, WINDOW
from tests.fakes.warehouse import RUNNING

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(340)]

_LAST_DAY = "2026-03-08"
_ALL_SKIPPED = {"plan_blocks": "skipped", "load_blocks": "skipped", "apply_blocks": "skipped"}
_NOTHING_NEW = {"plan_blocks": "success", "load_blocks": "skipped", "apply_blocks": "skipped"}


# The block file begins with the network's genesis block of 2011.
@pytest.mark.parametrize(("chain", "windows"), [("anvil", 8), ("regtest", 9)])
def test_blocks_become_served_windows_of_every_data_set_that_runs(deployment, chain, windows):
    state, tasks = deployment.run(f"ingest_{chain}")
    deployment.settle()

    assert (state, set(tasks.values())) == ("success", {"success"})
    running = [all_datasets()[name] for name in sorted(RUNNING)]
    covering = [d for d in running if d.covers(chain_named(chain))]
    for dataset in covering:
        assert {state for _, state in deployment.woken(dataset.name)} == {"success"}
    assert (f"{chain}|{_LAST_DAY}", "success") in deployment.woken("whale_transfer")
    # It reads no block, so it is another data set that woke it.
    assert deployment.woken("whale_activity_daily")[-1][0].startswith(f"{chain}|")
    with deployment.engine.connect() as connection:
        assert connection.scalar(_rows_of(BLOCK.c.chain, chain)) == _recorded_blocks(chain)
        days = {
            d.name: connection.scalar(
                _rows_of(WINDOW.c.scope, chain).where(WINDOW.c.dataset == d.name)
            )
            for d in covering
        }
    # The day of the newest block is open.
    assert days == {dataset.name: windows - dataset.at_close for dataset in covering}
    assert {day for *_, day in _dirty(deployment.engine, *RUNNING)} <= {_LAST_DAY}


def test_a_run_that_finds_no_new_block_wakes_nobody(deployment):
    before = deployment.woken("whale_transfer")

    assert deployment.run("ingest_regtest") == ("success", _NOTHING_NEW)

    deployment.settle()
    assert deployment.woken("whale_transfer") == before


def test_a_chain_without_its_connection_is_skipped(deployment):
    assert deployment.run("ingest_polygon") == ("success", _ALL_SKIPPED)


def test_blocks_that_a_dead_run_loaded_are_applied_by_the_next(deployment):
    chain = chain_named("regtest")
    with deployment.engine.begin() as connection:
        before = tip_of(connection, chain.name)
        reset_state(connection, chain)

    state, tasks = deployment.run("ingest_regtest")

    assert (state, tasks) == ("success", {**_NOTHING_NEW, "apply_blocks": "success"})
    with deployment.engine.connect() as connection:
        assert tip_of(connection, chain.name) == before


def test_a_run_by_hand_does_not_wait_for_the_open_days_refresh(deployment):
    deployment.settle()
    names = ("bitcoin_network_daily", "whale_transfer")
    assert _dirty(deployment.engine, *names) == {(name, "regtest", _LAST_DAY) for name in names}

    for dataset in names:
        assert deployment.run(dataset) == ("success", {"publish": "success"})

    assert _dirty(deployment.engine, *names) == set()


def test_the_sweeper_wakes_what_no_event_woke(deployment):
    with deployment.engine.begin() as connection:
        dirty.mark(connection, "whale_transfer", "anvil", [date(2026, 3, 2)])
    today = datetime.now(UTC).date()  # noqa: TID251 - Airflow's clock dates the key

    state, tasks = deployment.run("sweep")
    deployment.settle()

    assert (state, tasks) == ("success", {"sweep_dirty": "success"})
    assert deployment.woken("whale_transfer")[-1] == (f"anvil|{today.isoformat()}", "success")
    assert _dirty(deployment.engine, "whale_transfer") == set()


def test_a_backfill_computes_its_days_again_and_changes_no_equal_row(deployment):
    before = _windows(deployment.engine, "whale_transfer")
    runs = len(deployment.woken("whale_transfer"))

    days = {"from": "2026-03-03", "to": "2026-03-05"}
    state, _ = deployment.run("backfill", dataset="whale_transfer", scope="anvil", **days)
    deployment.settle()

    assert (state, len(deployment.woken("whale_transfer"))) == ("success", runs + 1)
    assert _dirty(deployment.engine, "whale_transfer") == set()
    assert _windows(deployment.engine, "whale_transfer") == before


@pytest.mark.parametrize(
    ("scope", "days"),
    [
        pytest.param("regtest", {"from": "2026-03-05", "to": "2026-03-03"}, id="swapped days"),
        pytest.param("anvil", {"from": "2026-03-03", "to": "2026-03-05"}, id="another kind"),
    ],
)
def test_a_backfill_that_cannot_be_fails_without_a_retry(deployment, scope, days):
    name = "bitcoin_network_daily"
    before = _dirty(deployment.engine, name)

    state, tasks = deployment.run("backfill", dataset=name, scope=scope, **days)

    assert (state, tasks["mark_dirty"]) == ("failed", "failed")
    assert deployment.tries("backfill")["mark_dirty"] == 1
    assert _dirty(deployment.engine, name) == before


def _rows_of(column, value):
    return select(func.count()).where(column == value)


def _dirty(engine, *names):
    columns = DIRTY.c
    query = select(columns.dataset, columns.scope, columns.day)
    if names:
        query = query.where(columns.dataset.in_(names))
    with engine.connect() as connection:
        return {(row.dataset, row.scope, str(row.day)) for row in connection.execute(query)}


def _windows(engine, name):
    columns = WINDOW.c
    query = select(columns.scope, columns.day, columns.changed_at).where(columns.dataset == name)
    with engine.connect() as connection:
        return {tuple(row) for row in connection.execute(query)}


def _recorded_blocks(chain):
    return sample.expected()[chain]["tip"]["height"] + 1
