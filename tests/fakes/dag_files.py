"""DAG files that break rules as they are read, and what makes such files."""

HEAD = """\
from datetime import UTC, datetime, timedelta
from airflow.sdk import DAG, task
GOOD = {"owner": "team", "retries": 1, "execution_timeout": timedelta(minutes=5)}
HOURLY = {"schedule": "@hourly", "start_date": datetime(2026, 1, 1, tzinfo=UTC)}
"""


def dag(task: str, *, defaults: str = "GOOD", schedule: str = "**HOURLY") -> str:
    """Return a DAG of one task, whose decorator is on line 6."""
    return (
        f'with DAG("made", {schedule}, default_args={defaults}):\n'
        f"    @{task}\n    def run(n=1): ...\n    run()\n"
    )


def parse(*lines: str) -> str:
    """Return *lines*, the first of which is line 5, and a DAG."""
    return "\n".join([*lines, 'dag = DAG("made")', ""])


# File: its content below the head, and line, task, rule and text of what is found in it.
PARSING = {
    "raises_two_lines": (
        'raise ValueError("first\\n  second\\nthird")\n',
        [(5, None, "import-error", "ValueError: first second third")],
    ),
    "raises": (
        'raise RuntimeError("broken")\n',
        [(5, None, "import-error", "RuntimeError: broken")],
    ),
    "raises_several": (
        'raise ExceptionGroup("several", [ValueError("one"), ValueError("other")])\n',
        [(5, None, "import-error", "ValueError: other")],
    ),
    "argument": (
        dag("task.heavy(retires=3)"),
        [
            (
                8,
                None,
                "import-error",
                (
                    "TypeError: Invalid arguments were passed to HeavyOperator (task_id: run). "
                    "Invalid arguments were: **kwargs: {'retires': 3}"
                ),
            )
        ],
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
        dag('task(executor="KubernetsExecutor")'),
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
        dag('task.heavy(size="memroy")'),
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
        parse("import pyarrow"),
        [(5, None, "heavy-import", "Reading the file imports pyarrow, numpy.")],
    ),
    "heavy_of_airflow": (
        parse(
            "from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator",
            "from kubernetes.client import models",
        ),
        [],
    ),
    "heavy_of_airflow_after_its_own": (
        parse(
            "from kubernetes.client import models",
            "from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator",
        ),
        [],
    ),
    "heavy_kubernetes": (
        parse("from kubernetes.client import models"),
        [(5, None, "heavy-import", "Reading the file imports kubernetes.")],
    ),
    "heavy_inside": (parse("def load():", "    import pyarrow"), []),
    "heavy_and_missing": (
        parse("try:", "    import tensorflow", "except ImportError:", "    pass"),
        [],
    ),
    "program": (
        parse("import subprocess", 'subprocess.run(["true"])'),
        [(6, None, "external-at-parse", "Reading the file starts the program true.")],
    ),
    "network": (
        parse("import socket", 'socket.socket().connect_ex(("127.0.0.1", 9))'),
        [(6, None, "external-at-parse", "Reading the file connects to 127.0.0.1:9.")],
    ),
    "sqlite": (
        parse("import sqlite3", 'sqlite3.connect(":memory:")'),
        [(6, None, "external-at-parse", "Reading the file opens the database :memory:.")],
    ),
    "driver": (
        parse(
            "import psycopg",
            "try:",
            '    psycopg.connect("host=127.0.0.1 port=9 connect_timeout=1")',
            "except psycopg.Error:",
            "    pass",
        ),
        [(7, None, "external-at-parse", "Reading the file connects to a database by psycopg.")],
    ),
    "variable": (
        parse("from airflow.sdk import Variable", 'Variable.get("limit", default=1)'),
        [(6, None, "external-at-parse", "Reading the file looks up the Variable 'limit'.")],
    ),
    "connection": (
        parse(
            "from airflow.sdk import BaseHook",
            "try:",
            '    BaseHook.get_connection("node")',
            "except Exception:",
            "    pass",
        ),
        [(7, None, "external-at-parse", "Reading the file looks up the connection 'node'.")],
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
    "now_of_an_annotated_name": (
        (
            "START: datetime = datetime.now(UTC) - timedelta(days=1)\n"
            'dag = DAG("made", start_date=START)\n'
        ),
        [
            (
                6,
                None,
                "moving-start",
                "start_date comes from datetime.datetime.now(), which moves on.",
            )
        ],
    ),
    "now_of_a_named_expression": (
        (
            "print(START := datetime.now(UTC) - timedelta(days=1))\n"
            'ARGS = dict(end_date=START)\ndag = DAG("made", **ARGS)\n'
        ),
        [
            (
                6,
                None,
                "moving-start",
                "end_date comes from datetime.datetime.now(), which moves on.",
            )
        ],
    ),
    "now_of_an_argument": (
        (
            "def made(day, start=datetime.now(UTC) - timedelta(days=1), *, last=None):\n"
            '    return DAG("made", start_date=start, end_date=last)\ndag = made(1)\n'
        ),
        [
            (
                6,
                None,
                "moving-start",
                "start_date comes from datetime.datetime.now(), which moves on.",
            )
        ],
    ),
    "now_of_a_task": (
        dag("task(start_date=datetime.now(UTC) - timedelta(days=1))"),
        [
            (
                6,
                None,
                "moving-start",
                "start_date comes from datetime.datetime.now(), which moves on.",
            )
        ],
    ),
    "now_of_a_call_in_a_task": (
        (
            'with DAG("made", **HOURLY, default_args=GOOD):\n'
            "    @task\n    def run(client):\n"
            "        client.trades(end_date=datetime.now(UTC))\n"
            '        client.partial(start_date=datetime.now(UTC), schedule={"end_date": 1})\n'
            "    run(1)\n"
            "def load(client, start=1):\n"
            "    start = datetime.now(UTC)\n"
            "    client.trades(start_date=start, end_date=datetime.now(UTC))\n"
            'start = datetime(2026, 1, 1, tzinfo=UTC)\nDAG("made_too", start_date=start)\n'
        ),
        [],
    ),
    "now_inside_a_task": (parse("def load():", "    return datetime.now(UTC)"), []),
}
