"""The integrity rules over a folder of 200 DAG files, by the command that a CI job runs."""
# ruff: noqa: INP001 - run from the repository, never installed.

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measuring import Result

FILES, TASKS = 200, 12
_LIMIT_S = 60
_DAG = """
from datetime import UTC, datetime, timedelta

from airflow.sdk import DAG, task

DEFAULTS = {{"owner": "bench", "retries": 1, "execution_timeout": timedelta(minutes=5)}}

with DAG("made_{number}", start_date=datetime(2026, 1, 1, tzinfo=UTC), schedule="@hourly",
         default_args=DEFAULTS):
    for number in range({tasks}):
        @task(task_id=f"step_{{number}}", queue="nft_worker" if number % 2 else "kubernetes")
        def step(number: int) -> int:
            return number

        step.expand(number=[1, 2, 3]) if number % 3 else step(number)
"""


def results() -> Iterator[Result]:
    """Yield the time of one check, start of the interpreter included."""
    with tempfile.TemporaryDirectory(prefix="onchain-agg-bench-") as home:
        folder = Path(home)
        for number in range(FILES):
            text = _DAG.format(number=number, tasks=TASKS)
            (folder / f"made_{number}.py").write_text(text, encoding="utf-8")
        started = time.perf_counter()
        command = [Path(sys.executable).with_name("onchain-agg"), "check", home, "--format", "json"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - ours
        seconds = time.perf_counter() - started
    found = json.loads(done.stdout)
    yield Result(
        f"check a folder of {found['files']} DAG files with {found['tasks']:,} tasks",
        f"under {_LIMIT_S} s",
        f"{seconds:.1f} s, {seconds / FILES * 1000:.0f} ms a file",
        met=seconds < _LIMIT_S,
    )
