import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onchain_agg.costs.inputs import MeasuredStart, Starts, packaged_starts
from onchain_agg.errors import ConfigError
from onchain_agg.routing.advice import Model, Prices, Start, Verdict, advise
from onchain_agg.routing.executors import Executors
from onchain_agg.routing.history import Instance, TaskHistory, Wait, history_of, ordered

SECOND = timedelta(seconds=1)
SINCE = datetime(2026, 11, 1, tzinfo=UTC)
UNTIL = SINCE + timedelta(days=7)
LIGHT = TaskHistory(
    dag_id="whales",
    task_id="load",
    queue="whale_worker",
    executor=None,
    runs=700,
    failed=0,
    duration_p50=10 * SECOND,
    duration_p95=20 * SECOND,
    queued_p50=SECOND,
    queued_p95=2 * SECOND,
    first_ended=SINCE,
    last_ended=UNTIL - SECOND,
)
HEAVY = replace(LIGHT, task_id="rebuild", queue="kubernetes", executor="KubernetesExecutor")
# A pod takes 40 s, a worker 1 s: the break-even is 200 s, its band from 150 s to 250 s.
WAITS = (
    Wait(executor=None, runs=20, queued_p50=SECOND),
    Wait(executor="KubernetesExecutor", runs=20, queued_p50=40 * SECOND),
)
MEASURED = Starts(
    as_of=SINCE.date(),
    source="a test",
    worker=MeasuredStart(p50_s=0.5, p95_s=0.75, tasks_a_minute=100),
    pod=MeasuredStart(p50_s=3.0, p95_s=4.0, tasks_a_minute=10),
)


def _report(*tasks, model=None, waits=WAITS):
    model = model or Model()
    return advise(ordered(SINCE, UNTIL, tasks, waits), replace(model, measured=MEASURED))


def _verdict(task, model=None, waits=WAITS):
    (advice,) = _report(task, model=model, waits=waits).advice
    return advice.verdict


def _lasting(task, seconds):
    return replace(task, duration_p50=seconds * SECOND)


@pytest.mark.parametrize(
    ("seconds", "on_worker", "in_pod"),
    [
        pytest.param(0, Verdict.STAYS, Verdict.TO_WORKERS, id="no time"),
        pytest.param(149.9, Verdict.STAYS, Verdict.TO_WORKERS, id="below the band"),
        pytest.param(150, Verdict.STAYS, Verdict.STAYS, id="lower edge"),
        pytest.param(250, Verdict.STAYS, Verdict.STAYS, id="upper edge"),
        pytest.param(250.1, Verdict.TO_POD, Verdict.STAYS, id="above the band"),
    ],
)
def test_a_task_moves_only_beyond_the_band(seconds, on_worker, in_pod):
    assert _verdict(_lasting(LIGHT, seconds)) is on_worker
    assert _verdict(_lasting(HEAVY, seconds)) is in_pod


def test_a_short_task_that_leaves_its_pod_saves_the_start_of_every_run():
    report = _report(HEAVY)

    (advice,) = report.advice
    assert (advice.verdict, advice.runs_per_day) == (Verdict.TO_WORKERS, 100)
    assert advice.saves == 100 * 39 * SECOND
    assert advice.money is None
    assert report.saved(Verdict.TO_WORKERS) == 3900 * SECOND
    assert report.saved(Verdict.TO_POD) == timedelta(0)
    assert report.break_even == 200 * SECOND
    assert (report.stays_from, report.stays_to) == (150 * SECOND, 250 * SECOND)


def test_a_long_task_that_leaves_its_worker_frees_a_slot_for_its_time():
    (advice,) = _report(_lasting(LIGHT, 3600)).advice

    assert (advice.verdict, advice.saves) == (Verdict.TO_POD, timedelta(hours=100))


def test_money_is_what_the_run_costs_here_less_what_it_costs_there():
    model = Model(prices=Prices(slot_hour=0.01, pod_hour=0.09))

    to_pod, to_workers = _report(_lasting(LIGHT, 3600), HEAVY, model=model).advice

    assert to_workers.money == pytest.approx(100 * (50 / 3600 * 0.09 - 10 / 3600 * 0.01))
    # A pod that costs more than the slots costs money to move to.
    assert to_pod.money == pytest.approx(100 * (0.01 - 3640 / 3600 * 0.09))


