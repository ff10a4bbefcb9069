"""One block of 10,000 transfers against a token that a million addresses hold.

The holders are made in SQL. Each block moves coins between holders drawn at random, so nearly
20,000 balances change, and the day it belongs to already has as many transfers of other blocks as
the blocks before it brought.
"""
# ruff: noqa: INP001 - run from the repository, never installed.

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from random import Random

from sqlalchemy import Engine, text

from benchmarks.made_transfers import Moved, fill_balances, one_block
from benchmarks.measuring import Result, Server, Spent, median, running_server, track
from onchain_agg.chains import chain_named
from onchain_agg.warehouse import ingest
from onchain_agg.warehouse.apply import apply_blocks

HOLDERS = 1_000_000
TRANSFERS = 10_000
ROUNDS = 7
AT_MOST_S = 0.5
_CHAIN = chain_named("anvil")
_TOKEN = bytes.fromhex("70" * 20)
_START = datetime(2026, 3, 1, tzinfo=UTC)


def results() -> Iterator[Result]:
    """Yield how long one delta takes to load and to apply."""
    with running_server() as server, server.fresh() as engine:
        _fill(engine)
        random = Random(1)  # noqa: S311 - test data
        # The first delta meets pages that nobody has written since the checkpoint.
        spent = [_delta(server, engine, height, random) for height in range(1, ROUNDS + 2)][1:]
    load, apply = (median(each) for each in zip(*spent, strict=True))
    yield Result(
        f"EVM: {TRANSFERS:,} transfers applied to {HOLDERS:,} holders",
        f"at most {AT_MOST_S} s",
        f"{apply.wall:.2f} s (CPU {apply.cpu:.2f} s; loading them before: {load.wall:.2f} s)",
        met=apply.wall <= AT_MOST_S,
    )


def _fill(engine: Engine) -> None:
    ingest.store(engine, _CHAIN, one_block(_CHAIN.name, 0, _START, ()))
    apply_blocks(engine, _CHAIN, final_height=-1)
    with engine.begin() as connection:
        track(connection, _CHAIN.name, [f"0x{_TOKEN.hex()}"])
        fill_balances(connection, [_TOKEN], HOLDERS)


def _delta(server: Server, engine: Engine, height: int, random: Random) -> tuple[Spent, Spent]:
    transfers = [
        Moved(
            _TOKEN, random.randrange(HOLDERS), random.randrange(HOLDERS), random.randrange(10**18)
        )
        for _ in range(TRANSFERS)
    ]
    block = one_block(_CHAIN.name, height, _START + height * timedelta(seconds=12), transfers)
    # A checkpoint before each would make every delta write whole pages; the server's own are rare.
    load = server.measure(lambda: ingest.store(engine, _CHAIN, block), settled=False)
    apply = server.measure(lambda: apply_blocks(engine, _CHAIN, final_height=-1), settled=False)
    with engine.connect() as connection:
        tip = connection.scalar(text("SELECT height FROM state.tip"))
    if tip != height:
        raise RuntimeError(f"The tip is {tip}, not {height}.")
    return load, apply
