"""What a sensor waits for, asked of a real PostgreSQL and of SQLite."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, NullPool, create_engine, make_url, text

from onchain_agg.errors import ConfigError, SourceError, UnknownNameError
from onchain_agg.operators import readiness
from onchain_agg.operators.readiness import Condition, condition_of, look

pytestmark = pytest.mark.airflow

_TRADES = """
CREATE SCHEMA src;
CREATE TABLE src.trades (
    id bigint, venue text, traded_at timestamptz, local_at timestamp, day date,
    price numeric(78,0), ok boolean, key uuid, payload jsonb, "odd ""name" int
);
INSERT INTO src.trades VALUES
 (1, 'a', '2026-03-01 12:00+00', '2026-03-01 12:00', '2026-03-01', 10, true,
  '00000000-0000-0000-0000-000000000001', '{}', 7),
 (2, 'a', '2026-03-02 12:00+00', '2026-03-02 12:00', '2026-03-02', 2::numeric ^ 200, false,
  NULL, '{}', NULL),
 (3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
CREATE VIEW src.trades_of_a AS SELECT * FROM src.trades WHERE venue = 'a';
"""
_PLACE = "warehouse_source"


def _rows(count=1, table="src.trades", watermark=None, **where):
    return Condition(table=table, where=where, watermark=watermark, min_rows=count)


@pytest.fixture(scope="module")
def url(new_database):
    with new_database() as engine:
        with engine.begin() as connection:
            connection.execute(text(_TRADES))
        yield engine.url


@pytest.mark.parametrize(
    ("condition", "ready"),
    [
        pytest.param(_rows(3), True, id="as many as there are"),
        pytest.param(_rows(4), False, id="one more than there are"),
        pytest.param(_rows(2, venue="a"), True, id="text"),
        pytest.param(_rows(3, venue="a"), False, id="text, one too many"),
        pytest.param(_rows(1, venue=None), True, id="null"),
        pytest.param(_rows(2, venue=None), False, id="null, one too many"),
        pytest.param(_rows(1, id="2", venue="a"), True, id="a template's number is text"),
        pytest.param(_rows(1, ok=True), True, id="boolean"),
        pytest.param(_rows(1, ok="False"), True, id="a template's boolean is text"),
        pytest.param(_rows(1, day="2026-03-02"), True, id="day"),
        pytest.param(_rows(1, price=2**200), True, id="a number beyond 64 bits"),
        pytest.param(_rows(1, price=2**200 + 1), False, id="not the number beside it"),
        pytest.param(_rows(1, key="00000000-0000-0000-0000-000000000001"), True, id="uuid"),
        pytest.param(_rows(1, **{'odd "name': 7}), True, id="a name with a quote in it"),
        pytest.param(_rows(2, table="src.trades_of_a"), True, id="a view"),
        pytest.param(_rows(3, table="src.trades_of_a"), False, id="a view, one too many"),
        pytest.param(_rows(watermark=("id", 3)), True, id="a number is reached"),
        pytest.param(_rows(watermark=("id", "4")), False, id="a number is not reached"),
        pytest.param(_rows(watermark=("id", 2), venue=None), True, id="reached where it counts"),
        pytest.param(_rows(watermark=("id", 3), venue="a"), False, id="reached elsewhere"),
        pytest.param(_rows(watermark=("day", "2026-03-02")), True, id="a day is reached"),
        pytest.param(_rows(watermark=("day", "2026-03-03")), False, id="a day is not reached"),
        pytest.param(
            _rows(watermark=("traded_at", "2026-03-02T13:00:00+01:00")), True, id="the same moment"
        ),
        pytest.param(
            _rows(watermark=("traded_at", "2026-03-02T12:00:00.000001Z")), False, id="just after"
        ),
        pytest.param(
            _rows(watermark=("local_at", "2026-03-02T13:00:00+01:00")), True, id="no zone is UTC"
        ),
        pytest.param(
            _rows(watermark=("local_at", "2026-03-02T12:00:01Z")), False, id="no zone, just after"
        ),
    ],
)
def test_a_table_is_ready_when_its_rows_are_there(url, condition, ready):
    assert look(condition, url, _PLACE) is ready
    assert look(condition_of(condition.as_json()), url, _PLACE) is ready


@pytest.mark.parametrize(
    ("condition", "error", "message"),
    [
        pytest.param(
            _rows(table="src.trade"),
            UnknownNameError,
            "No table is named 'src.trade'. Did you mean 'src.trades'? "
            "Defined: src.trades, src.trades_of_a.",
            id="table",
        ),
        pytest.param(
            _rows(table="scr.trades"),
            UnknownNameError,
            "No schema is named 'scr'. Did you mean 'src'? Defined: chain, history, "
            "information_schema, market, ops, public, serving, src, state.",
            id="schema",
        ),
        pytest.param(
            _rows(venu="a"),
            UnknownNameError,
            "No column of src.trades is named 'venu'. Did you mean 'venue'? Defined: day, id, key, "
            'local_at, odd "name, ok, payload, price, traded_at, venue.',
            id="column",
        ),
        pytest.param(
            _rows(watermark=("traded_at", "2026-03-02")),
            ConfigError,
            "Column traded_at is compared with '2026-03-02'. Give a time with its zone, such as "
            "2026-03-01T00:00:00Z.",
            id="a day for a time",
        ),
        pytest.param(
            _rows(watermark=("traded_at", 5)),
            ConfigError,
            "Column traded_at is compared with 5. Give a time with its zone, such as "
            "2026-03-01T00:00:00Z.",
            id="a number for a time",
        ),
        pytest.param(
            _rows(watermark=("day", "2026-03-02T00:00:00Z")),
            ConfigError,
            "Column day is compared with '2026-03-02T00:00:00Z'. Give a day, such as 2026-03-01.",
            id="a time for a day",
        ),
        pytest.param(
            _rows(watermark=("id", "soon")),
            ConfigError,
            "Column id is compared with 'soon'. Give a whole number.",
            id="text for a number",
        ),
        pytest.param(
            _rows(watermark=("id", None)),
            ConfigError,
            "Column id is compared with None. Give a whole number.",
            id="nothing to reach",
        ),
        pytest.param(
            _rows(watermark=("venue", "a")),
            ConfigError,
            "Column venue is of type TEXT, which cannot be waited for. Name a column of DateTime, "
            "Date, Integer, Numeric, Float.",
            id="text has no order",
        ),
        pytest.param(
            _rows(price="NaN"),
            ConfigError,
            "Column price is compared with 'NaN'. Give a number in digits.",
            id="not a number",
        ),
        pytest.param(
            _rows(venue=1),
            ConfigError,
            "Column venue is compared with 1. Give text.",
            id="a number for text",
        ),
        pytest.param(
            _rows(ok="yes"),
            ConfigError,
            "Column ok is compared with 'yes'. Give True or False.",
            id="a word for a boolean",
        ),
        pytest.param(
            _rows(payload="{}"),
            ConfigError,
            "Column payload is of type JSONB, which cannot be waited for. Name a column of "
            "DateTime, Date, Integer, Numeric, Float, Boolean, Uuid, String.",
            id="json",
        ),
    ],
)
def test_a_mistake_is_told_with_its_cure(url, condition, error, message):
    with pytest.raises(error) as raised:
        look(condition, url, _PLACE)

    assert str(raised.value) == message


@given(value=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_no_value_becomes_sql(url, value):
    assert look(_rows(1, venue=value), url, _PLACE) is (value == "a")


@given(name=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1))
def test_no_name_becomes_sql(url, name):
    with pytest.raises(UnknownNameError):
        look(_rows(1, table=f"src.{name}x"), url, _PLACE)
    with pytest.raises(UnknownNameError):
        look(_rows(1, **{f"{name} "[::-1]: "a"}), url, _PLACE)


def test_a_look_cannot_write_and_does_not_go_on_for_ever(url, monkeypatch):
    told = {}

    def spy(connection, _condition):
        told["read only"] = connection.scalar(text("SHOW transaction_read_only"))
        told["timeout"] = connection.scalar(text("SHOW statement_timeout"))
        return True

    monkeypatch.setattr(readiness, "_holds", spy)
    look(_rows(), url, _PLACE)

    assert told == {"read only": "on", "timeout": "1min"}


def test_a_look_that_takes_too_long_may_pass(url, monkeypatch):
    def slow(connection, _condition):
        connection.execute(text("SET LOCAL statement_timeout = '20ms'"))
        connection.execute(text("SELECT pg_sleep(5)"))

    monkeypatch.setattr(readiness, "_holds", slow)

    with pytest.raises(SourceError) as raised:
        look(_rows(), url, _PLACE)

    assert str(raised.value) == (
        "The database of connection 'warehouse_source' failed: canceling statement due to "
        "statement timeout."
    )


def test_a_database_that_does_not_answer_may_pass(tmp_path):
    nobody = make_url(f"postgresql+psycopg://me:secret@/db?host={tmp_path}")

    with pytest.raises(
        SourceError, match=r"^The database of connection 'warehouse_source' failed: "
    ) as raised:
        look(_rows(), nobody, _PLACE)

    assert "secret" not in str(raised.value)


def test_a_database_that_is_not_there_does_not_pass(url):
    with pytest.raises(
        ConfigError,
        match=r'^The database of connection .* refuses: .*database "elsewhere" does not exist\. '
        r"Correct the connection, its user's rights or the values\.$",
    ):
        look(_rows(), url.set(database="elsewhere"), _PLACE)


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        pytest.param("nosuch://db", "Can't load plugin: sqlalchemy.dialects:nosuch", id="dialect"),
        pytest.param("mysql+mysqldb://db", "No module named 'MySQLdb'", id="driver"),
    ],
)
def test_a_database_without_its_driver_is_told(address, reason):
    with pytest.raises(ConfigError) as raised:
        look(_rows(), make_url(address), _PLACE)

    assert str(raised.value) == (
        f"SQLAlchemy cannot open connection 'warehouse_source': {reason}. Correct the connection's "
        "type, or install the database's SQLAlchemy dialect and driver."
    )


def test_another_database_than_postgresql_is_asked_too(tmp_path):
    url = make_url(f"sqlite:///{tmp_path / 'source.db'}")
    engine: Engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE trades (id INTEGER, traded_at TIMESTAMP)"))
        connection.execute(
            text("INSERT INTO trades VALUES (1, :at)"),
            {"at": str(datetime(2026, 3, 1, 12, tzinfo=UTC).replace(tzinfo=None)) + ".000000"},
        )
    engine.dispose()

    assert look(_rows(1, table="trades", id=1), url, _PLACE)
    reached = ("traded_at", "2026-03-01T12:00:00Z")
    assert look(_rows(1, table="trades", watermark=reached), url, _PLACE)
    assert not look(_rows(1, table="trades", watermark=("id", 2)), url, _PLACE)


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        pytest.param(
            _rows(1, table="t", n=10**20),
            f"The database of connection 'warehouse_source' cannot be asked for at least 1 row of "
            f"t with n = {10**20}: Python int too large to convert to SQLite INTEGER. Give values "
            "that its columns can hold.",
            id="a number of more than 64 bits",
        ),
        pytest.param(
            _rows(10**20, table="t"),
            f"The database of connection 'warehouse_source' cannot be asked for at least {10**20} "
            "rows of t: Python int too large to convert to SQLite INTEGER. Give values that its "
            "columns can hold.",
            id="rows of more than 64 bits",
        ),
        *(
            pytest.param(
                _rows(table="t", watermark=("at", moment)),
                f"Column at is compared with {moment!r}. Give a time with its zone, such as "
                "2026-03-01T00:00:00Z.",
                id=f"a time that UTC does not have, {moment}",
            )
            for moment in ("9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+10:00")
        ),
    ],
)
def test_a_value_beyond_every_limit_is_a_mistake(tmp_path, condition, message):
    url = make_url(f"sqlite:///{tmp_path / 'source.db'}")
    with create_engine(url, poolclass=NullPool).begin() as connection:
        connection.execute(text("CREATE TABLE t (n INTEGER, at TIMESTAMP)"))

    with pytest.raises(ConfigError) as raised:
        look(condition, url, _PLACE)

    assert str(raised.value) == message


def test_text_that_is_no_unicode_is_a_mistake(url):
    with pytest.raises(
        ConfigError, match=r"^The database of .* cannot be asked for at least 1 row"
    ):
        look(_rows(1, venue="\ud800"), url, _PLACE)


def test_a_condition_says_what_it_waits_for():
    assert str(_rows(1)) == "at least 1 row of src.trades"
    assert str(_rows(5, venue="a", watermark=("id", 3))) == (
        "at least 5 rows of src.trades with venue = 'a' and id >= 3"
    )
