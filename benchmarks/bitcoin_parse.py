"""Bitcoin blocks from raw bytes, and from block files, to Arrow columns.

Run from the repository: ``python -m benchmarks.bitcoin_parse [BLOCK ...] [--rounds 15]``, where a
BLOCK is a file with one raw block (default: the real ones of ``ONCHAIN_AGG_REAL_DATA``, and a made
one). Rounds are interleaved, so that a busy machine slows every part alike; look at the ratios.
"""
# ruff: noqa: INP001, T201 - a script, which prints its result.

import argparse
import statistics
import struct
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from random import Random

from onchain_agg.chains import UtxoChain
from onchain_agg.chains.regtest import CHAIN as REGTEST
from onchain_agg.sources.bitcoin import BlockFileSource
from onchain_agg.sources.bitcoin_columns import PlacedBlock, block_tables
from onchain_agg.sources.bitcoin_parse import ParsedBlock, merkle_root, parse_block, sha256d
from tests.conftest import REAL_DATA
from tests.unit.sources.bitcoin_blocks import Block, Tx, TxIn, TxOut, coinbase, framed

MEGABYTE = 1_000_000
REAL = REAL_DATA / "bitcoin"
SHORT_READ, LONG_READ = 16, 160  # blocks; memory must not follow them
INDEXED_BLOCKS = 50_000


def main() -> None:
    """Measure each block, then files of many blocks, and print medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("block", nargs="*", type=Path)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    paths = options.block or sorted(REAL.glob("bitcoinj_block*.dat"))
    blocks = {path.name: path.read_bytes() for path in paths}
    blocks["made"] = made_block().serialize()
    for name, raw in blocks.items():
        print_parts(name, raw, options.rounds)
    with tempfile.TemporaryDirectory() as folder:
        print_reads(Path(folder), max(blocks.values(), key=len), options.rounds)
        print_index(Path(folder))


def made_block() -> Block:
    """Return a block of about a megabyte: two inputs with witnesses and two outputs each."""
    random = Random(20_171_231)  # noqa: S311 - test data

    def spent() -> TxIn:
        return TxIn(random.randbytes(32), 1, witness=(random.randbytes(71), random.randbytes(33)))

    def paid() -> TxOut:
        return TxOut(random.randrange(10**9), b"\x00\x14" + random.randbytes(20))

    txs = [Tx((spent(), spent()), (paid(), paid())) for _ in range(2_500)]
    return Block(bytes(32), 1_600_000_000, (coinbase(0), *txs))


def print_parts(name: str, raw: bytes, rounds: int) -> None:
    """Print how long each part takes for one block, and against only hashing its bytes."""
    parsed = parse_block(raw)
    several = [PlacedBlock(parsed, height, parsed.header.time) for height in range(8)]
    seconds = _medians(
        {
            "hash": lambda: sha256d(raw),
            "parse": lambda: parse_block(raw),
            "merkle": lambda: merkle_root(parsed.txids),
            "columns": lambda: block_tables(several),
        },
        rounds,
    )
    columns = seconds["columns"] / len(several)
    total = seconds["parse"] + columns
    size = len(raw) / MEGABYTE
    print(
        f"{name}: {size:.2f} MB, {len(parsed.txids)} transactions, {_items(parsed)} in- and outputs"
        f"\n  raw to columns {size / total:6.0f} MB/s  {total / seconds['hash']:.1f} x one hash of "
        f"the bytes  (parse {size / seconds['parse']:.0f}, columns {size / columns:.0f} MB/s; "
        f"Merkle root {seconds['merkle'] / total:.0%} of the time)"
    )


def print_reads(folder: Path, raw: bytes, rounds: int) -> None:
    """Print the speed of reading a file of such blocks, and the memory that ten times more take."""
    file = folder / "blk00000.dat"
    chain = _write(file, _chained(raw, LONG_READ))
    size = SHORT_READ * len(raw) / MEGABYTE
    seconds = _medians(
        {
            "bytes": lambda: file.read_bytes()[: SHORT_READ * len(raw)],
            "read": lambda: _read(chain, file, SHORT_READ),
        },
        max(rounds // 3, 1),
    )
    print(f"file to batches: {size / seconds['read']:.0f} MB/s, index of the file included")
    peaks = [_peak_megabytes(chain, file, count) for count in (SHORT_READ, LONG_READ)]
    print(
        f"peak memory: {peaks[0]:.0f} MB for {SHORT_READ} blocks, {peaks[1]:.0f} MB for "
        f"{LONG_READ}: {peaks[1] / peaks[0]:.2f} x"
    )


def print_index(folder: Path) -> None:
    """Print how long the index of many small blocks takes, and how much it adds to memory."""
    file = folder / "blk00001.dat"
    small = Block(bytes(32), 1_600_000_000, (coinbase(0),)).serialize()
    chain = _write(file, _chained(small, INDEXED_BLOCKS))
    start = time.perf_counter()
    BlockFileSource(chain, file).check_chain()
    seconds = time.perf_counter() - start
    before, after = (_peak_megabytes(chain, file, count) for count in (0, 1))
    print(
        f"index: {INDEXED_BLOCKS / seconds / 1000:.0f} thousand blocks/s; "
        f"{(after - before) * MEGABYTE / INDEXED_BLOCKS:.0f} bytes of memory a block at its peak"
    )


def _medians(parts: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Return the median seconds of each part, measured in turn."""
    found: dict[str, list[float]] = {name: [] for name in parts}
    for _ in range(rounds):
        for name, part in parts.items():
            start = time.perf_counter()
            part()
            found[name].append(time.perf_counter() - start)
    return {name: statistics.median(seconds) for name, seconds in found.items()}


def _items(parsed: ParsedBlock) -> int:
    return len(parsed.input_offsets) + len(parsed.output_offsets)


def _chained(raw: bytes, count: int) -> Iterator[bytes]:
    """Yield the block again and again, each copy the child of the one before."""
    parent = bytes(32)
    for number in range(count):
        header = raw[:4] + parent + raw[36:76] + struct.pack("<I", number)
        parent = sha256d(header)
        yield header + raw[80:]


def _write(file: Path, blocks: Iterator[bytes]) -> UtxoChain:
    """Write the blocks to *file* and return the chain that they are."""
    first = next(blocks)
    with file.open("wb") as handle:
        handle.write(framed([first], REGTEST.magic))
        for block in blocks:
            handle.write(framed([block], REGTEST.magic))
    return replace(REGTEST, genesis_hash=sha256d(first[:80])[::-1].hex())


def _read(chain: UtxoChain, file: Path, count: int) -> int:
    """Return how many rows the first *count* blocks of *file* have."""
    batches = BlockFileSource(chain, file).read(0, count - 1)
    return sum(table.num_rows for batch in batches for table in batch.tables.values())


def _peak_megabytes(chain: UtxoChain, file: Path, count: int) -> float:
    """Return the peak memory of a fresh process that reads *count* blocks; 0: it reads nothing."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_peak_after, chain, file, count).result()


def _peak_after(chain: UtxoChain, file: Path, count: int) -> float:
    if count:
        _read(chain, file, count)
    # Not getrusage: its peak includes what the parent held when this process was started.
    status = Path("/proc/self/status").read_text().partition("VmHWM:")[2]
    return int(status.split()[0]) * 1024 / MEGABYTE


if __name__ == "__main__":
    main()
