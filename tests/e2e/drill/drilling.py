"""The whole drill: pods and then workers, each undisturbed first, then under interruptions."""

import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from onchain_agg.routing.workload_file import PACKAGED, load_workloads
from tests.e2e.drill.field import Field
from tests.e2e.drill.interruptions import POD_KINDS, Kind
from tests.e2e.drill.ledger import create_tables
from tests.e2e.drill.plan import planned
from tests.e2e.drill.report import faults, kinds_table, measures_table
from tests.e2e.drill.running import Run, run_drill
from tests.e2e.drill.site import drill_field
from tests.e2e.drill.worker_interruptions import WORKER_KINDS

_PART_S, _LINES = 1.0, 100
_TABLE = load_workloads(PACKAGED)


@dataclass(frozen=True, kw_only=True)
class Drill:
    """What is asked for.

    Attributes:
        parts: Of each task; a part takes a second.
        seed: Of the kinds and moments of interruptions.
        with_plain: Also run tasks that know nothing of interruptions.
    """

    tasks: int
    interruptions: int
    worker_tasks: int
    worker_interruptions: int
    parts: int
    seed: int
    with_plain: bool


@dataclass(frozen=True)
class _Place:
    """Where tasks run: the DAG, how many tasks, what can happen, how often, the table's retries."""

    dag_id: str
    tasks: int
    kinds: Mapping[str, Kind]
    interruptions: int
    retries: int

    @property
    def bound_s(self) -> float:
        """Return after how long a run has hung: generous, for a machine that does other things."""
        return 120 + 12 * self.tasks + 20 * self.interruptions


def drilled(drill: Drill, folder: Path, console: Console) -> list[str]:
    """Run *drill* with its servers in *folder*, print its tables, and return what is wrong.

    Raises:
        TimeoutError: A run hung.
    """
    pods = _Place(
        "drill_pods",
        drill.tasks,
        POD_KINDS,
        drill.interruptions,
        _TABLE.size("small").retries,
    )
    workers = _Place(
        "drill_workers",
        drill.worker_tasks,
        WORKER_KINDS,
        drill.worker_interruptions,
        _TABLE.queue("whale_worker").retries,
    )
    began = time.monotonic()
    wrong = []
    drawing = random.Random(drill.seed)  # noqa: S311 - to be repeated
    with drill_field(folder, drill.tasks, drawing) as field:
        create_tables(field.stack.engine)
        console.print(f"The servers run after {time.monotonic() - began:.0f} s.")
        for place in (pods, workers):
            wrong += _drilled_at(place, drill, field, console)
    console.print(f"The drill took {time.monotonic() - began:.0f} s.")
    return wrong


def _drilled_at(place: _Place, drill: Drill, field: Field, console: Console) -> list[str]:
    params = {"tasks": place.tasks, "parts": drill.parts, "part_s": _PART_S, "lines": _LINES}

    def say(line: str) -> None:
        console.print(f"  {line}", soft_wrap=True, markup=False)

    def run(dag_id: str, calm: Run | None) -> Run:
        console.print(f"{dag_id}, {'disturbed' if calm else 'undisturbed'}:")
        kinds, times = sorted(place.kinds), place.interruptions
        plan = planned(kinds, times, calm.seconds, drill.seed) if calm else []
        return run_drill(field, dag_id, params, plan, place.kinds, place.bound_s, say)

    calm = run(place.dag_id, None)
    runs = {"undisturbed": calm, "spot-safe": run(place.dag_id, calm)}
    if drill.with_plain:
        runs["not spot-safe"] = run(f"{place.dag_id}_plain", calm)
    disturbed = list(runs.values())[1:]
    console.print(kinds_table(disturbed), measures_table(runs, drill.parts, _PART_S, place.retries))
    expected = place.tasks * drill.parts * _LINES
    short = [] if len(calm.rows) == expected else [f"undisturbed: {len(calm.rows)} rows"]
    return short + [line for one in disturbed for line in faults(calm, one, place.interruptions)]
