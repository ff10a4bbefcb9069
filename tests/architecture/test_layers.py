"""Imports go one way, and files and functions stay small."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SRC = ROOT / "src" / "onchain_agg"

# A module may import from its own rank and the ones before it.
_RANKS = (
    {"errors", "discovery", "durations", "yaml_lines"},
    {"chains", "markets"},
    {"sources"},
    {"warehouse"},
    {"metrics"},
    # `sample` serves recorded blocks; `provider_info` is data.
    {"settings", "sample", "provider_info", "command_errors", "measures"},
    # `taskflow` is Airflow's own `task`, with types; `plugin` registers a listener.
    {"routing", "costs", "taskflow", "plugin"},
    {"hooks", "bundles"},
    {"operators"},
    {"dag_building"},
    {"integrity"},
    {"local"},
    {"cli_times"},
    {
        "cli",
        "cli_archive",
        "cli_check",
        "cli_cost",
        "cli_datasets",
        "cli_market",
        "cli_routing",
        "cli_sources",
    },
)
_WITHOUT_AIRFLOW = (
    "errors",
    "discovery",
    "chains",
    "markets",
    "sources",
    "warehouse",
    "metrics",
    "sample",
)
_FORBIDDEN_NAMES = {"utils", "util", "helpers", "helper", "common", "manager", "misc"}
_MODULES = sorted(SRC.rglob("*.py"))
# Written by a script, one call a table.
_WRITTEN = [path for path in _MODULES if "versions" not in path.parts]
_PYTHON = [
    *_WRITTEN,
    *sorted((ROOT / "tests").rglob("*.py")),
    *sorted((ROOT / "dags").glob("*.py")),
]


def _id(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _part(path: Path) -> str:
    relative = path.relative_to(SRC)
    return relative.parts[0].removesuffix(".py")


def _rank(part: str) -> int:
    return next(rank for rank, parts in enumerate(_RANKS) if part in parts)


def _imported(path: Path) -> set[str]:
    """Return every module that *path* imports, inside functions too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def test_every_part_of_the_package_has_its_rank():
    parts = {_part(path) for path in _MODULES} - {"__init__"}

    assert parts - set().union(*_RANKS) == set()


@pytest.mark.parametrize("path", [p for p in _MODULES if _part(p) != "__init__"], ids=_id)
def test_imports_go_one_way(path):
    own = _rank(_part(path))
    parts = {
        name.split(".")[1] for name in _imported(path) if name.startswith("onchain_agg.")
    } & set().union(*_RANKS)

    assert {part for part in parts if _rank(part) > own} == set()


@pytest.mark.parametrize("path", [p for p in _MODULES if _part(p) in _WITHOUT_AIRFLOW], ids=_id)
def test_the_library_names_no_airflow(path):
    assert {name for name in _imported(path) if name.split(".")[0] == "airflow"} == set()


def test_the_library_loads_without_airflow():
    modules = [
        ".".join(["onchain_agg", *path.relative_to(SRC).with_suffix("").parts])
        for path in _MODULES
        if _part(path) in _WITHOUT_AIRFLOW and path.name != "env.py"
    ]
    code = (
        "import importlib, sys\n"
        f"for name in {modules!r}: importlib.import_module(name)\n"
        "print(sorted(name for name in sys.modules if name.split('.')[0] == 'airflow'))"
    )

    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout

    assert len(modules) > 20
    assert printed.strip() == "[]"


def test_provider_info_loads_nothing_else():
    code = (
        "import sys; before = set(sys.modules); import onchain_agg.provider_info;"
        "print(sorted(set(sys.modules) - before - {'onchain_agg', 'onchain_agg.provider_info'}))"
    )

    printed = subprocess.run(
        [sys.executable, "-c", "import typing, __future__; " + code],
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    assert printed.strip() == "[]"


def test_a_file_is_below_400_lines():
    lengths = {_id(path): len(path.read_text().splitlines()) for path in _PYTHON}

    assert {name: length for name, length in lengths.items() if length >= 400} == {}


def _length(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return the lines of the function's code; its docstring is not counted."""
    body = node.body
    lines = (node.end_lineno or node.lineno) - node.lineno + 1
    if ast.get_docstring(node, clean=False) is not None:
        lines -= (body[0].end_lineno or body[0].lineno) - body[0].lineno + 1
    return lines


def test_a_function_is_below_40_lines():
    lengths = {
        f"{_id(path)}: {node.name}": _length(node)
        for path in _WRITTEN
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }

    assert {name: length for name, length in lengths.items() if length >= 40} == {}


def test_a_module_is_named_for_what_it_is_for():
    names = {path.stem for path in _MODULES} | {path.parent.name for path in _MODULES}

    assert names & _FORBIDDEN_NAMES == set()


@pytest.mark.parametrize("path", sorted((ROOT / "dags").glob("*.py")), ids=_id)
def test_a_dag_file_is_under_ten_lines(path):
    assert len(path.read_text().splitlines()) < 10


def test_make_runs_every_folder_of_tests():
    text = (ROOT / "Makefile").read_text()
    layers = text[text.index("LAYERS :=") : text.index(".PHONY")].split(")")[0]
    # It needs a control plane that takes minutes to build, so it has a target of its own.
    layers += text[text.index("\ne2e:") :].split("\n\n")[0]
    folders = {
        path.relative_to(ROOT / "tests").parts[0] for path in ROOT.glob("tests/**/test_*.py")
    }

    assert {folder for folder in folders if f"tests/{folder}" not in layers} == set()


def test_work_left_for_later_is_not_marked_in_the_code():
    marks = ("TO" + "DO", "FIX" + "ME", "X" + "XX:")
    found = [_id(path) for path in _WRITTEN if any(mark in path.read_text() for mark in marks)]

    assert found == []
