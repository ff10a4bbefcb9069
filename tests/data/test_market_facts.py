"""Facts of exchanges and files reach the warehouse whole, once, and with what they corrected."""

import csv
import gzip
import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from click.testing import CliRunner
from sqlalchemy import text

from onchain_agg.cli import main
from onchain_agg.errors import ConfigError, SourceError, UnknownNameError
from onchain_agg.markets import venue_named
from onchain_agg.sources.market import exchange_errors
from onchain_agg.sources.table_files import FileForm
from onchain_agg.warehouse import facts
from onchain_agg.warehouse.file_imports import import_file
from onchain_agg.warehouse.market_pulls import (
    Pulled,
    Reading,
    pull_candles,
    pull_funding,
    pull_trades,
)
from tests.fakes.exchange_server import DAY_MS, Deal, Exchange, asking

pytestmark = pytest.mark.data

# 16 November 2023, and 02:40 on it.
TODAY = 1_700_092_800_000
NOW = TODAY + 9_600_000
_AT = datetime(2026, 4, 1, tzinfo=UTC)
_DAY = date(2023, 11, 16)


def _rows(engine, query):
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(query))]


def _pull(engine, pull, name, exchange, *what, now=NOW, **reading):
    venue = replace(venue_named(name), trade_page=exchange.page, candle_page=exchange.page)
    reading = Reading(clock=lambda: _AT, **reading)
    with (
        asking(name, exchange, now) as (client, _),
        exchange_errors(f"Exchange {name}", lambda text: text),
    ):
        return pull(engine, client, venue, *what, reading)


def _time(at_ms):
    return datetime.fromtimestamp(at_ms / 1_000, UTC)


def _deals(count):
    return [Deal(1 + i, TODAY + i * 60_000) for i in range(count)]


def test_trades_are_pulled_once_each_from_where_the_last_pull_ended(engine):
    exchange = Exchange(_deals(25), page=10)

    first = _pull(engine, pull_trades, "kraken", exchange, "BTC/USD")
    exchange.deals += [Deal(number, NOW - 1_000) for number in (26, 27)]
    second = _pull(engine, pull_trades, "kraken", exchange, "BTC/USD", now=NOW + 60_000)

    assert (first.inserted, first.days) == (25, (_DAY,))
    assert (second.inserted, second.corrected) == (2, 0)
    assert facts.watermark(engine, "trades.kraken", "BTC/USD") == {
        "at_ms": NOW - 1_000,
        "trade_id": "27",
    }
    assert _rows(engine, "SELECT count(*), min(price), min(venue) FROM market.trade") == [
        (27, Decimal("100.5"), "kraken")
    ]


def test_a_first_pull_of_trades_begins_with_the_utc_day(engine):
    exchange = Exchange([Deal(1, TODAY - 1), Deal(2, TODAY), Deal(3, NOW - 1)])

    done = _pull(engine, pull_trades, "kraken", exchange, "BTC/USD")

    assert (done.inserted, done.days, done.first_at) == (2, (_DAY,), _time(TODAY))


def test_a_first_pull_of_candles_begins_with_a_whole_utc_day(engine):
    hour, first = DAY_MS // 24, TODAY - 30 * DAY_MS
    exchange = Exchange(candles=[[first + i * hour, "2", "4", "1", "3", "7.5"] for i in (-1, 0, 1)])

    done = _pull(engine, pull_candles, "kraken", exchange, "BTC/USD", "1h")

    # 700 hours before 02:40 lie in the last hours of that day.
    assert (done.inserted, done.first_at) == (2, _time(first))


def test_a_first_pull_of_funding_rates_begins_with_a_whole_utc_day(engine):
    hour, first = DAY_MS // 24, TODAY - 90 * DAY_MS
    rates = [(first + i * hour, "0.0001") for i in (-8, 0, 8)]

    done = _pull(engine, pull_funding, "binance", Exchange(rates=rates), "BTC/USDT:USDT")

    assert (done.inserted, done.first_at) == (2, _time(first))


def test_a_pull_without_news_changes_nothing(engine):
    exchange = Exchange(_deals(25), page=10)
    _pull(engine, pull_trades, "kraken", exchange, "BTC/USD")

    again = _pull(engine, pull_trades, "kraken", exchange, "BTC/USD")

    assert (again.inserted, again.corrected, again.days) == (0, 0, ())


