"""``onchain-agg routing`` as a person runs it; the advice from a real Airflow's history."""

import configparser
import json
import textwrap
from datetime import UTC, datetime, timedelta

import pytest
from airflow.cli.commands import pool_command
from click.testing import CliRunner
from sqlalchemy import create_engine, text

from onchain_agg.cli import main
from onchain_agg.routing.history_api import Server, read_api
from onchain_agg.routing.history_database import read_database
from onchain_agg.routing.recommended import recommended_settings
from onchain_agg.routing.workload_file import PACKAGED, configured_workloads, load_workloads

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(240)]

TABLE = load_workloads(PACKAGED)
_PODS = "KubernetesExecutor"
_BOTH = (
    "A move trades pods for slots, so it takes both prices. Give both --slot-hour and --pod-hour, "
    "or none."
)
# What the real tasks of the deployment do not do: name, operator, queue, executor, state,
# instances, seconds in the queue (below 0: queued again after its start) and at work.
_MADE_UP = (
    ("short_in_pod", "_PythonDecoratedOperator", "kubernetes", _PODS, "success", 110, 40, 4),
    ("short_in_pod", "_PythonDecoratedOperator", "kubernetes", _PODS, "failed", 5, 50, 1),
    ("long_on_worker", "BashOperator", "whale_worker", None, "success", 30, 1, 3600),
    ("chosen", "BashOperator", "nft_worker", _PODS, "success", 30, 30, 3600),
    ("stray", "BashOperator", "kubernetes", None, "success", 30, 1, 3600),
    ("waits", "DecoratedSensorOperator", "default", None, "success", 30, 1, 3600),
    ("deferred", "BashOperator", "default", None, "success", 30, -5, 3600),
    ("skipped", "BashOperator", "default", None, "skipped", 30, 1, 1),
)


@pytest.fixture(scope="module")
def worked(deployment):
    """Yield the addresses of an Airflow and of its metadata, which hold runs of every kind."""
    deployment.run("sweep")
    deployment.settle()
    url = deployment.engine.url.set(database="airflow").render_as_string(hide_password=False)
    engine = create_engine(url)
    with engine.begin() as connection:
        for number, made_up in enumerate(_MADE_UP):
            names = ("task_id", "operator", "queue", "executor", "state", "count", "wait", "ran")
            values = dict(zip(names, made_up, strict=True))
            connection.execute(_INSERT, {**values, "first": 1000 * number})
    yield deployment.url, url
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM task_instance WHERE unixname = 'made up'"))
    engine.dispose()


_INSERT = text(
    "INSERT INTO task_instance (id, dag_id, run_id, task_id, map_index, operator, queue, executor, "
    "state, try_number, max_tries, pool, pool_slots, unixname, queued_dttm, start_date, end_date) "
    "SELECT gen_random_uuid(), dag_id, run_id, :task_id, :first + n, :operator, :queue, "
    ":executor, :state, 1, 1, 'default_pool', 1, 'made up', ended - make_interval(secs => "
    ":ran + :wait), ended - make_interval(secs => :ran), ended "
    "FROM (SELECT dag_id, run_id, now() - make_interval(mins => 60) AS ended FROM dag_run "
    "WHERE dag_id = 'sweep' AND end_date IS NOT NULL ORDER BY id LIMIT 1) AS run, "
    "generate_series(1, :count) AS n"
)


def test_the_database_and_the_api_tell_the_same_history(worked):
    api, database = worked
    until = datetime.now(UTC)  # noqa: TID251 - the deployment's tasks ran by this clock
    since = until - timedelta(days=1)

    told = read_api(Server(url=api), since, until)

    assert told == read_database(database, since, until)
    found = {task.task_id: task for task in told.tasks}
    names = {made_up[0] for made_up in _MADE_UP}
    assert names & set(found) == {"short_in_pod", "long_on_worker", "chosen", "stray"}
    # Beside what was made up stands what really ran.
    assert {task.queue for task in told.tasks if task.task_id not in names} >= {"default"}
    short = found["short_in_pod"]
    assert (short.runs, short.failed) == (115, 5)
    assert (short.duration_p95, short.queued_p50) == (timedelta(seconds=4), timedelta(seconds=40))


def test_advice_is_the_same_by_either_way(worked):
    api, database = worked

    by_api = _json("advise", "--days", "1", "--api", api)
    by_database = _json("advise", "--days", "1", "--database", database)

    assert by_api["tasks"] == by_database["tasks"]
    assert by_api["pod_start"] == {"seconds": 40.0, "runs": 145, "assumed": False}
    advice = {task["task_id"]: task for task in by_api["tasks"]}
    assert advice["long_on_worker"]["advice"] == "to a pod"
    assert advice["long_on_worker"]["saves_s_per_day"] == 30 * 3600
    assert advice["short_in_pod"]["advice"] == "to workers"
    assert advice["chosen"]["advice"] == "author's choice"
    assert (advice["stray"]["advice"], advice["stray"]["saves_s_per_day"]) == ("not routed", 0)


