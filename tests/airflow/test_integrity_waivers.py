"""A rule is set aside for one task or DAG, with a reason; never by mistake."""

import pytest
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG, task

from onchain_agg.errors import ConfigError, UnknownNameError
from onchain_agg.integrity import waive
from onchain_agg.integrity.checking import Report, check_folder
from onchain_agg.integrity.rules import waivable_rules

pytestmark = pytest.mark.airflow

_WAIVED = """\
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG, task
from onchain_agg.integrity import waive

with DAG("whole", default_args={"owner": "team", "retries": 1}) as whole:
    BashOperator(task_id="one", bash_command="true")
    BashOperator(task_id="two", bash_command="true")
    waive(whole, "no-timeout", reason="the DAG has a deadline")

with DAG("parts", default_args={"owner": "team", "retries": 1}) as parts:
    @task
    def flow(n=1): ...
    waive(flow(), "no-timeout", reason="a TaskFlow call")
    waive(flow.override(task_id="mapped").expand(n=[1]), "no-timeout", reason="a mapped one")
    waive(BashOperator(task_id="classic", bash_command="true"), "no-timeout", reason="an operator")
    waive(BashOperator.partial(task_id="many").expand(bash_command=["true"]),
          "no-timeout", reason="a mapped operator")
    BashOperator(task_id="bare", bash_command="true")
"""
_OF_A_FILE = """\
import pyarrow
from airflow.sdk import DAG
from onchain_agg.integrity import waive

dag = waive(DAG("schema"), "heavy-import", reason="its tasks are made of a schema")
"""
_STALE = """\
from datetime import timedelta
from airflow.sdk import DAG, task
from onchain_agg.integrity import waive

with DAG("kept", default_args={"owner": "team", "retries": 1}) as dag:
    @task(execution_timeout=timedelta(1))
    def flow(): ...
    waive(flow(), "no-timeout", reason="it had none once")
    waive(dag, "parse-time", reason="needed on slow machines alone")
"""
_BROKEN = """\
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG
from onchain_agg.integrity import waive

with DAG("broken", default_args={"owner": "team"}):
    waive(BashOperator(task_id="run", bash_command="true"), "no-timeout", reason="it ends")
raise ValueError("of another kind")
"""


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> Report:
    folder = tmp_path_factory.mktemp("dags")
    (folder / "waived.py").write_text(_WAIVED)
    (folder / "of_a_file.py").write_text(_OF_A_FILE)
    (folder / "stale.py").write_text(_STALE)
    (folder / "broken.py").write_text(_BROKEN)
    return check_folder(folder, ignore=["parse-time"])


def test_tasks_of_all_kinds_and_whole_dags_can_be_waived(report):
    waived = {
        (one.dag_id, one.task_id): waiver.reason
        for one, waiver in report.waived
        if one.rule == "no-timeout"
    }

    assert waived == {
        ("whole", "one"): "the DAG has a deadline",
        ("whole", "two"): "the DAG has a deadline",
        ("parts", "flow"): "a TaskFlow call",
        ("parts", "mapped"): "a mapped one",
        ("parts", "classic"): "an operator",
        ("parts", "many"): "a mapped operator",
    }


def test_a_task_beside_a_waived_one_is_still_found(report):
    found = [(one.task_id, one.rule) for one in report.findings if one.file == "waived.py"]

    assert found == [("bare", "no-timeout")]


def test_a_dag_waives_what_its_file_does_while_it_is_read(report):
    waived = [(one.line, one.text) for one, _ in report.waived if one.file == "of_a_file.py"]

    assert waived == [(1, "Reading the file imports pyarrow, numpy.")]


def test_a_waiver_that_waives_nothing_is_found_unless_the_machine_decides(report):
    found = [
        (one.line, one.task_id, one.rule, one.text)
        for one in report.findings
        if one.file == "stale.py"
    ]

    assert found == [
        (
            8,
            "flow",
            "stale-waiver",
            "The waiver of no-timeout sets nothing aside: the rule is kept here.",
        )
    ]


def test_waivers_of_a_file_that_was_not_imported_are_not_stale(report):
    found = [(one.rule, one.text) for one in report.findings if one.file == "broken.py"]

    assert found == [("import-error", "ValueError: of another kind")]


def test_a_waiver_returns_what_it_was_given():
    with DAG("made"):
        given = BashOperator(task_id="run", bash_command="true")

    assert waive(given, "no-timeout", reason="it ends") is given


def test_an_unknown_rule_is_an_error_that_offers_the_nearest():
    with pytest.raises(UnknownNameError) as raised:
        waive(DAG("made"), "no-timeuot", reason="it ends")

    assert str(raised.value) == (
        "No rule that can be waived is named 'no-timeuot'. Did you mean 'no-timeout'? Defined: "
        f"{', '.join(sorted(waivable_rules()))}."
    )


def test_an_import_error_cannot_be_waived():
    with pytest.raises(
        UnknownNameError, match="No rule that can be waived is named 'import-error'"
    ):
        waive(DAG("made"), "import-error", reason="it is broken")


def test_a_waiver_without_reason_is_an_error():
    with pytest.raises(ConfigError) as raised:
        waive(DAG("made"), "no-timeout", reason=" ")

    assert str(raised.value) == (
        "The waiver of 'no-timeout' has no reason. Write why the rule is set aside."
    )


def test_a_function_that_was_not_called_cannot_be_waived():
    @task
    def flow(): ...

    with pytest.raises(ConfigError) as raised:
        waive(flow, "no-timeout", reason="it ends")

    assert str(raised.value).endswith(
        "cannot have waivers. Pass an operator, what a TaskFlow function returned when it was "
        "called, or a DAG."
    )
