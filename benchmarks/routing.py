"""What the recommended settings bring: tasks a minute, and the seconds of a run of one or two.

Run from the repository: ``make bench-routing``, or ``python -m benchmarks.routing [--bare 20 …]``.

One API server, one DAG processor, one PostgreSQL and one Redis serve both sides. Scheduler and
Celery worker are started anew for each round of a side, in turn: defaults, ours, defaults, ours.

* Airflow's defaults: what Airflow and its Celery provider do where nothing is set.
* Our settings: all of `routing.recommended.recommended_settings`, and nothing else.

The same on both sides: the worker takes four tasks at a time, the only executor is Celery's, the
package is installed, so its policy and plugin load with every parse, and a call to the API server
may take a minute, because it shares its cores with all the rest. Modules are compiled once. After
each start a few tasks run that nobody counts.

Mapped tasks come in two kinds: *bare* ones return a number; *importing* ones do what the package's
own begin with: load web3 and the metrics, and open a session on the warehouse. Times go from the
trigger to the end of the run, as Airflow notes it.
"""
# ruff: noqa: INP001, T201 - run from the repository; it says how far it is.

import argparse
import signal
import statistics
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

from benchmarks import policy
from benchmarks.measuring import Result, show
from benchmarks.routing_dags import BARE, IMPORTING, ONE, TWO, WARM_UP
from benchmarks.routing_sides import CONCURRENCY, DEFAULTS, OURS, Deployment, deployment

TARGET = 2.5
# A task that takes longer than this is stuck; the defaults need under two seconds for each.
_SECONDS_A_TASK = 15
_RUN_S = 120

# The seconds of each run, by side and DAG.
Seconds = Mapping[tuple[str, str], Sequence[float]]


@dataclass(frozen=True)
class Counts:
    """How much is measured: mapped tasks of each kind, single runs in a round, rounds of a side.

    The importing ones are fewer, because the defaults take two seconds for each.
    """

    bare: int = 200
    importing: int = 60
    latencies: int = 6
    rounds: int = 2


def main() -> None:
    """Measure as often as the arguments say, and print as the other benchmarks do."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.routing")
    for name, count in vars(Counts()).items():
        parser.add_argument(f"--{name}", type=int, default=count, metavar="N")
    counts = Counts(**vars(parser.parse_args()))
    signal.signal(signal.SIGTERM, _stop_on_signal)
    for result in results(counts):
        show(result)


def results(counts: Counts) -> Iterator[Result]:
    """Yield tasks a minute of both kinds, the latencies, and what the policy costs."""
    mapped = {BARE: counts.bare, IMPORTING: counts.importing}
    with deployment({**mapped, WARM_UP: CONCURRENCY}) as airflow:
        seconds = _measured(airflow, mapped, counts)
    for dag_id, tasks in mapped.items():
        yield _throughput(seconds, dag_id, tasks)
    for dag_id, what in ((ONE, "a run of one task"), (TWO, "a run of two, one after the other")):
        yield _latency(seconds, dag_id, what)
    yield from policy.results()


def _measured(airflow: Deployment, mapped: Mapping[str, int], counts: Counts) -> Seconds:
    seconds = defaultdict(list)
    for number in range(1, counts.rounds + 1):
        for side in (DEFAULTS, OURS):
            print(f"  round {number} of {counts.rounds}, {side} …", flush=True)
            with airflow.side(side):
                for dag_id, tasks in mapped.items():
                    limit = _RUN_S + tasks * _SECONDS_A_TASK
                    seconds[side, dag_id].append(airflow.seconds(dag_id, limit))
                for dag_id in (ONE, TWO) * counts.latencies:
                    seconds[side, dag_id].append(airflow.seconds(dag_id, _RUN_S))
    return seconds


def _throughput(seconds: Seconds, dag_id: str, tasks: int) -> Result:
    rates = {side: [tasks * 60 / one for one in seconds[side, dag_id]] for side in (DEFAULTS, OURS)}
    median = {side: statistics.median(found) for side, found in rates.items()}
    times = median[OURS] / median[DEFAULTS]
    figures = (
        f"{median[side]:.0f} a minute with {side} ({', '.join(f'{one:.0f}' for one in found)})"
        for side, found in rates.items()
    )
    return Result(
        f"{tasks} tasks of {dag_id}, {CONCURRENCY} at a time",
        f"at least {TARGET} times as many a minute as with {DEFAULTS}",
        f"{times:.1f} times: {', '.join(figures)}",
        times >= TARGET,
    )


def _latency(seconds: Seconds, dag_id: str, what: str) -> Result:
    figures = []
    for side in (DEFAULTS, OURS):
        found = seconds[side, dag_id]
        least, middle, most = min(found), statistics.median(found), max(found)
        figures.append(f"{middle:.1f} s with {side} ({least:.1f} to {most:.1f})")
    return Result(f"Trigger to done, {what}", "", ", ".join(figures))


def _stop_on_signal(_number: int, _frame: object) -> NoReturn:
    # As an exception, so that what was started is stopped on the way out.
    raise SystemExit(143)


if __name__ == "__main__":
    main()
