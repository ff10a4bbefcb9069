"""Somebody else's table, here in SQLite, is read page by page, or refused with the row's name."""

from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import make_url
from sqlalchemy.dialects import mysql, postgresql, sqlite

from onchain_agg.errors import ConfigError, DataSetError, SourceError, UnknownNameError
from onchain_agg.sources.sql_engine import opened
from onchain_agg.sources.sql_read import page_query, read_pages, reading_of
from tests.unit.sources.legacy_table import COLUMNS, FILL, FILLS, declared, fills, read


def test_a_row_becomes_a_fact_with_its_exact_values():
    with fills(FILL) as engine:
        (page,) = read(engine, declared())

    assert (page.rows, page.watermark) == (1, 7)
    assert {scope: batch.to_pylist() for scope, batch in page.batches.items()} == {
        "kraken": [
            {
                "market": "BTC/USD",
                "trade_id": "1",
                "traded_at": datetime(2026, 3, 1, 12, tzinfo=UTC),
                "price": "0.1",
                "amount": "2.5",
                "side": "buy",
            }
        ]
    }


def test_a_page_is_split_by_venue():
    other = (2, "upbit", *FILL[2:])
    with fills(FILL, other, (3, *FILL[1:])) as engine:
        (page,) = read(engine, declared())

    assert {s: b.column("trade_id").to_pylist() for s, b in page.batches.items()} == {
        "kraken": ["1", "3"],
        "upbit": ["2"],
    }


def test_facts_of_no_venue_have_one_scope_and_days_of_their_own():
    columns = {
        "source": {"constant": "bank"},
        "day": "done_at",
        "base": {"constant": "USD"},
        "quote": {"constant": "KRW"},
        "rate": "price",
    }
    with fills(FILL) as engine:
        (page,) = read(engine, declared(target="fx", columns=columns))

    assert page.batches["global"].to_pylist() == [
        {"source": "bank", "day": date(2026, 3, 1), "base": "USD", "quote": "KRW", "rate": "0.1"}
    ]


def test_an_empty_table_has_no_page():
    with fills() as engine:
        assert read(engine, declared()) == []


@given(
    seen=st.lists(st.integers(0, 4), max_size=25),
    batch_rows=st.integers(1, 7),
    since=st.one_of(st.none(), st.integers(0, 5)),
)
def test_rows_of_one_watermark_are_neither_lost_nor_read_twice_at_a_pages_end(
    seen, batch_rows, since
):
    rows = [(id_, *FILL[1:6], mark) for id_, mark in enumerate(seen)]
    with fills(*rows) as engine:
        pages = read(engine, declared(batch_rows=batch_rows), since)

    ids = [one for page in pages for one in page.batches["kraken"].column("trade_id").to_pylist()]
    ordered = sorted((mark, id_) for id_, mark in enumerate(seen) if mark >= (since or 0))
    assert ids == [str(id_) for _, id_ in ordered]
    assert all(page.rows == batch_rows for page in pages[:-1])


def test_what_arrives_above_the_end_of_a_pull_waits_for_the_next_one():
    with fills(FILL, (2, *FILL[1:])) as engine:
        pages = read_pages(engine, reading_of(engine, declared(batch_rows=1)), None)
        first = next(pages)
        with engine.begin() as connection:
            connection.exec_driver_sql("UPDATE fills SET seen = 8 WHERE id = 2")

        assert first.rows == 1
        assert list(pages) == []


