"""Definitions are one file each, and are looked up by name."""

import pytest

from onchain_agg.discovery import defined_in, named
from onchain_agg.errors import UnknownNameError


@pytest.fixture
def fruits(tmp_path, monkeypatch):
    # Of its own name in every test: a package that was imported once is not read again.
    package = tmp_path / tmp_path.name
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "definition.py").write_text("FORM = 'round'\n")
    monkeypatch.syspath_prepend(tmp_path)
    return package


def test_a_definition_is_found_by_its_file_in_the_order_of_names(fruits):
    (fruits / "pear.py").write_text("FRUIT = 'a pear'\n")
    (fruits / "apple.py").write_text("FRUIT = 'an apple'\n")

    assert list(defined_in(fruits.name, "FRUIT")) == ["an apple", "a pear"]


def test_a_file_that_defines_nothing_is_not_passed_over(fruits):
    (fruits / "stone.py").write_text("")

    with pytest.raises(AttributeError, match=r"has no attribute 'FRUIT'$"):
        list(defined_in(fruits.name, "FRUIT"))


def test_an_unknown_name_is_told_with_the_known_ones():
    known = {"pear": 1, "apple": 2}

    assert named("fruit", "pear", known) == 1
    with pytest.raises(
        UnknownNameError,
        match=r"^No fruit is named 'aple'\. Did you mean 'apple'\? Defined: apple, pear\.$",
    ):
        named("fruit", "aple", known)
