"""A CSV of labels is read, or refused with file, line and column."""

from datetime import date

import pytest

from onchain_agg.errors import ConfigError
from onchain_agg.sources.label_file import LabelRow, read_labels

_HEAD = "address,category,entity,valid_from,valid_to\n"
_GOOD = "0xaa,exchange,Binance 14,2020-01-01,"


@pytest.fixture
def file(tmp_path):
    """Return the function that writes a file of that text."""

    def write(text):
        path = tmp_path / "labels.csv"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return write


def test_rows_are_read_with_their_lines(file):
    path = file(f"\ufeff{_HEAD}{_GOOD}\r\n\r\n 0xbb , miner,pool,2021-01-01, 2022-01-01\r\n")

    assert read_labels(path) == [
        LabelRow("0xaa", "exchange", "Binance 14", date(2020, 1, 1), None, f"{path}, line 2"),
        LabelRow("0xbb", "miner", "pool", date(2021, 1, 1), date(2022, 1, 1), f"{path}, line 4"),
    ]


def test_the_last_column_may_be_left_out(file):
    path = file("address,category,entity,valid_from\n0xaa,exchange,kraken,2020-01-01\n")

    (row,) = read_labels(path)

    assert row.valid_to is None


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (",exchange,kraken,2020-01-01,", "address is empty. Write one."),
        (
            "0xaa,Exchange,kraken,2020-01-01,",
            "category is 'Exchange'. Write small letters, digits and _, such as exchange.",
        ),
        ("0xaa,exchange,,2020-01-01,", "entity is ''. Write a name of up to 200 characters."),
        (
            "0xaa,exchange,kraken,,",
            "valid_from is empty. Write the first day, as 2026-03-01.",
        ),
        (
            "0xaa,exchange,kraken,01.02.2020,",
            "valid_from is '01.02.2020'. Write a day as 2026-03-01.",
        ),
        (
            "0xaa,exchange,kraken,20200101,",
            "valid_from is '20200101'. Write a day as 2026-03-01.",
        ),
        (
            "0xaa,exchange,kraken,2020-01-01,2020-02-30",
            "valid_to is '2020-02-30'. Write a day as 2026-03-01.",
        ),
        ("0xaa,exchange,kraken", "it has 3 values. Write 5."),
    ],
)
def test_a_wrong_value_is_named_with_its_line_and_column(file, line, message):
    path = file(f"{_HEAD}{_GOOD}\n{line}\n")

    with pytest.raises(ConfigError) as error:
        read_labels(path)

    assert str(error.value) == f"{path}, line 3: {message}"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", ", line 1: the first line must be 'address,category,entity,valid_from,valid_to'."),
        ("address,entity\n", ", line 1: the first line must be"),
        (f'{_HEAD}0xaa,exchange,"kraken,2020-01-01,', ", line 2: this is no CSV: unexpected end"),
        (b"\xff\xfe\x00", " cannot be read: 'utf-8' codec can't decode byte 0xff"),
    ],
)
def test_a_file_that_is_none_is_refused(file, text, told):
    path = file(text)

    with pytest.raises(ConfigError) as error:
        read_labels(path)

    assert str(error.value).startswith(f"{path}{told}")


def test_a_missing_file_is_told_with_its_path(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.csv cannot be read: .*Correct the path"):
        read_labels(tmp_path / "none.csv")