def test_what_saves_most_comes_first():
    tasks = [replace(_lasting(LIGHT, 10), task_id="a"), HEAVY, _lasting(LIGHT, 3600)]

    report = _report(*tasks)

    assert [one.task.task_id for one in report.advice] == ["load", "rebuild", "a"]


@pytest.mark.parametrize("task", [LIGHT, HEAVY])
def test_below_twenty_successful_runs_a_task_is_not_judged(task):
    long = _lasting(task, 1)

    assert _verdict(replace(long, runs=25, failed=6)) is Verdict.TOO_FEW_RUNS
    assert _verdict(replace(long, runs=26, failed=6)) is not Verdict.TOO_FEW_RUNS
    assert _verdict(replace(long, failed=700, duration_p50=None)) is Verdict.TOO_FEW_RUNS


def test_an_executor_against_the_queue_is_the_authors_choice():
    on_queue = replace(_lasting(LIGHT, 1), executor="KubernetesExecutor")
    off_pods = replace(_lasting(HEAVY, 3600), executor="CeleryExecutor")

    assert _verdict(on_queue) is Verdict.AUTHORS_CHOICE
    assert _verdict(off_pods) is Verdict.AUTHORS_CHOICE
    assert _verdict(replace(LIGHT, executor="some.EcsExecutor")) is Verdict.AUTHORS_CHOICE


def test_celery_by_name_is_a_worker_where_another_executor_is_the_default():
    celery = "airflow.providers.celery.executors.celery_executor.CeleryExecutor"
    model = Model(executors=Executors(default="LocalExecutor"))

    assert _verdict(replace(_lasting(LIGHT, 3600), executor=celery), model) is Verdict.TO_POD


@pytest.mark.parametrize("default", ["CeleryExecutor", "LocalExecutor"])
@pytest.mark.parametrize("runs", [1, 700])
def test_a_pod_task_that_went_to_the_default_executor_was_not_routed(default, runs):
    model = Model(
        executors=Executors(default=default), prices=Prices(slot_hour=0.01, pod_hour=0.09)
    )
    stray = replace(_lasting(HEAVY, 3600), task_id="stray", executor=None, runs=runs)

    report = _report(_lasting(LIGHT, 3600), stray, model=model)

    first, second = report.advice
    assert (first.task.task_id, first.verdict) == ("stray", Verdict.NOT_ROUTED)
    assert (first.saves, first.money) == (timedelta(0), None)
    assert second.verdict is Verdict.TO_POD
    assert (report.count(Verdict.NOT_ROUTED), report.count(Verdict.TO_WORKERS)) == (1, 0)


def test_a_pod_task_of_the_default_executor_is_routed_where_that_one_starts_pods():
    model = Model(executors=Executors(default="KubernetesExecutor"))

    assert _verdict(replace(_lasting(HEAVY, 1), executor=None), model) is Verdict.TO_WORKERS


def test_where_every_task_gets_a_pod_a_task_of_any_queue_is_judged_as_one():
    model = Model(executors=Executors(default="KubernetesExecutor"))
    waits = (Wait(executor=None, runs=20, queued_p50=40 * SECOND),)

    report = _report(_lasting(LIGHT, 1), model=model, waits=waits)

    assert report.pod == Start(time=40 * SECOND, runs=20)
    assert report.worker == Start(time=0.5 * SECOND, runs=0)
    assert [one.verdict for one in report.advice] == [Verdict.TO_WORKERS]


def test_too_few_starts_are_not_measured_but_assumed():
    waits = [replace(wait, runs=19) for wait in WAITS]

    report = _report(HEAVY, model=Model(pod_start=90 * SECOND), waits=waits)

    assert report.pod == Start(time=90 * SECOND, runs=0)
    assert report.worker == Start(time=0.5 * SECOND, runs=0)
    assert report.break_even == 450 * SECOND


def test_what_was_measured_is_the_packaged_figures_and_pods_are_slower():
    measured = packaged_starts()

    assert Model().measured == measured
    assert timedelta(0) < measured.worker.time < measured.pod.time < Model().pod_start


def test_what_was_measured_of_a_pod_is_told_and_decides_nothing():
    report = _report(HEAVY, waits=())

    assert report.measured.pod.time == 3 * SECOND
    assert (report.pod.time, report.break_even) == (45 * SECOND, 225 * SECOND)


