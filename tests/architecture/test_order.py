"""The order in which `make test` hands files to its processes."""

from pathlib import Path

import pytest

from tests.order import LONG_FIRST, LongFilesFirst, long_first

_ROOT = Path(__file__).parents[2]


class _Item:
    def __init__(self, nodeid):
        self.nodeid = nodeid


@pytest.mark.parametrize("name", LONG_FIRST)
def test_what_comes_first_exists(name):
    assert (_ROOT / name).exists()


def test_long_files_come_first_and_the_others_stay_as_they_are():
    short = ["tests/unit/test_b.py::test_1", "tests/unit/test_a.py::test_1"]
    long = [f"{LONG_FIRST[0]}::test_2", f"{LONG_FIRST[0]}::test_1", f"{LONG_FIRST[1]}::test_1"]
    items = [_Item(nodeid) for nodeid in (short[0], long[2], *long[:2], short[1])]

    long_first(items)

    assert [item.nodeid for item in items] == [*long, *short]


@pytest.mark.parametrize(
    ("nodeid", "unit"),
    [
        ("tests/airflow/deployed/test_history.py::test_x[a::b]", "tests/airflow/deployed"),
        (
            "tests/airflow/test_spot.py::test_x[tests/airflow/deployed/y]",
            "tests/airflow/test_spot.py",
        ),
    ],
)
def test_a_file_is_a_unit_and_so_is_the_folder_of_the_shared_airflow(nodeid, unit):
    assert LongFilesFirst._split_scope(None, nodeid) == unit
