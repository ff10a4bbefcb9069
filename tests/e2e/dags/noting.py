"""What tasks did, as lines of one file: their effect, which a test can count."""

import json
import os
import time
from pathlib import Path

from airflow.sdk import get_current_context

_FOLDER = Path(os.environ.get("ONCHAIN_AGG_E2E_NOTES", "."))
_WAIT_S = 240.0


def note(event: str) -> None:
    """Write down *event* of the task that runs."""
    ti = get_current_context()["ti"]
    line = {"run_id": ti.run_id, "task_id": ti.task_id, "try": ti.try_number, "event": event}
    # One short write to a file that is appended to is not torn apart by another one.
    with (_FOLDER / "notes.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")


def await_flag() -> None:
    """Return once the test has raised the flag of this run."""
    flag = _FOLDER / get_current_context()["ti"].run_id
    deadline = time.monotonic() + _WAIT_S
    while not flag.exists():
        if time.monotonic() > deadline:
            raise TimeoutError(f"No flag {flag} after {_WAIT_S} s.")
        time.sleep(0.05)
