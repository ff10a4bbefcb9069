"""Raw blocks become the facts that they hold, or an error; never something in between."""

from dataclasses import replace
from datetime import UTC, date, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onchain_agg.errors import SourceError
from onchain_agg.sources.batch import SCHEMAS
from onchain_agg.sources.bitcoin_columns import PlacedBlock, block_tables
from onchain_agg.sources.bitcoin_parse import parse_block
from tests.conftest import REAL_DATA
from tests.unit.sources.bitcoin_blocks import Block, Tx, TxIn, TxOut, coinbase

HASHES = st.binary(min_size=32, max_size=32)
# Lengths on both sides of where the length's own width changes.
SCRIPTS = st.one_of(
    st.binary(max_size=80), st.sampled_from([252, 253, 254, 65535, 65536]).map(lambda n: b"j" * n)
)
INPUTS = st.builds(
    TxIn,
    HASHES,
    st.integers(0, 2**31 - 1),
    SCRIPTS,
    st.lists(st.binary(max_size=300), max_size=3).map(tuple),
)
OUTPUTS = st.builds(TxOut, st.integers(0, 21 * 10**14), SCRIPTS)
TXS = st.builds(
    Tx,
    st.lists(INPUTS, min_size=1, max_size=4).map(tuple),
    st.lists(OUTPUTS, min_size=1, max_size=4).map(tuple),
    st.integers(0, 2**32 - 1),
)
BLOCKS = st.builds(
    lambda parent, time, txs, bits: Block(parent, time, (coinbase(time), *txs), bits),
    HASHES,
    st.integers(0, 2**32 - 1),
    st.lists(TXS, max_size=6),
    st.integers(0, 2**32 - 1),
)


def tables_of(*blocks, height=7, block_time=1_600_000_000):
    placed = [
        PlacedBlock(parse_block(block.serialize()), height + i, block_time)
        for i, block in enumerate(blocks)
    ]
    tables = block_tables(placed)
    for table, batch in tables.items():
        batch.validate(full=True)
        assert batch.schema == SCHEMAS[table]
    return {table: batch.to_pylist() for table, batch in tables.items()}


@settings(max_examples=60, deadline=None)
@given(st.lists(BLOCKS, min_size=1, max_size=3))
def test_every_field_of_a_random_block_arrives_in_its_row(blocks):
    tables = tables_of(*blocks)

    day = date(2020, 9, 13)
    assert [
        (row["height"], row["block_hash"], row["parent_hash"], row["bits"], row["tx_count"])
        for row in tables["block"]
    ] == [(7 + i, b.hash, b.parent, b.bits, len(b.txs)) for i, b in enumerate(blocks)]
    assert [row["size_bytes"] for row in tables["block"]] == [len(b.serialize()) for b in blocks]
    assert [row["header_at"] for row in tables["block"]] == [
        datetime.fromtimestamp(b.time, UTC) for b in blocks
    ]
    placed = [(7 + i, b, t, tx) for i, b in enumerate(blocks) for t, tx in enumerate(b.txs)]
    assert [
        (r["day"], r["height"], r["block_hash"], r["tx_index"], r["vout"], r["txid"], r["value"])
        for r in tables["utxo_output"]
    ] == [
        (day, height, b.hash, t, n, tx.txid, out.value)
        for height, b, t, tx in placed
        for n, out in enumerate(tx.outputs)
    ]
    assert [
        (
            r["day"],
            r["height"],
            r["block_hash"],
            r["tx_index"],
            r["input_index"],
            r["prev_txid"],
            r["prev_vout"],
        )
        for r in tables["utxo_input"]
    ] == [
        (day, height, b.hash, t, n, spent.txid, spent.vout)
        for height, b, t, tx in placed
        for n, spent in enumerate(tx.inputs)
        if t
    ]


@settings(max_examples=60, deadline=None)
@given(BLOCKS, st.data())
def test_a_block_cut_off_anywhere_is_refused(block, data):
    raw = block.serialize()
    size = data.draw(st.integers(0, len(raw) - 1))

    with pytest.raises(SourceError, match=r"^Block 7 is cut off"):
        parse_block(raw[:size], "Block 7")


