"""How much `history` grows in a day when holders of 1,000 assets are refreshed every ten minutes.

A tenth of the assets is simulated for three hours and scaled. Between two refreshes a fifth of the
assets moves, by ten transfers each between holders drawn at random; amounts are small beside
balances, so ranks hardly change and values do. Bytes include indexes.
"""
# ruff: noqa: INP001 - run from the repository, never installed.

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from random import Random

from sqlalchemy import Engine, text

from benchmarks.made_transfers import Moved, fill_balances, one_block
from benchmarks.measuring import MEGABYTE, Result, running_server, track
from onchain_agg.chains import chain_named
from onchain_agg.metrics.compute import compute
from onchain_agg.metrics.registry import dataset_named
from onchain_agg.warehouse import ingest, versions
from onchain_agg.warehouse.apply import apply_blocks

ASSETS, PROMISED_ASSETS = 100, 1_000
REFRESHES, REFRESHES_A_DAY = 18, 144
MOVING, TRANSFERS = 20, 10  # assets between two refreshes, and transfers of each
HOLDERS = 1_500
DATASETS = ("holder_distribution_daily", "top_holders_daily")
_CHAIN = chain_named("anvil")
_START = datetime(2026, 3, 1, tzinfo=UTC)
_EVERY = timedelta(minutes=10)
_SCALE = PROMISED_ASSETS / ASSETS * REFRESHES_A_DAY / REFRESHES


def results() -> Iterator[Result]:
    """Yield the bytes of each data set before and after thinning, for a day of all assets."""
    with running_server() as server, server.fresh() as engine:
        _fill(engine)
        random = Random(1)  # noqa: S311 - test data
        for height in range(REFRESHES + 1):
            _refresh(engine, height, random)
        for name in DATASETS:
            rows, before = _history(engine, name)
            _thin(engine, name)
            kept, after = _history(engine, name)
            yield Result(
                f"history of {name}, a day of {PROMISED_ASSETS:,} assets every 10 minutes",
                "",
                f"{before * _SCALE / MEGABYTE:,.0f} MB ({rows * _SCALE / 1e6:.2f}M rows); thinned"
                f" after 7 days {after * _SCALE / MEGABYTE:,.0f} MB ({kept * _SCALE / 1e6:.2f}M)."
                f" Scaled from {ASSETS} assets and {REFRESHES} refreshes",
            )


def _token(number: int) -> bytes:
    return number.to_bytes(20)


def _fill(engine: Engine) -> None:
    tokens = [_token(1_000 + n) for n in range(ASSETS)]
    with engine.begin() as connection:
        track(connection, _CHAIN.name, [f"0x{token.hex()}" for token in tokens])
        fill_balances(connection, tokens, HOLDERS)


def _refresh(engine: Engine, height: int, random: Random) -> None:
    at = _START + height * _EVERY
    moving = random.sample(range(ASSETS), MOVING if height else 0)
    transfers = [
        Moved(_token(1_000 + n), *random.sample(range(HOLDERS), 2), random.randrange(1, 10**15))
        for n in moving
        for _ in range(TRANSFERS)
    ]
    ingest.store(engine, _CHAIN, one_block(_CHAIN.name, height, at, transfers))
    apply_blocks(engine, _CHAIN, final_height=-1)
    for name in DATASETS:
        compute(engine, dataset_named(name), _CHAIN.name, clock=lambda: at + timedelta(seconds=5))


def _history(engine: Engine, name: str) -> tuple[int, int]:
    """Return the rows and the bytes of a data set's history, without what deletion left behind."""
    table = f"history.{versions.twins(dataset_named(name).table).history.name}"
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(f"VACUUM FULL {table}"))
        rows, size = connection.execute(
            text(f"SELECT count(*), pg_total_relation_size('{table}') FROM {table}")  # noqa: S608 - names of our own
        ).one()
    return rows, size


def _thin(engine: Engine, name: str) -> None:
    with engine.begin() as connection:
        versions.thin(
            connection,
            dataset_named(name).table,
            _START.date(),
            (_START + timedelta(days=1)).date(),
        )
