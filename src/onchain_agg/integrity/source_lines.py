"""Where a DAG file writes its tasks and DAGs."""

import ast
from pathlib import Path
from typing import Any


class SourceLines:
    """The lines of one file."""

    def __init__(self, path: Path) -> None:
        """Read *path*; a file that is no Python has no lines."""
        self._path = str(path)
        self._lines: dict[str, int] = {}
        for node in ast.walk(parsed(path)):
            for name in _names(node):
                self._lines.setdefault(name, _line(node))

    def of_name(self, name: str) -> int | None:
        """Return the line of the call or function that gives a task or DAG the id *name*."""
        return self._lines.get(name)

    def of_callable(self, function: Any) -> int | None:
        """Return the line of a task's own function, where this file writes it."""
        code = getattr(function, "__code__", None)
        if code is None or code.co_filename != self._path:
            return None
        line: int = code.co_firstlineno
        return line


def parsed(path: Path) -> ast.Module:
    """Return the syntax of the file at *path*; nothing where it is no Python."""
    try:
        return ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return ast.Module(body=[], type_ignores=[])


def _line(node: ast.AST) -> int:
    """Return the line of *node*; a function's begins at its decorators."""
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    line: int = getattr(decorators[0] if decorators else node, "lineno", 1)
    return line


def _names(node: ast.AST) -> list[str]:
    """Return the ids that *node* may give: a function's name, or a call's text arguments."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return [node.name]
    if not isinstance(node, ast.Call):
        return []
    given = [word.value for word in node.keywords if word.arg in {"task_id", "dag_id"}]
    return [
        value.value
        for value in (*given, *node.args[:1])
        if isinstance(value, ast.Constant) and isinstance(value.value, str)
    ]
