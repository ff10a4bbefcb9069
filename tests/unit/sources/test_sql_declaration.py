"""A declared source: its file is read, or refused with file, line, field and cure."""

import re
from datetime import timedelta
from pathlib import Path
from textwrap import dedent

import pytest
from pydantic import ValidationError

from onchain_agg.errors import ConfigError, UnknownNameError
from onchain_agg.sources.sql import Mapped, SqlSource
from onchain_agg.sources.sql_file import load_sources, source_named
from onchain_agg.sources.sql_targets import TARGETS, Kind
from onchain_agg.warehouse.tables import METADATA
from onchain_agg.warehouse.tables.market import is_by_venue

ROOT = Path(__file__).parents[3]
_GOOD = """\
connection: orders
table: public.fills
target: trades
columns:
  venue: {constant: kraken}
  market: pair
  trade_id: id
  traded_at: done_at
  price: price
  amount: {column: size}
  side: {column: way, values: {B: buy, S: sell}}
watermark: updated_at
lag: 15m
key: [id]
time_zone: Asia/Seoul
batch_rows: 500
"""


@pytest.fixture
def folder(tmp_path):
    """Return the function that makes a folder of one file with that text."""

    def make(text, name="legacy.yaml"):
        (tmp_path / name).write_text(text)
        return tmp_path

    return make


def test_a_file_is_read_and_named_after_itself(folder):
    (source,) = load_sources(folder(_GOOD)).values()

    assert source == SqlSource(
        name="legacy",
        connection="orders",
        table="public.fills",
        target="trades",
        columns={
            "venue": Mapped(constant="kraken"),
            "market": Mapped(column="pair"),
            "trade_id": Mapped(column="id"),
            "traded_at": Mapped(column="done_at"),
            "price": Mapped(column="price"),
            "amount": Mapped(column="size"),
            "side": Mapped(column="way", values={"B": "buy", "S": "sell"}),
        },
        watermark="updated_at",
        lag=timedelta(minutes=15),
        key=("id",),
        time_zone="Asia/Seoul",
        batch_rows=500,
    )


def test_the_declaration_of_the_how_to_is_one(folder):
    document = (ROOT / "docs/how-to/read-a-table-of-your-own.md").read_text()
    (text,) = re.findall(r"```yaml\n(.*?)```", document, re.DOTALL)

    (source,) = load_sources(folder(dedent(text))).values()

    assert (source.table, source.lag) == ("public.fills", timedelta(minutes=15))


def test_no_folder_declares_nothing():
    assert load_sources(None) == {}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        pytest.param(
            "price: price",
            "prise: price",
            "line 9: columns.prise: trades have no such column. Did you mean 'price'? Columns:"
            " venue, market, trade_id, traded_at, price, amount, side.",
            id="a column that we do not have",
        ),
        pytest.param(
            "  price: price\n",
            "",
            "line 4: columns: trades need price, a number. Say which column of the table it is, or"
            " give it as {constant: …}.",
            id="a column that is not mapped",
        ),
        pytest.param(
            "target: trades",
            "target: trade",
            "line 3: target: input should be 'trades', 'candles', 'funding', 'fx', 'prices' or"
            " 'assets'. It is 'trade'.",
            id="no such target",
        ),
        pytest.param(
            "watermark: updated_at",
            "watermak: updated_at",
            "line 12: watermak: there is no such field. Did you mean 'watermark'? Fields:"
            " connection, url, table, target, columns, watermark, lag, key, time_zone, time_unit,"
            " batch_rows.",
            id="a field that there is not",
        ),
        pytest.param(
            "{constant: kraken}",
            "{}",
            "line 5: columns.venue: give exactly one of column and constant.",
            id="a column from nowhere",
        ),
        pytest.param(
            "{column: size}",
            "{column: size, values: {a: b}}",
            "line 10: columns.amount.values: it is a number, and values translate texts alone."
            " Remove them.",
            id="numbers that are translated",
        ),
        pytest.param(
            "S: sell",
            "S: sold",
            "line 11: columns.side: it is 'sold'. Write buy or sell.",
            id="a translation to no choice",
        ),
        pytest.param(
            "{constant: kraken}",
            "{constant: krakn}",
            "line 5: columns.venue: it is 'krakn'. Write binance or bithumb or coinbase or kraken"
            " or upbit.",
            id="no such venue",
        ),
        pytest.param(
            "{constant: kraken}",
            "{column: place, values: {KR: kraken, UP: upbitt}}",
            "line 5: columns.venue: it is 'upbitt'. Write binance or bithumb or coinbase or kraken"
            " or upbit.",
            id="a translation to no venue",
        ),
        pytest.param(
            "Asia/Seoul",
            "Asia/Soul",
            "line 15: time_zone: write the name of a time zone such as UTC or Asia/Seoul. It is"
            " 'Asia/Soul'.",
            id="no such zone",
        ),
        pytest.param(
            "lag: 15m",
            "lag: 15 minutes",
            "line 13: lag: write a duration above 0 such as 30s, 10m, 3h or 1d. It is"
            " '15 minutes'.",
            id="a lag in words",
        ),
        pytest.param(
            "batch_rows: 500",
            "batch_rows: '500'",
            "line 16: batch_rows: input should be a valid integer. It is '500'.",
            id="a number in quotes",
        ),
        pytest.param(
            "key: [id]",
            "key: [id]\nkey: [pair]",
            "line 15: key has an entry already, on line 14. Keep one of the two.",
            id="a field that comes twice",
        ),
    ],
)
def test_a_wrong_file_is_refused_with_its_line_and_a_cure(folder, old, new, message):
    assert old in _GOOD
    where = folder(_GOOD.replace(old, new))

    with pytest.raises(ConfigError) as error:
        load_sources(where)

    assert str(error.value) == f"{where / 'legacy.yaml'}, {message}"


