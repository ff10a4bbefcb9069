"""The rule that a DAG's dates come from no clock.

Two looks, since neither sees all. The file's syntax shows a call of the clock in a start_date,
end_date or schedule, also by way of a name of the same file; a call in another module stays unseen.
The dates that were read show a start_date that is the moment of the reading, wherever it came from;
one that was rounded or moved stays unseen.
"""

import ast
from collections.abc import Iterator

from onchain_agg.integrity.facts import DagFile, Reading
from onchain_agg.integrity.rules.rule import Finding, Rule
from onchain_agg.integrity.source_lines import parsed

_ARGUMENTS = frozenset({"start_date", "end_date", "schedule"})
_CLOCKS = frozenset(
    {
        "datetime.date.today",
        "datetime.datetime.now",
        "datetime.datetime.today",
        "datetime.datetime.utcnow",
        "time.time",
        "airflow.utils.dates.days_ago",
        "airflow.sdk.timezone.utcnow",
        "airflow.utils.timezone.utcnow",
        *(
            f"{module}.{name}"
            for module in ("pendulum", "pendulum.DateTime", "pendulum.datetime.DateTime")
            for name in ("now", "utcnow", "today", "tomorrow", "yesterday")
        ),
    }
)


def _moving_start(rule: Rule, reading: Reading) -> Iterator[Finding]:
    for file in reading.files:
        found = [
            rule.in_file(file, line, f"{argument} comes from {clock}(), which moves on.")
            for line, argument, clock in _moving_arguments(parsed(file.path))
        ]
        yield from found or _moved_with_the_reading(rule, file)


def _moved_with_the_reading(rule: Rule, file: DagFile) -> Iterator[Finding]:
    for dag in file.dags:
        for date in dag.start_dates:
            if date.tzinfo and file.read_from <= date <= file.read_to:
                yield rule.in_dag(dag, "start_date is the moment at which the file was read.")


def _moving_arguments(tree: ast.Module) -> Iterator[tuple[int, str, str]]:
    """Yield line and name of each argument that a clock decides, with the clock's name."""
    names = _Names(tree)
    for node in ast.walk(tree):
        for argument, value in _arguments(node):
            if argument in _ARGUMENTS and (clock := names.clock_in(value)):
                yield value.lineno, argument, clock


def _arguments(node: ast.AST) -> Iterator[tuple[str | None, ast.expr]]:
    if isinstance(node, ast.Call):
        yield from ((word.arg, word.value) for word in node.keywords)
    if isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values, strict=True):
            if isinstance(key, ast.Constant) and isinstance(key.value, str):
                yield key.value, value


class _Names:
    """What the names of a file stand for: imported things, and times that came from a clock."""

    def __init__(self, tree: ast.Module) -> None:
        self._imported: dict[str, str] = {}
        self._moving: dict[str, str] = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                self._imported |= {alias.asname: alias.name for alias in node.names if alias.asname}
            elif isinstance(node, ast.ImportFrom):
                self._imported |= {
                    alias.asname or alias.name: f"{node.module}.{alias.name}"
                    for alias in node.names
                }
        assignments = [node for node in ast.walk(tree) if isinstance(node, ast.Assign)]
        for node in sorted(assignments, key=lambda one: one.lineno):
            if clock := self.clock_in(node.value):
                self._moving |= {
                    target.id: clock for target in node.targets if isinstance(target, ast.Name)
                }

    def clock_in(self, value: ast.expr) -> str | None:
        """Return the name of a clock that *value* reads, or None where it reads none."""
        for node in ast.walk(value):
            if isinstance(node, ast.Name) and node.id in self._moving:
                return self._moving[node.id]
            if isinstance(node, ast.Call) and (name := self._full_name(node.func)) in _CLOCKS:
                return name
        return None

    def _full_name(self, function: ast.expr) -> str:
        parts: list[str] = []
        while isinstance(function, ast.Attribute):
            parts.append(function.attr)
            function = function.value
        if not isinstance(function, ast.Name):
            return ""
        return ".".join([self._imported.get(function.id, function.id), *reversed(parts)])


RULES = (
    Rule(
        id="moving-start",
        statement="No start_date, end_date or schedule comes from the clock.",
        reason=(
            "It changes at every read: runs are skipped or never due, and Airflow stores a new "
            "version of the DAG each time."
        ),
        cure="Write a fixed day, such as datetime(2026, 1, 1, tzinfo=UTC).",
        find=_moving_start,
    ),
)
