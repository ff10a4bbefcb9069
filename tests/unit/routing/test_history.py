from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onchain_agg.routing.history import (
    History,
    Instance,
    TaskHistory,
    Wait,
    history_of,
    percentile,
)

SINCE, UNTIL = datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 11, 8, tzinfo=UTC)
QUEUED = datetime(2026, 11, 2, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
LOADED = Instance(
    dag_id="whales",
    task_id="load",
    queue="whale_worker",
    executor=None,
    operator="_PythonDecoratedOperator",
    state="success",
    queued_at=QUEUED,
    started_at=QUEUED + SECOND,
    ended_at=QUEUED + 11 * SECOND,
)


def test_one_run_is_the_history_of_its_task():
    history = history_of([LOADED], SINCE, UNTIL)

    assert history == History(
        since=SINCE,
        until=UNTIL,
        tasks=(
            TaskHistory(
                dag_id="whales",
                task_id="load",
                queue="whale_worker",
                executor=None,
                runs=1,
                failed=0,
                duration_p50=10 * SECOND,
                duration_p95=10 * SECOND,
                queued_p50=SECOND,
                queued_p95=SECOND,
                first_ended=LOADED.ended_at,
                last_ended=LOADED.ended_at,
            ),
        ),
        waits=(Wait(executor=None, runs=1, queued_p50=SECOND),),
    )
    assert history.days == 7


def test_a_failed_run_counts_but_its_duration_does_not():
    died = replace(LOADED, state="failed", ended_at=LOADED.started_at + timedelta(hours=3))

    (task,) = history_of([LOADED, died], SINCE, UNTIL).tasks

    assert (task.runs, task.failed, task.succeeded) == (2, 1, 1)
    assert task.duration_p95 == 10 * SECOND


def test_a_task_that_always_failed_has_no_duration():
    (task,) = history_of([replace(LOADED, state="failed")], SINCE, UNTIL).tasks

    assert (task.duration_p50, task.duration_p95, task.queued_p50) == (None, None, SECOND)


def test_mapped_instances_are_runs_of_one_task_and_another_queue_is_another_task():
    moved = replace(LOADED, queue="kubernetes", executor="KubernetesExecutor")

    history = history_of([LOADED, moved, LOADED], SINCE, UNTIL)

    assert [(task.queue, task.executor, task.runs) for task in history.tasks] == [
        ("kubernetes", "KubernetesExecutor", 1),
        ("whale_worker", None, 2),
    ]


def test_a_record_tells_when_its_first_and_its_last_run_ended():
    ended = [LOADED.ended_at + hours * timedelta(hours=1) for hours in (5, 0, 9)]

    (task,) = history_of([replace(LOADED, ended_at=at) for at in ended], SINCE, UNTIL).tasks

    assert (task.first_ended, task.last_ended) == (ended[1], ended[2])


def test_runs_for_pods_that_name_no_executor_wait_apart_from_others_of_the_default_one():
    pod = replace(LOADED, queue="kubernetes", queued_at=QUEUED - 8 * SECOND)
    named = replace(pod, executor="KubernetesExecutor")

    history = history_of([LOADED, pod, named, replace(named, queue="nft_worker")], SINCE, UNTIL)

    assert history.waits == (
        Wait(executor=None, runs=1, queued_p50=SECOND),
        Wait(executor=None, unnamed_pods=True, runs=1, queued_p50=9 * SECOND),
        Wait(executor="KubernetesExecutor", runs=2, queued_p50=9 * SECOND),
    )


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"state": "skipped"}, id="skipped"),
        pytest.param({"state": "removed"}, id="removed"),
        pytest.param({"state": "upstream_failed"}, id="upstream failed"),
        pytest.param({"state": None}, id="not yet scheduled"),
        pytest.param({"operator": "DecoratedSensorOperator"}, id="a decorated sensor"),
        pytest.param({"operator": "SourceTableReadySensor"}, id="a sensor"),
        pytest.param({"queued_at": None}, id="ended by the scheduler"),
        pytest.param({"started_at": None}, id="never started"),
        pytest.param({"ended_at": None}, id="still running"),
        pytest.param({"queued_at": QUEUED + 2 * SECOND}, id="deferred and queued again"),
        pytest.param({"ended_at": QUEUED}, id="a clock that is behind"),
    ],
)
def test_what_did_not_run_or_only_waited_is_left_out(change):
    assert history_of([replace(LOADED, **change)], SINCE, UNTIL).tasks == ()


def test_the_period_holds_its_first_moment_and_not_its_last():
    at_start = replace(LOADED, queued_at=SINCE, started_at=SINCE, ended_at=SINCE)
    at_end = replace(LOADED, ended_at=UNTIL)

    (task,) = history_of([at_start, at_end], SINCE, UNTIL).tasks

    assert (task.runs, task.duration_p50) == (1, timedelta(0))


def test_a_percentile_is_a_time_that_was_taken():
    times = [SECOND * number for number in (40, 10, 30, 20)]

    assert percentile(times, 0.5) == 20 * SECOND
    assert percentile(times, 0.95) == 40 * SECOND


@given(st.lists(st.timedeltas(), min_size=1), st.floats(min_value=0.01, max_value=1))
def test_a_percentile_is_the_least_time_that_enough_runs_do_not_exceed(times, share):
    found = percentile(times, share)

    assert sum(time <= found for time in times) >= share * len(times)
    assert sum(time < found for time in times) < share * len(times)
