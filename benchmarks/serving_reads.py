"""What the API reads, with ten years of a thousand assets, against computing it on request.

Both sides answer the same three questions of one PostgreSQL, in turn: the served tables hold
3,650,000 windows' rows of `holder_distribution_daily` and 4,650,000 of `top_holders_daily`; the
computing side asks the data sets' own queries of a token with a million holders.
"""
# ruff: noqa: INP001 - run from the repository, never installed.

import random
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta

from sqlalchemy import (
    Boolean,
    Connection,
    Double,
    Engine,
    Integer,
    Numeric,
    SmallInteger,
    Table,
    TextClause,
    text,
)

from benchmarks.made_transfers import fill_balances
from benchmarks.measuring import Result, running_server, track
from onchain_agg.metrics.dataset import DataSet, Window
from onchain_agg.metrics.registry import dataset_named
from onchain_agg.warehouse.versions import twins

CHAIN = "ethereum"
ASSETS, DAYS, HOLDERS, RANKED = 1_000, 3_650, 1_000_000, 1_000
NEWEST = date(2026, 3, 31)
SEED = 1_784_000_011
_READS = 600  # of each question in a round; the 99th percentile leaves 18 out of three rounds
_ROUNDS = 3
_LIMIT_MS = 5.0
_TOKEN = "0x" + "ee" * 20

LATEST = text(
    "SELECT * FROM serving.holder_distribution_daily WHERE chain = :chain AND asset = :asset"
    " ORDER BY day DESC LIMIT 1"
)
SERIES = text(
    "SELECT day, gini FROM serving.holder_distribution_daily WHERE chain = :chain"
    " AND asset = :asset AND day > :since ORDER BY day"
)
_TOP = text(
    "SELECT * FROM serving.top_holders_daily WHERE chain = :chain AND asset = :asset"
    " AND day = :day AND rank <= 100 ORDER BY rank"
)
_WINDOWS = text(
    "INSERT INTO ops.window (dataset, scope, day, grain, rows, checksum, status, inputs,"
    " changed_at, computed_at)"
    " SELECT :dataset, :chain, CAST(:newest AS date) - n, 'day', :rows, '', 'final', '{}', now(),"
    " now() FROM generate_series(0, CAST(:days AS int) - 1) n"
)

_EVERY = (
    " FROM generate_series(CAST(:first AS int), :last) d,"
    " generate_series(0, CAST(:assets AS int) - 1) a,"
    " generate_series(0, CAST(:holders AS int) - 1) h"
)


@dataclass(frozen=True)
class Question:
    """What the API asks, and the data set that would have to be computed for *days* days."""

    what: str
    read: TextClause
    dataset: str
    days: int = 1


_QUESTIONS = (
    Question("latest day of one asset, all measures", LATEST, "holder_distribution_daily"),
    Question("90 days of one measure of one asset", SERIES, "holder_distribution_daily", 90),
    Question("top 100 holders of one asset", _TOP, "top_holders_daily"),
)


def results() -> Iterator[Result]:
    """Yield, for each question, the 99th percentile and how much slower computing it would be."""
    with running_server() as server, server.fresh() as engine:
        _fill(engine)
        for question in _QUESTIONS:
            yield _compared(engine, question)


def _compared(engine: Engine, question: Question) -> Result:
    chosen = random.Random(SEED)  # noqa: S311 - no secret
    reads: list[float] = []
    a_day: list[float] = []
    with engine.connect() as connection:
        rows = rows_of(connection, question.read, chosen)
        for _ in range(_ROUNDS):
            reads += [
                milliseconds(lambda: rows_of(connection, question.read, chosen))
                for _ in range(_READS)
            ]
            a_day.append(milliseconds(lambda: _compute(connection, question.dataset)))
    p99, middle = statistics.quantiles(reads, n=100)[98], statistics.median(reads)
    request = statistics.median(a_day) * question.days
    times = f" ({question.days} times the day that was measured)" if question.days > 1 else ""
    return Result(
        f"read: {question.what}",
        f"p99 ≤ {_LIMIT_MS:.0f} ms",
        f"p99 {p99:.2f} ms, median {middle:.2f} ms, {rows} rows of {ASSETS:,} assets over"
        f" {DAYS:,} days; computed on request {request / 1000:,.1f} s{times}:"
        f" {request / middle:,.0f} times the read",
        p99 <= _LIMIT_MS,
    )


