"""Block files as nodes leave them: any order, stale branches, padding, a hidden or cut-off end."""

import bz2
import csv
import os
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.sources.bitcoin_blocks import MadeChain, framed

from onchain_agg.chains import chain_named
from onchain_agg.errors import ConfigError, NodeBehindError, SourceError, WrongChainError
from onchain_agg.sources import bitcoin_batches
from onchain_agg.sources.bitcoin import BlockFileSource

REAL = Path(os.environ.get("ONCHAIN_AGG_REAL_DATA", Path(__file__).parents[4] / "shared/data"))
MADE = MadeChain().grow(12)
KEY = bytes.fromhex("00fabf1122334455")
FRAMED = framed(MADE.blocks)


def real(name):
    file = REAL / name
    if not file.exists():
        pytest.skip(f"real data is not at {REAL}; set ONCHAIN_AGG_REAL_DATA")
    return file


def hidden(data, key=KEY):
    return bytes(byte ^ key[i % len(key)] for i, byte in enumerate(data))


def source(folder, *files, made=MADE):
    """A source over *files*, written to *folder* in their order."""
    for number, data in enumerate(files):
        (folder / f"blk{number:05}.dat").write_bytes(data)
    return BlockFileSource(made.chain, folder)


def hashes_read(blocks):
    """The hashes of every block from genesis to the tip, in the order they are read."""
    batches = blocks.read(0, blocks.tip().height)
    return [h for batch in batches for h in batch.tables["block"].column("block_hash").to_pylist()]


def hashes_of(made):
    return [block.hash for block in made.blocks]


@settings(max_examples=25, deadline=None)
@given(st.permutations(range(13)).map(lambda order: [n for n in order if n < 12]), st.data())
def test_blocks_are_read_in_height_order_however_they_lie(tmp_path_factory, order, data):
    cuts = sorted(data.draw(st.lists(st.integers(0, 12), max_size=3)))
    parts = [order[a:b] for a, b in zip([0, *cuts], [*cuts, 12], strict=True)]
    files = [framed(MADE.blocks[n] for n in part) for part in parts]

    blocks = source(tmp_path_factory.mktemp("blocks"), *files)

    assert hashes_read(blocks) == hashes_of(MADE)


def test_a_single_file_is_read_like_a_directory(tmp_path):
    source(tmp_path, FRAMED)

    blocks = BlockFileSource(MADE.chain, tmp_path / "blk00000.dat")

    assert hashes_read(blocks) == hashes_of(MADE)


def test_files_are_taken_in_the_order_of_their_numbers(tmp_path):
    for number, block in zip((9_999, 10_000, 100_000), MADE.blocks, strict=False):
        (tmp_path / f"blk{number:05}.dat").write_bytes(framed([block]))
    (tmp_path / "blk100000.dat").write_bytes(framed([MADE.blocks[2]])[:-1])

    assert BlockFileSource(MADE.chain, tmp_path).tip().height == 1


def test_the_branch_with_most_work_wins_over_a_longer_one(tmp_path):
    heavy = MADE.fork(4, 2, bits=0x1F7FFFFF)

    blocks = source(tmp_path, FRAMED, framed(heavy.blocks[5:]))

    assert hashes_read(blocks) == hashes_of(heavy)


def test_of_two_branches_with_the_same_work_the_first_seen_wins(tmp_path):
    other = MADE.fork(10, 1)

    blocks = source(tmp_path, FRAMED, framed(other.blocks[11:]))

    assert blocks.tip().block_hash == MADE.blocks[-1].hash


def test_a_block_that_was_written_twice_counts_once(tmp_path):
    blocks = source(tmp_path, FRAMED, framed(MADE.blocks[3:6]))

    assert hashes_read(blocks) == hashes_of(MADE)


@pytest.mark.parametrize("key", [KEY, bytes(8)], ids=["hidden", "plain"])
@pytest.mark.parametrize("padding", [1, 3, 5000, 3 << 20])
def test_reserved_space_between_and_after_blocks_is_skipped(tmp_path, key, padding):
    (tmp_path / "xor.dat").write_bytes(key)
    first = framed(MADE.blocks[:5])
    rest = hidden(bytes(len(first) + padding) + framed(MADE.blocks[5:]), key)
    # The node reserves space as plain zeros, whatever the key.
    data = hidden(first, key) + bytes(padding) + rest[len(first) + padding :] + bytes(padding)

    assert hashes_read(source(tmp_path, data)) == hashes_of(MADE)


