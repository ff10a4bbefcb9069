"""Token transfers from Arrow into PostgreSQL: `append` against the usual ways.

Run from the repository: ``python -m benchmarks.load [--rows 1000000] [--rounds 3]``. It starts an
embedded PostgreSQL of its own, or takes ``--url`` of a server's empty database. Rounds are
interleaved, so that a busy machine slows every contestant alike; look at the ratios. The row-wise
ways are so slow that a sample is measured; their rows/s need no scaling, but the sample flatters
them (its table stays small).
"""
# ruff: noqa: INP001, T201 - a script, which prints its result.

import argparse
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path

import numpy as np
import psycopg
import pyarrow as pa
from sqlalchemy import Column, Connection, Engine, MetaData, Table, insert, text

from onchain_agg.sources.batch import SCHEMAS
from onchain_agg.warehouse.copy_binary import Field, encode
from onchain_agg.warehouse.embedded import embedded_url, stop
from onchain_agg.warehouse.engine import engine_for
from onchain_agg.warehouse.load import append
from onchain_agg.warehouse.partitions import ensure_partitions, partition_name
from onchain_agg.warehouse.schema import migrate
from onchain_agg.warehouse.tables.chain import TOKEN_TRANSFER

DAY = date(2024, 2, 29)
TRANSFERS_A_BLOCK = 300
COPY_SAMPLE, INSERT_SAMPLE = 100_000, 20_000
CHAIN = {"chain": "ethereum"}
PARTITION = Table(
    partition_name(TOKEN_TRANSFER, DAY),
    MetaData(),
    *(Column(c.name, c.type) for c in TOKEN_TRANSFER.columns),
    schema="chain",
)
BARE = Table("bare", MetaData(), *(Column(c.name, c.type) for c in TOKEN_TRANSFER.columns))
_NAMES = ", ".join(BARE.columns.keys())


@dataclass(frozen=True)
class Way:
    """One way to load *rows* rows into *table*."""

    name: str
    table: Table
    rows: int
    run: Callable[[Connection], object]


@dataclass(frozen=True)
class Spent:
    """One run: rows a second of wall time, and seconds of this process's CPU a million rows."""

    speed: float
    cpu: float