def test_the_executor_with_most_runs_tells_the_start_of_a_side():
    waits = (*WAITS, Wait(executor="CeleryExecutor", runs=21, queued_p50=3 * SECOND))

    assert _report(HEAVY, waits=waits).worker == Start(time=3 * SECOND, runs=21)


def test_the_waits_of_a_stand_in_say_nothing_of_pods():
    model = Model(executors=Executors(pods="LocalExecutor"))
    waits = (Wait(executor="LocalExecutor", runs=500, queued_p50=0.1 * SECOND),)

    report = _report(replace(HEAVY, executor="LocalExecutor"), model=model, waits=waits)

    assert report.pod == Start(time=45 * SECOND, runs=0)
    assert [one.verdict for one in report.advice] == [Verdict.TO_WORKERS]


def test_nothing_is_won_on_workers_where_a_pod_starts_sooner():
    waits = (replace(WAITS[0], queued_p50=40 * SECOND), WAITS[1])

    assert _verdict(_lasting(HEAVY, 1), waits=waits) is Verdict.STAYS


HOUR, DAY = timedelta(hours=1), timedelta(days=1)
HALF_HOURLY = replace(_lasting(LIGHT, 1800), runs=40)


def _at(task, *, first, last):
    """Return *task* with its runs ended between *first* and *last*, days after the start."""
    return replace(task, first_ended=SINCE + first * DAY, last_ended=SINCE + last * DAY)


def _in_pod(task):
    return replace(task, queue="kubernetes", executor="KubernetesExecutor")


def test_a_task_that_was_moved_to_a_pod_is_not_told_to_move_there():
    before = Instance(
        dag_id="whales",
        task_id="load",
        queue="nft_worker",
        executor=None,
        operator=None,
        state="success",
        queued_at=SINCE,
        started_at=SINCE + SECOND,
        ended_at=SINCE + HOUR,
    )
    after = replace(
        before,
        queue="kubernetes",
        executor="KubernetesExecutor",
        queued_at=SINCE + 5 * DAY,
        started_at=SINCE + 5 * DAY + 40 * SECOND,
        ended_at=SINCE + 5 * DAY + HOUR,
    )

    report = advise(history_of([before] * 40 + [after] * 40, SINCE, UNTIL), Model())

    (advice,) = report.advice
    assert (advice.task.queue, advice.verdict) == ("kubernetes", Verdict.STAYS)
    assert advice.saves == timedelta(0)


def test_a_task_that_was_repaired_is_no_longer_called_not_routed():
    stray = _at(replace(HEAVY, executor=None), first=0, last=2)

    report = _report(stray, _at(_lasting(HEAVY, 3600), first=3, last=6))

    assert [one.verdict for one in report.advice] == [Verdict.STAYS]


@pytest.mark.parametrize(
    ("here", "elsewhere", "per_day"),
    [
        pytest.param((0, 6), None, 40 / 7, id="never moved: the whole period"),
        pytest.param((6, 6.9), None, 40 / 7, id="new: the whole period too"),
        pytest.param((4, 6), (0, 3), 10, id="moved: from the last run elsewhere"),
        pytest.param((2, 6), (0, 3), 8, id="moved in parts: from the first run here"),
        pytest.param((0, 6), (3, 4), 40 / 7, id="moved and back: from the first run here"),
        pytest.param((6.8, 6.9), (0, 6.5), 40, id="moved on the last day: of one day"),
    ],
)
def test_runs_a_day_are_of_the_time_since_the_task_was_moved(here, elsewhere, per_day):
    former = [_at(HALF_HOURLY, first=elsewhere[0], last=elsewhere[1])] if elsewhere else []

    (advice,) = _report(_at(_in_pod(HALF_HOURLY), first=here[0], last=here[1]), *former).advice

    assert advice.task.queue == "kubernetes"
    assert advice.runs_per_day == pytest.approx(per_day)


def test_what_a_move_saves_is_of_the_runs_a_day_where_the_task_is_now():
    former = _at(_in_pod(_lasting(LIGHT, 3600)), first=0, last=5)

    (advice,) = _report(former, _at(HALF_HOURLY, first=5.5, last=6)).advice

    assert (advice.verdict, advice.saves) == (Verdict.TO_POD, 10 * HOUR)


