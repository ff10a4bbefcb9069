"""Runs the benchmarks and prints one report; see README.md beside this file.

``python -m benchmarks`` runs those that have targets; ``python -m benchmarks NAME …`` runs the ones
named, which may also be a closer look at one part.
"""
# ruff: noqa: INP001, T201 - run from the repository; it prints its result.

import argparse
import runpy
import sys
import time
from importlib import import_module
from pathlib import Path

from benchmarks.measuring import show
from tests.nodes import anvil, evm_contracts

WITH_TARGETS = (
    "evm_events",
    "nft_decode",
    "balance_delta",
    "bitcoin_tables",
    "history_bytes",
    "policy",
    "integrity",
)
METRICS = ("rebuild", "day_step", "serving_reads", "nft_collections")
CLOSER_LOOKS = ("evm_fetch", "bitcoin_parse", "load", "routing", "cost_growth", "nft_wash")
_NEED_ANVIL = ("evm_events", "evm_fetch")


def main() -> None:
    """Run what was asked for; a missed target is a line of the report, not a failure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    known = (*WITH_TARGETS, *METRICS, *CLOSER_LOOKS)
    parser.add_argument("name", nargs="*", help=f"one of {', '.join(known)}")
    names = parser.parse_args().name or WITH_TARGETS
    if unknown := [name for name in names if name not in known]:
        parser.error(f"there is no benchmark {unknown[0]!r}; choose from {', '.join(known)}")
    for name in names:
        if name in _NEED_ANVIL and (reason := anvil.available() or evm_contracts.available()):
            print(f"\n{name}: left out, because {reason}")
        elif name in CLOSER_LOOKS:
            sys.argv = [name]
            runpy.run_module(f"benchmarks.{name}", run_name="__main__")
        else:
            _report(name)


def _report(name: str) -> None:
    print(f"\n{name}", flush=True)
    started, before = time.perf_counter(), _busy_seconds()
    for result in import_module(f"benchmarks.{name}").results():
        show(result)
    seconds = time.perf_counter() - started
    print(f"  ({seconds:.0f} s, {(_busy_seconds() - before) / seconds:.1f} cores busy)", flush=True)


def _busy_seconds() -> float:
    """Return the seconds that all cores have worked, for whomever."""
    user, nice, system = map(int, Path("/proc/stat").read_text().split()[1:4])
    return (user + nice + system) / 100


if __name__ == "__main__":
    main()
