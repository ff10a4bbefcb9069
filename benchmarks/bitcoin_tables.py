"""Bitcoin blocks from a block file into tables, and into the UTXO set and balances.

Made blocks of a megabyte, and the first mainnet blocks where ``ONCHAIN_AGG_REAL_DATA`` has them:
those are tiny, so a block's own cost counts. Speed is per core: megabytes of blocks over the CPU
seconds of this process and of PostgreSQL together. Reading the file's index is part of it.
"""
# ruff: noqa: INP001 - run from the repository, never installed.

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine, text

from benchmarks.bitcoin_chain import FUNDING_BLOCKS, write_chain
from benchmarks.measuring import (
    MEGABYTE,
    Result,
    Server,
    Spent,
    median,
    peak_megabytes,
    running_server,
)
from onchain_agg.chains import UtxoChain, chain_named
from onchain_agg.sources.bitcoin import BlockFileSource
from onchain_agg.warehouse import ingest
from onchain_agg.warehouse.apply import apply_blocks
from onchain_agg.warehouse.engine import engine_for
from tests.conftest import REAL_DATA
from tests.fakes.published import BLOCK_FILE

TIMED_BLOCKS = 24
SHORT_RANGE, LONG_RANGE = 8, 80  # blocks; memory must not follow them
ROUNDS = 3
MEGABYTES_A_SECOND = 8
MOST_GROWTH = 1.25


@dataclass(frozen=True)
class Blocks:
    """Blocks *first* to *last* of a file, which are timed, on top of those below."""

    name: str
    chain: UtxoChain
    file: Path
    first: int
    last: int


def results() -> Iterator[Result]:
    """Yield the speed of loading and of applying, and the memory that ten times more take."""
    with tempfile.TemporaryDirectory() as folder, running_server() as server:
        file = Path(folder) / "blk00000.dat"
        chain = write_chain(file, LONG_RANGE)
        last = FUNDING_BLOCKS + TIMED_BLOCKS - 1
        yield from _speeds(server, Blocks("made blocks", chain, file, FUNDING_BLOCKS, last))
        yield _memory(server, chain, file)
        real = REAL_DATA / BLOCK_FILE
        if real.is_file():
            mainnet = chain_named("bitcoin")
            if isinstance(mainnet, UtxoChain):
                yield from _speeds(server, Blocks("mainnet 0-4312", mainnet, real, 0, 4312))


def _speeds(server: Server, blocks: Blocks) -> Iterator[Result]:
    runs = [_run(server, blocks) for _ in range(ROUNDS)]
    size = runs[0][0]
    load, apply = (median([run[n] for run in runs]) for n in (1, 2))
    speed, count = size / load.cpu, blocks.last - blocks.first + 1
    yield Result(
        f"Bitcoin: {blocks.name} from file to tables",
        f"at least {MEGABYTES_A_SECOND} MB/s a core",
        f"{speed:.1f} MB/s a core ({size:.1f} MB and {count} blocks in {load.wall:.2f} s;"
        f" {_shares(load)})",
        met=speed >= MEGABYTES_A_SECOND,
    )
    yield Result(
        f"Bitcoin: {blocks.name}, UTXO set and balances as well",
        "",
        f"{size / (load.cpu + apply.cpu):.1f} MB/s a core (applying: {apply.wall:.2f} s;"
        f" {_shares(apply)})",
    )


def _shares(spent: Spent) -> str:
    return f"CPU: client {spent.client:.2f} s, PostgreSQL {spent.server:.2f} s"


def _run(server: Server, blocks: Blocks) -> tuple[float, Spent, Spent]:
    """Return the megabytes of the timed blocks, and what loading and applying them took."""
    chain = blocks.chain
    with server.fresh() as engine:
        if blocks.first:
            _load(engine, blocks, 0, blocks.first - 1)
            apply_blocks(engine, chain, final_height=-1)
        load = server.measure(lambda: _load(engine, blocks, blocks.first, blocks.last))
        apply = server.measure(lambda: apply_blocks(engine, chain, final_height=-1))
        with engine.connect() as connection:
            size, tip = connection.execute(
                text(
                    "SELECT sum(size_bytes), max(tip.height) FROM chain.block"
                    " JOIN state.tip USING (chain) WHERE block.height BETWEEN :first AND :last"
                ),
                {"first": blocks.first, "last": blocks.last},
            ).one()
    if tip != blocks.last:
        raise RuntimeError(f"Block {tip} was applied last, not {blocks.last}.")
    return int(size) / MEGABYTE, load, apply


def _load(engine: Engine, blocks: Blocks, first: int, last: int) -> None:
    ingest.load(engine, blocks.chain, BlockFileSource(blocks.chain, blocks.file), first, last)


def _memory(server: Server, chain: UtxoChain, file: Path) -> Result:
    """Return how the peak of a process that loads and applies grows with its range."""
    peaks = []
    for count in (SHORT_RANGE, LONG_RANGE):
        with server.fresh() as engine:
            url = engine.url.render_as_string(hide_password=False)
            peaks.append(peak_megabytes(load_and_apply, url, chain, file, count))
    growth = peaks[1] / peaks[0]
    return Result(
        f"Bitcoin: peak memory for {LONG_RANGE} blocks over {SHORT_RANGE}",
        f"the batch bounds it: at most {MOST_GROWTH} x",
        f"{growth:.2f} x ({peaks[0]:.0f} and {peaks[1]:.0f} MB)",
        met=growth <= MOST_GROWTH,
    )


def load_and_apply(url: str, chain: UtxoChain, file: Path, count: int) -> None:
    """Load the file's funding blocks and *count* more, and apply them; runs in its own process."""
    engine = engine_for(url)
    ingest.load(engine, chain, BlockFileSource(chain, file), 0, FUNDING_BLOCKS + count - 1)
    apply_blocks(engine, chain, final_height=-1)
    engine.dispose()
