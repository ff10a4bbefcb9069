"""Mapped operators: they run where the same operators run unmapped, and wake the same data sets."""

import pytest
from airflow.sdk import DAG
from airflow.serialization.serialized_objects import DagSerialization

from onchain_agg.errors import ConfigError
from onchain_agg.operators import IngestBlocksOperator, PublishDataSetOperator, RebuildOperator
from onchain_agg.operators.waking import blocks_of
from tests.fakes.scenes import UTXO

pytestmark = pytest.mark.airflow

_PLACE = (
    *("queue", "pool", "pool_slots", "execution_timeout", "retries", "retry_delay"),
    *("executor", "executor_config"),
)
_CURE = (
    "{0} decides where the task runs or what it wakes, which is one for all of a mapped task, so "
    "it cannot be mapped. Name it in partial(), and for several write a loop in the DAG file: for "
    "{0} in (…): {1}(task_id=…, {0}={0})."
)


def _both(kind, given, mapped, defaults):
    """Return the operator in a DAG as it is and mapped, each as the scheduler reads it."""
    with DAG("cases", schedule=None, default_args=defaults) as dag:
        kind(task_id="plain", **given)
        kind.partial(task_id="mapped", **given).expand(**mapped)
    written = DagSerialization.to_dict(dag)
    read = DagSerialization.from_dict(written)
    outlets = [
        (task["partial_kwargs"] if task.get("_is_mapped") else task).get("outlets")
        for task in (raw["__var"] for raw in written["dag"]["tasks"])
    ]
    return dag.get_task("mapped"), read.get_task("plain"), read.get_task("mapped"), outlets


@pytest.mark.parametrize("defaults", [{}, {"queue": "default", "retries": 9, "size": "cpu"}])
@pytest.mark.parametrize(
    ("kind", "given", "mapped"),
    [
        pytest.param(IngestBlocksOperator, {"chain": "anvil"}, {"first": [1, 2]}, id="ingest"),
        pytest.param(
            IngestBlocksOperator,
            {"chain": "anvil", "outlets": [blocks_of(UTXO)], "pool": "mine", "retry_delay": 7.5},
            {"first": [1, 2]},
            id="ingest, the author wins",
        ),
        pytest.param(
            PublishDataSetOperator,
            {"dataset": "whale_transfer"},
            {"scope": ["anvil", "regtest"]},
            id="publish",
        ),
        pytest.param(RebuildOperator, {"chain": "anvil"}, {"doc_md": ["a"]}, id="rebuild"),
        pytest.param(
            RebuildOperator,
            {"chain": "anvil", "size": "on-demand", "executor_config": {"mine": 1}},
            {"doc_md": ["a"]},
            id="rebuild, another size",
        ),
    ],
)
def test_a_mapped_operator_is_placed_and_wakes_as_unmapped(kind, given, mapped, defaults):
    task, plain, many, outlets = _both(kind, given, mapped, defaults)
    one = task.unmap({name: values[0] for name, values in mapped.items()})

    def place(task):
        return {name: getattr(task, name) for name in _PLACE}

    assert place(many) == place(plain)
    assert outlets[0] == outlets[1]
    # What runs on the worker emits each outlet once.
    assert (one.outlets, place(one)) == (kind(task_id="t", **given).outlets, place(plain))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        pytest.param(
            lambda: IngestBlocksOperator.partial(task_id="t").expand(chain=["anvil"]),
            "IngestBlocksOperator.partial(task_id='t'): "
            + _CURE.format("chain", "IngestBlocksOperator"),
            id="ingest",
        ),
        pytest.param(
            lambda: PublishDataSetOperator.partial(task_id="t").expand(dataset=["whale_transfer"]),
            "PublishDataSetOperator.partial(task_id='t'): "
            + _CURE.format("dataset", "PublishDataSetOperator"),
            id="publish",
        ),
        pytest.param(
            lambda: RebuildOperator.partial(task_id="t", chain="anvil").expand(size=["cpu"]),
            "RebuildOperator.partial(task_id='t'): " + _CURE.format("size", "RebuildOperator"),
            id="a default is mapped over",
        ),
        pytest.param(
            lambda: RebuildOperator.partial(task_id="t", chain="anvil").expand_kwargs(
                [{"chain": "base"}]
            ),
            "RebuildOperator.partial(task_id='t'): " + _CURE.format("chain", "RebuildOperator"),
            id="by keywords",
        ),
        pytest.param(
            lambda: RebuildOperator.partial(task_id="t", chain="anvil").expand_kwargs(
                [{"doc_md": "a"}], strict=False
            ),
            "RebuildOperator.partial(task_id='t').expand_kwargs(…, strict=False) could change what "
            "decides where the task runs. Drop strict, and give each argument in one place.",
            id="overriding",
        ),
        pytest.param(
            lambda: PublishDataSetOperator.partial(
                task_id="t", dataset="bitcoin_network_daily", scope="anvil"
            ),
            "bitcoin_network_daily is not computed for anvil. Choose a chain of the kind utxo.",
            id="a scope that is not covered",
        ),
    ],
)
@pytest.mark.filterwarnings("error")
def test_what_decides_a_tasks_place_cannot_be_mapped(make, message):
    with pytest.raises(ConfigError) as raised:
        make()

    assert str(raised.value) == message
