"""The operators as a DAG author meets them: where they run, what they do, and what they refuse."""

import subprocess
import sys
from datetime import timedelta
from types import SimpleNamespace

import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowFailException
from airflow.sdk.execution_time.context import OutletEventAccessors
from airflow.serialization.serialized_objects import DagSerialization

from onchain_agg.errors import ConfigError, SourceError, UnknownNameError
from onchain_agg.metrics import compute
from onchain_agg.metrics.definitions import sync
from onchain_agg.metrics.registry import all_datasets
from onchain_agg.operators import (
    IngestBlocksOperator,
    PublishDataSetOperator,
    RebuildOperator,
    SourceTableReadySensor,
    ingest_operator,
)
from onchain_agg.operators.waking import blocks_of
from onchain_agg.warehouse import apply
from onchain_agg.warehouse.apply import tip_of
from tests.fakes.chain import FakeNode
from tests.fakes.scenes import EVM, UTXO, branch, scalar
from tests.fakes.warehouse import bring_up_to_date, contents, publish_all

pytestmark = pytest.mark.airflow


class Store(dict):
    """Keeps values for the starts of one task, as ``task_state_store``."""

    def set(self, key, value):
        self[key] = value

    def delete(self, key):
        self.pop(key, None)


class Died(BaseException):
    """Stands for the end of the process."""


@pytest.fixture
def filled(engine, monkeypatch):
    """Return the warehouse of the operators and a function that gives them a node to read."""
    sync(engine)
    url = engine.url.render_as_string(hide_password=False)
    monkeypatch.setenv("ONCHAIN_AGG_WAREHOUSE_URL", url)

    def serve(node):
        asked = []
        hook = SimpleNamespace(source=lambda _chain: node)
        monkeypatch.setattr(ingest_operator, "hook_for", lambda *names: asked.append(names) or hook)
        return asked

    return engine, serve


def _context(store=None, clears=0):
    return {
        "outlet_events": OutletEventAccessors(),
        "task_state_store": Store() if store is None else store,
        "dag_run": SimpleNamespace(run_type="manual", partition_key=None, clear_number=clears),
        "ti": SimpleNamespace(max_tries=3),
    }


def _keys(context, chain):
    return context["outlet_events"][blocks_of(chain)].partition_keys


def _in_dag(**task):
    with DAG("cases", schedule=None, default_args={"queue": "nft_worker", "retries": 9}) as dag:
        task["kind"](task_id="t", **{k: v for k, v in task.items() if k != "kind"})
    return DagSerialization.from_dict(DagSerialization.to_dict(dag)).get_task("t")


@pytest.mark.parametrize(
    ("given", "placed"),
    [
        pytest.param(
            {"kind": IngestBlocksOperator, "chain": "anvil"},
            ("ingest_worker", "default_pool", 5, timedelta(hours=1)),
            id="ingest",
        ),
        pytest.param(
            {"kind": PublishDataSetOperator, "dataset": "whale_transfer"},
            ("whale_worker", "default_pool", 3, timedelta(minutes=30)),
            id="publish",
        ),
        pytest.param(
            {"kind": RebuildOperator, "chain": "anvil"},
            ("kubernetes", "heavy", 3, timedelta(hours=6)),
            id="rebuild",
        ),
        pytest.param(
            {"kind": RebuildOperator, "chain": "anvil", "size": "on-demand"},
            ("kubernetes", "heavy", 1, timedelta(days=1)),
            id="rebuild, another size",
        ),
        pytest.param(
            {"kind": IngestBlocksOperator, "chain": "anvil", "queue": "default", "retries": 1},
            ("default", "default_pool", 1, timedelta(hours=1)),
            id="the author wins",
        ),
    ],
)
def test_an_operator_runs_where_its_kind_of_work_belongs(given, placed):
    task = _in_dag(**given)

    assert (task.queue, task.pool, task.retries, task.execution_timeout) == placed


def test_a_rebuild_runs_in_the_pod_of_its_size():
    operator = RebuildOperator(task_id="t", chain="anvil")

    assert operator.executor_config["pod_template_file"].endswith("/pod_templates/memory.yaml")


@pytest.mark.parametrize("kind", [IngestBlocksOperator, RebuildOperator])
def test_the_authors_outlets_stand_beside_the_chains(kind):
    operator = kind(task_id="t", chain="anvil", outlets=[blocks_of(UTXO)])

    assert operator.outlets == [blocks_of(EVM), blocks_of(UTXO)]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        pytest.param(
            lambda: IngestBlocksOperator(task_id="t", chain="etherum"),
            "No chain is named 'etherum'. Did you mean 'ethereum'? Defined: anvil, base, bitcoin, "
            "ethereum, litecoin, polygon, regtest.",
            id="ingest",
        ),
        pytest.param(
            lambda: RebuildOperator(task_id="t", chain="anvill"),
            "No chain is named 'anvill'. Did you mean 'anvil'? Defined: anvil, base, bitcoin, "
            "ethereum, litecoin, polygon, regtest.",
            id="rebuild",
        ),
        pytest.param(
            lambda: RebuildOperator(task_id="t", chain="anvil", size="memry"),
            "No queue or size of pod is named 'memry'. Did you mean 'memory'? Defined: cpu, "
            "default, ingest_worker, market_worker, memory, nft_worker, on-demand, small, "
            "whale_worker.",
            id="size",
        ),
        pytest.param(
            lambda: PublishDataSetOperator(task_id="t", dataset="whale_transfers"),
            "No data set is named 'whale_transfers'. Did you mean 'whale_transfer'? Defined: "
            f"{', '.join(sorted(all_datasets()))}.",
            id="data set",
        ),
    ],
)
def test_an_unknown_name_is_told_as_the_dag_file_is_read(make, message):
    with pytest.raises(UnknownNameError) as raised:
        make()

    assert str(raised.value) == message


