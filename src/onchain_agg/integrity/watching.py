"""Notes what a DAG file does while it is imported: modules it loads, calls to the outside.

What the file does itself or has done by what it calls is noted with the file's line. Not seen: a
thread that outlives its call, and a connection that a compiled library other than `_DRIVERS` opens.
"""

import builtins
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

from onchain_agg.integrity.facts import Deed

# Python's audit events; see its "audit events table".
_EVENTS: dict[str, Callable[[tuple[Any, ...]], str]] = {
    "socket.connect": lambda args: f"connects to {_address(args[1])}",
    "socket.sendto": lambda args: f"sends to {_address(args[1])}",
    "socket.getaddrinfo": lambda args: f"looks up the host {args[0]}",
    "socket.gethostbyname": lambda args: f"looks up the host {args[0]}",
    "subprocess.Popen": lambda args: f"starts the program {_program(args[0], args[1])}",
    "os.system": lambda args: f"starts the program {_program(None, args[0])}",
    "os.posix_spawn": lambda args: f"starts the program {_text(args[0])}",
    "os.exec": lambda args: f"becomes the program {_text(args[0])}",
    "os.fork": lambda _args: "starts a process",
    "sqlite3.connect": lambda args: f"opens the database {_text(args[0])}",
}
# Compiled drivers, which reach a server without an audit event.
_DRIVERS = ("psycopg", "psycopg2", "MySQLdb", "pyodbc", "duckdb")
_LOOKUPS = {"_get_variable": "Variable", "_get_connection": "connection"}


class Watch:
    """What was noted of one file."""

    def __init__(self, file: Path) -> None:
        """Note nothing yet of *file*."""
        self._file = str(file)
        self._known = {name.partition(".")[0] for name in sys.modules}
        self._loads: dict[str, int] = {}
        self._provided: set[str] = set()
        self._calls: dict[int, str] = {}
        self.is_on = False

    def loads(self) -> tuple[Deed, ...]:
        """Return the top-level modules that the file loaded, each with its first line.

        Without those that Airflow's providers import: their operators cannot be had otherwise.
        """
        return tuple(
            Deed(name, line)
            for name, line in self._loads.items()
            if name in sys.modules and name not in self._provided
        )

    def calls(self) -> tuple[Deed, ...]:
        """Return the first call to the outside of each line."""
        return tuple(Deed(what, line) for line, what in self._calls.items())

    def hear(self, event: str, args: tuple[Any, ...]) -> None:
        """Note an audit event."""
        if not self.is_on:
            return
        if event == "import":
            name = args[0].partition(".")[0]
            if name not in self._known and (line := self._line()):
                self._known.add(name)
                self._loads[name] = line
                if _is_by_provider(self._file):
                    self._provided.add(name)
        elif event in _EVENTS:
            self.note(_EVENTS[event](args))

    def hear_import(self, name: str) -> None:
        """Note an import statement, of a module that is loaded already too."""
        top = name.partition(".")[0]
        if self.is_on and top in self._loads and _is_by_provider(self._file):
            self._provided.add(top)

    def note(self, what: str) -> None:
        """Note a call to the outside, unless Airflow makes it of itself."""
        if self.is_on and (line := self._line()):
            self._calls.setdefault(line, what)

    def _line(self) -> int | None:
        """Return the line of the file that is running, or None where the file is not."""
        frame: FrameType | None = sys._getframe(2)  # noqa: SLF001 - the standard way to callers
        while frame is not None:
            if frame.f_code.co_filename == self._file:
                return frame.f_lineno
            frame = frame.f_back
        return None


def _is_by_provider(file: str) -> bool:
    """Return whether a provider of Airflow's is between what is running and the DAG file."""
    frame: FrameType | None = sys._getframe(2)  # noqa: SLF001 - see `Watch._line`
    while frame is not None and frame.f_code.co_filename != file:
        if str(frame.f_globals.get("__name__")).startswith("airflow.providers."):
            return True
        frame = frame.f_back
    return False


@contextmanager
def watched(file: Path) -> Iterator[Watch]:
    """Yield what is noted of *file*, for one file a process: hooks cannot be taken out again."""
    watch = Watch(file)
    sys.addaudithook(watch.hear)
    _tell_lookups(watch)
    _tell_databases(watch)
    watch.is_on = True
    try:
        yield watch
    finally:
        watch.is_on = False


def _tell_lookups(watch: Watch) -> None:
    from airflow.sdk.execution_time import context  # noqa: PLC0415 - needs Airflow

    for function, kind in _LOOKUPS.items():
        _tell(context, function, f"looks up the {kind} {{}}", watch)


def _tell_databases(watch: Watch) -> None:
    from sqlalchemy.engine.default import DefaultDialect  # noqa: PLC0415 - Airflow loads it

    _tell(DefaultDialect, "connect", "connects to a database", watch)
    loaded = {name: sys.modules[name] for name in _DRIVERS if name in sys.modules}
    for module in loaded.values():
        _tell_driver(module, watch)
    original = builtins.__import__

    def importing(name: str, *args: Any, **kwargs: Any) -> ModuleType:
        module = original(name, *args, **kwargs)
        watch.hear_import(name)
        if name in _DRIVERS and name not in loaded:
            loaded[name] = sys.modules[name]
            _tell_driver(loaded[name], watch)
        return module

    builtins.__import__ = importing


def _tell_driver(module: ModuleType, watch: Watch) -> None:
    _tell(module, "connect", f"connects to a database by {module.__name__}", watch)


def _tell(owner: Any, name: str, what: str, watch: Watch) -> None:
    """Have ``owner.name`` tell *watch* of its calls; ``{}`` in *what* is the first argument."""
    original = getattr(owner, name)

    @wraps(original)
    def telling(*args: Any, **kwargs: Any) -> Any:
        watch.note(what.format(*(repr(one) for one in (*args, *kwargs.values()))))
        return original(*args, **kwargs)

    setattr(owner, name, telling)


def _address(address: object) -> str:
    return ":".join(map(str, address[:2])) if isinstance(address, tuple) else _text(address)


def _program(executable: object, arguments: object) -> str:
    if executable is None and isinstance(arguments, (list, tuple)):
        executable = arguments[0]
    return _text(arguments if executable is None else executable)


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