def test_a_pull_that_fails_keeps_its_whole_pages_and_goes_on_after_them(engine):
    deals = _deals(25)
    deals[14] = replace(deals[14], price="-1")
    exchange = Exchange(deals, page=10)

    with pytest.raises(SourceError, match="trade 15 has the price -1, but it must be above 0"):
        _pull(engine, pull_trades, "kraken", exchange, "BTC/USD")
    kept = _rows(engine, "SELECT count(*) FROM market.trade")
    exchange.deals = _deals(25)
    done = _pull(engine, pull_trades, "kraken", exchange, "BTC/USD")

    assert kept == [(10,)]
    assert done.inserted == 15


def test_a_pull_from_a_given_time_reads_again_and_keeps_what_was_believed(engine):
    exchange = Exchange(_deals(5), page=10)
    _pull(engine, pull_trades, "kraken", exchange, "BTC/USD")
    exchange.deals[1] = replace(exchange.deals[1], price="99")

    done = _pull(
        engine, pull_trades, "kraken", exchange, "BTC/USD", since=datetime(2023, 11, 16, tzinfo=UTC)
    )

    assert (done.inserted, done.corrected, done.days) == (0, 1, (_DAY,))
    assert _rows(engine, "SELECT trade_id, price, known_to FROM market.trade_history") == [
        ("2", Decimal("100.5"), _AT)
    ]


def test_a_time_to_begin_at_needs_an_offset():
    with pytest.raises(ConfigError, match=r"has no offset\. Write it as 2026-03-01T00:00Z\."):
        Reading(since=datetime(2026, 3, 1))  # noqa: DTZ001 - the fault under test


def _candle(days_ago, close="3"):
    return [TODAY - days_ago * DAY_MS, "2", "4", "1", close, "7.5"]


def test_the_last_candle_is_read_again_and_the_open_one_never(engine):
    exchange = Exchange(candles=[_candle(3), _candle(2), _candle(1), _candle(0)], page=5)
    first = _pull(engine, pull_candles, "kraken", exchange, "BTC/USD", "1d")
    exchange.candles = [_candle(2), _candle(1, "2.5"), _candle(0), _candle(-1)]

    second = _pull(engine, pull_candles, "kraken", exchange, "BTC/USD", "1d", now=NOW + DAY_MS)

    assert first == Pulled(
        3,
        0,
        tuple(_DAY - timedelta(days=i) for i in (3, 2, 1)),
        datetime(2023, 11, 13, tzinfo=UTC),
        datetime(2023, 11, 15, tzinfo=UTC),
    )
    assert (second.inserted, second.corrected) == (1, 1)
    assert _rows(engine, "SELECT day, close, span FROM market.candle ORDER BY day") == [
        (date(2023, 11, 13), Decimal(3), "1d"),
        (date(2023, 11, 14), Decimal(3), "1d"),
        (date(2023, 11, 15), Decimal("2.5"), "1d"),
        (date(2023, 11, 16), Decimal(3), "1d"),
    ]


def test_candles_that_fell_out_of_reach_are_told_and_nothing_is_skipped(engine):
    exchange = Exchange(candles=[_candle(30), _candle(29)], page=5)
    _pull(engine, pull_candles, "kraken", exchange, "BTC/USD", "1d", now=NOW - 28 * DAY_MS)
    exchange.candles = [_candle(i) for i in reversed(range(20))]

    with pytest.raises(SourceError, match="the last one known, is not in the answer"):
        _pull(engine, pull_candles, "kraken", exchange, "BTC/USD", "1d")

    assert _rows(engine, "SELECT count(*) FROM market.candle") == [(2,)]