def test_a_data_set_is_refused_on_a_chain_that_it_does_not_cover():
    with pytest.raises(ConfigError) as raised:
        PublishDataSetOperator(task_id="t", dataset="bitcoin_network_daily", scope="anvil")

    assert str(raised.value) == (
        "bitcoin_network_daily is not computed for anvil. Choose a chain of the kind utxo."
    )


def test_blocks_are_loaded_applied_and_wake_once(filled):
    engine, serve = filled
    blocks = branch(EVM, 4)
    asked = serve(FakeNode(EVM, blocks))
    first, second = (
        IngestBlocksOperator(task_id="t", chain="anvil", conn_id="mine") for _ in range(2)
    )
    context = _context()

    assert first.execute(context) == {
        "loaded": sum(1 + len(b.transfers) for b in blocks),
        "height": 3,
        "days": len({b.at.date() for b in blocks}),
    }
    assert second.execute(_context()) == {"loaded": 0, "height": 3, "days": 0}

    assert asked == [(ingest_operator.chain_named("anvil"), "mine")] * 2
    assert _keys(context, EVM) == {f"anvil|{max(b.at.date() for b in blocks)}"}
    assert first.outlets == [blocks_of(EVM)]
    assert second.outlets == []
    assert scalar(engine, "SELECT count(*) FROM chain.block") == 4


def test_a_range_is_what_was_asked_for_as_number_or_as_text(filled):
    engine, serve = filled
    serve(FakeNode(EVM, branch(EVM, 6)))

    IngestBlocksOperator(task_id="t", chain="anvil", first="1", last=2).execute(_context())

    assert scalar(engine, "SELECT array_agg(height ORDER BY height) FROM chain.block") == [1, 2]


@pytest.mark.parametrize(("first", "last"), [("", "None"), (None, " ")])
def test_a_template_that_renders_nothing_bounds_nothing(filled, first, last):
    engine, serve = filled
    serve(FakeNode(EVM, branch(EVM, 2)))

    IngestBlocksOperator(task_id="t", chain="anvil", first=first, last=last).execute(_context())

    assert scalar(engine, "SELECT count(*) FROM chain.block") == 2


@pytest.mark.parametrize(
    ("bounds", "message"),
    [
        ({"first": 9, "last": 8}, "The blocks 9 to 8 are in the wrong order. Swap them."),
        ({"first": "-1"}, "first is '-1'. Give a block number, or nothing."),
        ({"last": "latest"}, "last is 'latest'. Give a block number, or nothing."),
        ({"last": 1.0}, "last is 1.0. Give a block number, or nothing."),
    ],
)
def test_a_range_that_cannot_be_fails_without_a_retry(filled, bounds, message):
    operator = IngestBlocksOperator(task_id="t", chain="anvil", **bounds)

    with pytest.raises(AirflowFailException) as raised:
        operator.execute(_context())

    assert str(raised.value) == message


def test_a_block_that_the_node_has_not_reached_is_tried_again(filled):
    _, serve = filled
    serve(FakeNode(EVM, branch(EVM, 2)))

    with pytest.raises(SourceError, match=r"block 7 was asked for, but the source ends at 1\."):
        IngestBlocksOperator(task_id="t", chain="anvil", last=7).execute(_context())


def test_one_scope_or_all_are_published(filled):
    engine, serve = filled
    bring_up_to_date(engine, EVM, FakeNode(EVM, branch(EVM, 3)))
    for chain, length in ((EVM, 5), (UTXO, 3)):
        serve(FakeNode(chain, branch(chain, length)))
        IngestBlocksOperator(task_id="t", chain=chain.name).execute(_context())

    def publish(**which):
        return PublishDataSetOperator(task_id="t", dataset="whale_transfer", **which).execute(
            _context()
        )

    one, others, none = publish(scope="regtest"), publish(), publish()
    silent = PublishDataSetOperator(task_id="t", dataset="whale_transfer")
    silent.execute(_context())

    assert (set(one), set(others), none) == ({"regtest"}, {"anvil"}, {})
    windows = scalar(
        engine,
        "SELECT count(*) FROM ops.window WHERE dataset = 'whale_transfer' AND scope = 'regtest'",
    )
    rows = scalar(engine, "SELECT count(*) FROM serving.whale_transfer WHERE chain = 'regtest'")
    assert one["regtest"] == {"windows": windows, "changed": rows}
    assert rows > 0
    assert silent.outlets == []


