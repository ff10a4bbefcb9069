"""A report of advice as text for people, and as data for JSON."""

from datetime import timedelta
from typing import Any

from onchain_agg.routing.advice import MIN_RUNS, Advice, Report, Start, Verdict
from onchain_agg.routing.columns import Row, aligned
from onchain_agg.routing.history import History

_HEADS: Row = (
    *("task", "queue", "executor", "runs", "p50", "p95", "queued p50", "queued p95", "failed"),
    *("advice", "saves a day"),
)
_MOVES = {
    Verdict.TO_WORKERS: "to workers: a Celery queue",
    Verdict.TO_POD: 'to a pod: queue="kubernetes"',
}
_NOT_ROUTED = """\
Not routed: {count} with queue="kubernetes" went to the default executor. Either the policy did not
run where the DAG is parsed: install onchain-agg in the dag-processor. Or [core] executor lacks what
[onchain_agg] kubernetes_executor names: add it. `onchain-agg check` tells which."""


def advice_text(history: History, report: Report) -> str:
    """Return the report as text: what it is based on, a line a task, and what is saved in all."""
    priced = any(one.money is not None for one in report.advice)
    heads = (*_HEADS, "money a day") if priced else _HEADS
    rows = [_row(one, priced=priced) for one in report.advice]
    return "\n".join([*_basis(history, report), "", aligned(heads, rows), "", *_total(report)])


def advice_data(history: History, report: Report) -> dict[str, Any]:
    """Return the report as JSON takes it: times in seconds, moments in ISO 8601."""
    return {
        "since": history.since.isoformat(),
        "until": history.until.isoformat(),
        "pod_start": _start_data(report.pod),
        "worker_start": _start_data(report.worker),
        "measured_starts": {
            "as_of": report.measured.as_of.isoformat(),
            "pod_s": report.measured.pod.p50_s,
            "worker_s": report.measured.worker.p50_s,
        },
        "break_even_s": _seconds(report.break_even),
        "stays_from_s": _seconds(report.stays_from),
        "stays_to_s": _seconds(report.stays_to),
        "tasks": [_task_data(one) for one in report.advice],
    }


def _basis(history: History, report: Report) -> list[str]:
    since, until = (f"{at:%Y-%m-%d %H:%M}" for at in (history.since, history.until))
    stays = f"{_shown(report.stays_from)} to {_shown(report.stays_to)}"
    return [
        f"From {since} to {until} UTC, without sensors, skipped and deferred instances.",
        *_starts(report),
        f"A task belongs in a pod from {_shown(report.break_even)}; from {stays} it stays.",
        f"One of fewer than {MIN_RUNS} successful runs is not judged.",
        "One that was moved is judged where it is now, by its runs there.",
    ]


def _starts(report: Report) -> list[str]:
    measured, day = report.measured, report.measured.as_of
    pod = _start_text(report.pod, "assumed, too few runs")
    worker = _start_text(report.worker, f"measured on {day}, too few runs")
    least = _shown(measured.pod.time)
    return [
        f"Start of a pod: {pod}. On a worker: {worker}.",
        f"Without image and node a pod took {least} when it was measured on {day}.",
    ]


def _start_text(start: Start, otherwise: str) -> str:
    source = f"median of {start.runs:,} runs" if start.runs else otherwise
    return f"{_shown(start.time)} ({source})"


def _row(one: Advice, *, priced: bool) -> Row:
    task = one.task
    cells = (
        f"{task.dag_id}.{task.task_id}",
        task.queue,
        task.executor or "default",
        f"{task.runs:,}",
        _shown(task.duration_p50),
        _shown(task.duration_p95),
        _shown(task.queued_p50),
        _shown(task.queued_p95),
        f"{task.failed / task.runs:.1%}",
        _MOVES.get(one.verdict, str(one.verdict)),
        _shown(one.saves) if one.saves else "-",
    )
    money = "-" if one.money is None else f"{one.money:,.2f}"
    return (*cells, money) if priced else cells


def _total(report: Report) -> list[str]:
    lines = []
    if count := report.count(Verdict.NOT_ROUTED):
        tasks = "1 task" if count == 1 else f"{count:,} tasks"
        lines.append(_NOT_ROUTED.format(count=tasks))
    if saved := report.saved(Verdict.TO_WORKERS):
        lines.append(f"To workers: {_shown(saved)} a day less of waiting for pods and of pods.")
    if saved := report.saved(Verdict.TO_POD):
        lines.append(f"To pods: {_shown(saved)} a day of worker slots free for other tasks.")
    money = [one.money for one in report.advice if one.money is not None]
    if money:
        lines.append(f"In money: {sum(money):,.2f} a day; below 0 is what the moves cost.")
    return lines or ["No task is on the wrong side."]


def _shown(time: timedelta | None) -> str:
    if time is None:
        return "-"
    seconds = time.total_seconds()
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds < 3600:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:.1f} h"


def _start_data(start: Start) -> dict[str, Any]:
    return {"seconds": _seconds(start.time), "runs": start.runs, "assumed": not start.runs}


def _task_data(one: Advice) -> dict[str, Any]:
    task = one.task
    return {
        "dag_id": task.dag_id,
        "task_id": task.task_id,
        "queue": task.queue,
        "executor": task.executor,
        "runs": task.runs,
        "runs_per_day": one.runs_per_day,
        "failed_share": task.failed / task.runs,
        "duration_p50_s": _seconds(task.duration_p50),
        "duration_p95_s": _seconds(task.duration_p95),
        "queued_p50_s": _seconds(task.queued_p50),
        "queued_p95_s": _seconds(task.queued_p95),
        "advice": str(one.verdict),
        "saves_s_per_day": _seconds(one.saves),
        "money_per_day": one.money,
    }


def _seconds(time: timedelta | None) -> float | None:
    return None if time is None else time.total_seconds()
