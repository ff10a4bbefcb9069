"""What one, ten and a hundred times the history costs: seconds and memory, in a table.

``python -m benchmarks cost_growth``. Each column is a fresh database. A step publishes one more day
with everything that belongs to it; memory of a step is the peak of the PostgreSQL backend that
computes it, with the shared buffers that it touched; of the heavy path that of its whole process.
"""
# ruff: noqa: INP001 - run from the repository; it prints its result.

import random
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table as Printed
from sqlalchemy import Engine, text

from benchmarks import day_step, rebuild, serving_reads
from benchmarks.measuring import MEGABYTE, Server, peak_megabytes, running_server
from onchain_agg.metrics.registry import dataset_named
from onchain_agg.warehouse.archiving import archive_days
from onchain_agg.warehouse.parquet_store import ParquetStore

TIMES = (1, 10, 100)
_BY_MATRIX = (
    "bitcoin_valuation_daily",
    "bitcoin_coin_age_daily",
    "market_return_daily",
    "market_valuation_daily",
)
_BY_HOLDERS = ("exchange_flow_daily", "dormant_awakening", "holder_distribution_daily")
_READS = 300

Cost = tuple[float, float]


def main() -> None:
    """Print the table."""
    table = Printed("what", "history", *(f"{times} times" for times in TIMES))
    with running_server() as server:
        rows: dict[tuple[str, str], list[Cost]] = {}
        for times in TIMES:
            for what, unit, cost in (*_steps(server, times), *_reads(server, times)):
                rows.setdefault((what, unit), []).append(cost)
            rows.setdefault(("holders from the archive (DuckDB)", "50k transfers"), []).append(
                _heavy(server, times)
            )
    for (what, unit), costs in rows.items():
        table.add_row(what, unit, *(_shown(*cost) for cost in costs))
    Console(width=120).print(table)


def _steps(server: Server, times: int) -> Iterator[tuple[str, str, Cost]]:
    with server.fresh() as engine:
        day_step.fill(engine, 36 * times, 10_000 * times)
        for name in (*_BY_MATRIX, *_BY_HOLDERS):
            unit = "36 days" if name in _BY_MATRIX else "10k holders"
            yield f"a day of {name}", unit, _step(engine, name)


def _step(engine: Engine, name: str) -> Cost:
    dataset = dataset_named(name)
    scope = day_step.scope_of(dataset)
    day_step.serve_day_before(engine, dataset, scope)
    # A connection's backend lives on in the pool, and its peak with it.
    engine.dispose()
    seconds = [day_step.step(engine, dataset, scope)[0] for _ in range(3)]
    with engine.connect() as connection:
        backends = connection.scalars(
            text("SELECT pid FROM pg_stat_activity WHERE datname = current_database()")
        ).all()
    return statistics.median(seconds), max(map(_peak_of, backends))


def _reads(server: Server, times: int) -> Iterator[tuple[str, str, Cost]]:
    with server.fresh() as engine:
        days = 36 * times
        dataset = dataset_named("holder_distribution_daily")
        serving_reads.fill_served(engine, dataset, serving_reads.ASSETS, days, 1)
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE"))
        engine.dispose()
        chosen = random.Random(serving_reads.SEED)  # noqa: S311 - no secret
        for what, query in (
            ("read the latest day of an asset", serving_reads.LATEST),
            ("read 90 days of a measure", serving_reads.SERIES),
        ):
            with engine.connect() as connection:
                took = [
                    serving_reads.milliseconds(
                        lambda: serving_reads.rows_of(connection, query, chosen)  # noqa: B023
                    )
                    for _ in range(_READS)
                ]
                backend = connection.scalar(text("SELECT pg_backend_pid()"))
            yield (
                what,
                "36 days of 1,000 assets",
                (statistics.median(took) / 1000, _peak_of(backend)),
            )


def _heavy(server: Server, times: int) -> Cost:
    with server.fresh() as engine, tempfile.TemporaryDirectory(prefix="oagg-") as folder:
        rebuild.fill(engine, 50_000 * times)
        store = ParquetStore(folder)
        archive_days(engine, store, rebuild.CHAIN)
        took = serving_reads.milliseconds(lambda: rebuild.in_duckdb(engine, store)) / 1000
        url = engine.url.render_as_string(hide_password=False)
        return took, peak_megabytes(rebuild.holders_in_duckdb, url, folder)


def _peak_of(backend: int) -> float:
    status = Path(f"/proc/{backend}/status").read_text().partition("VmHWM:")[2]
    return int(status.split()[0]) * 1024 / MEGABYTE


def _shown(seconds: float, megabytes: float) -> str:
    time = f"{1000 * seconds:,.1f} ms" if seconds < 1 else f"{seconds:,.1f} s"
    return f"{time}, {megabytes:,.0f} MB"


if __name__ == "__main__":
    main()
