"""Every data set against its case folders: ``cases/<data set>/<case>/``.

In a folder ``<schema>.<table>.csv`` holds rows to load, also of ``serving`` tables that the data
set reads; ``window.csv`` the window, one row; ``expect.csv`` the data set's rows, with the columns
that the case is about. An empty field is NULL, bytes are ``0x…`` (``0x`` alone is the empty
string), amounts are whole numbers of any length.
"""

import csv
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import Boolean, Date, DateTime, Double, Integer, LargeBinary, Numeric

from onchain_agg.metrics.dataset import Window
from onchain_agg.metrics.registry import all_datasets
from onchain_agg.metrics.wiring import upstream_of
from onchain_agg.warehouse.tables import METADATA

CASES = Path(__file__).parent / "cases"
FOLDERS = sorted(path for path in CASES.glob("*/*") if path.is_dir())

# In this order: a Double is a Numeric too.
READERS = (
    (LargeBinary, lambda field: bytes.fromhex(field.removeprefix("0x"))),
    (Boolean, {"true": True, "false": False}.__getitem__),
    (DateTime, datetime.fromisoformat),
    (Date, date.fromisoformat),
    (Integer, int),
    (Double, float),
    (Numeric, Decimal),
)


@pytest.mark.data
@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_a_data_set_computes_the_rows_of_its_case(connection, computed, folder):
    dataset = all_datasets()[folder.parent.name]
    expected = records(folder / "expect.csv", dataset.table.c)
    load(connection, folder)

    found = computed(dataset, window(folder))

    columns = header(folder / "expect.csv")
    assert [approximate({name: row[name] for name in columns}) for row in found] == expected


@pytest.mark.parametrize("dataset", all_datasets().values(), ids=lambda dataset: dataset.name)
def test_every_column_of_a_data_set_is_expected_in_some_case(dataset):
    files = (CASES / dataset.name).glob("*/expect.csv")

    expected = {column for path in files for column in header(path)}

    assert expected == {column.name for column in dataset.table.c}


def records(path, columns):
    """Return the rows of a CSV file, each field as its column's type in *columns* says."""
    with path.open(newline="") as file:
        return [
            {name: value(field, columns[name]) for name, field in row.items()}
            for row in csv.DictReader(file)
        ]


def header(path):
    with path.open(newline="") as file:
        return next(csv.reader(file))


def load(connection, folder):
    """Insert the case's rows of the warehouse and of the data sets that the case's one reads."""
    tables = dict(METADATA.tables)
    for upstream in upstream_of(all_datasets()[folder.parent.name]):
        upstream.table.create(connection)
        tables[upstream.table.fullname] = upstream.table
    for path in sorted(folder.glob("*.*.csv")):
        table = tables[path.stem]
        # One statement a row: rows may leave different columns to their defaults.
        for record in records(path, table.c):
            connection.execute(table.insert(), record)


def window(folder):
    with (folder / "window.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    # A market's window has none.
    heights = (int(row.get(name, 0)) for name in ("first_height", "last_height", "from_height"))
    return Window(row["scope"], date.fromisoformat(row["day"]), *heights)


def value(field, column):
    if field == "":
        return None
    for kind, read in READERS:
        if isinstance(column.type, kind):
            return read(field)
    return field


def approximate(row):
    """Let doubles differ in their last digits, and nothing else."""
    return {
        name: pytest.approx(value, rel=1e-12, abs=0) if isinstance(value, float) else value
        for name, value in row.items()
    }
