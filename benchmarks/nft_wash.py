"""Wash flags of NFT trades at several sizes of the table: is the cost in proportion to the trades?

``python -m benchmarks nft_wash`` flags all of 10,000, of 100,000 and of 1,000,000 made trades on 30
days, each size in a fresh database, as the data set's DAG would: staging, comparison, the look at
other days and ledger included. Then one more day of the largest table.
"""
# ruff: noqa: INP001 - run from the repository; it prints its result.

import sys
import time
from datetime import date
from pathlib import Path

from sqlalchemy import Engine, text

from benchmarks.measuring import Result, running_server, show
from onchain_agg.metrics.compute import backfill, compute
from onchain_agg.metrics.registry import dataset_named

CHAIN = "ethereum"
NEWEST = date(2026, 3, 31)
DAYS = 30
SIZES = (10_000, 100_000, 1_000_000)
# Ten times the trades may cost so many times as much.
_TIMES = 15.0
_MADE = (Path(__file__).parent / "nft_wash.sql").read_text()


def main(sizes: tuple[int, ...] = SIZES) -> None:
    """Print a line for each of the *sizes*, and one for a day's step of the last of them."""
    before: float | None = None
    with running_server() as server:
        for size in sizes:
            with server.fresh() as engine:
                fill(engine, size)
                taken, rows = flag(engine, date.min)
                what = f"all of {size:,} trades on {DAYS} days"
                figure = f"{taken:.1f} s, {taken / size * 1e6:.0f} µs a trade, {rows:,} flagged"
                if before is None:
                    show(Result(what, "", figure))
                else:
                    ratio = taken / before
                    target = f"≤ {_TIMES:.0f} times the time of a tenth"
                    show(Result(what, target, f"{figure}; {ratio:.1f} times", ratio <= _TIMES))
                before = taken
                step, rows = flag(engine, NEWEST)
                show(
                    Result(f"the newest day of {size:,} trades", "", f"{step:.2f} s, {rows:,} rows")
                )


def fill(engine: Engine, trades: int) -> None:
    """Make the blocks and the served trades."""
    with engine.begin() as connection:
        for statement in _MADE.split(";\n"):
            if statement.strip():
                binds = {"newest": NEWEST, "days": DAYS, "trades": trades}
                used = {name: value for name, value in binds.items() if f":{name}" in statement}
                connection.execute(text(statement), used)


def flag(engine: Engine, first: date) -> tuple[float, int]:
    """Flag the days from *first* on as if for the first time; return the seconds, and the rows."""
    wash = dataset_named("nft_wash_trade")
    backfill(engine, wash, CHAIN, first, NEWEST, force=True)
    started = time.perf_counter()
    windows = compute(engine, wash, CHAIN)
    return time.perf_counter() - started, sum(window.rows for window in windows)


if __name__ == "__main__":
    main(tuple(map(int, sys.argv[1:])) or SIZES)
