"""Somebody else's table becomes facts: once, exactly, and on from where the last pull ended."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import OperationalError

from onchain_agg.cli import main
from onchain_agg.errors import ConfigError, DataSetError
from onchain_agg.sources.sql import SqlSource
from onchain_agg.warehouse import facts
from onchain_agg.warehouse.facts import watermark
from onchain_agg.warehouse.sql_pull import check, pull
from tests.fakes.warehouse import T0, Ticking

pytestmark = pytest.mark.data

FILLS = """
CREATE SCHEMA exchange;
CREATE TYPE exchange.way AS ENUM ('B', 'S');
CREATE TABLE exchange.fills (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), ref text, venue text NOT NULL, pair varchar(20),
    done_at timestamp, price numeric, size double precision, way exchange.way,
    updated_at timestamptz NOT NULL
)
"""
COLUMNS = {
    "venue": "venue",
    "market": "pair",
    "trade_id": "ref",
    "traded_at": "done_at",
    "price": "price",
    "amount": "size",
    "side": {"column": "way", "values": {"B": "buy", "S": "sell"}},
}
HUGE = "12345678901234567890.123456789012345678"


@pytest.fixture(scope="module")
def database(new_database):
    with new_database() as engine:
        run(engine, FILLS)
        yield engine


@pytest.fixture
def engine(database):
    """Return a warehouse without facts; a database of its own would cost each test more."""
    clear(database)
    return database


def clear(engine):
    run(
        engine,
        "TRUNCATE exchange.fills, market.trade, market.trade_history, market.funding_rate,"
        " ops.pull, ops.fact_day",
    )


@pytest.fixture
def fills(engine):
    """Return the function that puts a fill into the company's table, which lies beside ours."""

    def put(ref, minute, venue="kraken", price="100.5", way="B", day=1):
        run(
            engine,
            "INSERT INTO exchange.fills (ref, venue, pair, done_at, price, size, way, updated_at)"
            f" VALUES ('{ref}', '{venue}', 'BTC/USD', '2026-03-{day:02} 09:30', {price}, 0.1,"
            f" '{way}', timestamptz '2026-03-05 00:00Z' + interval '{minute} minutes')",
        )

    return put


def run(engine, statement):
    with engine.begin() as connection:
        connection.exec_driver_sql(statement)


def declared(**changes):
    told = {
        "name": "fills",
        "connection": "company",
        "table": "exchange.fills",
        "target": "trades",
        "columns": COLUMNS,
        "watermark": "updated_at",
        "lag": "15m",
        "time_zone": "Asia/Seoul",
        **changes,
    }
    return SqlSource.model_validate(told)


def trades(engine, table="market.trade"):
    query = f"SELECT venue, trade_id, price::text FROM {table} ORDER BY venue, trade_id"
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(query))]


def test_rows_become_facts_with_every_digit_and_in_utc(engine, fills):
    fills("a", 0, price=HUGE)
    fills("b", 1, venue="upbit", way="S")

    done = pull(engine, declared(), engine.url, clock=Ticking())

    assert (done.rows, done.inserted, done.corrected) == (2, 2, 0)
    assert done.days == (date(2026, 3, 1),)
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT * FROM market.trade ORDER BY venue")).mappings()
        kraken, upbit = (dict(row) for row in rows)
    assert kraken == {
        "venue": "kraken",
        "day": date(2026, 3, 1),
        "market": "BTC/USD",
        "trade_id": "a",
        "traded_at": datetime(2026, 3, 1, 0, 30, tzinfo=UTC),
        "price": Decimal(HUGE),
        "amount": Decimal("0.1"),
        "side": "buy",
        "known_from": T0 + timedelta(seconds=1),
    }
    assert (upbit["venue"], upbit["side"]) == ("upbit", "sell")


def test_a_second_pull_writes_what_is_new_late_or_corrected_and_nothing_else(engine, fills):
    fills("a", 0)
    fills("b", 60)
    pull(engine, declared(), engine.url)

    fills("late", 50)
    fills("too late", 20)
    fills("new", 61)
    run(
        engine,
        "UPDATE exchange.fills SET price = 7, updated_at = '2026-03-05 01:02Z' WHERE ref = 'a'",
    )
    done = pull(engine, declared(), engine.url)

    # The row of the watermark itself is read again.
    assert (done.rows, done.inserted, done.corrected) == (4, 2, 1)
    assert trades(engine) == [
        ("kraken", "a", "7"),
        ("kraken", "b", "100.5"),
        ("kraken", "late", "100.5"),
        ("kraken", "new", "100.5"),
    ]
    assert trades(engine, "market.trade_history") == [("kraken", "a", "100.5")]
    again = pull(engine, declared(), engine.url, again=True)
    assert (again.rows, again.inserted, again.corrected) == (5, 1, 0)