def test_funding_rates_are_pulled_with_their_hours(engine):
    at = TODAY - 8 * 3_600_000
    exchange = Exchange(rates=[(at - 8 * 3_600_000, "0.1"), (at, "0.0001")], interest=[(at, "5")])
    first = _pull(engine, pull_funding, "binance", exchange, "BTC/USDT:USDT")
    exchange.rates.append((TODAY, "-0.0002"))

    second = _pull(engine, pull_funding, "binance", exchange, "BTC/USDT:USDT")

    assert (first.inserted, second.inserted, second.corrected) == (1, 1, 0)
    query = "SELECT rate, interval_hours, open_interest_usd FROM market.funding_rate ORDER BY day"
    assert _rows(engine, query) == [
        (Decimal("0.0001"), 8, Decimal(5)),
        (Decimal("-0.0002"), 8, None),
    ]


def test_a_file_with_one_bad_row_writes_nothing(engine, tmp_path):
    file = tmp_path / "fx.csv"
    lines = [f"2026-01-{1 + i % 28:02d},B{i},KRW,1400" for i in range(25_000)]
    file.write_text("\n".join(["day,base,quote,rate", *lines, "2026-01-01,USD,KRW,zero"]))

    with pytest.raises(ConfigError, match="line 25002, column 'rate' is 'zero'"):
        import_file(engine, "fx", file, FileForm(constants={"source": "bank"}))

    assert _rows(engine, "SELECT count(*) FROM market.fx_rate") == [(0,)]


def test_lines_of_one_key_must_agree(engine, tmp_path):
    file = tmp_path / "fx.csv"
    head, rate = "day,base,quote,rate\n", "2026-01-01,USD,KRW,1400\n"
    form = FileForm(constants={"source": "bank"})
    file.write_text(head + "2026-01-02,USD,KRW,1\n" + rate + rate + rate.replace("1400", "1401"))

    with pytest.raises(ConfigError) as caught:
        import_file(engine, "fx", file, form)
    file.write_text(head + rate + rate.replace("1400", "1400.0"))
    done = import_file(engine, "fx", file, form)

    assert str(caught.value) == (
        f"{file}, lines 3 and 5: they have the same source, day, base, quote, and other values. "
        "Keep one of them."
    )
    assert (done.rows, done.inserted, done.days) == (2, 1, (date(2026, 1, 1),))


def test_an_import_marks_days_and_keeps_what_was_believed(engine, tmp_path):
    file = tmp_path / "prices.csv"
    head = "asset,priced_at,price_usd\n"
    form = FileForm(constants={"source": "house"})
    file.write_text(head + "BTC,2026-01-01T00:00:00Z,100\nBTC,2026-01-02T00:00:00Z,110\n")
    import_file(engine, "prices", file, form, clock=lambda: _AT)
    file.write_text(head + "BTC,2026-01-01T00:00:00Z,100\nBTC,2026-01-02T00:00:00Z,111\n")

    done = import_file(engine, "prices", file, form, clock=lambda: _AT + timedelta(days=1))

    assert (done.inserted, done.corrected, done.days) == (0, 1, (date(2026, 1, 2),))
    assert _rows(engine, "SELECT day, version FROM ops.fact_day ORDER BY day") == [
        (date(2026, 1, 1), 1),
        (date(2026, 1, 2), 2),
    ]


def test_facts_of_a_venue_need_one_that_is_known(engine, tmp_path):
    file = tmp_path / "trades.csv"
    file.write_text("market,trade_id,traded_at,price,amount\n")

    with pytest.raises(ConfigError, match=r"The venue of the trades is missing\. Name it with --v"):
        import_file(engine, "trades", file, FileForm())
    with pytest.raises(
        UnknownNameError, match=r"No venue is named 'krakn'\. Did you mean 'kraken'"
    ):
        import_file(engine, "trades", file, FileForm(constants={"venue": "krakn"}))

    done = import_file(engine, "trades", file, FileForm(constants={"venue": "kraken"}))
    assert done.rows == 0


