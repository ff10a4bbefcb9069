"""One run of the drill: started, interrupted as planned, followed to its end, and looked at."""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from onchain_agg.errors import SourceError
from onchain_agg.local.rest import DagRun
from tests.e2e.drill.field import Field
from tests.e2e.drill.interruptions import Kind
from tests.e2e.drill.ledger import Counts, counts_of, rows_of, tasks_at_once
from tests.e2e.drill.memory import Memory
from tests.e2e.drill.plan import Interruption
from tests.e2e.drill.trouble import Made, Trouble

_TASK = "parts"
_LOOK_S = 0.5


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run that is over.

    Attributes:
        seconds: From its start to its end.
        states: State of each task, by its number.
        tries: Tries that each task took, by its number.
        made: The interruptions that were made.
        not_made: Kinds that found no victim before the run was over.
        rows: What the tasks left in the warehouse.
        at_once: Tasks of which two processes ran at the same time.
        ended_schedulers: How often Airflow's scheduler ended by itself, and was started again.
        peak_mb: The most memory that all processes below this one held, each page counted once.
    """

    name: str
    seconds: float
    states: Mapping[int, str | None]
    tries: Mapping[int, int]
    made: tuple[Made, ...]
    not_made: tuple[str, ...]
    rows: list[tuple[int, int, int, str]]
    counts: Counts
    at_once: list[int]
    ended_schedulers: int
    peak_mb: int

    @property
    def tries_spent(self) -> int:
        """Return the tries beyond the first ones."""
        return sum(self.tries.values()) - len(self.tries)


def run_drill(
    field: Field,
    dag_id: str,
    params: Mapping[str, Any],
    plan: Iterable[Interruption],
    kinds: Mapping[str, Kind],
    bound_s: float,
    say: Callable[[str], None],
) -> Run:
    """Run *dag_id* with *params* under *plan*, and return what came of it.

    Raises:
        TimeoutError: It was not over after *bound_s*; names the tasks that are left.
    """
    run = field.stack.api.trigger(dag_id, params)
    field.stack.api.unpause(dag_id)
    began, memory = time.monotonic(), Memory()
    trouble = Trouble(field, plan, kinds, say)
    while not _over(field, run):
        elapsed_s = time.monotonic() - began
        if elapsed_s > bound_s:
            raise TimeoutError(f"{dag_id} is not over after {bound_s:.0f} s: {_left(field, run)}")
        memory.look()
        trouble.go_on(elapsed_s)
        time.sleep(_LOOK_S)
    return _looked_at(field, run, trouble, time.monotonic() - began, memory.peak_mb)


def _looked_at(field: Field, run: DagRun, trouble: Trouble, seconds: float, peak_mb: int) -> Run:
    engine, run_id = field.stack.engine, run.run_id
    tasks = {one["map_index"]: one for one in _tasks(field, run)}
    return Run(
        name=run.dag_id,
        seconds=seconds,
        states={number: one["state"] for number, one in tasks.items()},
        tries={number: one["try_number"] for number, one in tasks.items()},
        made=tuple(trouble.made),
        not_made=tuple(one.kind for one in trouble.waiting),
        rows=rows_of(engine, run_id),
        counts=counts_of(engine, run_id),
        at_once=tasks_at_once(engine, run_id),
        ended_schedulers=trouble.ended_schedulers,
        peak_mb=peak_mb,
    )


def _over(field: Field, run: DagRun) -> bool:
    try:
        return run in field.stack.api.runs("success", "failed")
    except SourceError:
        # A busy machine; whoever asks does so again.
        return False


def _tasks(field: Field, run: DagRun) -> list[dict[str, Any]]:
    return [one for one in field.stack.api.task_instances(run) if one["task_id"] == _TASK]


def _left(field: Field, run: DagRun) -> str:
    left = [one for one in _tasks(field, run) if one["state"] != "success"]
    return ", ".join(f"task {one['map_index']} is {one['state']}" for one in left)
