"""``onchain-agg check`` and ``pytest --dag-folder``, each in a repository with DAGs alone."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from onchain_agg.cli_check import check
from onchain_agg.cli_routing import routing
from onchain_agg.integrity.checking import Report, check_folder
from onchain_agg.integrity.facts import Waived
from onchain_agg.integrity.report import as_github, as_json, as_text, rules_page
from onchain_agg.integrity.rules import all_rules

pytestmark = pytest.mark.airflow

ROOT = Path(__file__).parents[2]
_BIN = Path(sys.executable).parent
_GOOD = """\
from datetime import timedelta
from airflow.sdk import DAG, task
GOOD = {"owner": "team", "retries": 1, "execution_timeout": timedelta(1)}
with DAG("{name}", default_args=GOOD):
    @task{queue}
    def run(): ...
    run()
"""
_CURE = "Correct queue=, or add it to the file in [onchain_agg] workloads_file."
_TEXT = (
    "No queue is named 'nft_wroker'. Did you mean 'nft_worker'? Defined: default, ingest_worker, "
    "kubernetes, market_worker, nft_worker, whale_worker."
)
_NOTE = (
    "[core] executor is not set here, so the folder was read for "
    "CeleryExecutor,KubernetesExecutor; set AIRFLOW__CORE__EXECUTOR to the deployment's."
)


@pytest.fixture(scope="module")
def repository(tmp_path_factory) -> Iterator[Path]:
    """A repository of DAGs, one of which names a queue wrongly, and one test of its own."""
    root = tmp_path_factory.mktemp("repository")
    for folder, name, queue in (
        ("dags", "good", ""),
        ("dags", "bad", '(queue="nft_wroker")'),
    ):
        (root / folder).mkdir(exist_ok=True)
        text = _GOOD.replace("{name}", name).replace("{queue}", queue)
        (root / folder / f"{name}.py").write_text(text)
    (root / "tests").mkdir()
    (root / "tests" / "test_own.py").write_text("def test_own(): pass\n")
    with pytest.MonkeyPatch.context() as patch:
        # Another test may have had Airflow write its configuration.
        patch.setenv("AIRFLOW_HOME", str(tmp_path_factory.mktemp("home")))
        yield root


def _run(repository: Path, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [_BIN / program, *arguments], cwd=repository, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def report(repository) -> Report:
    return check_folder(repository / "dags")


def test_findings_are_printed_by_file_with_their_cures(report, repository, monkeypatch):
    monkeypatch.chdir(repository)

    assert as_text(replace(report, seconds=2.04)).splitlines() == [
        "dags/bad.py",
        f"  line 5  bad.run: [unknown-queue] {_TEXT}",
        f"      {_CURE}",
        "",
        f"Note: {_NOTE}",
        "1 finding in 2 files, 2 DAGs, 2 tasks (2.0 s).",
    ]


def test_findings_are_printed_as_json(report, repository, monkeypatch):
    monkeypatch.chdir(repository)

    assert json.loads(as_json(replace(report, seconds=2.04))) == {
        "findings": [
            {
                "rule": "unknown-queue",
                "file": "dags/bad.py",
                "line": 5,
                "dag_id": "bad",
                "task_id": "run",
                "text": _TEXT,
                "cure": _CURE,
            }
        ],
        "waived": [],
        "notes": [_NOTE],
        "files": 2,
        "dags": 2,
        "tasks": 2,
        "seconds": 2.04,
    }


def test_every_report_repeats_the_reason_of_a_waiver(report, repository, monkeypatch):
    monkeypatch.chdir(repository)
    (finding,) = report.findings
    waiver = Waived(
        dag_id="bad", task_id="run", rule="unknown-queue", reason="a queue of ours", line=7
    )
    waived = replace(report, findings=(), waived=((finding, waiver),))

    (told,) = json.loads(as_json(waived))["waived"]
    assert (told["file"], told["rule"], told["waiver"]) == (
        "dags/bad.py",
        "unknown-queue",
        "a queue of ours",
    )
    assert as_text(replace(waived, seconds=2.04)).splitlines() == [
        f"Waived: dags/bad.py line 5  bad.run: [unknown-queue] {_TEXT} Reason: a queue of ours",
        f"Note: {_NOTE}",
        "0 findings, 1 waived in 2 files, 2 DAGs, 2 tasks (2.0 s).",
    ]
    assert as_github(waived).splitlines()[0] == (
        "::notice file=dags/bad.py,line=5,title=unknown-queue"
        f"::bad.run: {_TEXT} Waived: a queue of ours"
    )


def test_a_finding_of_the_deployment_has_no_line(report, repository, monkeypatch):
    monkeypatch.chdir(repository)
    rule = all_rules()["core-executor"]
    finding = rule.in_deployment("Of no file.")

    told = replace(report, findings=(finding,))

    assert as_text(told).splitlines()[:3] == [
        "dags",
        "  [core-executor] Of no file.",
        f"      {rule.cure}",
    ]
    assert as_github(told).splitlines()[0] == (
        f"::error title=core-executor::Of no file. {rule.cure}"
    )


def test_an_annotation_escapes_what_github_reads_as_its_own(report, repository, monkeypatch):
    monkeypatch.chdir(repository)
    (finding,) = report.findings
    odd = replace(finding, file="a,b:c.py", text="100 %\nof it")

    first = as_github(replace(report, findings=(odd,))).splitlines()[0]

    assert first == (
        "::error file=dags/a%2Cb%3Ac.py,line=5,title=unknown-queue"
        f"::bad.run: 100 %25%0Aof it {_CURE}"
    )


def test_the_command_prints_githubs_annotations_and_ends_with_1(repository):
    done = _run(repository, "onchain-agg", "check", "dags", "--format", "github")

    assert done.stdout.splitlines() == [
        f"::error file=dags/bad.py,line=5,title=unknown-queue::bad.run: {_TEXT} {_CURE}",
        f"::notice ::{_NOTE}",
    ]
    assert done.returncode == 1


def test_a_folder_that_breaks_only_ignored_rules_ends_with_0(repository):
    done = _run(repository, "onchain-agg", "check", "dags", "--ignore", "unknown-queue")

    assert done.stdout.splitlines()[-1].startswith("0 findings in 2 files, 2 DAGs, 2 tasks (")
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["gone"], "Error: gone is not a folder. Name the folder of the DAG files.\n"),
        ([], "Error: No folder is named. Name the folder of the DAG files.\n"),
        (
            ["dags", "--pod-templates", "gone"],
            "Error: gone is not a folder. Name that of the pod templates.\n",
        ),
        (
            ["dags", "--rule", "unknown-qeue"],
            (
                "Error: No rule is named 'unknown-qeue'. Did you mean 'unknown-queue'? Defined: "
                f"{', '.join(sorted(all_rules()))}.\n"
            ),
        ),
    ],
)
def test_what_cannot_be_checked_ends_with_2(repository, monkeypatch, arguments, message):
    monkeypatch.chdir(repository)

    done = CliRunner().invoke(check, arguments)

    assert (done.exit_code, done.output) == (2, message)


def test_pytest_fails_the_file_that_breaks_a_rule_and_runs_the_other_tests(repository):
    done = _run(repository, "pytest", "--dag-folder", "dags", "-v", "-p", "no:cacheprovider")

    lines = [" ".join(line.split()[:2]) for line in done.stdout.splitlines()]
    assert {
        "tests/test_own.py::test_own PASSED",
        "dags::integrity PASSED",
        "dags/good.py::integrity PASSED",
        "dags/bad.py::integrity FAILED",
    } <= set(lines)
    assert f"line 5  bad.run: [unknown-queue] {_TEXT}\n    {_CURE}\n" in done.stdout
    assert f"Note: {_NOTE}\n" in done.stdout
    assert "collected 4 items\n" in done.stdout
    assert done.returncode == 1


def test_routing_show_tells_the_executors_that_it_took(repository, monkeypatch):
    monkeypatch.chdir(repository)

    done = CliRunner().invoke(routing, ["show", "dags"])

    assert done.stderr == f"Note: {_NOTE}\n"
    assert done.exit_code == 0


def test_routing_show_tells_all_lines_of_an_import_error(tmp_path, monkeypatch):
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "CeleryExecutor,KubernetesExecutor")
    (tmp_path / "bad.py").write_text(
        "from airflow.sdk import DAG, task\n"
        'with DAG("bad"):\n    task.heavy(retires=3)(lambda: 1).override(task_id="run")()\n'
    )

    done = CliRunner().invoke(routing, ["show", str(tmp_path)])

    assert done.stderr == (
        "Error: bad.py cannot be imported: TypeError: Invalid arguments were passed to "
        "HeavyOperator (task_id: run). Invalid arguments were: **kwargs: {'retires': 3}\n"
    )
    assert done.exit_code == 1


def test_pytest_chooses_among_dag_files_by_name(repository):
    done = _run(
        repository, "pytest", "--dag-folder", "dags", "-k", "good", "-p", "no:cacheprovider"
    )

    assert "1 passed, 3 deselected" in done.stdout
    assert done.returncode == 0


def test_pytest_without_a_folder_to_check_says_so(repository):
    done = _run(repository, "pytest", "--dag-folder", "gone", "-p", "no:cacheprovider")

    assert f"ERROR: {repository}/gone is not a folder. Name the folder of the DAG files.\n" in (
        done.stderr
    )
    assert done.returncode == 4


def test_pytest_without_the_option_runs_what_it_always_ran(repository):
    done = _run(repository, "pytest", "-p", "no:cacheprovider")

    assert "1 passed" in done.stdout
    assert "DAG integrity" not in done.stdout


def test_the_plugin_loads_neither_airflow_nor_the_rules():
    code = (
        "import sys, onchain_agg.integrity.pytest_plugin; print(sorted(name for name in sys.modules"
        " if name.split('.')[0] in {'airflow', 'yaml', 'pydantic', 'sqlalchemy'}"
        " or name.startswith('onchain_agg.integrity.rules')))"
    )

    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout

    assert printed == "[]\n"


def test_the_projects_own_dags_keep_the_rules():
    done = _run(ROOT, "onchain-agg", "check", "dags", "--pod-templates", "pod_templates")

    assert done.stdout.splitlines()[-1].startswith("0 findings in ")


def test_the_reference_page_is_what_the_rules_say():
    page = ROOT / "docs" / "reference" / "integrity-rules.md"

    assert page.read_text() == rules_page(), "onchain-agg check --rules writes it"
