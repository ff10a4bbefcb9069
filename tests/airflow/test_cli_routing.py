"""``onchain-agg routing`` as a person runs it; for a real Airflow's history see `deployed`."""

import configparser
import textwrap

import pytest
from airflow.cli.commands import pool_command
from click.testing import CliRunner
from sqlalchemy import create_engine, text

from onchain_agg.cli import main
from onchain_agg.routing.recommended import recommended_settings
from onchain_agg.routing.workload_file import PACKAGED, configured_workloads, load_workloads
from tests.fakes.routing_command import as_json, output, refused

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(240)]

TABLE = load_workloads(PACKAGED)
_PODS = "KubernetesExecutor"
_BOTH = (
    "A move trades pods for slots, so it takes both prices. Give both --slot-hour and --pod-hour, "
    "or none."
)


def test_a_period_without_runs_is_told(tmp_path, monkeypatch):
    file = tmp_path / "airflow.db"
    engine = create_engine(f"sqlite:///{file}")
    names = "dag_id task_id queue executor operator state queued_dttm start_date end_date"
    with engine.begin() as connection:
        connection.execute(text(f"CREATE TABLE task_instance ({', '.join(names.split())})"))
    engine.dispose()
    # What a person who names no database means.
    monkeypatch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", f"sqlite:///{file}")

    assert refused("advise", "--days", "3", code=2) == (
        "Error: No task ended in the last 3 days that waited for a worker or pod. Ask for more "
        "--days, or of another deployment with --database or --api.\n"
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--database", "sqlite:///x", "--api", "http://x"],
            "--database and --api are two places to read. Name one of them.",
        ),
        (["--pod-hour", "0.1"], _BOTH),
        (["--slot-hour", "0.1"], _BOTH),
    ],
)
def test_options_that_do_not_go_together_are_refused(options, message):
    assert refused("advise", *options, code=2) == f"Error: {message}\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Return a folder with a DAG of a light and a heavy task, read for Celery and pods."""
    (tmp_path / "whales.py").write_text(
        textwrap.dedent(
            """
            from airflow.sdk import DAG, task

            with DAG("whales"):
                task(queue="nft_worker")(lambda: 1).override(task_id="light")()
                task(queue="kubernetes")(lambda: 1).override(task_id="heavy")()
            """
        )
    )
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "CeleryExecutor,KubernetesExecutor")
    monkeypatch.setenv("ONCHAIN_AGG_POD_TEMPLATES", "/templates")
    return tmp_path


def test_each_task_of_a_folder_is_shown_where_it_runs(folder):
    assert as_json("show", str(folder)) == [
        {
            "dag_id": "whales",
            "task_id": "light",
            "queue": "nft_worker",
            "executor": None,
            "pod_template": None,
            "pool": "default_pool",
        },
        {
            "dag_id": "whales",
            "task_id": "heavy",
            "queue": "kubernetes",
            "executor": "KubernetesExecutor",
            "pod_template": "/templates/small.yaml",
            "pool": "default_pool",
        },
    ]


def test_what_could_not_be_imported_is_told_after_the_rest(folder):
    (folder / "broken.py").write_text("from airflow.sdk import DAG, nothing_of_that_name\n")

    result = CliRunner().invoke(main, ["routing", "show", str(folder)])

    assert result.exit_code == 1
    assert [line.split() for line in result.stdout.splitlines()] == [
        ["DAG", "TASK", "QUEUE", "EXECUTOR", "TEMPLATE", "POOL"],
        ["whales", "light", "nft_worker", "default", "-", "default_pool"],
        ["whales", "heavy", "kubernetes", _PODS, "/templates/small.yaml", "default_pool"],
    ]
    assert result.stderr.startswith("Error: broken.py cannot be imported: ")
    assert "nothing_of_that_name" in result.stderr


def test_a_folder_that_is_missing_is_told(tmp_path):
    told = refused("show", str(tmp_path / "dags"), code=2)

    assert told == (
        f"Error: {tmp_path / 'dags'} is not a folder. Name the folder of the DAG files.\n"
    )


def test_the_table_that_is_shown_is_the_deployments(tmp_path, monkeypatch):
    own = tmp_path / "workloads.yaml"
    own.write_text("workloads: {nft_worker: {retries: 9}}\n")
    monkeypatch.setenv("ONCHAIN_AGG_WORKLOADS_FILE", str(own))
    configured_workloads.cache_clear()
    try:
        shown = {one["name"]: one for one in as_json("show")}
        (line,) = [line for line in output("show").splitlines() if line.startswith("nft_worker")]
    finally:
        configured_workloads.cache_clear()

    assert list(shown) == [*TABLE.queues, *TABLE.sizes]
    assert (shown["nft_worker"]["retries"], shown["whale_worker"]["retries"]) == (9, 3)
    assert line.split()[:7] == [
        *("nft_worker", "celery", "default_pool", "1", "0:30:00", "9", "workers")
    ]


