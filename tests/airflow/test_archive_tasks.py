"""The tasks around the archive: what they return, and when they skip or fail."""

from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException
from airflow.sdk.execution_time.context import OutletEventAccessors
from sqlalchemy import text

from onchain_agg.chains import all_chains
from onchain_agg.metrics.definitions import sync
from onchain_agg.metrics.registry import all_datasets
from onchain_agg.operators import publish, rebuild_operator, recompute
from onchain_agg.operators.archive import archive_days, audit_chain, drop_cold_days
from onchain_agg.operators.waking import blocks_of, rows_of
from tests.fakes.archived import EVM, filled

pytestmark = pytest.mark.airflow


@pytest.fixture
def chain(engine, monkeypatch, tmp_path):
    """Return the name of a chain with final days, in a warehouse that has an archive."""
    url = engine.url.render_as_string(hide_password=False)
    monkeypatch.setenv("ONCHAIN_AGG_WAREHOUSE_URL", url)
    monkeypatch.setenv("ONCHAIN_AGG_ARCHIVE_URL", str(tmp_path / "archive"))
    monkeypatch.setenv("ONCHAIN_AGG_HOT_DAYS", "3")
    filled(engine, EVM)
    return EVM.name


def follow_ether(engine):
    """Add an asset whose balances nobody has counted yet."""
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO ops.asset (chain, address, symbol, decimals, start_block,"
                " whale_threshold, noncompliant, standard, bluechip, tracked)"
                " VALUES ('anvil', '', 'ETH', 18, 0, 1, false, 20, false, true)"
            )
        )


def test_final_days_are_archived_cold_ones_dropped_and_the_state_audited(chain, tmp_path):
    archived = archive_days.function(chain)
    dropped = drop_cold_days.function(chain)
    audited = audit_chain.function(chain)

    size = sum(path.stat().st_size for path in (tmp_path / "archive").rglob("*.parquet"))
    assert archived == {"days": 3, "rows": 30, "bytes": size}
    assert dropped == {"dropped": ["2026-03-01"], "waiting": []}
    assert (audited["height"], audited["days"], audited["archived_days"]) == (13, 4, 1)
    assert archive_days.function(chain) == {"days": 0, "rows": 0, "bytes": 0}


def test_a_difference_fails_the_task_at_once(chain, engine):
    follow_ether(engine)

    with pytest.raises(AirflowFailException, match=r"state\.balance differs in \d+ of \d+ rows"):
        audit_chain.function(chain)


def test_a_chain_is_rebuilt_from_its_archive_and_wakes_alone(chain, engine, monkeypatch):
    archive_days.function(chain)
    drop_cold_days.function(chain)
    follow_ether(engine)
    task = SimpleNamespace(outlets=[blocks_of(one) for one in all_chains().values()])
    context = {
        "params": {"chain": chain},
        "task": task,
        "outlet_events": OutletEventAccessors(),
        "task_state_store": SimpleNamespace(delete=lambda _key: None),
        "dag_run": SimpleNamespace(clear_number=0),
        "ti": SimpleNamespace(max_tries=3),
    }
    monkeypatch.setattr(rebuild_operator, "get_current_context", lambda: context)

    told = rebuild_operator.rebuild_chain.function(memory="1GB")

    covering = [one for one in all_datasets().values() if one.covers(EVM)]
    assert told == {"height": 13, "waiting": 0, "windows": 4 * len(covering)}
    assert task.outlets == [blocks_of(EVM)]
    keys = context["outlet_events"][blocks_of(EVM)].partition_keys
    assert keys == {f"{chain}|2026-03-04"}
    assert audit_chain.function(chain)["rows"] > 0


def test_marked_days_are_published_in_a_pod_and_wake_the_readers_of_their_data_set(
    chain, engine, monkeypatch
):
    name, other = "evm_network_daily", "whale_transfer"
    days = {"from": "2026-03-02", "to": "2026-03-03"}
    task = SimpleNamespace(outlets=[rows_of(name), rows_of(other)])
    context = {
        "params": {"dataset": name, "scope": chain, **days},
        "task": task,
        "outlet_events": OutletEventAccessors(),
        "dag_run": SimpleNamespace(run_after=datetime(2026, 3, 5, tzinfo=UTC)),
    }
    monkeypatch.setattr(publish, "get_current_context", lambda: context)
    monkeypatch.setattr(recompute, "get_current_context", lambda: context)
    sync(engine)
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM ops.dirty"))

    marked = publish.mark_dirty.function([])
    told = recompute.publish_in_pod.function([name, other])

    assert marked == 2
    assert told[chain]["windows"] == 2
    assert told[chain]["changed"] > 0
    assert task.outlets == [rows_of(name)]
    keys = context["outlet_events"][rows_of(name)].partition_keys
    assert keys == {f"{chain}|2026-03-03"}
    assert recompute.publish_in_pod.function([name, other]) == {chain: {"windows": 0, "changed": 0}}


@pytest.mark.parametrize("task", [archive_days, drop_cold_days])
def test_without_an_archive_the_task_is_skipped(task, monkeypatch):
    monkeypatch.delenv("ONCHAIN_AGG_ARCHIVE_URL", raising=False)

    with pytest.raises(AirflowSkipException) as told:
        task.function("anvil")

    assert str(told.value) == (
        "There is no archive for anvil: [onchain_agg] archive_url is empty. Set it to a folder or"
        " s3://bucket/prefix, or pause this DAG."
    )
