from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

from onchain_agg.costs.inputs import MeasuredStart, Starts
from onchain_agg.routing.advice import Model, Prices, advise
from onchain_agg.routing.advice_text import advice_data, advice_text
from onchain_agg.routing.columns import aligned
from onchain_agg.routing.history import TaskHistory, Wait, ordered
from onchain_agg.routing.table_text import pools_data, table_data, table_text
from onchain_agg.routing.workload_file import PACKAGED, load_workloads

SECOND = timedelta(seconds=1)
SINCE = datetime(2026, 11, 1, tzinfo=UTC)
LIGHT = TaskHistory(
    dag_id="whales",
    task_id="load",
    queue="whale_worker",
    executor=None,
    runs=700,
    failed=7,
    duration_p50=600 * SECOND,
    duration_p95=7200 * SECOND,
    queued_p50=SECOND,
    queued_p95=2 * SECOND,
    first_ended=SINCE,
    last_ended=SINCE + timedelta(days=6),
)
SHORT_POD = replace(
    LIGHT,
    task_id="label",
    queue="kubernetes",
    executor="KubernetesExecutor",
    duration_p50=4 * SECOND,
    duration_p95=5 * SECOND,
    queued_p50=40 * SECOND,
    queued_p95=90 * SECOND,
)
NEW = replace(LIGHT, dag_id="nfts", runs=3, failed=3, duration_p50=None, duration_p95=None)
HISTORY = ordered(
    SINCE,
    SINCE + timedelta(days=7),
    [LIGHT, SHORT_POD, NEW],
    [
        Wait(executor=None, runs=703, queued_p50=SECOND),
        Wait(executor="KubernetesExecutor", runs=700, queued_p50=40 * SECOND),
    ],
)
MEASURED = Starts(
    as_of=date(2026, 11, 23),
    source="a test",
    worker=MeasuredStart(p50_s=0.5, p95_s=0.75, tasks_a_minute=100),
    pod=MeasuredStart(p50_s=3.0, p95_s=4.0, tasks_a_minute=10),
)
PRICES = Prices(slot_hour=0.01, pod_hour=0.09)
_REPORT = """\
From 2026-11-01 00:00 to 2026-11-08 00:00 UTC, without sensors, skipped and deferred instances.
Start of a pod: 40.0 s (median of 700 runs). On a worker: 1.0 s (median of 703 runs).
Without image and node a pod took 3.0 s when it was measured on 2026-11-23.
A task belongs in a pod from 3.3 min; from 2.5 min to 4.2 min it stays.
One of fewer than 20 successful runs is not judged.
One that was moved is judged where it is now, by its runs there.

TASK QUEUE EXECUTOR RUNS P50 P95 QUEUED P50 QUEUED P95 FAILED ADVICE SAVES A DAY
whales.load whale_worker default 700 10.0 min 2.0 h 1.0 s 2.0 s 1.0% \
to a pod: queue="kubernetes" 16.7 h
whales.label kubernetes KubernetesExecutor 700 4.0 s 5.0 s 40.0 s 1.5 min 1.0% \
to workers: a Celery queue 1.1 h
nfts.load whale_worker default 3 - - 1.0 s 2.0 s 100.0% too few runs -

To workers: 1.1 h a day less of waiting for pods and of pods.
To pods: 16.7 h a day of worker slots free for other tasks."""
TABLE = load_workloads(PACKAGED)


def _squeezed(text):
    """Return *text* with one space between the words of a line."""
    return "\n".join(" ".join(line.split()) for line in text.splitlines())


def test_the_report_says_its_basis_each_task_and_the_total():
    text = advice_text(HISTORY, advise(HISTORY, Model(measured=MEASURED)))

    assert _squeezed(text) == _REPORT


def test_money_has_a_column_where_prices_are_known():
    lines = advice_text(
        HISTORY, advise(HISTORY, Model(prices=PRICES, measured=MEASURED))
    ).splitlines()

    assert lines[7].endswith("SAVES A DAY  MONEY A DAY")
    assert [line.split()[-1] for line in lines[8:11]] == ["-1.43", "0.11", "-"]
    assert lines[-1] == "In money: -1.32 a day; below 0 is what the moves cost."


def test_a_report_without_moves_says_so():
    quiet = ordered(SINCE, HISTORY.until, [NEW], [])

    lines = advice_text(quiet, advise(quiet, Model(measured=MEASURED))).splitlines()

    assert lines[1] == (
        "Start of a pod: 45.0 s (assumed, too few runs). On a worker: 0.5 s (measured on "
        "2026-11-23, too few runs)."
    )
    assert lines[-1] == "No task is on the wrong side."