def milliseconds(run: Callable[[], object]) -> float:
    """Return how long *run* took."""
    started = time.perf_counter()
    run()
    return 1000 * (time.perf_counter() - started)


def rows_of(connection: Connection, query: TextClause, chosen: random.Random) -> int:
    """Return how many rows *query* found of an asset that chance chose.

    Raises:
        RuntimeError: None: the benchmark would measure nothing.
    """
    values = {
        "chain": CHAIN,
        "asset": f"0x{chosen.randrange(ASSETS):040x}",
        "day": NEWEST,
        "since": NEWEST - timedelta(days=90),
    }
    wanted = {name: values[name] for name in query.compile().params}
    found = connection.execute(query, wanted).all()
    if not found:
        raise RuntimeError(f"{values['asset']} was not served.")
    return len(found)


def _compute(connection: Connection, name: str) -> None:
    """Ask the data set's own query for the newest day of a token with a million holders."""
    connection.execute(dataset_named(name).rows(Window(CHAIN, NEWEST, 1, 2, 0))).all()


def _fill(engine: Engine) -> None:
    with engine.begin() as connection:
        track(connection, CHAIN, [_TOKEN])
        fill_balances(connection, [bytes.fromhex(_TOKEN[2:])], HOLDERS)
    distribution, top = map(dataset_named, ("holder_distribution_daily", "top_holders_daily"))
    fill_served(engine, distribution, ASSETS, DAYS, 1)
    # A thousand assets on the newest day, one of them on every day.
    fill_served(engine, top, ASSETS, 1, RANKED)
    fill_served(engine, top, 1, DAYS, RANKED, first_day=1)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for dataset in (distribution, top):
            connection.execute(text(f"VACUUM ANALYZE serving.{dataset.table.name}"))
        connection.execute(text("VACUUM ANALYZE ops.window"))


def fill_served(
    engine: Engine, dataset: DataSet, assets: int, days: int, holders: int, first_day: int = 0
) -> None:
    """Fill the served table a year at a time, with a value in every column."""
    table = twins(dataset.table).serving
    names = ", ".join(column.name for column in table.columns)
    values = ", ".join(_value(table, column.name) for column in table.columns)
    # The names are those of a data set's table.
    # In the order in which publishing writes them.
    fill = text(f"INSERT INTO {table.fullname} ({names}) SELECT {values}{_EVERY} ORDER BY d, a, h")
    size = {"assets": assets, "holders": holders}
    for first in range(first_day, days, 365):
        last = min(first + 365, days) - 1
        values_of = {"first": first, "last": last, "newest": NEWEST, "chain": CHAIN, **size}
        with engine.begin() as connection:
            connection.execute(fill, values_of)
    if first_day == 0:
        with engine.begin() as connection:
            connection.execute(
                _WINDOWS,
                {
                    "dataset": dataset.name,
                    "chain": CHAIN,
                    "newest": NEWEST,
                    "rows": assets * holders,
                    "days": DAYS,
                },
            )


def _value(table: Table, name: str) -> str:
    """Return an expression that fills the column *name* with something of its type."""
    given = {
        "chain": "CAST(:chain AS text)",
        "day": "CAST(:newest AS date) - d",
        "asset": "'0x' || lpad(to_hex(a), 40, '0')",
        "address": "'0x' || lpad(to_hex(h), 40, '0')",
        "known_from": "now()",
    }
    if name in given:
        return given[name]
    kind = table.c[name].type
    if isinstance(kind, Boolean):
        return "h % 50 = 0"
    if isinstance(kind, Double):
        return "random()"
    if isinstance(kind, Integer):
        return "18" if isinstance(kind, SmallInteger) else "1000000 - h"
    if isinstance(kind, Numeric):
        return "1e24 - h"
    return "'x'"
