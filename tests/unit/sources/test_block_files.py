"""Block files as nodes leave them: any order, stale branches, padding, a hidden or cut-off end."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onchain_agg.errors import ConfigError, NodeBehindError, SourceError, WrongChainError
from onchain_agg.sources.bitcoin import BlockFileSource
from tests.unit.sources.bitcoin_blocks import MadeChain, file_source, framed, hashes_of, hashes_read

MADE = MadeChain().grow(12)
KEY = bytes.fromhex("00fabf1122334455")
FRAMED = framed(MADE.blocks)


def hidden(data, key=KEY):
    return bytes(byte ^ key[i % len(key)] for i, byte in enumerate(data))


def source(folder, *files):
    return file_source(folder, *files, made=MADE)


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
    for number, block in zip((99_998, 99_999, 100_000), MADE.blocks, strict=False):
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


@pytest.mark.parametrize("name", ["blk00000.dat", "xor.dat"])
def test_a_file_that_cannot_be_read_is_named(tmp_path, name):
    blocks = source(tmp_path) if name == "blk00000.dat" else source(tmp_path, FRAMED)
    (tmp_path / name).mkdir()

    with pytest.raises(SourceError, match=rf"Cannot read .*{name}: Is a directory"):
        blocks.check_chain()


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