@pytest.mark.parametrize("default", ["CeleryExecutor", "LocalExecutor"])
def test_what_was_not_routed_says_nothing_of_the_start_on_workers(default):
    astray = Wait(executor=None, unnamed_pods=True, runs=500, queued_p50=3600 * SECOND)
    model = Model(executors=Executors(default=default))

    report = _report(HEAVY, model=model, waits=(*WAITS, astray))

    assert report.worker == Start(time=SECOND, runs=20)
    assert report.pod == Start(time=40 * SECOND, runs=20)


def test_pods_of_the_default_executor_tell_the_start_of_a_pod():
    waits = (Wait(executor=None, unnamed_pods=True, runs=30, queued_p50=50 * SECOND),)
    model = Model(executors=Executors(default="KubernetesExecutor"))

    assert _report(HEAVY, model=model, waits=waits).pod == Start(time=50 * SECOND, runs=30)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"pod_start": timedelta(0)}, "--pod-start must be above 0. Correct it."),
        ({"break_even": 0.0}, "--break-even must be above 0 and at most 1000. Correct it."),
        ({"break_even": math.inf}, "--break-even must be above 0 and at most 1000. Correct it."),
        ({"break_even": math.nan}, "--break-even must be above 0 and at most 1000. Correct it."),
        (
            {"prices": Prices(slot_hour=0.1, pod_hour=-1.0)},
            "--slot-hour and --pod-hour must be at least 0. Correct them.",
        ),
        (
            {"prices": Prices(slot_hour=math.nan, pod_hour=1.0)},
            "--slot-hour and --pod-hour must be at least 0. Correct them.",
        ),
    ],
)
def test_a_model_refuses_numbers_without_sense(wrong, message):
    with pytest.raises(ConfigError) as refused:
        Model(**wrong)

    assert str(refused.value) == message


_SECONDS = st.floats(min_value=0, max_value=1e6).map(lambda seconds: seconds * SECOND)
_TASKS = st.builds(
    lambda task, runs, failed, duration: replace(
        task, runs=runs, failed=min(failed, runs), duration_p50=duration
    ),
    st.sampled_from([LIGHT, HEAVY, replace(HEAVY, executor=None)]),
    st.integers(min_value=1, max_value=10_000),
    st.integers(min_value=0, max_value=100),
    st.none() | _SECONDS,
)
_WAITS = st.tuples(
    st.builds(Wait, executor=st.none(), runs=st.integers(1, 40), queued_p50=_SECONDS),
    st.builds(
        Wait, executor=st.just("KubernetesExecutor"), runs=st.integers(1, 40), queued_p50=_SECONDS
    ),
)
_ORDER = {Verdict.TO_WORKERS: 0, Verdict.STAYS: 1, Verdict.TO_POD: 2}


@given(st.lists(_TASKS, max_size=8), _WAITS)
def test_no_move_costs_time_and_only_a_move_saves_any(tasks, waits):
    named = [replace(task, task_id=f"t{number}") for number, task in enumerate(tasks)]

    report = _report(*named, waits=waits)

    moves = {Verdict.TO_WORKERS, Verdict.TO_POD}
    assert len(report.advice) == len(tasks)
    assert all(one.saves >= timedelta(0) for one in report.advice)
    assert all(one.verdict in moves for one in report.advice if one.saves)
    order = [(one.verdict is Verdict.NOT_ROUTED, one.saves) for one in report.advice]
    assert order == sorted(order, reverse=True)


@given(st.sampled_from([LIGHT, HEAVY]), _WAITS, _SECONDS, _SECONDS)
def test_a_longer_task_is_never_sent_further_from_pods(task, waits, one, other):
    shorter, longer = (
        _ORDER[_verdict(replace(task, duration_p50=duration), waits=waits)]
        for duration in sorted([one, other])
    )

    assert shorter <= longer


@given(_WAITS, _SECONDS)
def test_a_task_that_was_moved_is_not_sent_back(waits, duration):
    light, heavy = (replace(task, duration_p50=duration) for task in (LIGHT, HEAVY))

    assert (_verdict(light, waits=waits), _verdict(heavy, waits=waits)) != (
        Verdict.TO_POD,
        Verdict.TO_WORKERS,
    )
