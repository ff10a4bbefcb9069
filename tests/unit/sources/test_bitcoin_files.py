"""What block files serve as a source: heights, finality, block times, batches; and real chains."""

import bz2
import csv
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onchain_agg.chains import chain_named
from onchain_agg.errors import NodeBehindError
from onchain_agg.sources import bitcoin_batches
from onchain_agg.sources.bitcoin import BlockFileSource
from tests.conftest import REAL_DATA
from tests.unit.sources.bitcoin_blocks import MadeChain, file_source, framed

MADE = MadeChain().grow(12)
FRAMED = framed(MADE.blocks)


def real(name):
    file = REAL_DATA / name
    if not file.exists():
        pytest.skip(f"real data is not at {REAL_DATA}; set ONCHAIN_AGG_REAL_DATA")
    return file


def source(folder, *files):
    return file_source(folder, *files, made=MADE)


def test_a_block_is_final_when_the_confirmations_lie_on_it(tmp_path):
    assert source(tmp_path, FRAMED).final_height() == 11 - 6


def test_no_block_is_final_in_a_short_chain(tmp_path):
    assert source(tmp_path, framed(MADE.blocks[:6])).final_height() == -1
    assert source(tmp_path, framed(MADE.blocks[:7])).final_height() == 0


def test_tip_and_block_at_tell_hash_parent_and_time(tmp_path):
    blocks = source(tmp_path, FRAMED)

    tip = blocks.tip()

    assert tip == blocks.block_at(11)
    assert (tip.block_hash, tip.parent_hash) == (MADE.blocks[11].hash, MADE.blocks[10].hash)
    assert tip.header_at == datetime.fromtimestamp(1_600_000_000 + 11 * 600, UTC)
    assert blocks.first_height() == 0


def test_a_read_beyond_the_files_names_their_end(tmp_path):
    with pytest.raises(NodeBehindError, match="reaches block 11 of made, not 12"):
        next(source(tmp_path, FRAMED).read(5, 12))


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 25), unique=True, max_size=4))
def test_a_read_in_parts_gives_the_same_block_times_as_one_read(tmp_path_factory, cuts):
    made = MadeChain().grow(26)
    # Header times jump about, as real ones do.
    shuffled = [replace(b, time=b.time + 7919 * n % 9000) for n, b in enumerate(made.blocks)]
    for n, block in enumerate(shuffled[1:], 1):
        shuffled[n] = replace(block, parent=shuffled[n - 1].hash)
    made = MadeChain(shuffled)
    blocks = file_source(tmp_path_factory.mktemp("blocks"), framed(made.blocks), made=made)
    bounds = [0, *sorted(cut for cut in cuts if cut), 26]

    parts = [
        time
        for first, end in pairwise(bounds)
        for batch in blocks.read(first, end - 1)
        for time in batch.tables["block"].column("block_at").to_pylist()
    ]

    times = [block.time for block in shuffled]
    medians = [sorted(times[max(n - 10, 0) : n + 1])[min(n + 1, 11) // 2] for n in range(26)]
    assert [int(time.timestamp()) for time in parts] == medians


def test_batches_close_at_a_number_of_bytes_and_of_blocks(tmp_path, monkeypatch):
    size = len(MADE.blocks[0].serialize())
    blocks = source(tmp_path, FRAMED)

    monkeypatch.setattr(bitcoin_batches, "BATCH_BYTES", 2 * size + 1)
    by_bytes = [(batch.first, batch.last) for batch in blocks.read(2, 9)]
    monkeypatch.setattr(bitcoin_batches, "BATCH_BLOCKS", 2)
    by_blocks = [(batch.first, batch.last) for batch in blocks.read(2, 8)]

    assert by_bytes == [(2, 4), (5, 7), (8, 9)]
    assert by_blocks == [(2, 3), (4, 5), (6, 7), (8, 8)]


def test_a_real_fork_is_decided_by_work_over_two_files(tmp_path):
    # Ordinary frames of mainnet's magic: blocks 0 to 4, then the branch 3A, 4A, 5A on block 2.
    names = ("blk_0_to_4", "blk_3A", "blk_4A", "blk_5A")
    files = [bz2.decompress(real(f"bitcoin/reorg_blocks/{n}.dat.bz2").read_bytes()) for n in names]
    bitcoin = chain_named("bitcoin")
    alone, both = tmp_path / "alone", tmp_path / "both"
    for folder, parts in ((alone, files[:1]), (both, [files[0], b"".join(files[1:])])):
        folder.mkdir()
        file_source(folder, *parts, made=MADE)

    before, after = BlockFileSource(bitcoin, alone), BlockFileSource(bitcoin, both)

    assert (before.tip().height, after.tip().height) == (4, 5)
    assert before.block_at(2) == after.block_at(2)
    assert before.block_at(3).block_hash != after.block_at(3).block_hash
    assert after.block_at(3).parent_hash == before.block_at(2).block_hash
    assert [batch.last for batch in after.read(0, 5)] == [5]


def test_the_real_chain_starts_as_it_is_known_to(tmp_path):
    blocks = BlockFileSource(chain_named("bitcoin"), real("bitcoin/mainnet_blk00000_first1MB.dat"))

    assert blocks.tip().height == 4312
    assert blocks.block_at(170).block_hash.hex() == (
        "00000000d1145790a8694403d4063f323d499e655c83426834d4ce2f8dd4a2ee"
    )
    (batch,) = blocks.read(170, 170)
    # Satoshi's payment of 10 coins to Hal Finney, the first one ever made.
    outputs = batch.tables["utxo_output"].to_pylist()
    assert outputs[1]["txid"].hex() == (
        "f4184fc596403b9d638783cf57adfe4c75c605f6356fbc91338530e9831e9e16"
    )
    assert [row["value"] for row in outputs] == [50 * 10**8, 10 * 10**8, 40 * 10**8]
    assert batch.tables["utxo_input"].column("prev_txid").to_pylist()[0].hex() == (
        "0437cd7f8525ceed2324359c2d0ba26006d92d856a9c20fa0241106ee5a597c9"
    )


def test_blocks_and_bytes_of_each_real_day_equal_the_published_series():
    blocks = BlockFileSource(chain_named("bitcoin"), real("bitcoin/mainnet_blk00000_first1MB.dat"))
    reference = real("reference/coinmetrics_btc_daily_2009-01-09_2009-02-13.csv")
    with reference.open() as file:
        published = {
            row["date"]: (int(row["BlkCnt"]), int(row["BlkSizeByte"]))
            for row in csv.DictReader(file)
        }

    counts, sizes = Counter(), Counter()
    for batch in blocks.read(0, 4312):
        block = batch.tables["block"]
        days = [day.isoformat() for day in block.column("day").to_pylist()]
        counts.update(days)
        for day, size in zip(days, block.column("size_bytes").to_pylist(), strict=True):
            sizes[day] += size

    assert len(published) == 36
    assert {day: (counts[day], sizes[day]) for day in published} == published
