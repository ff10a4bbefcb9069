"""Files become typed facts exactly, or one error that names file, line and column."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from onchain_agg.errors import ConfigError, UnknownNameError
from onchain_agg.sources.exact_decimals import canonical
from onchain_agg.sources.table_files import FileForm, read_facts

_TRADES = "market,trade_id,traded_at,price,amount,side\n"
_GOOD = "BTC/USD,1,2026-03-01T12:00:00Z,100.50,0.10,buy\n"
_PRICES = "source,asset,priced_at,price_usd\n"


def _rows(file, fact="trades", **form):
    return [row for batch in read_facts(file, fact, FileForm(**form)) for row in batch.to_pylist()]


@pytest.fixture
def csv(tmp_path):
    def write(text):
        file = tmp_path / "facts.csv"
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return file

    return write


def _refusal(file, fact="trades", **form):
    with pytest.raises(ConfigError) as caught:
        _rows(file, fact, **form)
    return str(caught.value).replace(str(file), "FILE")


def test_a_csv_becomes_exact_facts(csv):
    text = "\ufeff" + _TRADES + _GOOD + "\n" + "BTC/USD,2,2026-03-02T01:00:00+09:00,1e-18,0,\n"

    assert _rows(csv(text)) == [
        {
            "market": "BTC/USD",
            "trade_id": "1",
            "traded_at": datetime(2026, 3, 1, 12, tzinfo=UTC),
            "price": "100.5",
            "amount": "0.1",
            "side": "buy",
            "day": date(2026, 3, 1),
            "line": 2,
        },
        {
            "market": "BTC/USD",
            "trade_id": "2",
            "traded_at": datetime(2026, 3, 1, 16, tzinfo=UTC),
            "price": "0.000000000000000001",
            "amount": "0",
            "side": None,
            "day": date(2026, 3, 1),
            "line": 4,
        },
    ]


def test_columns_of_other_names_are_mapped_left_out_or_given(csv):
    file = csv("ts,id,px,qty,fee\n1570752011620,7,0.2,3,9\n")
    form = {
        "columns": {"ts": "traded_at", "id": "trade_id", "px": "price", "qty": "amount"},
        "constants": {"market": "XRP/ETH", "venue": "binance"},
        "ignored": ("fee",),
        "time_unit": "ms",
    }

    (row,) = _rows(file, **form)

    assert (row["market"], row["trade_id"], row["price"], row["side"]) == (
        "XRP/ETH",
        "7",
        "0.2",
        None,
    )
    assert row["traded_at"] == datetime(2019, 10, 11, 0, 0, 11, 620_000, tzinfo=UTC)


def test_a_parquet_file_becomes_the_same_facts(tmp_path):
    file = tmp_path / "prices.parquet"
    moment = datetime(2026, 3, 1, tzinfo=UTC)
    table = pa.table(
        {
            "asset": ["BTC", "ETH", "LTC"],
            "priced_at": pa.array([moment] * 3, pa.timestamp("us", "UTC")),
            "price_usd": pa.array([Decimal("1.10"), Decimal(2), Decimal(3)]),
        }
    )
    parquet.write_table(table, file)

    rows = _rows(file, "prices", constants={"source": "house"})

    assert [(r["asset"], r["price_usd"], r["line"]) for r in rows] == [
        ("BTC", "1.1", 1),
        ("ETH", "2", 2),
        ("LTC", "3", 3),
    ]
    assert {r["priced_at"] for r in rows} == {moment}


def test_doubles_of_a_parquet_file_are_the_numbers_that_were_written(tmp_path):
    file = tmp_path / "fx.pq"
    table = pa.table({"day": [date(2026, 3, 1)], "base": ["USD"], "quote": ["KRW"], "rate": [0.1]})
    parquet.write_table(table, file)

    assert _rows(file, "fx", constants={"source": "bank"})[0]["rate"] == "0.1"


def test_a_naive_time_of_a_parquet_file_is_refused(tmp_path):
    file = tmp_path / "prices.parquet"
    naive = datetime(2026, 3, 1)  # noqa: DTZ001 - the fault under test
    table = pa.table({"asset": ["BTC"], "priced_at": [naive], "price_usd": [1.0]})
    parquet.write_table(table, file)

    assert _refusal(file, "prices", constants={"source": "house"}) == (
        "FILE, row 1, column 'priced_at' is '2026-03-01 00:00:00', which has no offset. Write it "
        "with one, as 2026-03-01T12:00:00Z or 2026-03-01T21:00:00+09:00."
    )


_CELLS = [
    ("trades", "price", "abc", "is 'abc'. A number above 0, of up to 38 digits, is needed."),
    ("trades", "price", "-1", "is '-1'. A number above 0, of up to 38 digits, is needed."),
    ("trades", "price", "0", "is '0'. A number above 0, of up to 38 digits, is needed."),
    ("trades", "price", "1,5", "is '1,5'. A number above 0, of up to 38 digits, is needed."),
    ("trades", "price", "nan", "is 'nan'. A number above 0, of up to 38 digits, is needed."),
    ("trades", "price", "1e99", "is '1e99'. A number above 0, of up to 38 digits, is needed."),
    ("trades", "price", "", "is empty. A number above 0, of up to 38 digits, is needed."),
    ("trades", "amount", "-2", "is '-2'. A number from 0 on, of up to 38 digits, is needed."),
    ("trades", "side", "BUY", "is 'BUY'. One of buy, sell is needed."),
    ("trades", "market", "BTCUSD", ("is 'BTCUSD'. A market is needed, as BASE/QUOTE or "
     "BASE/QUOTE:SETTLE.")),
    ("trades", "trade_id", "", "is empty. Text is needed."),
    ("trades", "traded_at", "yesterday", ("is 'yesterday'. A time is needed, such as "
     "2026-03-01T12:00:00Z.")),
    ("trades", "traded_at", "2026-03-01T12:00:00", ("is '2026-03-01T12:00:00', which has no "
     "offset. Write it with one, as 2026-03-01T12:00:00Z or 2026-03-01T21:00:00+09:00.")),
    ("trades", "traded_at", "1570752011620", ("is the number 1570752011620. A time is needed, such "
     "as 2026-03-01T12:00:00Z; for a count since 1970, say of what with --time-unit.")),
    ("funding", "interval_hours", "8.5", "is '8.5'. A whole number of 16 bits above 0 is needed."),
    ("funding", "rate", "x", "is 'x'. A number, of up to 38 digits, is needed."),
    ("fx", "day", "2026-02-30", "is '2026-02-30'. A day is needed, such as 2026-03-01."),
    ("fx", "day", "01.03.2026", "is '01.03.2026'. A day is needed, such as 2026-03-01."),
]  # fmt: skip
_LINES = {
    "trades": dict(zip(_TRADES.strip().split(","), _GOOD.strip().split(","), strict=True)),
    "funding": {
        "market": "BTC/USDT:USDT",
        "funded_at": "2026-03-01T08:00:00Z",
        "rate": "-0.0001",
        "interval_hours": "8",
    },
    "fx": {"source": "bank", "day": "2026-03-01", "base": "USD", "quote": "KRW", "rate": "1400"},
}


@pytest.mark.parametrize(("fact", "column", "cell", "told"), _CELLS)
def test_a_wrong_cell_is_named_with_file_line_and_column(csv, fact, column, cell, told):
    good = _LINES[fact]
    lines = [good, {**good, column: f'"{cell}"'}]
    text = "\n".join([",".join(good), *(",".join(line.values()) for line in lines)])

    assert _refusal(csv(text), fact) == f"FILE, line 3, column {column!r} {told}"


def test_a_row_is_named_by_its_line_though_cells_before_it_hold_line_breaks(csv):
    text = "note," + _TRADES + '"two\nlines",' + _GOOD + "x," + _GOOD.replace("buy", "up")

    assert _refusal(csv(text), ignored=("note",)) == (
        "FILE, line 4, column 'side' is 'up'. One of buy, sell is needed."
    )


@pytest.mark.parametrize(
    ("text", "form", "told"),
    [
        pytest.param(
            _TRADES.replace("price", "prize") + _GOOD,
            {},
            "FILE: column 'prize' is none of trades. Did you mean 'price'? Map it with --map "
            "prize=<column>, or leave it out with --ignore prize. There is: market, trade_id, "
            "traded_at, price, amount, side.",
            id="unknown",
        ),
        pytest.param(
            "market,trade_id,traded_at,amount\n",
            {},
            "FILE: column 'price' is missing. Map another with --map <its name>=price, or give all "
            "rows one with --set price=<value>.",
            id="missing",
        ),
        pytest.param(
            _TRADES,
            {"columns": {"prices": "price"}},
            "FILE: --map names 'prices'. Did you mean 'price'? There is: market, trade_id, "
            "traded_at, price, amount, side.",
            id="mapped from nothing",
        ),
        pytest.param(
            _TRADES,
            {"columns": {"price": "prise"}},
            "FILE: --map names 'prise'. Did you mean 'price'? There is: market, trade_id, "
            "traded_at, price, amount, side.",
            id="mapped to nothing",
        ),
        pytest.param(
            _TRADES,
            {"constants": {"market": "BTC/USD"}},
            "FILE: market is given twice, also by 'market'. Give it once.",
            id="given twice",
        ),
        pytest.param("a,a\n", {}, "FILE, line 1: column 'a' comes twice. Remove one.", id="twice"),
        pytest.param(
            "",
            {},
            "FILE, line 1: the names of the columns are missing. Add them.",
            id="empty",
        ),
        pytest.param(
            _TRADES.replace(",", ";") + _GOOD.replace(",", ";"),
            {},
            "FILE, line 1: the columns are separated by semicolons. Write the file again with "
            "commas between them, and with points in its numbers.",
            id="semicolons",
        ),
        pytest.param(
            _TRADES + _GOOD + "BTC/USD,2\n",
            {},
            "FILE, line 3: it has 2 cells, but line 1 has 6. Correct the commas or the quotes.",
            id="short line",
        ),
        pytest.param(
            _TRADES + '"BTC/USD"x,1,2,3,4,5\n',
            {},
            "FILE, line 2: ',' expected after '\"'. Correct the commas or the quotes.",
            id="quotes",
        ),
        pytest.param(
            (_TRADES + _GOOD).encode("utf-16"),
            {},
            "FILE cannot be read: 'utf-8' codec can't decode byte 0xff in position 0: invalid start"
            " byte. Correct the path, or write the file again (CSV in UTF-8).",
            id="encoding",
        ),
        pytest.param(
            _TRADES.replace(",side", "") + _GOOD.replace(",buy", ""),
            {"constants": {"side": "up"}},
            "FILE, line 2, the given side is 'up'. One of buy, sell is needed.",
            id="wrong constant",
        ),
    ],
)
def test_a_file_of_another_form_is_refused_with_the_cure(csv, text, form, told):
    assert _refusal(csv(text), **form) == told


@pytest.mark.parametrize(
    ("fact", "text", "told"),
    [
        (
            "candles",
            (
                "market,span,open_at,open,high,low,close,volume\n"
                "BTC/USD,1d,2026-03-01T00:00:00Z,2,3,1,4,5\n"
            ),
            "the candle has the close 4, outside of low 1 to high 3.",
        ),
        (
            "candles",
            (
                "market,span,open_at,open,high,low,close,volume\n"
                "BTC/USD,1h,2026-03-01T00:30:00Z,2,3,1,2,5\n"
            ),
            "the candle opens at 2026-03-01T00:30:00+00:00, not on a whole 1h in UTC.",
        ),
        (
            "assets",
            "source,day,asset\nme,2026-03-01,BTC\n",
            "none of supply, transfer_value, realized_cap_usd is given.",
        ),
        (
            "fx",
            "source,day,base,quote,rate\nme,2026-03-01,KRW,KRW,1\n",
            "base and quote are both KRW.",
        ),
    ],
)
def test_a_row_that_contradicts_itself_is_named(csv, fact, text, told):
    assert _refusal(csv(text), fact) == f"FILE, line 2: {told}"


def test_a_file_that_is_not_there_or_of_another_kind_is_refused(tmp_path):
    missing, sheet = tmp_path / "no.csv", tmp_path / "sheet.xlsx"
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(b"not parquet at all")

    assert _refusal(missing).startswith("FILE cannot be read: [Errno 2] No such file")
    assert _refusal(sheet) == ("FILE is neither .csv nor .parquet. Convert it, or rename it.")
    assert _refusal(broken).startswith("FILE cannot be read: Parquet magic bytes not found")


def test_an_unknown_kind_of_fact_is_told_with_the_nearest(csv):
    with pytest.raises(UnknownNameError, match=r"No kind of fact is named 'trade'\. Did you mean"):
        _rows(csv(_TRADES), "trade")


@given(
    st.decimals(min_value=Decimal("-1e19"), max_value=Decimal("1e19"), allow_nan=False, places=18)
)
def test_a_number_keeps_its_value_and_has_one_form(number):
    text = canonical(str(number))

    assert Decimal(text) == number
    assert canonical(f"+{number:f}" if number >= 0 else f"{number:f}0"[:-1]) == text
    assert text == canonical(text)


@pytest.mark.parametrize("text", ["", " 1", "1_000", "٣", "0x1", "inf", "-NaN", "1e40", "9" * 39])
def test_what_is_no_number_of_38_digits_is_refused(text):
    assert canonical(text) is None
