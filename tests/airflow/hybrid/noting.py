"""What tasks did and where, as lines of one file: their effect, which a test can count."""

import json
import os
import time
from pathlib import Path

import psutil
from airflow.sdk import get_current_context

_FOLDER = Path(os.environ.get("HYBRID_NOTES", "."))
_WAIT_S = 240.0


def note(event: str = "ran") -> None:
    """Write down *event* of the task that runs, with the processes above its own."""
    ti = get_current_context()["ti"]
    line = {
        "dag_id": ti.dag_id,
        "task_id": ti.task_id,
        "map_index": ti.map_index,
        "try_number": ti.try_number,
        "event": event,
        "above": [process.pid for process in psutil.Process().parents()],
    }
    # One short write to a file that is appended to is not torn apart by another one.
    with (_FOLDER / "notes.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")


def noted(event: str) -> int:
    """Return how often *event* of the task that runs was written down."""
    ti = get_current_context()["ti"]
    lines = map(json.loads, (_FOLDER / "notes.jsonl").read_text().splitlines())
    mine = (ti.task_id, ti.map_index, event)
    return sum((one["task_id"], one["map_index"], one["event"]) == mine for one in lines)


def await_flag(name: str) -> None:
    """Return once the test has raised the flag *name*."""
    deadline = time.monotonic() + _WAIT_S
    while not (_FOLDER / name).exists():
        if time.monotonic() > deadline:
            raise TimeoutError(f"No flag {name!r} after {_WAIT_S} s.")
        time.sleep(0.05)