def test_tasks_that_were_not_routed_come_first_and_say_what_to_repair():
    stray = replace(SHORT_POD, executor=None, duration_p50=600 * SECOND)
    history = ordered(SINCE, HISTORY.until, [LIGHT, stray], [])

    lines = _squeezed(advice_text(history, advise(history, Model(measured=MEASURED)))).splitlines()

    assert lines[8] == (
        "whales.label kubernetes default 700 10.0 min 5.0 s 40.0 s 1.5 min 1.0% not routed -"
    )
    assert " ".join(lines[11:]) == (
        'Not routed: 1 task with queue="kubernetes" went to the default executor. Either the '
        "policy did not run where the DAG is parsed: install onchain-agg in the dag-processor. Or "
        "[core] executor lacks what [onchain_agg] kubernetes_executor names: add it. `onchain-agg "
        "check` tells which. To pods: 16.7 h a day of worker slots free for other tasks."
    )
    data = advice_data(history, advise(history, Model(measured=MEASURED)))["tasks"][0]
    assert (data["task_id"], data["advice"], data["saves_s_per_day"]) == ("label", "not routed", 0)


def test_a_report_of_one_task_that_was_not_routed_does_not_call_all_well():
    strays = [replace(NEW, queue="kubernetes", task_id=name) for name in ("a", "b")]
    history = ordered(SINCE, HISTORY.until, strays, [])

    text = advice_text(history, advise(history, Model(measured=MEASURED)))

    assert 'Not routed: 2 tasks with queue="kubernetes" went to the default executor.' in text
    assert "No task is on the wrong side." not in text


def test_the_data_of_a_report_is_in_seconds():
    data = advice_data(HISTORY, advise(HISTORY, Model(prices=PRICES, measured=MEASURED)))

    tasks = data.pop("tasks")
    assert data == {
        "since": "2026-11-01T00:00:00+00:00",
        "until": "2026-11-08T00:00:00+00:00",
        "pod_start": {"seconds": 40.0, "runs": 700, "assumed": False},
        "worker_start": {"seconds": 1.0, "runs": 703, "assumed": False},
        "measured_starts": {"as_of": "2026-11-23", "pod_s": 3.0, "worker_s": 0.5},
        "break_even_s": 200.0,
        "stays_from_s": 150.0,
        "stays_to_s": 250.0,
    }
    money = tasks[1].pop("money_per_day")
    assert round(money, 6) == round(100 * (44 * 0.09 - 4 * 0.01) / 3600, 6)
    assert tasks[1] == {
        "dag_id": "whales",
        "task_id": "label",
        "queue": "kubernetes",
        "executor": "KubernetesExecutor",
        "runs": 700,
        "runs_per_day": 100.0,
        "failed_share": 0.01,
        "duration_p50_s": 4.0,
        "duration_p95_s": 5.0,
        "queued_p50_s": 40.0,
        "queued_p95_s": 90.0,
        "advice": "to workers",
        "saves_s_per_day": 3900.0,
    }
    assert tasks[2]["duration_p50_s"] is None
    assert tasks[2]["money_per_day"] is None


def test_the_table_has_a_line_for_each_queue_and_size():
    lines = _squeezed(table_text(TABLE)).splitlines()

    assert lines[0] == (
        "NAME EXECUTOR POOL SLOTS TIMEOUT RETRIES NODE GROUP CONCURRENCY WORKERS TEMPLATE CPU "
        "MEMORY DISK"
    )
    assert lines[4] == "nft_worker celery default_pool 1 0:30:00 3 workers 8 1-6 - - - -"
    assert lines[6] == (
        "small (default) kubernetes heavy 1 3:00:00 3 spot-small - - small.yaml 500m 2Gi 10Gi"
    )
    assert len(lines) == 1 + len(TABLE.queues) + len(TABLE.sizes)


def test_columns_are_as_wide_as_their_longest_cell():
    assert aligned(("a", "task"), [("long", "x"), ("b", "y")]) == ("A     TASK\nlong  x\nb     y")


def test_the_data_of_the_table_is_what_the_file_says_in_seconds():
    data = {one["name"]: one for one in table_data(TABLE)}

    assert data["nft_worker"] == {
        "name": "nft_worker",
        "executor": "celery",
        "pool": "default_pool",
        "slots": 1,
        "timeout": 1800.0,
        "retries": 3,
        "retry_delay": 30.0,
        "node_group": "workers",
        "concurrency": 8,
        "autoscale": {"min": 1, "max": 6},
    }
    assert list(data) == [*TABLE.queues, *TABLE.sizes]


def test_a_pool_is_written_as_airflow_imports_it():
    assert pools_data(TABLE) == {
        "heavy": {
            "slots": 16,
            "description": TABLE.pools["heavy"].description,
            "include_deferred": False,
        }
    }