@pytest.mark.parametrize("both", ["connection: orders\nurl: sqlite://", ""])
def test_a_source_has_exactly_one_database(folder, both):
    where = folder(_GOOD.replace("connection: orders", both))

    with pytest.raises(ConfigError) as error:
        load_sources(where)

    assert str(error.value) == (
        f"{where / 'legacy.yaml'}: the document: give exactly one of connection and url."
    )


def test_a_source_in_python_is_checked_alike():
    with pytest.raises(ValidationError, match=r"fx need base, text\. Say which column"):
        SqlSource(
            name="rates",
            url="sqlite://",
            table="rates",
            target="fx",
            columns={"source": Mapped(constant="bank"), "day": "day"},
            watermark="id",
        )


def test_a_source_is_found_by_its_name_whatever_its_neighbours_say(folder):
    folder("columns: wrong", "broken.yaml")
    where = folder(_GOOD)

    assert source_named(where, "legacy").name == "legacy"
    with pytest.raises(UnknownNameError) as error:
        source_named(where, "legasy")
    assert str(error.value) == (
        "No source is named 'legasy'. Did you mean 'legacy'? Defined: broken, legacy."
    )


def test_a_missing_option_is_told_with_its_cure():
    with pytest.raises(ConfigError) as error:
        source_named(None, "legacy")

    assert str(error.value) == (
        "No source can be named 'legacy': option [onchain_agg] sources_folder is not set. Set it to"
        " the folder of the sources' YAML files."
    )


def test_two_files_of_one_name_are_refused(folder):
    folder(_GOOD)
    where = folder(_GOOD, "legacy.yml")

    with pytest.raises(ConfigError) as error:
        load_sources(where)

    assert str(error.value) == (
        f"{where / 'legacy.yml'}: source legacy is declared twice. Remove one file."
    )


def with_url(url):
    columns = {
        "source": Mapped(constant="bank"),
        "day": "d",
        "base": "b",
        "quote": "q",
        "rate": "r",
    }
    return SqlSource(
        name="rates", url=url, table="rates", target="fx", columns=columns, watermark="id"
    )


def test_a_password_comes_from_the_environment_and_is_shown_nowhere():
    source = with_url("mysql+pymysql://reader:${RATES_PASSWORD}@db/rates")

    url = source.database_url({"RATES_PASSWORD": "hush"})

    assert url.password == "hush"  # noqa: S105 - made up
    assert "RATES_PASSWORD" not in repr(source)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        pytest.param(
            "mysql://reader:${RATES_PASSWORD}@db/rates",
            "Source rates: its url needs the environment variable RATES_PASSWORD. Set it.",
            id="a variable that is not set",
        ),
        pytest.param(
            "mysql:reader:hush@db",
            "Source rates: its url is no database URL. Write it as"
            " dialect+driver://user:password@host:port/database.",
            id="no URL, which may hold a password",
        ),
    ],
)
def test_a_url_that_cannot_be_is_told_without_its_text(url, message):
    with pytest.raises(ConfigError) as error:
        with_url(url).database_url({})

    assert str(error.value) == message


@pytest.mark.parametrize("name", TARGETS)
def test_a_target_has_the_columns_of_its_fact_table(name):
    target = TARGETS[name]
    table = METADATA.tables[target.table]
    told_by_a_time = any(field.kind is Kind.TIME for field in target.fields.values())

    left_out = {"known_from", "day"} if told_by_a_time else {"known_from"}
    required = {column.name for column in table.columns if not column.nullable}
    assert set(target.fields) == {column.name for column in table.columns} - left_out
    assert {n for n, field in target.fields.items() if field.required} == required - left_out
    assert target.scope == ("venue" if is_by_venue(table) else None)
