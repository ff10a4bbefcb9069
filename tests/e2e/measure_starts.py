"""How long a light task waits for its start, on a worker and in a pod: `python -m …measure_starts`.

The same task runs one after another, which tells the wait from queued to running, and all at once,
which tells the tasks a minute. Of pods both are lower bounds: Airflow, the API server and the nodes
are processes of this machine, so no image is pulled, no node started and no network crossed. What
it prints belongs into ``starts`` of src/onchain_agg/costs/inputs.yaml, with the day.
"""

import json
import tempfile
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from onchain_agg.routing.history import MEDIAN, NEARLY_ALL, percentile
from tests.e2e.control_plane import control_plane
from tests.e2e.stack import Wanted, stack
from tests.e2e.stack_running import Stack

_SIDES = ("worker", "pod")
_DAGS = Path(__file__).with_name("dags")


def main() -> None:
    """Measure both sides and print them as JSON."""
    needed = frozenset(f"{kind}_{side}" for kind in ("single", "burst") for side in _SIDES)
    wanted = Wanted(dags=_DAGS, needed=needed, groups=("spot-small",))
    with tempfile.TemporaryDirectory(prefix="oa-starts-") as folder:
        home = Path(folder)
        (shared := home / "shared").mkdir()
        with control_plane(home / "plane") as plane, stack(plane, shared, wanted) as airflow:
            for side in _SIDES:
                figures = _measured(airflow, side)
                print(json.dumps({side: figures}), flush=True)  # noqa: T201 - its result
            print(json.dumps({"memory_mb": airflow.memory_mb()}))  # noqa: T201 - as above


def _measured(airflow: Stack, side: str) -> dict[str, Any]:
    alone = _run(airflow, f"single_{side}")
    waits = [_at(task, "start_date") - _at(task, "queued_when") for task in alone]
    together = _run(airflow, f"burst_{side}")
    began = min(_at(task, "queued_when") for task in together)
    took = max(_at(task, "end_date") for task in together) - began
    return {
        "tasks": len(alone),
        "p50_s": _seconds(percentile(waits, MEDIAN)),
        "p95_s": _seconds(percentile(waits, NEARLY_ALL)),
        "tasks_a_minute": round(len(together) * 60 / took.total_seconds(), 1),
    }


def _run(airflow: Stack, dag_id: str) -> list[dict[str, Any]]:
    run = airflow.trigger(dag_id)
    return list(airflow.finish(run, within_s=400.0).values())


def _at(task: Mapping[str, Any], moment: str) -> datetime:
    return datetime.fromisoformat(task[moment])


def _seconds(time: timedelta) -> float:
    return round(time.total_seconds(), 2)


if __name__ == "__main__":
    main()
