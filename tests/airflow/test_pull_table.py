"""The task that pulls a declared table, with an Airflow connection to its database."""

from datetime import date

import pytest
from airflow.sdk.exceptions import AirflowFailException
from sqlalchemy import create_engine, text

from onchain_agg.errors import ConfigError
from onchain_agg.hooks.sql_url import source_url
from onchain_agg.operators import sources
from onchain_agg.operators.sources import pull_table
from onchain_agg.sources.sql_file import source_named

pytestmark = pytest.mark.airflow

_RATES = """\
connection: company_rates
table: rates
target: fx
watermark: id
columns:
  source: {constant: bank}
  day: day
  base: {constant: USD}
  quote: {constant: KRW}
  rate: rate
"""


@pytest.fixture
def declared(tmp_path, monkeypatch, engine):
    """Return the folder of a declared source, whose database and warehouse are there."""
    file = tmp_path / "rates.db"
    company = create_engine(f"sqlite:///{file}")
    with company.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE rates (id INTEGER PRIMARY KEY, day, rate)")
        connection.exec_driver_sql("INSERT INTO rates VALUES (1, '2026-03-01', '1450.25')")
    company.dispose()
    folder = tmp_path / "sources"
    folder.mkdir()
    (folder / "rates.yaml").write_text(_RATES)
    monkeypatch.setenv("AIRFLOW_CONN_COMPANY_RATES", f'{{"conn_type": "sqlite", "host": "{file}"}}')
    monkeypatch.setenv("ONCHAIN_AGG_SOURCES_FOLDER", str(folder))
    url = engine.url.render_as_string(hide_password=False)
    monkeypatch.setenv("ONCHAIN_AGG_WAREHOUSE_URL", url)
    return folder


def test_the_task_pulls_a_table_through_its_connection(declared, engine, monkeypatch):
    woken = []
    # Outside of a run there is nothing to wake.
    monkeypatch.setattr(sources, "wake_readers", lambda *told: woken.append(told))

    assert pull_table.function("rates") == {"rows": 1, "inserted": 1, "corrected": 0, "days": 1}
    assert pull_table.function("rates") == {"rows": 1, "inserted": 0, "corrected": 0, "days": 0}

    day = date(2026, 3, 1)
    assert woken == [("market.fx_rate", "rates", (day,)), ("market.fx_rate", "rates", ())]
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT rate::text FROM market.fx_rate")) == "1450.25"


def test_a_mistake_fails_the_task_without_a_retry(declared):
    (declared / "rates.yaml").write_text(_RATES.replace("rate: rate", "rate: rat"))

    with pytest.raises(AirflowFailException) as error:
        pull_table.function("rates")

    assert str(error.value) == (
        "No column of rates (source rates, columns.rate) is named 'rat'. Did you mean 'rate'?"
        " Defined: day, id, rate."
    )


def test_a_missing_connection_is_told_with_the_command_that_adds_it(declared, monkeypatch):
    monkeypatch.delenv("AIRFLOW_CONN_COMPANY_RATES")

    with pytest.raises(ConfigError, match="Connection 'company_rates' does not exist"):
        source_url(source_named(declared, "rates"))
