"""The tasks that pull a market's facts: what they return, and how they end."""

import json
import time
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException
from airflow.sdk.execution_time.context import OutletEventAccessors, set_current_context
from sqlalchemy import text

from onchain_agg.errors import SourceError
from onchain_agg.operators.market import pull_candles, pull_funding, pull_trades
from onchain_agg.sources.market_answers import at
from tests.fakes.exchange_server import DAY_MS, Deal, Exchange, asking

pytestmark = pytest.mark.airflow


@pytest.fixture
def pulled(engine, monkeypatch):
    """Return a function that runs a pulling task against an exchange, and the warehouse."""
    url = engine.url.render_as_string(hide_password=False)
    monkeypatch.setenv("ONCHAIN_AGG_WAREHOUSE_URL", url)

    def run(task, exchange, venue, *what, host=None):
        with asking(venue, exchange, 0) as (_, served):
            written = {
                "conn_type": "onchain_market",
                "host": host or venue,
                "extra": {"url": served.url, "calls_per_second": 1000},
            }
            monkeypatch.setenv(f"AIRFLOW_CONN_ONCHAIN_{venue.upper()}", json.dumps(written))
            context = {
                "dag_run": SimpleNamespace(run_after=datetime(2026, 4, 1, tzinfo=UTC)),
                "task": SimpleNamespace(outlets=[]),
                "outlet_events": OutletEventAccessors(),
            }
            with set_current_context(context):
                return task.function(venue, *what)

    return run


def test_tasks_return_the_days_that_changed(pulled, engine):
    now = int(time.time() * 1000)
    today = now // DAY_MS * DAY_MS
    exchange = Exchange(
        [Deal(1, now - 60_000)],
        [[today - DAY_MS, "2", "4", "1", "3", "7"], [today, "2", "4", "1", "3", "7"]],
        [(today - DAY_MS, "0.1"), (today, "0.2")],
    )

    assert pulled(pull_trades, exchange, "binance", "XRP/ETH") == [_day(now - 60_000)]
    assert pulled(pull_candles, exchange, "binance", "XRP/ETH", "1d") == [_day(today - DAY_MS)]
    assert pulled(pull_funding, exchange, "binance", "BTC/USDT:USDT") == [_day(today)]
    assert pulled(pull_trades, exchange, "binance", "XRP/ETH") == []
    with engine.connect() as connection:
        query = "SELECT name, scope FROM ops.pull ORDER BY name"
        assert [tuple(row) for row in connection.execute(text(query))] == [
            ("candles.binance", "XRP/ETH 1d"),
            ("funding.binance", "BTC/USDT:USDT"),
            ("trades.binance", "XRP/ETH"),
        ]


def _day(ms):
    return at(ms).date().isoformat()


def test_a_venue_without_a_connection_is_skipped(monkeypatch):
    monkeypatch.delenv("AIRFLOW_CONN_ONCHAIN_KRAKEN", raising=False)

    with pytest.raises(AirflowSkipException) as caught:
        pull_trades.function("kraken", "BTC/USD")

    assert str(caught.value) == (
        "Connection 'onchain_kraken' does not exist. Add it to pull from kraken, or pause this DAG."
    )


def test_what_a_retry_cannot_heal_fails_at_once(pulled):
    with pytest.raises(AirflowFailException, match="kraken lists no market 'BTC/EUR'"):
        pulled(pull_trades, Exchange(), "kraken", "BTC/EUR")
    with pytest.raises(AirflowFailException) as caught:
        pulled(pull_trades, Exchange(), "kraken", "BTC/USD", host="binance")

    assert str(caught.value) == (
        "Connection 'onchain_kraken' is to binance, but the venue kraken is on kraken. Correct its "
        "host."
    )


def test_an_exchange_that_is_down_is_left_to_the_retries(pulled):
    exchange = Exchange(instead=[(500, b"{}")])

    with pytest.raises(
        SourceError, match=r"^Connection 'onchain_kraken' \(exchange kraken\): Exch"
    ):
        pulled(pull_trades, exchange, "kraken", "BTC/USD")