def test_a_killed_pull_goes_on_after_its_last_page(engine, fills):
    for n in range(6):
        fills(f"n{n}", n, venue=("kraken", "upbit")[n % 2])
    source = declared(batch_rows=2, lag=0)

    def die(_rows):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pull(engine, source, engine.url, progress=die)
    assert len(trades(engine)) == 2
    done = pull(engine, source, engine.url)

    assert (done.rows, done.inserted) == (5, 4)
    assert done.watermark == datetime(2026, 3, 5, 0, 5, tzinfo=UTC)


def test_a_pull_that_dies_between_venues_reads_the_page_again(engine, fills, monkeypatch):
    fills("a", 0)
    fills("b", 1, venue="upbit")
    whole = facts.record

    def fails(engine, table, scope, *rest, **named):
        if scope == "upbit":
            raise KeyboardInterrupt
        return whole(engine, table, scope, *rest, **named)

    monkeypatch.setattr(facts, "record", fails)
    with pytest.raises(KeyboardInterrupt):
        pull(engine, declared(), engine.url)
    monkeypatch.undo()
    assert watermark(engine, "fills", "exchange.fills") is None

    done = pull(engine, declared(), engine.url)

    assert (done.rows, done.inserted, done.corrected) == (2, 1, 0)


def test_a_fault_of_the_warehouse_is_not_laid_on_the_source(engine, fills, monkeypatch):
    fills("a", 0)
    fault = OperationalError("COPY", None, Exception("disk full"))

    def fails(*_, **__):
        raise fault

    monkeypatch.setattr(facts, "record", fails)
    with pytest.raises(OperationalError) as error:
        pull(engine, declared(), engine.url)

    assert error.value is fault


def test_any_batches_and_pauses_end_in_the_same_facts(engine, fills):
    names = iter(range(10_000))

    @given(
        minutes=st.lists(st.integers(0, 2), min_size=1, max_size=8),
        batch_rows=st.integers(1, 4),
        pause=st.integers(0, 8),
    )
    def holds(minutes, batch_rows, pause):
        clear(engine)
        ordered = sorted(minutes)
        source = declared(batch_rows=batch_rows, lag=0)
        told = []
        for n, minute in enumerate(ordered):
            if n == pause:
                pull(engine, source, engine.url)
            told.append(f"t{next(names)}")
            fills(told[-1], minute)
        pull(engine, source, engine.url)

        assert [name for _, name, _ in trades(engine)] == sorted(told)

    holds()


def test_an_edited_declaration_is_read_from_the_beginning(engine, fills):
    fills("a", 0)
    fills("b", 60)
    pull(engine, declared(), engine.url)
    translated = {**COLUMNS, "market": {"column": "pair", "values": {"BTC/USD": "XBT/USD"}}}

    same = pull(engine, declared(batch_rows=7, lag="1m"), engine.url)
    edited = pull(engine, declared(columns=translated), engine.url)

    assert (same.rows, same.inserted) == (1, 0)
    assert (edited.rows, edited.inserted) == (2, 2)


def test_a_wrong_row_stops_the_pull_and_the_pages_before_it_stay(engine, fills):
    fills("a", 0)
    fills("b", 1, price="'NaN'")
    source = declared(batch_rows=1)

    with pytest.raises(DataSetError) as error:
        pull(engine, source, engine.url)

    with engine.connect() as connection:
        (id_,) = connection.scalars(text("SELECT id FROM exchange.fills WHERE ref = 'b'"))
    assert str(error.value) == (
        "Source fills: column 'price' of exchange.fills is NaN. A finite number is needed, in the"
        f" row with updated_at 2026-03-05 00:01:00+00:00 and id {id_}. Correct the row, or leave"
        " it out with a view."
    )
    assert trades(engine) == [("kraken", "a", "100.5")]


