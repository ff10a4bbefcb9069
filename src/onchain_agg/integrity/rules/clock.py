"""The rule that a DAG's dates come from no clock.

Two looks, since neither sees all. The file's syntax shows a call of the clock in the start_date,
end_date or schedule that a DAG or operator is given, also by way of a name of the same file; a call
in another module, or of a function of the same file that asks the clock, stays unseen.
The dates that were read show a start_date that is the moment of the reading, wherever it came from;
one that was rounded or moved stays unseen.
"""

import ast
from collections import ChainMap, deque
from collections.abc import Iterator
from dataclasses import dataclass

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
# Decorators whose function runs in a task, so that what it calls is no part of the DAG.
_TASKS = frozenset({"task", "setup", "teardown"})
# Beside operators and sensors, which are known by how their names end.
_BUILDERS = frozenset({"DAG", "dag", "TaskGroup", "task_group", "partial", "override", *_TASKS})

_Function = ast.FunctionDef | ast.AsyncFunctionDef
_Moving = tuple[int, str, str]


def _moving_start(rule: Rule, reading: Reading) -> Iterator[Finding]:
    for file in reading.files:
        found = [
            rule.in_file(file, line, f"{argument} comes from {clock}(), which moves on.")
            # A dict that two DAGs are given is told of once.
            for line, argument, clock in dict.fromkeys(
                _Clocks().moving_arguments(parsed(file.path))
            )
        ]
        yield from found or _moved_with_the_reading(rule, file)


def _moved_with_the_reading(rule: Rule, file: DagFile) -> Iterator[Finding]:
    for dag in file.dags:
        for date in dag.start_dates:
            if date.tzinfo and file.read_from <= date <= file.read_to:
                yield rule.in_dag(dag, "start_date is the moment at which the file was read.")


@dataclass(frozen=True)
class _Known:
    """What a name stands for: a time of *clock*, and arguments in a dict that a clock decides."""

    clock: str | None
    arguments: tuple[_Moving, ...]


_Scope = ChainMap[str, _Known]


class _Clocks:
    """Follows the clock through a file."""

    def __init__(self) -> None:
        self._imported: dict[str, str] = {}
        # Functions are looked into last: they know the names of their whole module.
        self._bodies: deque[tuple[list[ast.stmt], _Scope]] = deque()

    def moving_arguments(self, tree: ast.Module) -> Iterator[_Moving]:
        """Yield line and name of each argument that a clock decides, with the clock's name."""
        self._note_imports(tree)
        self._bodies.append((tree.body, ChainMap()))
        while self._bodies:
            body, scope = self._bodies.popleft()
            for statement in body:
                yield from self._visit(statement, scope)

    def _note_imports(self, tree: ast.Module) -> None:
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                self._imported |= {alias.asname: alias.name for alias in node.names if alias.asname}
            elif isinstance(node, ast.ImportFrom):
                self._imported |= {
                    alias.asname or alias.name: f"{node.module}.{alias.name}"
                    for alias in node.names
                }

    def _visit(self, node: ast.AST, scope: _Scope) -> Iterator[_Moving]:
        if isinstance(node, _Function):
            for outside in (*node.decorator_list, node.args):
                yield from self._visit(outside, scope)
            if not self._is_task(node):
                self._bodies.append((node.body, self._scope_of(node, scope)))
            return
        if isinstance(node, ast.Call) and self._builds(node.func):
            yield from self._arguments_of_call(node, scope)
        for child in ast.iter_child_nodes(node):
            yield from self._visit(child, scope)
        if isinstance(node, ast.Assign | ast.AnnAssign | ast.NamedExpr) and node.value:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                self._name(target, node.value, scope)

    def _is_task(self, function: _Function) -> bool:
        for one in function.decorator_list:
            name = self._full_name(one.func if isinstance(one, ast.Call) else one)
            if not _TASKS.isdisjoint(name.split(".")):
                return True
        return False

    def _builds(self, function: ast.expr) -> bool:
        """Return whether a call of *function* makes a DAG, an operator or a part of them."""
        if isinstance(function, ast.Attribute) and function.attr in _BUILDERS:
            return True
        parts = self._full_name(function).split(".")
        is_operator = parts[-1].endswith(("Operator", "Sensor"))
        return is_operator or parts[-1] in _BUILDERS or "task" in parts

    def _scope_of(self, function: _Function, outer: _Scope) -> _Scope:
        """Return the names in *function*: its arguments, by their defaults, and those outside."""
        scope, arguments = outer.new_child(), function.args
        named = [*arguments.posonlyargs, *arguments.args]
        last = named[len(named) - len(arguments.defaults) :]
        defaults = [
            *zip(last, arguments.defaults, strict=True),
            *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True),
        ]
        scope |= {one.arg: _Known(None, ()) for one in (*named, *arguments.kwonlyargs)}
        scope |= {one.arg: self._known(value, outer) for one, value in defaults if value}
        return scope

    def _name(self, target: ast.expr, value: ast.expr, scope: _Scope) -> None:
        if isinstance(target, ast.Name):
            known = self._known(value, scope)
            # Of two branches, either may be taken.
            if known.clock or target.id not in scope.maps[0]:
                scope[target.id] = known

    def _known(self, value: ast.expr, scope: _Scope) -> _Known:
        return _Known(self._clock_in(value, scope), tuple(self._arguments_in(value, scope)))

    def _arguments_of_call(self, call: ast.Call, scope: _Scope) -> Iterator[_Moving]:
        for word in call.keywords:
            # No name is that of two stars before a dict.
            if word.arg in {"default_args", None}:
                yield from self._arguments_in(word.value, scope)
            elif word.arg in _ARGUMENTS and (clock := self._clock_in(word.value, scope)):
                yield word.value.lineno, word.arg, clock

    def _arguments_in(self, value: ast.expr, scope: _Scope) -> Iterator[_Moving]:
        """Yield the moving arguments in the dicts of *value*, those behind names too."""
        for node in ast.walk(value):
            if isinstance(node, ast.Name) and node.id in scope:
                yield from scope[node.id].arguments
            for argument, given in _items(node):
                if argument in _ARGUMENTS and (clock := self._clock_in(given, scope)):
                    yield given.lineno, argument, clock

    def _clock_in(self, value: ast.expr, scope: _Scope) -> str | None:
        """Return the name of a clock that *value* reads, or None where it reads none."""
        for node in ast.walk(value):
            if isinstance(node, ast.Name) and node.id in scope and scope[node.id].clock:
                return scope[node.id].clock
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


def _items(node: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """Yield the keys and values of a dict that is written as one, or by a call of dict()."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "dict":
        yield from ((word.arg, word.value) for word in node.keywords if word.arg)
    if isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values, strict=True):
            if isinstance(key, ast.Constant) and isinstance(key.value, str):
                yield key.value, value


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
