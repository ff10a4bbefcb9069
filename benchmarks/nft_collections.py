"""NFT collections: a million trades of 5,000 collections on 100 days built again, and a day more.

Trades, wash flags, mints and transfers are made in PostgreSQL, a few collections with most of the
trades as in life; then the data sets that add them up publish their days as their DAGs would,
staging, invariants, comparison and ledger included.
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
from onchain_agg.metrics.registry import dataset_named
from onchain_agg.warehouse.partitions import ensure_partitions
from onchain_agg.warehouse.tables.chain import TOKEN_TRANSFER

CHAIN = "ethereum"
NEWEST = date(2026, 3, 31)
DAYS, TRADES, COLLECTIONS = 100, 1_000_000, 5_000
_REBUILD_S, _STEP_S = 30.0, 1.0
# Measured without a promise.
_OTHERS = (
    "nft_collection_hourly",
    "nft_market_daily",
    "nft_trader_daily",
    "nft_realised_profit_daily",
)
_ROUNDS = 3
_MADE = (Path(__file__).parent / "nft_collections.sql").read_text()


def results() -> Iterator[Result]:
    """Yield the seconds of the rebuild, and those of a day's step of each data set."""
    with running_server() as server, server.fresh() as engine:
        fill(engine)
        daily = dataset_named("nft_collection_daily")
        built: list[tuple[float, int]] = []
        first = NEWEST - timedelta(days=DAYS - 1)
        spent = server.measure(lambda: built.append(_publish(engine, daily, first)))
        ((seconds, rows),) = built
        yield Result(
            f"{daily.name}: {TRADES:,} trades of {COLLECTIONS:,} collections, {DAYS} days built",
            f"≤ {_REBUILD_S:.0f} s",
            f"{seconds:.1f} s, {spent.cpu:.1f} s of CPU, {rows:,} rows",
            seconds <= _REBUILD_S,
        )
        yield _step(engine, daily, _STEP_S)
        for name in _OTHERS:
            yield _step(engine, dataset_named(name))


def _step(engine: Engine, dataset: DataSet, limit: float | None = None) -> Result:
    # The open day is not computed by those that wait for its close.
    day = NEWEST - timedelta(days=1)
    taken, rows = zip(*(_publish(engine, dataset, day, day) for _ in range(_ROUNDS)), strict=True)
    slowest = max(taken)
    return Result(
        f"a day of {dataset.name}",
        "" if limit is None else f"≤ {limit:.0f} s",
        f"{sorted(taken)[_ROUNDS // 2]:.2f} s, slowest {slowest:.2f} s, {rows[0]:,} rows",
        None if limit is None else slowest <= limit,
    )


def _publish(
    engine: Engine, dataset: DataSet, first: date, last: date = NEWEST
) -> tuple[float, int]:
    """Publish the days from *first* to *last*; return the seconds it took and their rows."""
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM ops.dirty WHERE dataset = :d"), {"d": dataset.name})
    backfill(engine, dataset, CHAIN, first, last, force=True)
    started = time.perf_counter()
    windows = compute(engine, dataset, CHAIN)
    seconds = time.perf_counter() - started
    return seconds, sum(one.rows for one in windows if first <= one.day <= last)


def fill(engine: Engine) -> None:
    """Make blocks, trades, wash flags, mints and transfers of all days."""
    days = [NEWEST - timedelta(days=n) for n in range(DAYS)]
    ensure_partitions(engine, TOKEN_TRANSFER, days)
    values = {"days": DAYS, "newest": NEWEST, "trades": TRADES, "collections": COLLECTIONS}
    with engine.begin() as connection:
        connection.exec_driver_sql("SET LOCAL synchronous_commit = off")
        for statement in filter(str.strip, _MADE.split(";\n")):
            query = text(statement)
            connection.execute(query, {name: values[name] for name in query.compile().params})
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))
