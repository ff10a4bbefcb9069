"""What the routing policy costs: importing it in every process of Airflow, and each parse.

Times are of the CPU, which a busy machine changes least.
"""
# ruff: noqa: INP001 - run from the repository, never installed.

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence

from benchmarks.measuring import Result

IMPORT_MS = 20
FIRST_CALL_MS = 10
ROUNDS = 5
TASKS = (1, 10, 100)
_IMPORT = """
import time, airflow.policies
start = time.process_time()
import onchain_agg.routing.policy
print((time.process_time() - start) * 1000)
"""


def results() -> Iterator[Result]:
    """Yield the time of the module's import and of the policy's first call, then of parses."""
    with tempfile.TemporaryDirectory() as home:
        environment = {
            **os.environ,
            "AIRFLOW_HOME": home,
            "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor,KubernetesExecutor",
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR",
        }
        imports = [_import_ms(environment) for _ in range(ROUNDS)]
        told = _run(environment, "-m", "benchmarks.policy_cost", *map(str, (ROUNDS, *TASKS)))
    spent = json.loads(told.stdout.splitlines()[-1])
    yield Result(
        "Policy: import of its module, as Airflow starts",
        f"at most {IMPORT_MS} ms beyond Airflow",
        _shown(imports),
        statistics.median(imports) <= IMPORT_MS,
    )
    yield Result(
        "Policy: first call in a process, beyond imports",
        f"at most {FIRST_CALL_MS} ms",
        f"{_shown(spent['first'])}; a further call {_shown(spent['next'], 3)}",
        statistics.median(spent["first"]) <= FIRST_CALL_MS,
    )
    for count, ms in spent["parse"].items():
        yield Result(
            f"Policy: parse of a file with {count} tasks, in a process that has read none",
            "",
            f"{_shown(ms['with'])} with it, {_shown(ms['without'])} without",
        )


def _import_ms(environment: dict[str, str]) -> float:
    # As a library Airflow does not load policies by itself.
    alone = {**environment, "_AIRFLOW__AS_LIBRARY": "1"}
    return float(_run(alone, "-c", _IMPORT).stdout.splitlines()[-1])


def _run(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - this module's own arguments
        [sys.executable, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )


def _shown(ms: Sequence[float], digits: int = 1) -> str:
    """Return the median with the least and the most."""
    least, middle, most = min(ms), statistics.median(ms), max(ms)
    return f"{middle:.{digits}f} ms ({least:.{digits}f} to {most:.{digits}f})"