def test_advice_is_text_with_the_prices_that_were_given(worked):
    prices = ("--slot-hour", "0.01", "--pod-hour", "0.02")

    printed = _printed("advise", "--days", "1", "--database", worked[1], *prices)

    lines = printed.splitlines()
    assert lines[1].startswith("Start of a pod: 40.0 s (median of 145 runs). On a worker: ")
    assert lines[6].startswith("TASK ")
    assert lines[7].split()[:4] == ["sweep.stray", "kubernetes", "default", "30"]
    assert lines[8].split()[:4] == ["sweep.long_on_worker", "whale_worker", "default", "30"]
    # 30 hours of slots at 0.01, less 30 runs of an hour and 40 s in pods at 0.02.
    assert lines[8].split()[-1] == "-0.31"


def test_a_stranger_is_refused_by_the_api(worked):
    told = _refused("advise", "--api", worked[0], "--token", "old", code=2)

    assert told == (
        f"Error: Airflow at {worked[0]} refused the token with 403 on "
        "/api/v2/dags/~/dagRuns/~/taskInstances. Give a --token, or --user and --password, that "
        "may read task instances.\n"
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

    assert _refused("advise", "--days", "3", code=2) == (
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
    assert _refused("advise", *options, code=2) == f"Error: {message}\n"


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
    assert _json("show", str(folder)) == [
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
    told = _refused("show", str(tmp_path / "dags"), code=2)

    assert told == (
        f"Error: {tmp_path / 'dags'} is not a folder. Name the folder of the DAG files.\n"
    )


def test_the_table_that_is_shown_is_the_deployments(tmp_path, monkeypatch):
    own = tmp_path / "workloads.yaml"
    own.write_text("workloads: {nft_worker: {retries: 9}}\n")
    monkeypatch.setenv("ONCHAIN_AGG_WORKLOADS_FILE", str(own))
    configured_workloads.cache_clear()
    try:
        shown = {one["name"]: one for one in _json("show")}
        (line,) = [line for line in _printed("show").splitlines() if line.startswith("nft_worker")]
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
    file.write_text(_printed("pools"))

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

    printed = _printed("templates", str(folder))

    assert printed.splitlines() == [f"Wrote {file}." for file in files]
    assert all(file.is_file() for file in files)
    assert _printed("templates", str(folder), "--check") == (
        f"{folder} is what the table of sizes makes.\n"
    )


def test_a_template_that_drifted_fails_the_check(tmp_path):
    _printed("templates", str(tmp_path))
    small = tmp_path / "small.yaml"
    small.write_text("kind: Pod\n")

    told = _refused("templates", str(tmp_path), "--check", code=1)

    assert told == (
        f"{small} is not what the table of sizes makes. Run `onchain-agg routing templates "
        f"{tmp_path}`.\n"
    )
    assert small.read_text() == "kind: Pod\n"


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    file = tmp_path / "taken"
    file.write_text("")

    assert _refused("templates", str(file), code=2) == (
        f"Error: {file} cannot be written: [Errno 17] File exists: '{file}'. Name another folder.\n"
    )


def test_the_command_of_a_queues_worker_can_be_pasted():
    assert _printed("worker", "nft_worker") == (
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
    assert _refused("worker", name, code=2) == f"Error: {message}\n"


_WHERE = "# Run where the scheduler runs, in its image: the paths are those of this machine."


def test_settings_are_variables_with_their_reasons(monkeypatch):
    monkeypatch.setenv("ONCHAIN_AGG_POD_TEMPLATES", "/templates")
    told = recommended_settings(TABLE)

    lines = _printed("settings").splitlines()

    assert lines == [
        _WHERE,
        *(line for one in told for line in (f"# {one.reason}", f"{one.variable}={one.value}")),
    ]
    assert "AIRFLOW__ONCHAIN_AGG__POD_TEMPLATES=/templates" in lines


def test_settings_are_a_file_that_airflow_can_read():
    file = configparser.ConfigParser()

    printed = _printed("settings", "--format", "cfg")
    file.read_string(printed)

    told = {(one.section, one.option): one.value for one in recommended_settings(TABLE)}
    assert told == {(section, key): file[section][key] for section, key in told}
    assert sum(len(file[section]) for section in file.sections()) == len(told)
    assert printed.splitlines()[0] == _WHERE


def _printed(*arguments):
    result = CliRunner().invoke(main, ["routing", *arguments], catch_exceptions=False)
    assert (result.exit_code, result.stderr) == (0, "")
    return result.stdout


def _json(*arguments):
    return json.loads(_printed(*arguments, "--format", "json"))


def _refused(*arguments, code):
    """Return what was said of *arguments*, which must fail with *code*."""
    result = CliRunner().invoke(main, ["routing", *arguments], catch_exceptions=False)
    assert (result.exit_code, result.stdout) == (code, "")
    return result.stderr
