"""Parses DAG files with and without the policy, in turn, and prints milliseconds of CPU as JSON.

`benchmarks.policy` starts it: a process of its own, because it must hold what Airflow's
dag-processor holds. Each parse is a fork of it, as each parse of the dag-processor is, so the
policy's table is read anew every time.
"""
# ruff: noqa: INP001, T201 - a script, which prints its result.

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

from airflow.dag_processing.dagbag import DagBag
from airflow.providers.standard.decorators import python  # noqa: F401 - as the dag-processor does
from airflow.sdk import DAG
from airflow.settings import get_policy_plugin_manager, task_policy

from onchain_agg.routing import starting

_FILE = """
from airflow.sdk import dag, task

@dag
def measured():
    @task(queue="kubernetes")
    def work(): ...
    for _ in range({tasks}):
        work()

measured()
"""


def main() -> None:
    """Print ``{"parse": {tasks: {"with": [ms], "without": [ms]}}, "first": [ms], "next": [ms]}``.

    ``first`` is the policy's first call in a process beyond its imports, ``next`` another one.
    """
    rounds, *counts = map(int, sys.argv[1:])
    # What the package's listener does as the DAG processor starts.
    starting.on_starting(SimpleNamespace(job_type="DagProcessorJob"))
    manager = get_policy_plugin_manager()
    (policy,) = [one for one in manager.get_plugins() if "onchain_agg" in str(one)]
    parse = {str(count): {"with": [], "without": []} for count in counts}
    calls = []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(rounds):
            for count in counts:
                file = Path(folder) / f"tasks_{count}.py"
                file.write_text(_FILE.format(tasks=count))
                parse[str(count)]["with"].append(_forked(lambda file=file: _parsed(file)))
                manager.unregister(policy)
                parse[str(count)]["without"].append(_forked(lambda file=file: _parsed(file)))
                manager.register(policy)
            calls.append(_forked(_calls))
    first, later = zip(*calls, strict=True)
    print(json.dumps({"parse": parse, "first": first, "next": later}))


def _parsed(file: Path) -> float:
    start = time.process_time()
    bag = DagBag(str(file))
    spent = time.process_time() - start
    if bag.import_errors or len(bag.dags) != 1:
        raise AssertionError(bag.import_errors)
    return spent * 1000


def _calls() -> tuple[float, float]:
    from airflow.providers.standard.operators.empty import EmptyOperator  # noqa: PLC0415

    from onchain_agg.routing import assignment  # noqa: F401, PLC0415 - measured apart

    with DAG("calls"):
        tasks = [EmptyOperator(task_id=f"t{n}", queue="kubernetes") for n in range(2)]
    spent = []
    for task in tasks:
        start = time.process_time()
        task_policy(task)
        spent.append((time.process_time() - start) * 1000)
    return spent[0], spent[1]


def _forked(measure: Callable[[], object]) -> object:
    """Return what *measure* returns in a fork of this process."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        # Whatever happens here must not run the parent's code.
        try:
            os.write(writer, json.dumps(measure()).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as told:
        text = told.read()
    os.waitpid(child, 0)
    return json.loads(text)


if __name__ == "__main__":
    main()
