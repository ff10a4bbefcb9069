"""A folder is read as Airflow reads it, each file apart, and nothing is left behind."""

import re
from datetime import timedelta
from pathlib import Path

import pytest
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

from onchain_agg.errors import ConfigError
from onchain_agg.integrity.checking import check_folder
from onchain_agg.integrity.describing import dag_facts
from onchain_agg.integrity.facts import DagFile, TaskFacts
from onchain_agg.integrity.reading import read, read_folder

pytestmark = pytest.mark.airflow

_FACTS = """\
from datetime import datetime, timedelta, UTC
from airflow.sdk import DAG, task

with DAG(
    "facts", schedule="0,20 * * * *", start_date=datetime(2026, 1, 1, tzinfo=UTC),
    default_args={"owner": "team"},
):
    @task(queue="kubernetes", retries=2, execution_timeout=timedelta(hours=1), pool="heavy",
          executor_config={"pod_template_file": "/t/memory.yaml"})
    def load(day): ...

    load.expand(day=[1, 2])
"""
_DAG = 'from airflow.sdk import DAG\ndag = DAG("{name}")\n'


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def files(tmp_path_factory, home) -> dict[str, DagFile]:
    """A folder that does all that a folder can do, read by its relative path."""
    folder = tmp_path_factory.mktemp("repository") / "dags"
    texts = {
        "facts.py": _FACTS,
        "a_shared.py": "NAME = 'from airflow dag folder'\n",
        "sub/uses_shared.py": "import a_shared\n" + _DAG.format(name="uses_shared"),
        "ignored/raises.py": "from airflow.sdk import DAG\nraise ValueError\n",
        ".airflowignore": "ignored/\n",
        "no_dag.txt": "airflow dag",
        "ends.py": _DAG.format(name="ends") + "import os\nos._exit(3)\n",
        "dies.py": _DAG.format(name="dies") + "import os\nos.kill(os.getpid(), 9)\n",
        "hangs.py": _DAG.format(name="hangs")
        + "import time\nwhile True:\n    try:\n        time.sleep(9)\n    except BaseException:\n"
        "        pass\n",
        "loops.py": _DAG.format(name="loops") + "while True: pass\n",
        "breaks.py": "import json\njson.loads = None\n" + _DAG.format(name="breaks"),
        "c_after_breaks.py": "import json\njson.loads('1')\n" + _DAG.format(name="after"),
        "sized.py": _DAG.replace("DAG\n", "DAG, task\n", 1).format(name="sized")
        + "with dag:\n    @task.heavy(size='memory')\n    def load(): ...\n    load()\n",
        "sized_and_broken.py": "from airflow.configuration import AIRFLOW_HOME\n"
        "raise ValueError(AIRFLOW_HOME)  # no dag\n",
        "unknown_class.py": _DAG.format(name="unknown_class")
        + "from onchain_agg.integrity import describing\nclass Own: ...\n"
        "describing.dag_facts = lambda *given: (Own(),)\n",
        "prints.py": "print('x' * 100_000)\n" + _DAG.format(name="prints"),
    }
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder.parent)
        patch.delenv("AIRFLOW_HOME")
        patch.setenv("HOME", str(home))
        patch.setenv("AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT", "0.5")
        return {file.name: file for file in read_folder(Path("dags"))}


def test_every_file_that_airflow_would_read_is_read(files):
    assert sorted(files) == [
        "a_shared.py",
        "breaks.py",
        "c_after_breaks.py",
        "dies.py",
        "ends.py",
        "facts.py",
        "hangs.py",
        "loops.py",
        "prints.py",
        "sized.py",
        "sized_and_broken.py",
        "sub/uses_shared.py",
        "unknown_class.py",
    ]


def test_a_mapped_task_is_read_with_what_the_policy_gave_it(files):
    (task,) = files["facts.py"].tasks

    assert task == TaskFacts(
        dag_id="facts",
        task_id="load",
        file="facts.py",
        line=8,
        operator="_PythonDecoratedOperator",
        queue="kubernetes",
        executor="KubernetesExecutor",
        pod_template="/t/memory.yaml",
        config_fault=None,
        pool="heavy",
        retries=2,
        owner="team",
        execution_timeout=timedelta(hours=1),
        sensor_timeout=None,
        reschedule_interval=None,
        is_mapped=True,
        is_empty=False,
    )


def test_the_interval_of_a_schedule_is_read_as_a_mean_over_a_day(files):
    (dag,) = files["facts.py"].dags

    assert (dag.line, dag.interval) == (4, timedelta(minutes=30))


def test_a_temporary_home_of_airflow_is_told_by_its_name(files):
    (task,) = files["sized.py"].tasks
    (error,) = files["sized_and_broken.py"].errors

    assert task.pod_template == "$AIRFLOW_HOME/pod_templates/memory.yaml"
    assert error.endswith("ValueError: $AIRFLOW_HOME\n")


def test_a_file_imports_its_neighbours(files):
    assert [dag.dag_id for dag in files["sub/uses_shared.py"].dags] == ["uses_shared"]
    assert files["sub/uses_shared.py"].errors == ()


