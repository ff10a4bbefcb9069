"""The history of a real Airflow's tasks, and the advice from it, by its database and its API."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import create_engine, text

from onchain_agg.routing.history_api import Server, read_api
from onchain_agg.routing.history_database import read_database
from tests.fakes.routing_command import as_json, output, refused

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(340)]

_PODS = "KubernetesExecutor"
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

    by_api = as_json("advise", "--days", "1", "--api", api)
    by_database = as_json("advise", "--days", "1", "--database", database)

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

    printed = output("advise", "--days", "1", "--database", worked[1], *prices)

    lines = printed.splitlines()
    assert lines[1].startswith("Start of a pod: 40.0 s (median of 145 runs). On a worker: ")
    assert lines[7].startswith("TASK ")
    assert lines[8].split()[:4] == ["sweep.stray", "kubernetes", "default", "30"]
    assert lines[9].split()[:4] == ["sweep.long_on_worker", "whale_worker", "default", "30"]
    # 30 hours of slots at 0.01, less 30 runs of an hour and 40 s in pods at 0.02.
    assert lines[9].split()[-1] == "-0.31"


def test_a_stranger_is_refused_by_the_api(worked):
    told = refused("advise", "--api", worked[0], "--token", "old", code=2)

    assert told == (
        f"Error: Airflow at {worked[0]} refused the token with 403 on "
        "/api/v2/dags/~/dagRuns/~/taskInstances. Give a --token, or --user and --password, that "
        "may read task instances.\n"
    )
