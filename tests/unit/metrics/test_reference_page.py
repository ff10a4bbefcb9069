"""The reference page of the data sets."""

import re
from pathlib import Path

from onchain_agg.metrics.reference_page import datasets_page
from onchain_agg.metrics.registry import all_datasets

_PAGE = Path(__file__).parents[3] / "docs" / "reference" / "data-sets.md"


def test_the_page_is_what_the_definitions_say():
    assert _PAGE.read_text() == datasets_page(), "`make reference` writes it"


def test_every_data_set_has_a_section_and_a_line_in_the_index_that_leads_to_it():
    page = datasets_page()

    assert {*re.findall(r"^## (\w+)$", page, re.MULTILINE)} >= {*all_datasets()}
    assert {*re.findall(r"^\| \[`(\w+)`\]\(#\1\) \|", page, re.MULTILINE)} == {*all_datasets()}


def test_every_column_is_there_with_its_comment_and_its_part_in_the_key():
    page = datasets_page()

    section = page.split("\n## whale_transfer\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| ([^|]*) \| ([^|]*) \| (.+) \|$", section, re.MULTILINE)

    table = all_datasets()["whale_transfer"].table
    assert [name for name, *_ in rows] == [column.name for column in table.columns]
    assert rows[1][:3] == ("day", "date", "key")
    assert all(meaning for *_, meaning in rows)


def test_a_derived_column_is_told_as_one():
    section = datasets_page().split("\n## top_holders_daily\n")[1].split("\n## ")[0]

    for column in all_datasets()["top_holders_daily"].derived:
        assert f"| `{column.name}` |" in section
    assert "| derived | Made by the view from the stored columns. |" in section