@pytest.mark.parametrize("chain", [EVM, UTXO], ids=["evm", "utxo"])
def test_a_rebuild_ends_in_the_same_tables_and_wakes(filled, chain):
    engine, _ = filled
    blocks = branch(chain, 7)
    bring_up_to_date(engine, chain, FakeNode(chain, blocks))
    before = contents(engine)
    store = Store()
    context = _context(store)

    told = RebuildOperator(task_id="t", chain=chain.name).execute(context)

    days = scalar(engine, "SELECT count(DISTINCT day) FROM chain.block")
    covering = [dataset for dataset in all_datasets().values() if dataset.covers(chain)]
    assert told == {"height": 6, "waiting": 0, "windows": days * len(covering)}
    assert _keys(context, chain) == {f"{chain.name}|{blocks[-1].at.date()}"}
    assert store == {}
    publish_all(engine)
    assert contents(engine) == before


# Each name is a step of the rebuild; the process ends before it or after it.
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", ["reset_state", "_move_tip", "apply_blocks", "backfill"])
def test_an_interrupted_rebuild_goes_on_and_forgets_only_once(filled, monkeypatch, step, after):
    engine, _ = filled
    node = FakeNode(UTXO, branch(UTXO, 7), final=4)
    bring_up_to_date(engine, UTXO, node)
    before, final_height = contents(engine), _tip(engine).final_height
    monkeypatch.setattr(apply, "_MAX_BLOCKS", 2)
    store, forgotten = Store(), []
    reset = apply.reset_state
    monkeypatch.setattr(apply, "reset_state", lambda *args: forgotten.append(1) or reset(*args))
    context = _context(store)
    with monkeypatch.context() as patch:
        _die(patch, step, after=after)
        with pytest.raises(Died):
            RebuildOperator(task_id="t", chain="regtest").execute(context)

    told = RebuildOperator(task_id="t", chain="regtest").execute(context)

    assert (told["height"], store, _tip(engine).final_height) == (6, {}, final_height)
    assert final_height == 4
    # What was forgotten but not committed or noted is forgotten again, and nothing later is.
    assert len(forgotten) == (2 if step == "reset_state" and after else 1)
    publish_all(engine)
    assert contents(engine) == before


def test_a_rebuild_that_failed_and_was_cleared_forgets_anew(filled, monkeypatch):
    engine, _ = filled
    bring_up_to_date(engine, UTXO, FakeNode(UTXO, branch(UTXO, 7), final=4))
    store, forgotten = Store(), []
    reset = apply.reset_state
    monkeypatch.setattr(apply, "reset_state", lambda *args: forgotten.append(1) or reset(*args))
    with monkeypatch.context() as patch:
        _die(patch, "apply_blocks", after=False)
        for clears in (0, 0, 1):
            with pytest.raises(Died):
                RebuildOperator(task_id="t", chain="regtest").execute(_context(store, clears))

    RebuildOperator(task_id="t", chain="regtest").execute(_context(store, clears=1))

    # Once before the task was cleared and once after; what was final is not lost with the state.
    assert (len(forgotten), store, _tip(engine).final_height) == (2, {}, 4)


def test_a_chain_without_blocks_is_rebuilt_and_wakes_nobody(filled):
    operator = RebuildOperator(task_id="t", chain="anvil")

    assert operator.execute(_context()) == {"height": -1, "waiting": 0, "windows": 0}
    assert operator.outlets == []


def _tip(engine):
    with engine.connect() as connection:
        return tip_of(connection, UTXO.name)


def _die(patch, step, *, after):
    module = compute if step == "backfill" else apply
    real = getattr(module, step)

    def dying(*args, **kwargs):
        if after:
            real(*args, **kwargs)
        raise Died

    patch.setattr(module, step, dying)


def test_reading_a_dag_file_loads_none_of_the_work_libraries():
    code = (
        "import sys, airflow.sdk; before = set(sys.modules)\n"
        "from onchain_agg import operators as o\n"
        "o.IngestBlocksOperator(task_id='a', chain='anvil')\n"
        "o.RebuildOperator(task_id='b', chain='anvil')\n"
        "o.SourceTableReadySensor(task_id='c', table='t', min_rows=1)\n"
        "heavy = 'sqlalchemy web3 pyarrow numpy pandas psycopg kubernetes ccxt msgspec'.split()\n"
        "parts = 'sources warehouse metrics'.split()\n"
        "new = set(sys.modules) - before\n"
        "print(sorted(m for m in new if m.split('.')[0] in heavy\n"
        "             or m.startswith('onchain_agg.') and m.split('.')[1] in parts))"
    )

    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout

    # Their addresses' spelling and masking need nothing but the standard library.
    light = [f"onchain_agg.sources{name}" for name in ("", ".evm_address", ".masking")]
    assert printed.splitlines()[-1] == str(light)


def test_bounds_and_what_is_waited_for_are_templates():
    assert SourceTableReadySensor.template_fields == (
        "table",
        "min_rows",
        "watermark",
        "window",
        "where",
        "conn_id",
    )
    assert IngestBlocksOperator.template_fields == ("first", "last", "conn_id")
