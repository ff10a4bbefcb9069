"""``onchain_agg.taskflow``: Airflow's ``task``, and what an editor is told of it."""

import ast
import inspect
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import BaseOperator, task
from mypy import api as mypy

from onchain_agg import taskflow
from onchain_agg.routing.placement import route
from onchain_agg.routing.workload_file import PACKAGED, load_workloads
from onchain_agg.routing.workloads import QueueName, SizeName

pytestmark = pytest.mark.airflow

ROOT = Path(__file__).parents[2]
STUB = ROOT / "src" / "onchain_agg" / "taskflow.pyi"


def test_taskflow_is_airflows_own_task():
    assert taskflow.task is task


def _stub_names(name):
    """Return the fields of a class of the stub."""
    for node in ast.parse(STUB.read_text()).body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            return {f.target.id for f in node.body if isinstance(f, ast.AnnAssign)}
    raise AssertionError(name)


def test_the_stub_has_the_arguments_of_airflow():
    operator = set(inspect.signature(BaseOperator.__init__).parameters) - {"self", "kwargs"}
    function = set(inspect.signature(PythonOperator.__init__).parameters)
    function -= {"self", "kwargs", "python_callable", "op_args", "op_kwargs"}

    assert _stub_names("_Arguments") | {"queue"} == operator | function


def test_an_editor_offers_the_names_of_the_table():
    table = load_workloads(PACKAGED)

    assert get_args(QueueName) == tuple(table.queues)
    assert get_args(SizeName) == tuple(table.sizes)
    assert set(get_args(get_type_hints(route)["name"])) == {QueueName, SizeName, str}
    stub = STUB.read_text()
    assert "*, queue: QueueName | str = ...," in stub
    assert "*, size: SizeName | str = ...," in stub


GOOD = """
from datetime import timedelta
from onchain_agg.taskflow import task

@task.light
def a(x: int) -> int:
    return x

@task.light(queue="nft_worker", retries=5)
def b(x: int) -> int:
    return x

@task.heavy(size="memory", execution_timeout=timedelta(hours=1))
def c() -> None: ...

@task.heavy(size="a_size_of_our_own")
def d() -> None: ...

@task.sensor(mode="reschedule")
def e() -> bool:
    return True

@task(queue="nft_worker")
def f() -> None: ...

a(1)
b.override(queue="whale_worker").expand(x=[1])
"""
BAD = """
from onchain_agg.taskflow import task

task.heavy(size=3)
task.light(qeue="x")
task.light(size="memory")
task.heavy(queue="nft_worker")
task.light(retries="3")

@task.light
def a(x: int) -> None: ...
a("x")
"""


def test_a_type_checker_knows_the_decorators(tmp_path, monkeypatch):
    for name, code in {"good": GOOD, "bad": BAD}.items():
        (tmp_path / f"{name}.py").write_text(code)
    # With the project's own options, so that the cache of `make types` does.
    monkeypatch.chdir(ROOT)

    told, crash, _ = mypy.run([str(tmp_path / "good.py"), str(tmp_path / "bad.py"), "--no-pretty"])

    assert crash == ""
    errors = [
        line.partition("/bad.py:")[2].partition(":")[0]
        for line in told.splitlines()
        if ": error: " in line
    ]
    assert "good.py" not in told
    assert errors == ["4", "5", "6", "7", "8", "12"], told