def test_airflow_imports_the_pools_as_they_are_printed(tmp_path, monkeypatch):
    made = []

    class Client:
        def create_pool(self, **pool):
            made.append(pool)
            return pool

    monkeypatch.setattr(pool_command, "get_current_api_client", Client)
    file = tmp_path / "pools.json"
    file.write_text(output("pools"))

    imported, failed = pool_command.pool_import_helper(str(file))

    assert (len(imported), failed) == (1, [])
    assert made == [
        {
            "name": "heavy",
            "slots": 16,
            "description": TABLE.pools["heavy"].description,
            "include_deferred": False,
            "team_name": None,
        }
    ]


def test_templates_are_written_and_then_have_not_drifted(tmp_path):
    folder = tmp_path / "pod_templates"
    files = [folder / size.pod_template for size in TABLE.sizes.values()]

    printed = output("templates", str(folder))

    assert printed.splitlines() == [f"Wrote {file}." for file in files]
    assert all(file.is_file() for file in files)
    assert output("templates", str(folder), "--check") == (f"{folder} is what the table makes.\n")


def test_a_template_that_drifted_fails_the_check(tmp_path):
    output("templates", str(tmp_path))
    small = tmp_path / "small.yaml"
    small.write_text("kind: Pod\n")

    told = refused("templates", str(tmp_path), "--check", code=1)

    assert told == (
        f"{small} is not what the table of sizes makes. Run `onchain-agg routing templates "
        f"{tmp_path}`.\n"
    )
    assert small.read_text() == "kind: Pod\n"


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    file = tmp_path / "taken"
    file.write_text("")

    assert refused("templates", str(file), code=2) == (
        f"Error: {file} cannot be written: [Errno 17] File exists: '{file}'. Name another folder.\n"
    )


def test_the_command_of_a_queues_worker_can_be_pasted():
    assert output("worker", "nft_worker") == (
        "# Stop its pod with SIGQUIT (preStop or stopSignal): tasks have 60 s to end, then they "
        "are\n# interrupted. On SIGTERM it waits for them without a limit, and the end of the "
        "grace kills them.\n"
        "airflow celery worker --queues nft_worker --concurrency 8 --celery-hostname "
        "nft_worker@%h --without-mingle --without-gossip\n"
    )


@pytest.mark.parametrize(
    ("name", "message"),
    [
        pytest.param(
            "memory",
            "'memory' is a size of pod: each task gets a pod of its own, and no worker serves it. "
            "Name one of default, ingest_worker, whale_worker, nft_worker, market_worker.",
            id="a size of pod",
        ),
        pytest.param(
            "kubernetes",
            "'kubernetes' is the queue of pods: each task gets a pod of its own, and no worker "
            "serves it. Name one of default, ingest_worker, whale_worker, nft_worker, "
            "market_worker.",
            id="the queue of pods",
        ),
        pytest.param(
            "nft-worker",
            "No queue is named 'nft-worker'. Did you mean 'nft_worker'? Defined: default, "
            "ingest_worker, kubernetes, market_worker, nft_worker, whale_worker.",
            id="a name that is misspelt",
        ),
    ],
)
def test_what_has_no_worker_is_told(name, message):
    assert refused("worker", name, code=2) == f"Error: {message}\n"


_WHERE = "# Run where the scheduler runs, in its image: the paths are those of this machine."


def test_settings_are_variables_with_their_reasons(monkeypatch):
    monkeypatch.setenv("ONCHAIN_AGG_POD_TEMPLATES", "/templates")
    told = recommended_settings(TABLE)

    lines = output("settings").splitlines()

    assert lines == [
        _WHERE,
        *(line for one in told for line in (f"# {one.reason}", f"{one.variable}={one.value}")),
    ]
    assert "AIRFLOW__ONCHAIN_AGG__POD_TEMPLATES=/templates" in lines


def test_settings_are_a_file_that_airflow_can_read():
    file = configparser.ConfigParser()

    printed = output("settings", "--format", "cfg")
    file.read_string(printed)

    told = {(one.section, one.option): one.value for one in recommended_settings(TABLE)}
    assert told == {(section, key): file[section][key] for section, key in told}
    assert sum(len(file[section]) for section in file.sections()) == len(told)
    assert printed.splitlines()[0] == _WHERE
