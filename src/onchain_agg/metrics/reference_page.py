"""The reference page of the data sets, in Markdown, made from their definitions alone."""

import sys
from collections.abc import Iterable
from itertools import groupby
from typing import Any

from sqlalchemy import Column
from sqlalchemy.types import NullType, TypeEngine

from onchain_agg.chains import all_chains
from onchain_agg.metrics.dataset import SERVING, DataSet, Scope
from onchain_agg.metrics.registry import all_datasets
from onchain_agg.warehouse.types import DIALECT

_FAMILIES = {
    "whale": "Whales, holders and exchanges",
    "network": "Networks",
    "market": "Markets and prices",
    "nft": "NFT",
}
_DERIVED = "Made by the view from the stored columns."
_SCOPES: dict[Scope, str] = {
    "chain": "each chain on its own",
    "venue": "each venue on its own",
    "global": "all venues and chains together",
}


def datasets_page() -> str:
    """Return the page: an index by family, then meaning, making and columns of every data set."""
    order = list(_FAMILIES)
    found = sorted(all_datasets().values(), key=lambda one: (order.index(one.family), one.name))
    families = {family: list(group) for family, group in groupby(found, lambda one: one.family)}
    parts = [_HEAD, *(_index(family, members) for family, members in families.items())]
    parts += [_section(dataset) for dataset in found]
    return "\n".join(parts)


_HEAD = """\
# Data sets

What `serving` holds, one view a data set. This page is made by `onchain-agg datasets`; `make
reference` writes it.

Every view has two columns more than its table: `status`, which is `final` once the day cannot
change by itself any more and `provisional` before, and `known_from`, since when the row is served.
What a row said before is in `history`. A *key* column tells rows apart; those beside the scope, the
day and the asset or market are the variants. NULL stands for what cannot be said, such as a
division by zero or a day without a trade; it is never 0.
"""


def _index(family: str, members: Iterable[DataSet]) -> str:
    rows = [
        f"| [`{one.name}`](#{one.name}) | {one.scope} | {one.grain} | {_first_sentence(one)} |"
        for one in members
    ]
    head = ["| Data set | Scope | Row | What it says |", "|---|---|---|---|"]
    return "\n".join([f"## {_FAMILIES[family]}", "", *head, *rows, ""])


def _section(dataset: DataSet) -> str:
    facts = [f"* **{name}**: {value}" for name, value in _facts(dataset)]
    columns = [_column_row(column) for column in dataset.table.columns]
    columns += [
        f"| `{one.name}` | {_type(one.type)} | derived | {_DERIVED} |" for one in dataset.derived
    ]
    return "\n".join(
        [
            f"## {dataset.name}",
            "",
            _markdown(_docstring(dataset)),
            "",
            *facts,
            "",
            "| Column | Type | | Meaning and unit |",
            "|---|---|---|---|",
            *columns,
            "",
        ]
    )


def _facts(dataset: DataSet) -> list[tuple[str, str]]:
    scope = _SCOPES[dataset.scope]
    if dataset.scope == "chain":
        scope += f": {', '.join(one.name for one in all_chains().values() if dataset.covers(one))}"
    of_scope = {dataset.scope_column, "day"}
    key = [column.name for column in dataset.table.primary_key if column.name not in of_scope]
    reads = ", ".join(_reads(dataset)) or "nothing"
    found = [
        ("Scope", scope),
        ("One row", dataset.grain),
        ("Rows are told apart by", ", ".join(f"`{name}`" for name in key) or "the day alone"),
        ("Made from", reads),
        ("A changed day changes", _reach(dataset)),
        ("Computed", "once the day is over" if dataset.at_close else "while the day is open, too"),
        ("Task", f"`{dataset.workload}`"),
        ("Table", f"`{dataset.table.fullname}`"),
    ]
    checks = "; ".join(one.name for one in dataset.invariants)
    return [*found, ("Held before readers see it", checks)] if checks else found


def _reads(dataset: DataSet) -> list[str]:
    by_table = {one.table: one.name for one in all_datasets().values()}
    return [
        f"[`{by_table[table]}`](#{by_table[table]})"
        if table.metadata is SERVING
        else f"`{table.fullname}`"
        for table in dataset.reads
    ]


def _reach(dataset: DataSet) -> str:
    days = dataset.reach.days
    if days is None:
        return "itself and every later day"
    return "itself alone" if days == 1 else f"itself and the {days - 1} days after it"


def _column_row(column: Column[Any]) -> str:
    mark = "key" if column.primary_key else "may be NULL" if column.nullable else ""
    return f"| `{column.name}` | {_type(column.type)} | {mark} | {_cell(column.comment or '')} |"


def _type(kind: TypeEngine[Any]) -> str:
    # PostgreSQL knows what a function of the view returns; SQLAlchemy may not.
    return "-" if isinstance(kind, NullType) else kind.compile(dialect=DIALECT).lower()


def _docstring(dataset: DataSet) -> str:
    return (sys.modules[dataset.rows.__module__].__doc__ or "").strip()


def _first_sentence(dataset: DataSet) -> str:
    head = " ".join(_docstring(dataset).split("\n\n")[0].split())
    return _cell(_markdown(head))


def _markdown(text: str) -> str:
    """Return a docstring's text with Markdown's marks for code."""
    return text.replace("``", "`")


def _cell(text: str) -> str:
    return _markdown(text).replace("|", "\\|").replace("\n", " ")