def test_real_trades_of_an_exchange_are_imported(engine, tmp_path, real_data):
    packed = (real_data / "market/XRP_ETH-trades.json.gz").read_bytes()
    trades = json.loads(gzip.decompress(packed))
    file = tmp_path / "trades.csv"
    with file.open("w", newline="") as lines:
        writer = csv.writer(lines)
        writer.writerow(("ms", "trade_id", "type", "side", "price", "amount", "cost"))
        writer.writerows(trades)
    form = FileForm(
        columns={"ms": "traded_at"},
        constants={"venue": "binance", "market": "XRP/ETH"},
        ignored=("type", "cost"),
        time_unit="ms",
    )

    done = import_file(engine, "trades", file, form)
    again = import_file(engine, "trades", file, form)

    assert (done.rows, done.inserted, done.corrected) == (12_477, 12_477, 0)
    assert (again.inserted, again.corrected, again.days) == (0, 0, ())
    query = "SELECT count(*), count(DISTINCT day), sum(amount) FROM market.trade"
    total = sum(Decimal(repr(trade[5])) for trade in trades)
    assert _rows(engine, query) == [(12_477, len(done.days), total)]


def test_real_prices_and_rates_are_imported(engine, tmp_path, real_data):
    days = json.loads((real_data / "market/kimchi_premium_daily_2017-09_2020-12.json").read_text())
    rates, prices = tmp_path / "fx.csv", tmp_path / "usd.csv"
    with rates.open("w", newline="") as lines:
        csv.writer(lines).writerows(
            [("date", "fx"), *((d["date"], d["fx_rate"]) for d in days if d["fx_rate"])]
        )
    with prices.open("w", newline="") as lines:
        csv.writer(lines).writerows(
            [("at", "usd"), *((f"{d['date']}T00:00:00Z", d["foreignUsd"]) for d in days)]
        )
    constants = {"source": "kimchi"}

    fx = import_file(
        engine,
        "fx",
        rates,
        FileForm(
            columns={"date": "day", "fx": "rate"},
            constants={**constants, "base": "USD", "quote": "KRW"},
        ),
    )
    usd = import_file(
        engine,
        "prices",
        prices,
        FileForm(
            columns={"at": "priced_at", "usd": "price_usd"},
            constants={**constants, "asset": "BTC"},
        ),
    )

    assert (fx.rows, fx.inserted) == (fx.rows, len({d["date"] for d in days if d["fx_rate"]}))
    assert usd.inserted == 1_194
    query = "SELECT rate FROM market.fx_rate WHERE day = '2017-09-25'"
    assert _rows(engine, query) == [(Decimal("1131.99"),)]


@pytest.fixture
def command(engine, monkeypatch):
    """Return what the command line prints on the test's warehouse, and its exit code."""
    url = engine.url.render_as_string(hide_password=False)
    monkeypatch.setenv("ONCHAIN_AGG_WAREHOUSE_URL", url)

    def run(*words):
        done = CliRunner().invoke(main, [str(word) for word in words])
        return done.exit_code, done.output

    return run


def test_a_file_is_imported_by_command(command, tmp_path):
    file = tmp_path / "fx.csv"
    file.write_text("date,base,quote,rate,note\n2026-01-01,USD,KRW,1400,x\n")
    words = ["market", "import", "fx", file, "--source", "bank", "--map", "date=day"]

    code, told = command(*words)
    assert code == 2
    assert told == (
        f"Error: {file}: column 'note' is none of fx. Did you mean 'quote'? Map it with --map "
        "note=<column>, or leave it out with --ignore note. There is: source, day, base, quote, "
        "rate.\n"
    )
    assert command(*words, "--ignore", "note") == (
        0,
        f"{file}: 1 rows; 1 fx added, 0 corrected, on 1 days.\n",
    )


def test_a_venue_is_pulled_by_command(command):
    exchange = Exchange(_deals(3))
    with asking("kraken", exchange, NOW) as (_, served):
        words = ["market", "pull", "kraken", "--kind", "trades", "--url", served.url]
        words += ["--calls-per-second", 1000, "--since", "2023-11-16"]

        done = command(*words, "--market", "BTC/USD")
        wrong = command(*words, "--market", "BTC/EUR")

    assert (done[0], wrong[0]) == (0, 2)
    assert done[1] == (
        "kraken trades BTC/USD: 3 added, 0 corrected, on 1 days; read from 2023-11-16 00:00:00 to "
        "2023-11-16 00:02:00 UTC.\n"
    )
    assert wrong[1] == (
        "Error: No market of kraken is named 'BTC/EUR'. Did you mean 'BTC/USD'? Defined: BTC/USD, "
        "ETH/USD, USDC/USD, USDT/USD.\n"
    )
