"""Who wakes whom: the assets of data sets, and what a task that ends well emits."""

from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace

import pytest
from airflow.sdk import Asset
from airflow.sdk.execution_time.context import OutletEventAccessors
from sqlalchemy import Column, Integer, Table, select

from onchain_agg.dag_building.publish import metric_dag
from onchain_agg.metrics.dataset import SAME_DAY, SERVING, DataSet
from onchain_agg.metrics.registry import dataset_named
from onchain_agg.operators import waking
from onchain_agg.operators.waking import (
    facts_of,
    outlets_with,
    rows_of,
    turn_of,
    wake,
    wake_readers,
)
from onchain_agg.warehouse.tables.chain import BLOCK, LABEL
from onchain_agg.warehouse.tables.market import REFERENCE_PRICE
from onchain_agg.warehouse.types import DAY, NAME

pytestmark = pytest.mark.airflow

_ROWS = rows_of("whale_transfer")
_OTHER = Asset("mine")


def _running(minute=0, outlets=(_ROWS, _OTHER)):
    """Return a context as a task of a run on 2026-03-08 has it."""
    run_after = datetime(2026, 3, 8, 12, minute, tzinfo=UTC)
    return {
        "task": SimpleNamespace(outlets=list(outlets)),
        "outlet_events": OutletEventAccessors(),
        "dag_run": SimpleNamespace(run_after=run_after),
    }


def _keys(context, asset):
    """Return the keys of *asset*'s event, or None where the task emits none."""
    if asset not in context["task"].outlets:
        return None
    return context["outlet_events"][asset].partition_keys


def test_a_data_set_wakes_by_what_it_reads_and_by_its_turn():
    table = Table(
        "made_up_v1",
        SERVING.__class__(schema="serving"),
        Column("chain", NAME, primary_key=True, comment="Chain."),
        Column("day", DAY, primary_key=True, comment="Day."),
        Column("n", Integer, comment="Number."),
    )
    dataset = DataSet(
        name="made_up",
        table=table,
        family="whale",
        chain_families=("utxo",),
        reads=(BLOCK, LABEL, REFERENCE_PRICE, dataset_named("whale_transfer").table),
        reach=SAME_DAY,
        grain="day",
        workload="whale_worker",
        rows=lambda _window: select(table),
        highlights=("n",),
    )

    dag = metric_dag(dataset)

    assert {asset.name for asset in dag.timetable.asset_condition.objects} == {
        "onchain_agg.chain.bitcoin",
        "onchain_agg.chain.litecoin",
        "onchain_agg.chain.regtest",
        "onchain_agg.facts.chain.label",
        "onchain_agg.facts.market.reference_price",
        "onchain_agg.dataset.whale_transfer",
        "onchain_agg.turn.made_up",
    }
    assert dag.get_task("publish").outlets == [rows_of("made_up")]


def test_each_changed_scope_is_one_key_however_many_of_its_days_changed():
    context = _running()

    newest = {"anvil": date(2026, 3, 8), "base": date(2026, 3, 1)}
    wake(context["task"], context["outlet_events"], _ROWS, newest)

    assert _keys(context, _ROWS) == {"anvil|2026-03-08", "base|2026-03-01"}


def test_of_very_many_scopes_the_latest_hundred_are_keys():
    context = _running()
    first = date(2026, 1, 1)

    newest = {f"venue{n}": first + timedelta(days=n) for n in range(150)}
    wake(context["task"], context["outlet_events"], _ROWS, newest)

    assert _keys(context, _ROWS) == {
        f"venue{n}|{first + timedelta(days=n)}" for n in range(50, 150)
    }


def test_where_nothing_changed_the_outlet_is_taken_away_and_the_authors_stay():
    context = _running()

    wake(context["task"], context["outlet_events"], _ROWS, {})

    assert context["task"].outlets == [_OTHER]


def test_a_task_without_the_outlet_wakes_nobody():
    context = _running(outlets=[_OTHER])

    wake(context["task"], context["outlet_events"], _ROWS, {"anvil": date(2026, 3, 8)})

    assert context["task"].outlets == [_OTHER]
    assert len(context["outlet_events"]) == 0


def test_an_outlet_that_is_named_already_stands_once():
    assert outlets_with(_ROWS, [_OTHER, _ROWS]) == [_ROWS, _OTHER]
    assert outlets_with(_ROWS, None) == [_ROWS]


@pytest.mark.parametrize(
    ("minute", "days", "keys"),
    [
        pytest.param(7, [], None, id="nothing changed"),
        pytest.param(10, [], None, id="nothing changed when a refresh is due"),
        pytest.param(7, [date(2026, 3, 8)], None, id="the open day, between two refreshes"),
        pytest.param(10, [date(2026, 3, 8)], {"kraken|2026-03-08"}, id="the open day, when due"),
        pytest.param(
            7, [date(2026, 3, 7), date(2026, 3, 8)], {"kraken|2026-03-08"}, id="a day that is over"
        ),
    ],
)
def test_facts_wake_their_readers_as_often_as_an_open_day_is_computed(
    monkeypatch, minute, days, keys
):
    trades = facts_of("market.trade")
    context = _running(minute, [trades])
    monkeypatch.setattr(waking, "get_current_context", lambda: context)

    wake_readers("market.trade", "kraken", days)

    assert _keys(context, trades) == keys


def test_the_assets_of_different_things_are_different():
    assets = [facts_of("whale_transfer"), rows_of("whale_transfer"), turn_of("whale_transfer")]

    assert len({(asset.name, asset.uri) for asset in assets}) == 3
