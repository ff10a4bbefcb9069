"""What the commits of the tests hold: a DAG whose modules all bear the commit's number.

A DAG file writes down the numbers that it found whenever it is read, so a parse that saw two
commits is told by its own note.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# Variable of the folder of the notes, and of the flags that tasks wait for.
NOTES = "GIT_SYNC_NOTES"
_PARTS = ("first", "second", "third", "fourth", "fifth")
_WAIT_S = 60.0

# Importing takes a while, as it does where modules are large.
_PART = """import time

NUMBER = {number}
time.sleep(0.1)
"""

_DAG = '''"""Reads its parts one after the other, and writes down of which commits they are."""

import json
import os
import time
from pathlib import Path

from airflow.sdk import dag, task

from parts_{dag_id} import first, second, third, fourth, fifth

_FOLDER = Path(os.environ["{notes}"])


def _note(**what):
    what |= dict(dag_id="{dag_id}", worktree=Path(__file__).parents[1].name)
    what |= dict(numbers=[one.NUMBER for one in (first, second, third, fourth, fifth)])
    with (_FOLDER / "notes.jsonl").open("a") as file:
        file.write(json.dumps(what) + "\\n")


@dag(dag_id="{dag_id}", schedule=None, tags=["commit {number}"])
def _flow():
    @task
    def before():
        _note(event="before")
        deadline = time.monotonic() + {wait}
        while not (_FOLDER / "go_on").exists():
            assert time.monotonic() < deadline, "no flag"
            time.sleep(0.05)

    @task
    def after():
        _note(event="after")

    before() >> after()


_flow()
_note(event="parse")
'''


@dataclass(frozen=True)
class Note:
    """What a DAG file found: *worktree* is the folder that it lies in, by the path it was read."""

    event: str
    dag_id: str
    worktree: str
    numbers: tuple[int, ...]


def content(number: int, *dag_ids: str) -> dict[str, str]:
    """Return the files of commit *number*: a folder for each of *dag_ids*."""
    return {path: text for dag_id in dag_ids for path, text in _files(number, dag_id)}


def _files(number: int, dag_id: str) -> Iterator[tuple[str, str]]:
    text = _DAG.format(dag_id=dag_id, number=number, notes=NOTES, wait=_WAIT_S)
    yield f"{dag_id}/dag.py", text
    yield f"{dag_id}/.airflowignore", f"parts_{dag_id}\n"
    for part in _PARTS:
        yield f"{dag_id}/parts_{dag_id}/{part}.py", _PART.format(number=number)


def notes(folder: Path) -> list[Note]:
    """Return all notes in *folder*, in order."""
    found = map(json.loads, (folder / "notes.jsonl").read_text().splitlines())
    return [Note(**{**one, "numbers": tuple(one["numbers"])}) for one in found]
