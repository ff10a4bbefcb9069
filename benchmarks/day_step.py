"""One more day of every data set: with a million holders of a token, and a million UTXOs.

The state, the matrix of a thousand days and the facts of the newest days are made in PostgreSQL;
then each data set publishes its newest closed day as its DAG would, staging, invariants, comparison
and ledger included. Prices of two years, ten thousand labels.
"""
# ruff: noqa: INP001 - run from the repository, never installed.

import time
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

from sqlalchemy import Engine, text

from benchmarks.measuring import Result, running_server
from onchain_agg.metrics.compute import backfill, compute
from onchain_agg.metrics.dataset import DataSet
from onchain_agg.metrics.registry import all_datasets
from onchain_agg.warehouse.partitions import ensure_partitions
from onchain_agg.warehouse.tables import METADATA, is_partitioned

EVM, UTXO = "ethereum", "bitcoin"
# The last of these days is open; the one before it is the step that is measured.
NEWEST = date(2026, 3, 31)
STEP = NEWEST - timedelta(days=1)
BEFORE = STEP - timedelta(days=1)
MATRIX_DAYS, HOLDERS = 1_000, 1_000_000
_ROUNDS = 3
_INCREMENTAL_S, _FULL_SCAN_S = 2.0, 5.0
_MADE = (Path(__file__).parent / "day_step.sql").read_text()


def results() -> Iterator[Result]:
    """Yield, for each data set, the seconds of its step."""
    with running_server() as server, server.fresh() as engine:
        fill(engine, MATRIX_DAYS, HOLDERS)
        for dataset in all_datasets().values():
            yield _step(engine, dataset)


def _step(engine: Engine, dataset: DataSet) -> Result:
    scope = scope_of(dataset)
    serve_day_before(engine, dataset, scope)
    seconds, rows = [], 0
    for _ in range(_ROUNDS):
        one, rows = step(engine, dataset, scope)
        seconds.append(one)
    limit = _FULL_SCAN_S if dataset.at_close else _INCREMENTAL_S
    slowest = max(seconds)
    kind = "full scan, at the day's close" if dataset.at_close else "incremental"
    return Result(
        f"a day of {dataset.name} ({scope}; {kind})",
        f"≤ {limit:.0f} s",
        f"{sorted(seconds)[1]:.2f} s, slowest {slowest:.2f} s, {rows:,} rows",
        slowest <= limit,
    )


def scope_of(dataset: DataSet) -> str:
    """Return the scope that a step is measured for."""
    chain = EVM if "evm" in dataset.chain_families else UTXO
    return {"chain": chain, "venue": "kraken"}.get(dataset.scope, "global")


def serve_day_before(engine: Engine, dataset: DataSet, scope: str) -> None:
    """Publish the day before the step, which is served on any day but the first."""
    backfill(engine, dataset, scope, BEFORE, BEFORE, force=True)
    compute(engine, dataset, scope)


def step(engine: Engine, dataset: DataSet, scope: str) -> tuple[float, int]:
    """Publish the step again and return the seconds it took and its rows."""
    backfill(engine, dataset, scope, STEP, STEP, force=True)
    _only(engine, dataset.name, scope)
    started = time.perf_counter()
    windows = compute(engine, dataset, scope)
    seconds = time.perf_counter() - started
    return seconds, sum(window.rows for window in windows if window.day == STEP)


def _only(engine: Engine, dataset: str, scope: str) -> None:
    """Leave the step dirty and nothing else: later days are other steps."""
    with engine.begin() as connection:
        connection.execute(
            text(
                "DELETE FROM ops.dirty"
                " WHERE dataset = :dataset AND (scope <> :scope OR day <> :day)"
            ),
            {"dataset": dataset, "scope": scope, "day": STEP},
        )


def fill(engine: Engine, matrix_days: int, holders: int) -> None:
    """Make state and facts with that many holders, and days of the matrix and of prices."""
    days = [NEWEST - timedelta(days=n) for n in range(3)]
    for table in METADATA.tables.values():
        if is_partitioned(table):
            ensure_partitions(engine, table, days)
    with engine.begin() as connection:
        connection.exec_driver_sql("SET LOCAL synchronous_commit = off")
        values = {
            "newest": NEWEST,
            "matrix_days": matrix_days,
            "holders": holders,
            "evm": EVM,
            "utxo": UTXO,
        }
        for statement in filter(str.strip, _MADE.split(";\n")):
            query = text(statement)
            connection.execute(query, {name: values[name] for name in query.compile().params})
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))