@settings(max_examples=25, deadline=None)
@given(st.binary(min_size=8, max_size=8), st.integers(0, 100))
def test_files_hidden_by_a_key_are_read_as_if_they_were_not(tmp_path_factory, key, padding):
    folder = tmp_path_factory.mktemp("blocks")
    (folder / "xor.dat").write_bytes(key)

    blocks = source(folder, hidden(FRAMED + bytes(padding), key))

    assert hashes_read(blocks) == hashes_of(MADE)


def test_a_key_of_another_length_is_refused(tmp_path):
    (tmp_path / "xor.dat").write_bytes(b"1234567")

    with pytest.raises(SourceError, match=r"xor\.dat has 7 bytes instead of 8"):
        source(tmp_path, FRAMED).check_chain()


@settings(max_examples=60, deadline=None)
@given(st.integers(len(framed(MADE.blocks[:1])), len(FRAMED)), st.booleans())
def test_a_block_cut_off_at_the_end_of_the_last_file_is_left_out(tmp_path_factory, size, is_hidden):
    folder = tmp_path_factory.mktemp("blocks")
    if is_hidden:
        (folder / "xor.dat").write_bytes(KEY)
    whole = sum(len(framed(MADE.blocks[: n + 1])) <= size for n in range(12))

    blocks = source(folder, (hidden(FRAMED) if is_hidden else FRAMED)[:size])

    assert hashes_read(blocks) == hashes_of(MADE)[:whole]


@pytest.mark.parametrize("missing", [10, 70])
def test_a_block_half_written_into_reserved_space_is_left_out(tmp_path, missing):
    blocks = source(tmp_path, FRAMED[:-missing] + bytes(missing + 5000))

    assert hashes_read(blocks) == hashes_of(MADE)[:-1]


def test_a_block_that_ends_in_zeros_of_its_own_is_kept(tmp_path):
    last = MADE.blocks[-1]
    zeros = replace(last.txs[0], outputs=(replace(last.txs[0].outputs[0], script=bytes(40)),))
    made = MadeChain([*MADE.blocks[:-1], replace(last, txs=(zeros,))])

    assert hashes_read(source(tmp_path, framed(made.blocks))) == hashes_of(made)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, len(framed(MADE.blocks[5:6])) - 1))
def test_a_block_cut_off_in_the_middle_is_an_error_that_names_where(tmp_path_factory, missing):
    start = len(framed(MADE.blocks[:5]))
    end = len(framed(MADE.blocks[:6]))

    blocks = source(tmp_path_factory.mktemp("blocks"), FRAMED[: end - missing] + FRAMED[end:])

    with pytest.raises(SourceError, match=r"blk00000\.dat is damaged at offset \d+") as caught:
        blocks.check_chain()
    at = int(str(caught.value).split("offset ")[1].split(":")[0])
    assert start <= at <= end


@pytest.mark.parametrize("missing", [1, 100, 195])
def test_a_block_cut_off_before_the_last_one_is_no_ordinary_end(tmp_path, missing):
    last = framed(MADE.blocks[-1:])
    cut = FRAMED[: -len(last) - missing]

    with pytest.raises(SourceError, match="damaged at offset"):
        source(tmp_path, cut + last).check_chain()


@pytest.mark.parametrize("missing", [1, 120, 191, 197])
def test_a_block_cut_off_at_the_end_of_an_earlier_file_is_an_error(tmp_path, missing):
    part = framed(MADE.blocks[:6])

    blocks = source(tmp_path, part[:-missing], framed(MADE.blocks[6:]))

    with pytest.raises(SourceError, match=r"blk00000\.dat is damaged at offset \d+: it is cut off"):
        blocks.check_chain()


