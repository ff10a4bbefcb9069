"""Rules for what a DAG file does while Airflow reads it, which it does all day."""

import re
from collections.abc import Iterator

from onchain_agg.errors import did_you_mean
from onchain_agg.integrity.facts import DagFile, Reading
from onchain_agg.integrity.import_errors import message_of
from onchain_agg.integrity.rules.rule import Finding, Rule
from onchain_agg.integrity.source_lines import SourceLines

# The dag-processor reads every file about twice a minute and each task reads its own as it starts;
# a file of Airflow alone takes well under 0.1 s.
SECONDS = 1.0
HEAVY = frozenset(
    {
        *("ccxt", "eth_abi", "kubernetes", "web3"),
        *("dask", "duckdb", "numpy", "pandas", "polars", "pyarrow", "pyspark", "scipy"),
        *("matplotlib", "seaborn", "sklearn", "tensorflow", "torch", "transformers"),
    }
)
_KUBERNETES_CURE = (
    "Give the pod by @task.heavy(size=…) or a template in executor_config={'pod_template_file': "
    '…}. Where the file makes a V1Pod as it is read, write waive(DAG, "heavy-import", reason=…).'
)
_UNKNOWN_EXECUTOR = re.compile(
    r"UnknownExecutorException: Task '(?P<task>[^']*)' specifies executor '(?P<executor>[^']*)'"
)


def _import_error(rule: Rule, reading: Reading) -> Iterator[Finding]:
    for file in reading.files:
        for error in file.errors:
            if not _UNKNOWN_EXECUTOR.search(error):
                yield rule.in_file(file, _line_of(error, file), message_of(error))


def _line_of(error: str, file: DagFile) -> int:
    """Return the last line of *file* that the traceback in *error* goes through."""
    lines = re.findall(rf'File "{re.escape(str(file.path))}", line (\d+)', error)
    return int(lines[-1]) if lines else 1


def _unknown_executor(rule: Rule, reading: Reading) -> Iterator[Finding]:
    known = reading.deployment.executors
    for file in reading.files:
        for error in file.errors:
            if found := _UNKNOWN_EXECUTOR.search(error):
                names = [name for name in known if "." not in name]
                yield rule.in_file(
                    file,
                    SourceLines(file.path).of_name(found["task"]) or 1,
                    f"Task {found['task']!r} names the executor {found['executor']!r}, so Airflow "
                    f"does not import its DAG. {did_you_mean(found['executor'], names)}Configured: "
                    f"{', '.join(names)}.",
                )


def _parse_time(rule: Rule, reading: Reading) -> Iterator[Finding]:
    for file in reading.files:
        if file.seconds > SECONDS and not file.errors:
            text = f"Reading the file takes {file.seconds:.1f} s; the limit is {SECONDS:.0f} s."
            yield rule.in_file(file, 1, text)


def _heavy_import(rule: Rule, reading: Reading) -> Iterator[Finding]:
    for file in reading.files:
        heavy: dict[int, list[str]] = {}
        for load in file.loads:
            if load.what in HEAVY:
                heavy.setdefault(load.line, []).append(load.what)
        for line, names in heavy.items():
            cure = _KUBERNETES_CURE if names[0] == "kubernetes" else None
            yield rule.in_file(file, line, f"Reading the file imports {', '.join(names)}.", cure)


def _external_at_parse(rule: Rule, reading: Reading) -> Iterator[Finding]:
    for file in reading.files:
        for call in file.calls:
            yield rule.in_file(file, call.line, f"Reading the file {call.what}.")


def _duplicate_dag_id(rule: Rule, reading: Reading) -> Iterator[Finding]:
    first: dict[str, str] = {}
    for file in reading.files:
        for dag in file.dags:
            if dag.dag_id in first:
                where = f"{first[dag.dag_id]} has a DAG {dag.dag_id!r} already"
                yield rule.in_dag(dag, f"{where}, and Airflow keeps one of the two.")
            first.setdefault(dag.dag_id, file.name)


RULES = (
    Rule(
        id="import-error",
        statement="Airflow can import every file and each of its DAGs.",
        reason="A DAG that is not imported does not run, and only the UI's banner says so.",
        cure="Correct the file; `python FILE` shows the whole traceback.",
        find=_import_error,
        can_be_waived=False,
    ),
    Rule(
        id="unknown-executor",
        statement="A task's executor= is one of [core] executor.",
        reason="Airflow makes any other one an import error of the DAG.",
        cure="Correct executor=, drop it so that the queue decides, or add it to [core] executor.",
        find=_unknown_executor,
        can_be_waived=False,
    ),
    Rule(
        id="parse-time",
        statement=f"Reading a file takes no more than {SECONDS:.0f} s.",
        reason="It is read again and again, and once more by every task as it starts.",
        cure=(
            "Move imports and work into the tasks' functions. Where an operator of Airflow's takes "
            'as long to import, write waive(DAG, "parse-time", reason=…).'
        ),
        find=_parse_time,
        depends_on_machine=True,
    ),
    Rule(
        id="heavy-import",
        statement=(
            f"Reading a file imports none of {', '.join(sorted(HEAVY))}, save what Airflow's "
            "providers import for their operators."
        ),
        reason="Such an import takes up to seconds and much memory at each read of the file.",
        cure="Import it inside the function that uses it.",
        find=_heavy_import,
    ),
    Rule(
        id="external-at-parse",
        statement=(
            "Reading a file calls no network, database or program, and looks up no Variable or "
            "connection."
        ),
        reason="It would be called all day, and where it does not answer, the DAG is gone.",
        cure=(
            "Move the call into a task; give a Variable by a template, such as "
            "'{{ var.value.NAME }}'."
        ),
        find=_external_at_parse,
    ),
    Rule(
        id="duplicate-dag-id",
        statement="A DAG's id is used once in the folder.",
        reason="Airflow keeps one DAG of that id, by turns, and says nothing.",
        cure="Give one of them another dag_id.",
        find=_duplicate_dag_id,
    ),
)