def main() -> None:
    """Run every way in turn and print medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--url", help="an empty database to use; default: an embedded server")
    options = parser.parse_args()
    batch = transfers(options.rows)
    with _database(options.url) as engine:
        ways = _ways(batch)
        found: dict[str, list[Spent]] = {way.name: [] for way in ways}
        for number in range(options.rounds):
            print(f"round {number + 1} of {options.rounds}", flush=True)
            for way in ways:
                found[way.name].append(_measure(engine, way))
    _print(ways, found)
    _print_encoding(batch)


def transfers(rows: int) -> pa.RecordBatch:
    """Return *rows* ERC-20 transfers of one day; amounts have 1 to 12 bytes, a third are 10**18."""
    random = np.random.default_rng(20_240_229)
    number = np.arange(rows)
    block = number // TRANSFERS_A_BLOCK
    hashes = random.integers(0, 256, (int(block[-1]) + 1, 32), np.uint8)
    amounts = np.zeros((rows, 32), np.uint8)
    amounts[:, 20:] = random.integers(0, 256, (rows, 12), np.uint8)
    amounts[np.arange(32) < random.integers(20, 32, rows)[:, None]] = 0
    amounts[number % 3 == 0] = np.frombuffer((10**18).to_bytes(32, "big"), np.uint8)
    addresses = random.integers(0, 256, (50_000, 20), np.uint8)
    of_random = [addresses[random.integers(0, len(addresses), rows)] for _ in range(2)]
    columns = [
        pa.array(np.full(rows, (DAY - date(1970, 1, 1)).days, np.int32), pa.date32()),
        pa.array(19_000_000 + block),
        _fixed(hashes[block]),
        pa.array((number % TRANSFERS_A_BLOCK // 2).astype(np.int32)),
        _fixed(random.integers(0, 256, (rows, 32), np.uint8)),
        pa.array((number % TRANSFERS_A_BLOCK).astype(np.int32)),
        pa.array(np.zeros(rows, np.int32)),
        pa.array(np.full(rows, 20, np.int16)),
        _fixed(addresses[random.integers(0, 500, rows)]),
        *map(_fixed, of_random),
        pa.nulls(rows, pa.binary(32)),
        _fixed(amounts),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=SCHEMAS["token_transfer"])


def _fixed(values: np.ndarray) -> pa.Array:
    rows, width = values.shape
    return pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(width), rows, [None, pa.py_buffer(values.tobytes())]
    )


def _ways(batch: pa.RecordBatch) -> Sequence[Way]:
    rows = batch.num_rows
    many, few = _python_rows(batch.slice(0, COPY_SAMPLE)), _python_rows(batch[:INSERT_SAMPLE])
    records = [dict(zip(BARE.columns.keys(), row, strict=True)) for row in few]

    def loads(table: Table) -> Callable[[Connection], object]:
        return lambda connection: append(connection, table, batch, CHAIN)

    return [
        Way("append, no index", BARE, rows, loads(BARE)),
        Way("append, primary key, by parent", TOKEN_TRANSFER, rows, loads(TOKEN_TRANSFER)),
        Way("append, primary key, by partition", TOKEN_TRANSFER, rows, loads(PARTITION)),
        Way("psycopg write_row (sample)", BARE, len(many), partial(_write_rows, rows=many)),
        Way("psycopg executemany (sample)", BARE, len(few), partial(_executemany, rows=few)),
        Way(
            "SQLAlchemy insert (sample)",
            BARE,
            len(few),
            lambda connection: connection.execute(insert(BARE), records),
        ),
    ]


def _python_rows(batch: pa.RecordBatch) -> list[tuple[object, ...]]:
    columns = [batch.column(name).to_pylist() for name in batch.schema.names]
    amount = batch.schema.get_field_index("amount")
    columns[amount] = [int.from_bytes(word, "big") for word in columns[amount]]
    return [("ethereum", *row) for row in zip(*columns, strict=True)]


def _driver(connection: Connection) -> psycopg.Connection:
    connection.begin()
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)  # noqa: S101 - engine_for takes no other
    return driver


def _write_rows(connection: Connection, rows: Sequence[tuple[object, ...]]) -> None:
    with (
        _driver(connection).cursor() as cursor,
        cursor.copy(f"COPY bare ({_NAMES}) FROM STDIN") as copy,
    ):
        for row in rows:
            copy.write_row(row)


def _executemany(connection: Connection, rows: Sequence[tuple[object, ...]]) -> None:
    places = ", ".join(["%s"] * len(rows[0]))
    with _driver(connection).cursor() as cursor:
        cursor.executemany(f"INSERT INTO bare ({_NAMES}) VALUES ({places})", rows)  # noqa: S608 - names of our own


def _measure(engine: Engine, way: Way) -> Spent:
    with engine.begin() as connection:
        connection.execute(text("TRUNCATE bare, chain.token_transfer"))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("CHECKPOINT"))
    with engine.connect() as connection:
        wall, cpu = time.perf_counter(), time.process_time()
        way.run(connection)
        connection.commit()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return Spent(way.rows / wall, cpu / way.rows * 1e6)


@contextmanager
def _database(url: str | None) -> Iterator[Engine]:
    # A short path, because the server's socket lies in it.
    home = Path(tempfile.mkdtemp(prefix="oagg-"))
    engine = engine_for(url or embedded_url(home))
    try:
        migrate(engine)
        ensure_partitions(engine, TOKEN_TRANSFER, [DAY])
        with engine.begin() as connection:
            BARE.create(connection)
        yield engine
    finally:
        engine.dispose()
        stop(home)
        shutil.rmtree(home, ignore_errors=True)


def _print(ways: Sequence[Way], found: dict[str, list[Spent]]) -> None:
    best = statistics.median(spent.speed for spent in found[ways[0].name])
    print(f"{'way':36}{'rows':>10}{'rows/s':>12}{'slower by':>11}{'CPU s/M rows':>14}")
    for way in ways:
        speed = statistics.median(spent.speed for spent in found[way.name])
        cpu = statistics.median(spent.cpu for spent in found[way.name])
        print(f"{way.name:36}{way.rows:>10,}{speed:>12,.0f}{best / speed:>10.1f}x{cpu:>14.2f}")


def _print_encoding(batch: pa.RecordBatch) -> None:
    fields = [Field(n, BARE.c[n].type, batch.column(n)) for n in batch.schema.names]
    cpu = time.process_time()
    size = sum(len(piece) for piece in encode(fields, batch.num_rows))
    cpu = time.process_time() - cpu
    print(f"encoding alone: {batch.num_rows / cpu:,.0f} rows/s of CPU, {size / 1e6:,.0f} MB")


if __name__ == "__main__":
    main()
