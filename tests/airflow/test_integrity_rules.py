"""Each rule finds the file that breaks it, and says what and where."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from onchain_agg.integrity.checking import Report, check_folder
from onchain_agg.integrity.rules import all_rules
from tests.fakes.dag_files import HEAD, PARSING, parse
from tests.fakes.task_files import TASKS

pytestmark = pytest.mark.airflow

_CASES = {**PARSING, **TASKS}


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> Report:
    folder, templates = tmp_path_factory.mktemp("dags"), tmp_path_factory.mktemp("templates")
    for name, (text, _findings) in _CASES.items():
        (folder / f"{name}.py").write_text(HEAD + text.replace('"made"', f'"{name}"'))
    for name in ("first", "second"):
        (folder / f"{name}_of_two.py").write_text(HEAD + 'dag = DAG("two")\n')
    (folder / "slow.py").write_text(HEAD + parse("import time", "time.sleep(1.05)"))
    (templates / "job.yaml").write_text("kind: Job\n")
    for name in ("small.yaml", "on-demand.yaml"):
        (templates / name).write_text(Path("pod_templates", name).read_text())
    (folder / "slow_once.py").write_text(
        "import time\nfrom pathlib import Path\nfrom airflow.sdk import DAG\n"
        f'mark = Path("{templates}/was_read")\n'
        "if not mark.exists():\n    mark.touch()\n    time.sleep(1.05)\n"
        'dag = DAG("slow_once")\n'
    )
    with pytest.MonkeyPatch.context() as patch:
        # The policy would refuse a DAG with an unknown queue, and no rule could name the task.
        patch.setenv("ONCHAIN_AGG_STRICT_QUEUES", "True")
        patch.setenv("ONCHAIN_AGG_POD_TEMPLATES", "/t")
        # Another test may have had Airflow write its configuration.
        patch.setenv("AIRFLOW_HOME", str(tmp_path_factory.mktemp("home")))
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
            "[core] executor is not set here, so the folder was read for "
            "CeleryExecutor,KubernetesExecutor; set AIRFLOW__CORE__EXECUTOR to the deployment's."
        ),
        "/no_such/a.yaml was not looked at, as this machine does not have its folder.",
    )


@pytest.mark.parametrize(
    ("name", "cure"),
    [
        ("size_as_queue", "Write @task.heavy(size='memory') or **route('memory')."),
        ("sensor", "Set timeout= to what the sensor may wait."),
        ("heavy", "Import it inside the function that uses it."),
        (
            "heavy_kubernetes",
            (
                "Give the pod by @task.heavy(size=…) or a template in "
                "executor_config={'pod_template_file': …}. Where the file makes a V1Pod as it is "
                'read, write waive(DAG, "heavy-import", reason=…).'
            ),
        ),
        (
            "own_template_missing",
            "Correct the file, or name a size of workloads.yaml by @task.heavy(size=…).",
        ),
    ],
)
def test_a_finding_has_the_cure_of_its_own_kind(report, name, cure):
    (found,) = [
        one for one in report.findings if one.file == f"{name}.py" and one.rule != "parse-time"
    ]

    assert found.cure == cure


def test_a_task_of_the_kubernetes_queue_without_executor_is_found(report):
    rule = all_rules()["kubernetes-without-executor"]
    (good,) = [file for file in report.reading.files if file.name == "good.py"]
    unset = replace(good.dags[0], tasks=tuple(replace(t, executor=None) for t in good.tasks))

    found = list(rule.find(rule, replace(report.reading, files=(replace(good, dags=(unset,)),))))

    assert [one.text for one in found] == [
        "queue='kubernetes' stands for KubernetesExecutor, but the task has no executor."
    ]


_WAITS = "would wait in a Celery queue of that name, which no worker serves"


@pytest.mark.parametrize(
    ("executors", "wanted", "found"),
    [
        (
            {"CeleryKubernetesExecutor": "CeleryKubernetesExecutor"},
            "KubernetesExecutor",
            [
                (
                    "core-executor",
                    (
                        "[core] executor has CeleryKubernetesExecutor. Airflow 3 does not start "
                        "with it."
                    ),
                    "Write CeleryExecutor,KubernetesExecutor.",
                )
            ],
        ),
        (
            {"a.LocalKubernetesExecutor": "airflow.providers.a.LocalKubernetesExecutor"},
            "KubernetesExecutor",
            [
                (
                    "core-executor",
                    (
                        "[core] executor has LocalKubernetesExecutor. Airflow 3 does not start "
                        "with it."
                    ),
                    "Write LocalExecutor,KubernetesExecutor.",
                )
            ],
        ),
        (
            {"CeleryExecuter": "CeleryExecuter", "KubernetesExecutor": "a.KubernetesExecutor"},
            "KubernetesExecutor",
            [
                (
                    "core-executor",
                    (
                        "[core] executor has 'CeleryExecuter', which is no executor of Airflow. "
                        "Did you mean 'CeleryExecutor'?"
                    ),
                    "Correct [core] executor, or AIRFLOW__CORE__EXECUTOR.",
                )
            ],
        ),
        (
            {"CeleryExecutor": "a.CeleryExecutor", "KubernetesExecutor": "a.KubernetesExecutor"},
            "KubernetsExecutor",
            [
                (
                    "no-kubernetes-executor",
                    (
                        f"1 task with queue='kubernetes', such as good.run, {_WAITS}: [core] "
                        "executor does not have KubernetsExecutor. Did you mean "
                        "'KubernetesExecutor'?"
                    ),
                    all_rules()["no-kubernetes-executor"].cure,
                )
            ],
        ),
        (
            {"LocalExecutor": "a.LocalExecutor"},
            "KubernetesExecutor",
            [
                (
                    "no-kubernetes-executor",
                    (
                        "1 task with queue='kubernetes', such as good.run, would run on "
                        "LocalExecutor beside all others: [core] executor does not have "
                        "KubernetesExecutor."
                    ),
                    all_rules()["no-kubernetes-executor"].cure,
                )
            ],
        ),
        ({"own": "mine.CeleryKubernetesExecutor"}, "own", []),
    ],
)
def test_a_deployment_is_told_what_is_wrong_with_its_executors(report, executors, wanted, found):
    (good,) = [file for file in report.reading.files if file.name == "good.py"]
    bare = replace(good.dags[0], tasks=tuple(replace(t, executor=None) for t in good.tasks))
    deployment = replace(report.reading.deployment, executors=executors, kubernetes_executor=wanted)
    reading = replace(report.reading, files=(replace(good, dags=(bare,)),), deployment=deployment)

    told = [
        (one.rule, one.text, one.cure)
        for name in ("core-executor", "no-kubernetes-executor")
        for one in all_rules()[name].find(all_rules()[name], reading)
    ]

    assert told == found


@pytest.mark.parametrize(
    ("executor", "counts"), [("CeleryExecutor", 1), ("KubernetesExecutor", 0), ("LocalExecutor", 0)]
)
def test_a_queues_spot_nodes_count_where_its_workers_run_the_task(report, executor, counts):
    (file,) = [file for file in report.reading.files if file.name == "no_retries_on_celery.py"]
    executors = {executor: f"a.{executor}", "KubernetesExecutor": "a.KubernetesExecutor"}
    deployment = replace(report.reading.deployment, executors=executors)
    rule = all_rules()["no-retries-on-spot"]

    found = list(rule.find(rule, replace(report.reading, files=(file,), deployment=deployment)))

    assert len(found) == counts


def test_every_rule_has_a_file_that_breaks_it(report):
    # These depend on the deployment and on waivers, and have tests of their own.
    elsewhere = {"core-executor", "no-kubernetes-executor", "stale-waiver"}

    assert {one.rule for one in report.findings} == set(all_rules()) - elsewhere
