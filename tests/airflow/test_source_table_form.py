"""What the sensor for source tables accepts from an author, and what it refuses."""

import json
from datetime import datetime

import pytest
from airflow.sdk import DAG, BaseOperator
from airflow.sdk.exceptions import AirflowFailException
from airflow.serialization.serialized_objects import DagSerialization

from onchain_agg.errors import ConfigError, OnchainAggError
from onchain_agg.operators import SourceTableReadySensor

pytestmark = pytest.mark.airflow

_WINDOW = {"dataset": "whale_transfer", "scope": "anvil", "day": "2026-03-01"}


def _sensor(**given):
    given = given or {"table": "trades", "min_rows": 5}
    return SourceTableReadySensor(task_id="t", **{"conn_id": "source", **given})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"table": "trades", "conn_id": None},
            "t: give one of min_rows, watermark, window. Given: none of them.",
        ),
        (
            {"table": "trades", "min_rows": 1, "watermark": {"id": 1}},
            "t: give one of min_rows, watermark, window. Given: min_rows and watermark.",
        ),
        (
            {"min_rows": 1},
            "t: give table with min_rows and watermark, and not with window.",
        ),
        (
            {"table": "trades", "window": _WINDOW},
            "t: give table with min_rows and watermark, and not with window.",
        ),
        ({"window": _WINDOW, "where": {"a": 1}}, "t: where belongs to a table, not to window."),
        (
            {"window": {"dataset": "whale_transfer", "day": "2026-03-01"}},
            (
                "window has the keys dataset, day. Give dataset, scope and day, and final where it "
                "must be."
            ),
        ),
        (
            {"window": {**_WINDOW, "final": "False"}},
            "window has final 'False'. Give True or False.",
        ),
        (
            {"window": {**_WINDOW, "scope": "anvill"}},
            (
                "No chain is named 'anvill'. Did you mean 'anvil'? Defined: anvil, base, bitcoin, "
                "ethereum, litecoin, polygon, regtest."
            ),
        ),
        (
            {"window": {**_WINDOW, "dataset": "bitcoin_network_daily"}},
            "bitcoin_network_daily is not computed for anvil. Choose a chain of the kind utxo.",
        ),
        (
            {"table": "trades", "watermark": {"at": datetime(2026, 3, 1)}},  # noqa: DTZ001 - the case
            "at is 2026-03-01 00:00:00, which has no zone. Give an aware time, such as UTC.",
        ),
        (
            {"table": "trades", "min_rows": 1, "where": {"price": 1.5}},
            (
                "price is 1.5. Give text, a whole number, True, False, None, a day, an aware time "
                "or a Decimal."
            ),
        ),
    ],
)
def test_what_cannot_be_waited_for_is_told_as_the_dag_file_is_read(given, message):
    with pytest.raises(ConfigError) as raised:
        _sensor(**given)

    assert str(raised.value) == message


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"min_rows": "many"}, "min_rows is 'many'. Give a whole number of at least 1."),
        ({"min_rows": 0}, "min_rows is 0. Give a whole number of at least 1."),
        ({"min_rows": 10**18}, f"min_rows is {10**18}. Give a number of at most 18 digits."),
        ({"min_rows": "9" * 19}, f"min_rows is {'9' * 19}. Give a number of at most 18 digits."),
        ({"watermark": {}}, "watermark is {}. Give one column and its value."),
        (
            {"watermark": {"a": 1, "b": 2}},
            "watermark is {'a': 1, 'b': 2}. Give one column and its value.",
        ),
        (
            {"conn_id": "nowhere", "min_rows": 1},
            (
                "Connection 'nowhere' does not exist. Add it with `airflow connections add nowhere "
                "--conn-uri postgresql://user:password@host:5432/database`."
            ),
        ),
    ],
)
@pytest.mark.parametrize("deferrable", [False, True])
def test_what_a_template_made_wrong_fails_without_a_retry(monkeypatch, given, message, deferrable):
    monkeypatch.setenv("AIRFLOW_CONN_SOURCE", json.dumps({"conn_type": "postgres"}))
    sensor = _sensor(table="trades", deferrable=deferrable, **given)

    with pytest.raises(AirflowFailException) as raised:
        sensor.execute({})

    assert str(raised.value) == message


@pytest.mark.parametrize("option", ["True", "False"])
def test_deferring_is_what_the_deployment_chose(monkeypatch, option):
    monkeypatch.setenv("AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE", option)

    assert _sensor().deferrable is (option == "True")
    assert _sensor(table="trades", min_rows=1, deferrable=False).deferrable is False


def test_a_sensor_survives_the_scheduler_and_renders_every_template():
    with DAG("cases", schedule=None) as dag:
        first = BaseOperator(task_id="first")
        sensor = SourceTableReadySensor(
            task_id="t",
            table="{{ params.table }}",
            watermark={"at": "{{ params.at }}"},
            where={"n": first.output, "name": "{{ params.name }}"},
            params={"table": "s.trades", "at": "2026-03-01T00:00:00Z", "name": "a"},
        )

    stored = DagSerialization.from_dict(DagSerialization.to_dict(dag)).get_task("t")
    assert stored.upstream_task_ids == {"first"}

    sensor.where = {"name": "{{ params.name }}"}
    sensor.render_template_fields({"params": sensor.params})
    assert str(sensor._condition()) == (
        "at least 1 row of s.trades with name = 'a' and at >= '2026-03-01T00:00:00Z'"
    )


def test_the_name_of_a_rendered_data_set_is_checked():
    with DAG("cases", schedule=None):
        sensor = _sensor(
            window={**_WINDOW, "dataset": "{{ params.d }}"}, conn_id=None, params={"d": "whale"}
        )
    sensor.render_template_fields({"params": {"d": "whale_transfr"}})

    with pytest.raises(OnchainAggError, match=r"^No data set is named 'whale_transfr'\. Did you"):
        sensor._condition()
