"""What to say of a DAG run that failed: its task, the error's own line, and the log."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from onchain_agg.local.rest import AirflowApi, DagRun


def explained(api: AirflowApi, run: DagRun, logs: Path) -> str:
    """Return which task of the failed *run* is to blame, its error and where its log lies."""
    blamed = [task for task in api.task_instances(run) if task["state"] == "failed"]
    if not blamed:
        return f"DAG run {run.run_id} of {run.dag_id} failed before any task of it did."
    first = min(blamed, key=lambda task: task["end_date"] or "")
    log = log_of(first, logs)
    return (
        f"DAG {run.dag_id} failed in task {named(first)}: {error_line(log)}\n"
        f"Log: {log}\nRun: {run.run_id}"
    )


def named(task: Mapping[str, Any]) -> str:
    """Return the task's id, with its index where it is mapped."""
    index = task["map_index"]
    return str(task["task_id"]) if index < 0 else f"{task['task_id']}[{index}]"


def log_of(task: Mapping[str, Any], logs: Path) -> Path:
    """Return the log file of the last try of *task*."""
    folder = (
        logs
        / f"dag_id={task['dag_id']}"
        / f"run_id={task['dag_run_id']}"
        / f"task_id={task['task_id']}"
    )
    if task["map_index"] >= 0:
        folder /= f"map_index={task['map_index']}"
    return folder / f"attempt={task['try_number']}.log"


def error_line(log: Path) -> str:
    """Return the last exception that *log* tells, else its last error event, on one line."""
    try:
        lines = log.read_text(errors="replace").splitlines()
    except OSError:
        return "it left no log; the worker was killed or could not start."
    found = [text for text in map(_error_of, lines) if text]
    return found[-1] if found else "its log tells no error; the worker was killed."


def _error_of(line: str) -> str:
    """Return what one line of a task's log says went wrong; empty where it tells none."""
    try:
        event = json.loads(line)
    except ValueError:
        return ""
    if not isinstance(event, dict):
        return ""
    details = event.get("error_detail") or event.get("exception")
    if isinstance(details, list) and details:
        # The first one is the exception that the task raised; its causes follow.
        return " ".join(f"{details[0].get('exc_type')}: {details[0].get('exc_value')}".split())
    if event.get("level") in {"error", "critical"}:
        return " ".join(str(event.get("event", "")).split())
    return ""