def test_a_lag_of_another_kind_than_the_watermark_is_refused(engine, fills):
    fills("a", 0)
    pull(engine, declared(lag=5), engine.url)

    with pytest.raises(ConfigError) as error:
        pull(engine, declared(lag=5), engine.url)

    assert str(error.value) == (
        "Source fills: lag is 5, but the watermark is a time. Write a span such as 15m."
    )


def test_a_source_that_may_not_be_read_is_refused_without_its_password(engine, fills):
    fills("a", 0)
    run(engine, "CREATE ROLE stranger LOGIN PASSWORD 'hush'")
    url = engine.url.set(username="stranger", password="hush")  # noqa: S106 - made up
    try:
        with pytest.raises(ConfigError) as error:
            check(declared(), url)
    finally:
        run(engine, "DROP OWNED BY stranger; DROP ROLE stranger")

    assert str(error.value) == (
        "Source fills: its database refuses: permission denied for schema exchange. Correct the"
        " declaration, the connection or its user's rights."
    )


@pytest.fixture
def funding(tmp_path, monkeypatch, engine):
    """Return a declared SQLite file of funding rates, and the command that reads it."""
    file = tmp_path / "company.db"
    other = create_engine(f"sqlite:///{file}")
    run(other, "CREATE TABLE rates (id INTEGER PRIMARY KEY, at_ms INTEGER, rate NUMERIC, oi REAL)")
    run(
        other,
        "INSERT INTO rates VALUES (1, 1772323200000, 0.0001, 1e6), (2, 1772352000000, -1e-7, NULL)",
    )
    other.dispose()
    folder = tmp_path / "sources"
    folder.mkdir()
    (folder / "funding.yaml").write_text(
        "url: sqlite:///${COMPANY_DB}\n"
        "table: rates\n"
        "target: funding\n"
        "watermark: id\n"
        "time_unit: ms\n"
        "columns:\n"
        "  venue: {constant: binance}\n"
        "  market: {constant: 'BTC/USDT:USDT'}\n"
        "  funded_at: at_ms\n"
        "  rate: rate\n"
        "  interval_hours: {constant: 8}\n"
        "  open_interest_usd: oi\n"
    )
    monkeypatch.setenv("COMPANY_DB", str(file))
    monkeypatch.setenv("ONCHAIN_AGG_SOURCES_FOLDER", str(folder))
    url = engine.url.render_as_string(hide_password=False)
    monkeypatch.setenv("ONCHAIN_AGG_WAREHOUSE_URL", url)
    return lambda *words: CliRunner().invoke(main, ["source", *words])


def test_the_commands_check_and_pull_a_declared_file(funding, engine):
    checked = funding("check", "funding")
    pulled = funding("pull", "funding")

    assert checked.output == (
        "funding: rates becomes funding.\n"
        "  venue: always binance\n"
        "  market: always BTC/USDT:USDT\n"
        "  funded_at: at_ms (INTEGER)\n"
        "  rate: rate (NUMERIC)\n"
        "  interval_hours: always 8\n"
        "  open_interest_usd: oi (REAL)\n"
        "  in order of id\n"
        "The first 2 rows can be taken.\n"
    )
    assert pulled.output == (
        "funding: 2 rows read, 2 facts added, 0 corrected, on 1 days; read up to 2.\n"
    )
    with engine.connect() as connection:
        query = "SELECT funded_at, rate::text, interval_hours, open_interest_usd::text"
        rows = connection.execute(text(f"{query} FROM market.funding_rate ORDER BY 1")).all()
    assert [tuple(row) for row in rows] == [
        (datetime(2026, 3, 1, tzinfo=UTC), "0.0001", 8, "1000000.0"),
        (datetime(2026, 3, 1, 8, tzinfo=UTC), "-0.0000001", 8, None),
    ]


def test_a_command_that_names_no_source_ends_in_one_line(funding):
    ended = funding("pull", "funing")

    assert ended.exit_code == 2
    assert ended.stderr == (
        "Error: No source is named 'funing'. Did you mean 'funding'? Defined: funding.\n"
    )


def test_a_source_reads_a_url_of_its_own(tmp_path):
    url = f"sqlite:///{tmp_path / 'none.db'}"

    with pytest.raises(ConfigError, match="there is no file"):
        check(declared(connection=None, url=url), make_url(url))