def test_what_one_file_breaks_is_whole_for_the_next(files):
    assert [dag.dag_id for dag in files["c_after_breaks.py"].dags] == ["after"]


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("ends.py", "SystemExit: the file ended the process that read it, with exit code 3."),
        ("dies.py", "SystemExit: the file ended the process that read it, with signal 9."),
        (
            "hangs.py",
            "TimeoutError: the file was still being read when the time for it was over.",
        ),
    ],
)
def test_a_file_that_ends_or_hangs_is_an_error_of_that_file(files, name, error):
    assert files[name].errors == (error,)


def test_what_cannot_be_handed_on_is_an_error_of_that_file(files):
    (error,) = files["unknown_class.py"].errors

    assert re.sub(r"unusual_prefix_\w+", "MODULE", error) == (
        "ModuleNotFoundError: what was read of the file cannot be handed on: No module named "
        "'MODULE'"
    )


def test_a_file_that_loops_is_stopped_by_airflows_own_limit(files):
    (error,) = files["loops.py"].errors

    assert "AirflowTaskTimeout: DagBag import timeout for" in error


def test_reading_without_airflow_set_up_leaves_nothing_at_home(files, home):
    assert files
    assert list(home.iterdir()) == []


def test_a_folder_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(ConfigError) as raised:
        read_folder(tmp_path / "gone")

    assert str(raised.value) == (
        f"{tmp_path}/gone is not a folder. Name the folder of the DAG files."
    )


def test_a_folder_without_dags_is_an_error(tmp_path):
    with pytest.raises(ConfigError) as raised:
        read_folder(tmp_path)

    assert str(raised.value) == (
        f"{tmp_path} has no DAG. Name the folder of the DAG files, or see whether its "
        ".airflowignore leaves them all out."
    )


def test_a_wrong_table_of_workloads_is_an_error(tmp_path, monkeypatch):
    table = tmp_path / "workloads.yaml"
    table.write_text("poools: {}\n")
    monkeypatch.setenv("ONCHAIN_AGG_WORKLOADS_FILE", str(table))

    with pytest.raises(ConfigError, match=r"workloads.yaml, line 1: poools: there is no such"):
        read_folder(tmp_path)


def test_a_deployment_without_the_kubernetes_executor_is_found_once(tmp_path, monkeypatch):
    (tmp_path / "facts.py").write_text(_FACTS)
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "CeleryExecutor")

    report = check_folder(tmp_path)

    assert [(one.rule, one.file, one.text) for one in report.findings] == [
        (
            "no-kubernetes-executor",
            None,
            (
                "1 task with queue='kubernetes', such as facts.load, would wait in a Celery queue "
                "of that name, which no worker serves: [core] executor does not have "
                "KubernetesExecutor."
            ),
        )
    ]


@pytest.mark.parametrize("place", ["environment", "airflow.cfg"])
def test_an_executor_that_was_set_is_taken_though_it_is_airflows_default(
    tmp_path, monkeypatch, place
):
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "facts.py").write_text(_FACTS)
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    if place == "environment":
        monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "LocalExecutor")
    else:
        (tmp_path / "airflow.cfg").write_text("[core]\nexecutor = LocalExecutor\n")

    report = check_folder(tmp_path / "dags")

    assert report.reading.deployment.assumption is None
    assert [one.rule for one in report.findings] == ["no-kubernetes-executor"]


@pytest.mark.parametrize(
    ("wanted", "assumed"),
    [
        ("KubernetsExecutor", "CeleryExecutor,KubernetesExecutor"),
        ("own.pods.Executor", "CeleryExecutor,own.pods.Executor"),
    ],
)
def test_what_is_taken_for_an_executor_that_is_not_set_can_be_read(
    tmp_path, monkeypatch, wanted, assumed
):
    (tmp_path / "facts.py").write_text(_DAG.format(name="facts"))
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    monkeypatch.setenv("ONCHAIN_AGG_KUBERNETES_EXECUTOR", wanted)

    assert read(tmp_path).deployment.assumed_executors == assumed


def test_a_pod_override_that_is_a_pod_is_taken(tmp_path):
    from kubernetes.client.models.v1_pod import V1Pod

    with DAG("facts") as dag:
        BashOperator(task_id="load", bash_command="true", executor_config={"pod_override": V1Pod()})

    (facts,) = dag_facts([dag], tmp_path / "facts.py", "facts.py")

    assert facts.tasks[0].config_fault is None


def test_a_policy_that_is_not_at_work_is_found(tmp_path, monkeypatch):
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "airflow_local_settings.py").write_text(
        "from onchain_agg.routing import assignment\nassignment.assign = lambda task: None\n"
    )
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "facts.py").write_text(_FACTS)
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "CeleryExecutor,KubernetesExecutor")

    report = check_folder(tmp_path / "dags")

    assert [(one.rule, one.task_id, one.text) for one in report.findings] == [
        (
            "kubernetes-without-executor",
            "load",
            "queue='kubernetes' stands for KubernetesExecutor, but the task has no executor.",
        )
    ]


def test_a_laptop_may_run_the_kubernetes_queue_on_another_executor(tmp_path, monkeypatch):
    (tmp_path / "facts.py").write_text(_FACTS)
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "LocalExecutor")
    monkeypatch.setenv("ONCHAIN_AGG_KUBERNETES_EXECUTOR", "LocalExecutor")

    report = check_folder(tmp_path)

    assert report.findings == ()
