"""What a drill found: the table, and what must not be."""

from collections import Counter
from collections.abc import Mapping, Sequence

from rich.table import Table

from tests.e2e.drill.ledger import differences
from tests.e2e.drill.running import Run


def faults(calm: Run, disturbed: Run, planned: int) -> list[str]:
    """Return a line for all that differs between an undisturbed run and one that was disturbed."""
    unfinished = [number for number, state in disturbed.states.items() if state != "success"]
    wrong = [f"task {number}: {disturbed.states[number]}, not success" for number in unfinished]
    if set(calm.states) != set(disturbed.states):
        wrong.append(f"tasks: {len(disturbed.states)}, not {len(calm.states)}")
    wrong += [f"task {number}: two processes at once" for number in disturbed.at_once]
    wrong += differences(calm.rows, disturbed.rows)
    if len(disturbed.made) != planned:
        missing = ", ".join(disturbed.not_made)
        wrong.append(f"{len(disturbed.made)} interruptions of {planned}; no victim for {missing}")
    return [f"{disturbed.name}: {line}" for line in wrong]


def kinds_table(runs: Sequence[Run]) -> Table:
    """Return how often each kind of interruption was made in each of *runs*."""
    table = Table("interruption", *(run.name for run in runs))
    counts = [Counter(one.kind for one in run.made) for run in runs]
    for kind in sorted(set().union(*counts)):
        table.add_row(kind, *(str(count[kind]) for count in counts))
    table.add_row("all", *(str(count.total()) for count in counts))
    return table


def measures_table(runs: Mapping[str, Run], parts: int, part_s: float, retries: int) -> Table:
    """Return the measures of *runs* by name; the first one was not disturbed.

    Args:
        runs: By what the column is called.
        parts: Of each task.
        part_s: Length of a part.
        retries: What the table of queues and sizes allows.
    """
    calm = next(iter(runs.values()))
    table = Table("", *runs)
    rows = {name: _measures(run, calm, parts, part_s, retries) for name, run in runs.items()}
    for measure in rows[next(iter(runs))]:
        table.add_row(measure, *(one[measure] for one in rows.values()))
    return table


def _measures(run: Run, calm: Run, parts: int, part_s: float, retries: int) -> dict[str, str]:
    needed = len(run.states) * parts
    again = run.counts.begun - needed
    lost = run.counts.task_s - calm.counts.task_s
    beyond = sum(tries > retries + 1 for tries in run.tries.values())
    return {
        "tasks": str(len(run.states)),
        "succeeded": str(sum(state == "success" for state in run.states.values())),
        "rows left": f"{len(run.rows):,}",
        "interruptions": str(len(run.made)),
        "starts of a task": str(run.counts.starts),
        "tries spent": str(run.tries_spent),
        "reschedules, which spend none": str(run.counts.reschedules),
        f"tasks beyond {retries} retries": str(beyond),
        "parts begun again": str(again),
        "work done again, at most": f"{again * part_s:.0f} s",
        "first start to end, all tasks": f"{run.counts.task_s:.0f} s",
        "lost against undisturbed": f"{lost:.0f} s",
        "schedulers that ended by themselves": str(run.ended_schedulers),
        "wall time": f"{run.seconds:.0f} s",
        "memory, peak": f"{run.peak_mb:,} MB",
    }