@pytest.mark.parametrize("size", [0, 80, 0xFFFFFFFF])
def test_an_impossible_length_is_an_error_that_says_it(tmp_path, size):
    damaged = bytearray(FRAMED)
    start = len(framed(MADE.blocks[:4]))
    damaged[start + 4 : start + 8] = size.to_bytes(4, "little")

    with pytest.raises(SourceError, match=f"offset {start}: its length of {size} bytes"):
        source(tmp_path, bytes(damaged)).check_chain()


@pytest.mark.parametrize(
    ("magic", "says"),
    [
        ("fbc0b6db", "a block file of litecoin mainnet"),
        ("c0c0c0c0", "a block file of dogecoin mainnet"),
        ("12345678", r"of no known network.*keep its xor\.dat beside them"),
    ],
)
def test_another_networks_file_is_named(tmp_path, magic, says):
    data = framed(MADE.blocks, bytes.fromhex(magic))

    with pytest.raises(
        WrongChainError, match=rf"blk00000\.dat starts with the magic {magic}.*{says}"
    ):
        source(tmp_path, data).check_chain()


def test_the_same_magic_with_another_genesis_block_is_another_chain(tmp_path):
    other = MadeChain().grow(3, start=77)

    with pytest.raises(WrongChainError, match=other.blocks[0].hash.hex()):
        source(tmp_path, framed(other.blocks)).check_chain()


def test_files_without_their_beginning_name_the_first_missing_parent(tmp_path):
    with pytest.raises(
        SourceError, match=f"{MADE.blocks[3].hash.hex()} is missing. Add the earlier"
    ):
        source(tmp_path, framed(MADE.blocks[4:])).check_chain()


def test_a_missing_file_in_the_middle_ends_the_chain_and_is_told(tmp_path, caplog):
    blocks = source(tmp_path, framed(MADE.blocks[:4]), framed(MADE.blocks[6:]))

    assert blocks.tip().height == 3
    assert f"6 blocks of made are left out: the parent {MADE.blocks[5].hash.hex()}" in caplog.text
    with pytest.raises(NodeBehindError, match=r"reaches block 3 of made .6 more do not connect"):
        blocks.block_at(4)


@pytest.mark.parametrize("data", [b"", bytes(100), FRAMED[:50]])
def test_a_file_without_a_whole_block_says_so(tmp_path, data):
    with pytest.raises(SourceError, match="holds no whole block"):
        source(tmp_path, data).check_chain()


def test_a_directory_without_block_files_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"No blk\*\.dat in"):
        source(tmp_path).check_chain()


def test_a_path_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="No block file or directory"):
        BlockFileSource(MADE.chain, tmp_path / "nowhere").check_chain()


def test_a_file_that_changes_after_the_index_is_noticed(tmp_path):
    other = MADE.fork(0, 11, start=500)
    blocks = source(tmp_path, FRAMED)
    blocks.check_chain()
    source(tmp_path, framed(other.blocks))

    with pytest.raises(SourceError, match="changed during the read"):
        hashes_read(blocks)


def test_a_file_that_gets_shorter_after_the_index_is_noticed(tmp_path):
    blocks = source(tmp_path, FRAMED)
    blocks.check_chain()
    source(tmp_path, FRAMED[:-1])

    with pytest.raises(SourceError, match="ends inside the block at offset"):
        hashes_read(blocks)


def test_a_file_that_vanishes_after_the_index_is_noticed(tmp_path):
    blocks = source(tmp_path, FRAMED)
    blocks.check_chain()
    (tmp_path / "blk00000.dat").unlink()

    with pytest.raises(SourceError, match=r"Cannot read .*No such file"):
        hashes_read(blocks)


def test_a_damaged_block_is_named_by_height_and_file(tmp_path):
    damaged = bytearray(FRAMED)
    damaged[len(framed(MADE.blocks[:6])) - 10] ^= 1

    with pytest.raises(SourceError, match=r"Block 5 in .*blk00000\.dat at \d+ is damaged"):
        hashes_read(source(tmp_path, bytes(damaged)))


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
    blocks = source(tmp_path_factory.mktemp("blocks"), framed(made.blocks), made=made)
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
        source(folder, *parts)

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