@pytest.mark.parametrize(
    ("dialect", "text"),
    [
        (mysql.dialect(), "legacy.fills.seen >= %s AND (legacy.fills.seen > %s OR"),
        (postgresql.dialect(), "legacy.fills.seen >= %(param_2)s AND (legacy.fills.seen > "),
        (sqlite.dialect(), "legacy.fills.seen >= ? AND (legacy.fills.seen > ? OR"),
    ],
)
def test_the_query_is_written_for_each_database_without_comparing_tuples(dialect, text):
    with fills(FILL) as engine:
        with engine.begin() as connection:
            connection.exec_driver_sql("ATTACH ':memory:' AS legacy")
            connection.exec_driver_sql(FILLS.replace("fills", "legacy.fills"))
        reading = reading_of(engine, declared(table="legacy.fills"))

    query = str(page_query(reading, None, (7, 1), 9).compile(dialect=dialect))

    assert text in query.replace("\n", "")
    assert query.count(" LIMIT ") == 1


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        pytest.param(
            {"table": "fils"},
            UnknownNameError,
            "No table of source legacy is named 'fils'. Did you mean 'fills'? Defined: fills.",
            id="no such table",
        ),
        pytest.param(
            {"columns": {**COLUMNS, "price": "prise"}},
            UnknownNameError,
            "No column of fills (source legacy, columns.price) is named 'prise'. Did you mean"
            " 'price'? Defined: done_at, id, price, seen, size, venue, way.",
            id="a column of the table that is not there",
        ),
        pytest.param(
            {"watermark": "updated_at"},
            UnknownNameError,
            "No column of fills (source legacy, watermark) is named 'updated_at'. Defined: done_at,"
            " id, price, seen, size, venue, way.",
            id="a watermark that is not there",
        ),
        pytest.param(
            {"columns": {**COLUMNS, "price": {"constant": "cheap"}}},
            ConfigError,
            "Source legacy: columns.price: the constant is 'cheap'. A number is needed.",
            id="a constant of another type",
        ),
        pytest.param(
            {"columns": {**COLUMNS, "price": {"constant": "-1300"}}},
            ConfigError,
            "Source legacy: columns.price: the constant is -1300. A number above 0 is needed.",
            id="a constant that no price is",
        ),
        pytest.param(
            {"key": ["venue"]},
            DataSetError,
            "Source legacy: two rows of fills have seen 7 and venue kraken. Declare a key that is"
            " different in every row.",
            id="a key that is none",
        ),
        pytest.param(
            {"watermark": "way"},
            DataSetError,
            "Source legacy: column 'way' of fills is 'B'. A watermark that is text must be a time"
            " in ISO 8601, in the row with way B and id 2. Correct the row, or leave it out with a"
            " view.",
            id="a watermark that is none",
        ),
    ],
)
def test_a_declaration_that_does_not_fit_its_table_is_refused(changes, error, message):
    with fills(FILL, (2, *FILL[1:])) as engine, pytest.raises(error) as caught:
        read(engine, declared(**changes))

    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        pytest.param(
            3, "n/a", "column 'price' of fills is 'n/a'. A number is needed", id="no number"
        ),
        pytest.param(3, None, "column 'price' of fills is NULL. A number is needed", id="NULL"),
        pytest.param(
            2,
            "2026-03-01 12:00",
            "column 'done_at' of fills is 2026-03-01 12:00:00, which has no zone. Declare"
            " time_zone, such as UTC",
            id="a time without a zone",
        ),
        pytest.param(
            5,
            "X",
            "column 'way' of fills is 'X', which values do not translate. Add it to them",
            id="a text without a translation",
        ),
    ],
)
def test_a_value_that_does_not_fit_is_named_with_its_row(place, value, message):
    wrong = [2, *FILL[1:]]
    wrong[place] = value
    with fills(FILL, tuple(wrong)) as engine, pytest.raises(DataSetError) as error:
        read(engine, declared())

    assert str(error.value) == (
        f"Source legacy: {message}, in the row with seen 7 and id 2. Correct the row, or leave it"
        " out with a view."
    )


def test_a_text_of_another_choice_is_named():
    columns = {**COLUMNS, "side": "way"}
    with fills(FILL) as engine, pytest.raises(DataSetError) as error:
        read(engine, declared(columns=columns))

    assert "is 'B'. buy or sell is needed: translate it by values" in str(error.value)


def test_a_row_without_a_watermark_is_not_passed_over():
    with fills(FILL, (2, *FILL[1:6], None)) as engine, pytest.raises(DataSetError) as error:
        read(engine, declared())

    assert str(error.value) == (
        "Source legacy: a row of fills has NULL among seen None and id 2, so it could not be read"
        " in order. Fill it, or leave it out with a view."
    )


def test_texts_that_do_not_sort_as_their_times_do_are_refused():
    rows = [
        (1, *FILL[1:2], "2026-03-01 12:00:00+00:00", *FILL[3:]),
        (2, *FILL[1:2], "2026-03-01 13:00:00+09:00", *FILL[3:]),
    ]
    with fills(*rows) as engine, pytest.raises(DataSetError) as error:
        read(engine, declared(watermark="done_at"))

    assert str(error.value) == (
        "Source legacy: done_at goes back from '2026-03-01 12:00:00+00:00' to '2026-03-01"
        " 13:00:00+09:00', as fills sorts it. Write all of them in one form and zone."
    )


def test_a_table_without_a_key_is_refused_until_one_is_declared():
    table = FILLS.replace(" PRIMARY KEY", "")
    with fills(FILL, table=table) as engine:
        with pytest.raises(ConfigError) as error:
            read(engine, declared())
        (page,) = read(engine, declared(key=["id"]))

    assert str(error.value) == (
        "Source legacy: fills has no primary key, so rows of one seen cannot be told apart. Declare"
        " key: columns that together are different in every row."
    )
    assert page.rows == 1


def test_a_view_is_read_like_a_table():
    with fills(FILL) as engine:
        with engine.begin() as connection:
            connection.exec_driver_sql("CREATE VIEW good AS SELECT * FROM fills WHERE id < 9")
        (page,) = read(engine, declared(table="good", key=["id"]))

    assert page.rows == 1


def look(url):
    with opened("legacy", make_url(url)) as engine:
        reading_of(engine, declared())


@pytest.mark.parametrize(
    ("url", "error", "told"),
    [
        pytest.param(
            "postgresql+psycopg://reader:hush@127.0.0.1:9/db",
            SourceError,
            "Source legacy: its database failed: connection failed",
            id="nobody answers",
        ),
        pytest.param(
            "sqlite:////nowhere/legacy.db",
            ConfigError,
            "Source legacy: there is no file /nowhere/legacy.db. Correct its path.",
            id="no such file",
        ),
        pytest.param(
            "oracular://reader:hush@db/x",
            ConfigError,
            "Source legacy: SQLAlchemy cannot open its database: Can't load plugin",
            id="no such dialect",
        ),
    ],
)
def test_a_database_that_cannot_be_opened_is_told_without_its_password(url, error, told):
    with pytest.raises(error) as caught:
        look(url)

    assert told in str(caught.value)
    assert "hush" not in str(caught.value)