@settings(max_examples=100, deadline=None)
@given(BLOCKS, st.data())
def test_a_changed_byte_below_the_header_is_refused_or_in_no_fact(block, data):
    raw = bytearray(block.serialize())
    raw[data.draw(st.integers(80, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    whole = parse_block(block.serialize())

    try:
        parsed = parse_block(bytes(raw))
    except SourceError:
        return

    # Witness bytes are outside the txid, so the Merkle root does not cover them.
    assert parsed.txids == whole.txids
    assert parsed.input_counts == whole.input_counts
    assert parsed.output_counts == whole.output_counts


def test_the_coinbase_spends_nothing_and_counts_as_a_transaction():
    spend = Tx((TxIn(bytes([9]) * 32, 3),), (TxOut(5, b"\x51"),))

    tables = tables_of(Block(bytes(32), 1, (coinbase(1), spend)))

    assert [(row["tx_index"], row["prev_vout"]) for row in tables["utxo_input"]] == [(1, 3)]
    assert tables["block"][0]["tx_count"] == 2
    assert tables["block"][0]["traced"] is True
    assert tables["block"][0]["miner"] is None


def test_the_hidden_part_of_an_mweb_block_is_left_out_of_every_fact_but_the_size():
    hogex = Tx((TxIn(bytes([1]) * 32, 0),), (TxOut(7, b"\x58\x20" + bytes(32)),), is_hogex=True)
    plain = Block(bytes(32), 1, (coinbase(1), hogex))
    block = replace(plain, tail=b"\x01" + bytes(500))

    tables = tables_of(block)

    assert tables["block"][0]["size_bytes"] == len(plain.serialize()) + 501
    assert [row["txid"] for row in tables["utxo_output"]] == [tx.txid for tx in block.txs]
    assert tables["utxo_output"][1]["address"] == b"\x18" + bytes(32)


def test_bytes_after_the_last_transaction_are_damage_where_there_is_no_mweb_part():
    block = Block(bytes(32), 1, (coinbase(1),), tail=b"\0")

    with pytest.raises(SourceError, match="1 bytes follow its last transaction"):
        parse_block(block.serialize())


def test_transactions_that_the_header_does_not_commit_to_are_refused():
    block, other = (Block(bytes(32), 1, (coinbase(tag),)).serialize() for tag in (1, 2))

    with pytest.raises(SourceError, match="do not match the header's Merkle root"):
        parse_block(block[:80] + other[80:])


def test_an_unknown_transaction_form_is_refused():
    raw = bytearray(Block(bytes(32), 1, (coinbase(1),)).serialize())
    raw[85:87] = b"\x00\x04"

    with pytest.raises(SourceError, match="unknown flags 0x04"):
        parse_block(bytes(raw))


def test_mweb_data_inside_a_transaction_is_refused():
    hogex = replace(coinbase(1), is_hogex=True)
    raw = bytearray(Block(bytes(32), 1, (hogex,)).serialize())
    raw[-5] = 1

    with pytest.raises(SourceError, match="MWEB data outside"):
        parse_block(bytes(raw))


def test_a_block_without_transactions_is_refused():
    raw = Block(bytes(32), 1, (coinbase(1),)).serialize()[:80] + b"\0"

    with pytest.raises(SourceError, match="no transactions"):
        parse_block(raw)


@pytest.mark.parametrize("number", [-1, -(2**63)])
def test_a_value_that_no_block_may_hold_is_refused(number):
    block = Block(bytes(32), 1, (Tx(coinbase(1).inputs, (TxOut(number, b"\x51"),)),))

    with pytest.raises(SourceError, match="Block 7 is damaged: an output's value is out of range"):
        tables_of(block)


def test_a_spent_output_number_that_no_block_may_hold_is_refused():
    spend = Tx((TxIn(bytes([9]) * 32, 2**31),), (TxOut(5, b"\x51"),))

    with pytest.raises(SourceError, match="a spent output's number is out of range"):
        tables_of(Block(bytes(32), 1, (coinbase(1), spend)))


def test_the_genesis_outputs_can_never_be_spent():
    block = Block(bytes(32), 1, (coinbase(1),))

    assert tables_of(block, height=0)["utxo_output"][0]["spendable"] is False
    assert tables_of(block, height=1)["utxo_output"][0]["spendable"] is True


@pytest.mark.parametrize(
    ("height", "block_hash", "counts"),
    [
        (
            227835,
            "00000000000001aa077d7aa84c532a4d69bdbff519609d1da0835261b7a74eb6",
            (122, 229, 262),
        ),
        (
            363703,
            "0000000000000000011b2a4cb91b63886ffe0d2263fd17ac5a9b902a219e0a14",
            (587, 1418, 3042),
        ),
        (
            481829,
            "000000000000000000917cba69f69b758fe396c8e30ae97bbcf08c4eb975e726",
            (2020, 5146, 5246),
        ),
    ],
)
def test_a_real_block_has_its_known_hash_and_counts(height, block_hash, counts):
    file = REAL_DATA / f"bitcoin/bitcoinj_block{height}.dat"
    if not file.exists():
        pytest.skip(f"real blocks are not at {REAL_DATA}; set ONCHAIN_AGG_REAL_DATA")
    raw = file.read_bytes()

    parsed = parse_block(raw)
    tables = block_tables([PlacedBlock(parsed, height, parsed.header.time)])

    rows = tables["utxo_output"].num_rows, tables["utxo_input"].num_rows
    assert parsed.header.block_hash.hex() == block_hash
    assert (len(parsed.txids), *rows) == counts
    assert tables["block"].column("size_bytes").to_pylist() == [len(raw)]
