"""Each rule finds the file that breaks it, and says what and where."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from onchain_agg.integrity.checking import Report, check_folder
from onchain_agg.integrity.rules import all_rules

pytestmark = pytest.mark.airflow

_HEAD = """\
from datetime import UTC, datetime, timedelta
from airflow.sdk import DAG, task
GOOD = {"owner": "team", "retries": 1, "execution_timeout": timedelta(minutes=5)}
HOURLY = {"schedule": "@hourly", "start_date": datetime(2026, 1, 1, tzinfo=UTC)}
"""
_QUEUES = "default, ingest_worker, kubernetes, market_worker, nft_worker, whale_worker"


def _dag(task: str, *, defaults: str = "GOOD", schedule: str = "**HOURLY") -> str:
    """Return a DAG of one task, whose decorator is on line 6."""
    return (
        f'with DAG("made", {schedule}, default_args={defaults}):\n'
        f"    @{task}\n    def run(n=1): ...\n    run()\n"
    )


def _parse(*lines: str) -> str:
    """Return *lines*, the first of which is line 5, and a DAG."""
    return "\n".join([*lines, 'dag = DAG("made")', ""])


# File: its content below the head, and line, task, rule and text of what is found in it.
_CASES = {
    "raises_two_lines": (
        'raise ValueError("first\\n  second\\nthird")\n',
        [(5, None, "import-error", "ValueError: first")],
    ),
    "raises": (
        'raise RuntimeError("broken")\n',
        [(5, None, "import-error", "RuntimeError: broken")],
    ),
    "no_python": ("def :\n", [(5, None, "import-error", "SyntaxError: invalid syntax")]),
    "cannot_be_stored": (
        (
            "from airflow.timetables.simple import OnceTimetable\n"
            "class Own(OnceTimetable): ...\n"
            'dag = DAG("made", schedule=Own())\n'
        ),
        [
            (
                1,
                None,
                "import-error",
                (
                    "airflow.exceptions.SerializationError: Failed to serialize DAG "
                    "'cannot_be_stored': Timetable class 'MODULE.Own' is not registered or you "
                    "have a top level database access that disrupted the session. Please check "
                    "the airflow best practices documentation."
                ),
            )
        ],
    ),
    "executor": (
        _dag('task(executor="KubernetsExecutor")'),
        [
            (
                6,
                None,
                "unknown-executor",
                (
                    "Task 'run' names the executor 'KubernetsExecutor', so Airflow does not import "
                    "its DAG. Did you mean 'KubernetesExecutor'? Configured: CeleryExecutor, "
                    "KubernetesExecutor."
                ),
            )
        ],
    ),
    "size": (
        _dag('task.heavy(size="memroy")'),
        [
            (
                6,
                None,
                "import-error",
                (
                    "onchain_agg.errors.UnknownNameError: No size of pod is named 'memroy'. Did "
                    "you mean 'memory'? Defined: cpu, memory, on-demand, small."
                ),
            )
        ],
    ),
    "heavy": (
        _parse("import pyarrow"),
        [(5, None, "heavy-import", "Reading the file imports pyarrow, numpy.")],
    ),
    "heavy_inside": (_parse("def load():", "    import pyarrow"), []),
    "heavy_and_missing": (
        _parse("try:", "    import tensorflow", "except ImportError:", "    pass"),
        [],
    ),
    "program": (
        _parse("import subprocess", 'subprocess.run(["true"])'),
        [(6, None, "external-at-parse", "Reading the file starts the program true.")],
    ),
    "network": (
        _parse("import socket", 'socket.socket().connect_ex(("127.0.0.1", 9))'),
        [(6, None, "external-at-parse", "Reading the file connects to 127.0.0.1:9.")],
    ),
    "sqlite": (
        _parse("import sqlite3", 'sqlite3.connect(":memory:")'),
        [(6, None, "external-at-parse", "Reading the file opens the database :memory:.")],
    ),
    "driver": (
        _parse(
            "import psycopg",
            "try:",
            '    psycopg.connect("host=127.0.0.1 port=9 connect_timeout=1")',
            "except psycopg.Error:",
            "    pass",
        ),
        [(7, None, "external-at-parse", "Reading the file connects to a database by psycopg.")],
    ),
    "variable": (
        _parse("from airflow.sdk import Variable", 'Variable.get("limit", default=1)'),
        [(6, None, "external-at-parse", "Reading the file looks up the Variable 'limit'.")],
    ),
    "connection": (
        _parse(
            "from airflow.sdk import BaseHook",
            "try:",
            '    BaseHook.get_connection("node")',
            "except Exception:",
            "    pass",
        ),
        [(7, None, "external-at-parse", "Reading the file looks up the connection 'node'.")],
    ),
    "queue": (
        _dag('task(queue="nft_wroker")'),
        [
            (
                6,
                "run",
                "unknown-queue",
                f"No queue is named 'nft_wroker'. Did you mean 'nft_worker'? Defined: {_QUEUES}.",
            )
        ],
    ),
    "mapped_queue": (
        _dag('task(queue="gpu")').replace("run()", "run.expand(n=[1])"),
        [(6, "run", "unknown-queue", f"No queue is named 'gpu'. Defined: {_QUEUES}.")],
    ),
    "operator_queue": (
        (
            "from airflow.providers.standard.operators.bash import BashOperator\n"
            'with DAG("made", default_args=GOOD):\n'
            '    BashOperator(task_id="run", bash_command="true",\n'
            '                 queue="gpu")\n'
        ),
        [(7, "run", "unknown-queue", f"No queue is named 'gpu'. Defined: {_QUEUES}.")],
    ),
    "pool": (
        _dag('task(pool="heavyy")'),
        [
            (
                6,
                "run",
                "unknown-pool",
                "No pool is named 'heavyy'. Did you mean 'heavy'? Defined: default_pool, heavy.",
            )
        ],
    ),
    "other_executor": (
        _dag('task(queue="kubernetes", executor="CeleryExecutor")'),
        [
            (
                6,
                "run",
                "kubernetes-without-executor",
                (
                    "queue='kubernetes' stands for KubernetesExecutor, but the task has the "
                    "executor CeleryExecutor."
                ),
            )
        ],
    ),
    "template": (
        _dag('task(queue="kubernetes", executor_config={"pod_template_file": "/t/job.yaml"})'),
        [
            (
                6,
                "run",
                "pod-template",
                (
                    "TEMPLATES/job.yaml is not a Pod. Write `apiVersion: v1` and `kind: Pod`, and "
                    "the pod below them."
                ),
            )
        ],
    ),
    "often": (
        _dag('task(queue="kubernetes")', schedule='schedule="*/5 * * * *"'),
        [
            (
                6,
                "run",
                "short-interval-on-pod",
                "The task starts a pod every 0:05:00; the limit is 0:10:00.",
            )
        ],
    ),
    "often_on_celery": (_dag('task(queue="nft_worker")', schedule='schedule="* * * * *"'), []),
    "no_retries": (
        _dag('task(queue="kubernetes", retries=0)'),
        [
            (
                6,
                "run",
                "no-retries-on-spot",
                "The task has retries=0, but small.yaml is for spot nodes.",
            )
        ],
    ),
    "no_timeout": (
        _dag("task", defaults='{"owner": "team"}'),
        [(6, "run", "no-timeout", "The task has no execution_timeout.")],
    ),
    "sensor": (
        _dag("task.sensor"),
        [
            (
                6,
                "run",
                "no-timeout",
                "The sensor waits for 7 days, 0:00:00: timeout= is left at that.",
            )
        ],
    ),
    "sensor_with_timeout": (_dag("task.sensor(timeout=600)"), []),
    "no_owner": (
        _dag("task(execution_timeout=timedelta(1))", defaults="{}"),
        [(6, "run", "no-owner", "The task's owner is 'airflow', which is nobody.")],
    ),
    "empty": (
        (
            "from airflow.providers.standard.operators.empty import EmptyOperator\n"
            'with DAG("made"):\n    EmptyOperator(task_id="join", queue="gpu")\n'
        ),
        [],
    ),
    "now": (
        'dag = DAG("made", start_date=datetime.now(UTC))\n',
        [
            (
                5,
                None,
                "moving-start",
                "start_date comes from datetime.datetime.now(), which moves on.",
            )
        ],
    ),
    "by_way_of_a_name": (
        (
            "import pendulum as p\nSTART = p.today() - timedelta(days=1)\n"
            'dag = DAG("made", default_args={"start_date": START})\n'
        ),
        [(7, None, "moving-start", "start_date comes from pendulum.today(), which moves on.")],
    ),
    "hidden_now": (
        'clock = getattr(datetime, "now")\ndag = DAG("made", start_date=clock(UTC))\n',
        [(6, None, "moving-start", "start_date is the moment at which the file was read.")],
    ),
    "now_inside_a_task": (_parse("def load():", "    return datetime.now(UTC)"), []),
    "good": (_dag('task(queue="kubernetes")'), []),
}


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> Report:
    folder, templates = tmp_path_factory.mktemp("dags"), tmp_path_factory.mktemp("templates")
    for name, (text, _findings) in _CASES.items():
        (folder / f"{name}.py").write_text(_HEAD + text.replace('"made"', f'"{name}"'))
    for name in ("first", "second"):
        (folder / f"{name}_of_two.py").write_text(_HEAD + 'dag = DAG("two")\n')
    (folder / "slow.py").write_text(_HEAD + _parse("import time", "time.sleep(1.05)"))
    (templates / "job.yaml").write_text("kind: Job\n")
    (templates / "small.yaml").write_text(Path("pod_templates/small.yaml").read_text())
    (folder / "slow_once.py").write_text(
        "import time\nfrom pathlib import Path\nfrom airflow.sdk import DAG\n"
        f'mark = Path("{templates}/was_read")\n'
        "if not mark.exists():\n    mark.touch()\n    time.sleep(1.05)\n"
        'dag = DAG("slow_once")\n'
    )
    with pytest.MonkeyPatch.context() as patch:
        # The policy would refuse a DAG with an unknown queue, and no rule could name the task.
        patch.setenv("ONCHAIN_AGG_STRICT_QUEUES", "True")
        return check_folder(folder, pod_templates=templates)


@pytest.mark.parametrize("name", _CASES)
def test_a_file_is_found_to_break_what_it_breaks_and_nothing_else(report, name):
    templates = str(report.reading.pod_templates)
    found = [
        (
            one.line,
            one.task_id,
            one.rule,
            re.sub(r"unusual_prefix_\w+", "MODULE", one.text.replace(templates, "TEMPLATES")),
        )
        for one in report.findings
        # A busy machine may be slow at any file; its rule has a test of its own.
        if one.file == f"{name}.py" and one.rule != "parse-time"
    ]

    assert found == _CASES[name][1]


def test_a_dag_id_that_two_files_use_is_found(report):
    (found,) = [one for one in report.findings if one.rule == "duplicate-dag-id"]

    assert (found.file, found.line, found.dag_id, found.text) == (
        "second_of_two.py",
        5,
        "two",
        "first_of_two.py has a DAG 'two' already, and Airflow keeps one of the two.",
    )


def test_a_file_that_takes_over_a_second_is_found(report):
    (found,) = [one for one in report.findings if one.file == "slow.py"]

    assert (found.rule, found.line) == ("parse-time", 1)
    assert found.text.endswith("s; the limit is 1 s.")


def test_a_file_that_is_slow_once_is_read_again(report):
    assert [one for one in report.findings if one.file == "slow_once.py"] == []


def test_what_the_check_took_for_granted_is_told(report):
    assert report.notes == (
        (
            "[core] executor is Airflow's default here, so the folder was checked for "
            "CeleryExecutor,KubernetesExecutor; set AIRFLOW__CORE__EXECUTOR to the deployment's."
        ),
    )


def test_a_task_of_the_kubernetes_queue_without_executor_is_found(report):
    rule = all_rules()["kubernetes-without-executor"]
    (good,) = [file for file in report.reading.files if file.name == "good.py"]
    unset = replace(good.dags[0], tasks=tuple(replace(t, executor=None) for t in good.tasks))

    found = list(rule.find(rule, replace(report.reading, files=(replace(good, dags=(unset,)),))))

    assert [one.text for one in found] == [
        "queue='kubernetes' stands for KubernetesExecutor, but the task has no executor."
    ]


def test_every_rule_has_a_file_that_breaks_it(report):
    # These depend on the deployment and on waivers, and have tests of their own.
    elsewhere = {"no-kubernetes-executor", "stale-waiver"}

    assert {one.rule for one in report.findings} == set(all_rules()) - elsewhere
