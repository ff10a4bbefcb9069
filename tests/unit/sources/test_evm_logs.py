"""Logs to token transfers: every standard, every digit, and what is kept apart."""

import csv
from collections import Counter

import eth_abi
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onchain_agg.errors import ForkError, SourceError
from onchain_agg.sources.evm_columns import block_columns
from onchain_agg.sources.evm_json import Header, Log
from onchain_agg.sources.evm_logs import (
    TRANSFER,
    TRANSFER_BATCH,
    TRANSFER_SINGLE,
    batch_arrays,
    token_tables,
    transfer_rows,
)
from tests.conftest import REAL_DATA

TOKEN, TX = "0x" + "ee" * 20, "0x" + "cd" * 32
ALICE, BOB, OPERATOR = ("0x" + digit * 40 for digit in "abc")
MOST = 2**256 - 1
UINT256 = st.integers(0, MOST) | st.sampled_from([0, 1, 2**128, 2**255, MOST])


def _hash(height):
    return f"0x{height + 1:064x}"


def _blocks(first=7, count=1):
    headers = [
        Header(
            number=hex(h),
            hash=_hash(h),
            parent_hash=_hash(h - 1),
            timestamp=hex(1_600_000_000 + h),
            size="0x1",
            gas_used="0x0",
            miner=ALICE,
            transactions=[],
        )
        for h in range(first, first + count)
    ]
    return block_columns(headers, first)


def _word(value):
    return f"{value:064x}"


def _topic(address):
    return "0x" + "00" * 12 + address[2:]


def _log(topics, data="0x", index=3, height=7):
    return Log(
        address=TOKEN,
        topics=tuple(topics),
        data=data,
        block_hash=_hash(height),
        transaction_hash=TX,
        transaction_index="0x2",
        log_index=hex(index),
    )


def _erc20(amount, **where):
    return _log([TRANSFER, _topic(ALICE), _topic(BOB)], "0x" + _word(amount), **where)


def _erc721(token_id, **where):
    return _log([TRANSFER, _topic(ALICE), _topic(BOB), "0x" + _word(token_id)], **where)


def _single(token_id, amount, **where):
    topics = [TRANSFER_SINGLE, _topic(OPERATOR), _topic(ALICE), _topic(BOB)]
    return _log(topics, "0x" + _word(token_id) + _word(amount), **where)


def _batch(ids, amounts, **where):
    topics = [TRANSFER_BATCH, _topic(OPERATOR), _topic(ALICE), _topic(BOB)]
    return _log(
        topics, "0x" + eth_abi.encode(["uint256[]", "uint256[]"], [ids, amounts]).hex(), **where
    )


def _transfers(logs, blocks=None):
    return token_tables(logs, blocks or _blocks())["token_transfer"].to_pylist()


def _facts(row):
    token_id = row["token_id"] and int.from_bytes(row["token_id"], "big")
    return (row["standard"], token_id, int.from_bytes(row["amount"], "big"), row["item_index"])


def test_a_transfer_carries_its_block_and_its_place_in_it():
    (row,) = _transfers([_erc20(5)])

    assert row["height"] == 7
    assert row["day"].isoformat() == "2020-09-13"
    assert "0x" + row["block_hash"].hex() == _hash(7)
    assert (row["tx_index"], row["log_index"]) == (2, 3)
    assert "0x" + row["tx_hash"].hex() == TX
    assert "0x" + row["token"].hex() == TOKEN
    assert "0x" + row["sender"].hex() == ALICE
    assert "0x" + row["recipient"].hex() == BOB


@given(UINT256)
def test_an_erc20_amount_survives_exactly(amount):
    assert [_facts(row) for row in _transfers([_erc20(amount)])] == [(20, None, amount, 0)]


@given(UINT256)
def test_an_erc721_token_id_survives_exactly(token_id):
    assert [_facts(row) for row in _transfers([_erc721(token_id)])] == [(721, token_id, 1, 0)]


@given(UINT256, UINT256)
def test_an_erc1155_single_survives_exactly(token_id, amount):
    rows = _transfers([_single(token_id, amount)])

    assert [_facts(row) for row in rows] == [(1155, token_id, amount, 0)]
    assert "0x" + rows[0]["sender"].hex() == ALICE  # not the operator


@given(st.lists(st.tuples(UINT256, UINT256), max_size=5))
def test_an_erc1155_batch_survives_exactly(pairs):
    rows = _transfers([_batch([i for i, _ in pairs], [a for _, a in pairs])])

    expected = [(1155, token_id, amount, k) for k, (token_id, amount) in enumerate(pairs)]
    assert [_facts(row) for row in rows] == expected


_ANY = st.one_of(
    st.builds(_erc20, UINT256),
    st.builds(_erc721, UINT256),
    st.builds(_single, UINT256, UINT256),
    st.lists(UINT256, max_size=3).map(lambda ids: _batch(ids, ids)),
    st.just(_log([TRANSFER])),
    st.just(_log(["0x" + "77" * 32])),
    st.just(_log([])),
)


@given(st.lists(_ANY, max_size=8))
def test_mixed_logs_give_the_same_rows_together_as_alone_and_in_their_order(logs):
    together = token_tables(logs, _blocks())
    alone = [token_tables([log], _blocks()) for log in logs]

    for table in ("token_transfer", "malformed_log"):
        expected = [row for tables in alone for row in tables[table].to_pylist()]
        assert together[table].to_pylist() == expected


def test_transfer_rows_are_the_transfers_in_order_without_the_malformed():
    logs = [_single(4, 9), _erc20(1), _log([TRANSFER]), _batch([5, 6], [7, 8]), _erc721(3)]

    rows, standards = transfer_rows(logs)

    assert standards.tolist() == [1155, 20, 1155, 1155, 721]
    assert (rows.log.tolist(), rows.item.tolist()) == ([0, 1, 3, 3, 4], [0, 0, 0, 1, 0])
    assert [int.from_bytes(row.tobytes(), "big") for row in rows.amount] == [9, 1, 7, 8, 1]


def test_logs_of_several_blocks_find_their_own():
    rows = _transfers([_erc20(1, height=9), _erc721(1, height=8)], _blocks(7, 3))

    assert [row["height"] for row in rows] == [9, 8]
    assert ["0x" + row["block_hash"].hex() for row in rows] == [_hash(9), _hash(8)]


def test_a_log_of_another_block_is_a_fork():
    with pytest.raises(ForkError, match=r"the chain now has other blocks at 7-7\. Read the range"):
        token_tables([_erc20(1, height=8)], _blocks())


DIRTY = "0x" + "00" * 11 + "01" + ALICE[2:]


@pytest.mark.parametrize(
    ("log", "reason"),
    [
        (_log([TRANSFER], "0x" + _word(1) * 3), "1 topics, not 3 or 4"),
        (_log([TRANSFER, _topic(ALICE)], "0x" + _word(1) * 2), "2 topics, not 3 or 4"),
        (
            _log([TRANSFER, _topic(ALICE), _topic(BOB)], "0x" + "00" * 31),
            "31 bytes of data, not 32",
        ),
        (_log([TRANSFER, _topic(ALICE), _topic(BOB)]), "0 bytes of data, not 32"),
        (
            _log([TRANSFER, _topic(ALICE), _topic(BOB)], "0x" + "00" * 64),
            "64 bytes of data, not 32",
        ),
        (
            _log([TRANSFER, _topic(ALICE), _topic(BOB), "0x" + _word(1)], "0x" + _word(1)),
            "32 bytes of data beside a token id, not 0",
        ),
        (
            _log([TRANSFER, DIRTY, _topic(BOB)], "0x" + _word(1)),
            "the sender topic is not an address",
        ),
        (
            _log([TRANSFER, _topic(ALICE), DIRTY], "0x" + _word(1)),
            "the recipient topic is not an address",
        ),
        (
            _log([TRANSFER_SINGLE, _topic(ALICE), _topic(BOB)], "0x" + _word(1) * 2),
            "3 topics, not 4",
        ),
        (
            _log([TRANSFER_SINGLE, OPERATOR, _topic(ALICE), _topic(BOB)][:1] + [_topic(BOB)] * 3),
            "0 bytes of data, not 64",
        ),
        (_batch([1, 2], [3]), "2 ids but 1 amounts"),
        (
            _log([TRANSFER_BATCH] + [_topic(BOB)] * 3, "0x" + "00" * 63),
            "63 bytes of data, too short for two arrays",
        ),
        (
            _log([TRANSFER_BATCH] + [_topic(BOB)] * 3, "0x" + _word(64) + _word(MOST)),
            "an array lies outside the data",
        ),
        (
            _log([TRANSFER_BATCH, _topic(BOB), DIRTY, _topic(BOB)], _batch([1], [1]).data),
            "the sender topic is not an address",
        ),
    ],
)
def test_a_malformed_log_is_kept_apart_whole_with_its_reason(log, reason):
    tables = token_tables([_erc20(1, index=1), log, _erc20(2, index=5)], _blocks())

    assert [row["log_index"] for row in tables["token_transfer"].to_pylist()] == [1, 5]
    (row,) = tables["malformed_log"].to_pylist()
    assert row["reason"] == reason
    assert (row["height"], row["log_index"]) == (7, 3)
    assert "0x" + row["data"].hex() == log.data
    assert row["topics"] == b"".join(bytes.fromhex(topic[2:]) for topic in log.topics)


@given(st.binary(max_size=400))
def test_any_bytes_either_decode_as_the_abi_says_or_are_refused(data):
    arrays = batch_arrays(data)

    if not isinstance(arrays, str):
        ids, amounts = eth_abi.decode(["uint256[]", "uint256[]"], data, strict=False)
        assert arrays[0] == b"".join(i.to_bytes(32, "big") for i in ids)
        assert arrays[1] == b"".join(a.to_bytes(32, "big") for a in amounts)


@given(st.lists(UINT256, max_size=4), st.data())
def test_a_truncated_batch_is_never_guessed(ids, data):
    whole = eth_abi.encode(["uint256[]", "uint256[]"], [ids, ids])
    cut = data.draw(st.integers(0, len(whole) - 1))

    assert isinstance(batch_arrays(whole[:cut]), str)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("address", "0x1234", "sent '0x1234' where 20 bytes were expected"),
        ("transaction_hash", "0x" + "zz" * 32, "bytes that are not hex"),
        ("log_index", "first", "sent 'first' where a number was expected"),
        ("data", "0x" + "é" * 64, "bytes that are not hex"),
        ("transaction_index", hex(2**63), "number above 2\\^63"),
    ],
)
def test_nonsense_of_a_node_is_its_error(field, value, message):
    log = _erc20(1)
    setattr(log, field, value)

    with pytest.raises(SourceError, match=message):
        token_tables([log], _blocks())


@pytest.mark.skipif(
    not (REAL_DATA / "ethereum").is_dir(),
    reason=f"no real data in {REAL_DATA} (ONCHAIN_AGG_REAL_DATA)",
)
def test_real_mainnet_logs_decode_as_eth_abi_decodes_them():
    with (REAL_DATA / "ethereum/logs_block_14210867_sample.csv").open() as lines:
        entries = list(csv.DictReader(lines))
    logs = [_real(entry) for entry in entries]
    hash_of = {int(entry["block_number"]): entry["block_hash"] for entry in entries}
    blocks = block_columns(_real_headers(hash_of), min(hash_of))

    tables = token_tables(logs, blocks)

    rows = tables["token_transfer"].to_pylist()
    expected = [entry for log in logs for entry in _independent(log)]
    assert [("0x" + row["block_hash"].hex(), row["log_index"], *_facts(row)) for row in rows] == (
        expected
    )
    assert Counter(row["standard"] for row in rows).keys() == {20, 721, 1155}
    named = sum(log.topics[0] in (TRANSFER, TRANSFER_SINGLE, TRANSFER_BATCH) for log in logs)
    assert (
        len({(row["height"], row["log_index"]) for row in rows}) + tables["malformed_log"].num_rows
        == named
    )


def _real(row):
    return Log(
        address=row["address"],
        topics=tuple(row["topics"].split(",")),
        data=row["data"],
        block_hash=row["block_hash"],
        transaction_hash=row["transaction_hash"],
        transaction_index=hex(int(row["transaction_index"])),
        log_index=hex(int(row["log_index"])),
    )


def _real_headers(hash_of):
    """Return headers that link the sample's blocks up; the sample has only their hashes."""
    heights = range(min(hash_of), max(hash_of) + 1)
    hashes = {h: hash_of.get(h, _hash(h)) for h in heights}
    return [
        Header(
            number=hex(h),
            hash=hashes[h],
            parent_hash=hashes.get(h - 1, _hash(h - 1)),
            timestamp=hex(1_644_900_000),
            size="0x1",
            gas_used="0x0",
            miner=ALICE,
            transactions=[],
        )
        for h in heights
    ]


def _independent(log):
    """Yield what eth_abi makes of a well-formed log."""
    at = (log.block_hash, int(log.log_index, 16))
    data, kind = bytes.fromhex(log.data[2:]), log.topics[0]
    if kind == TRANSFER and len(log.topics) == 3 and len(data) == 32:
        yield *at, 20, None, eth_abi.decode(["uint256"], data)[0], 0
    elif kind == TRANSFER and len(log.topics) == 4 and not data:
        yield *at, 721, int(log.topics[3], 16), 1, 0
    elif kind == TRANSFER_SINGLE:
        yield *at, 1155, *eth_abi.decode(["uint256", "uint256"], data), 0
    elif kind == TRANSFER_BATCH:
        ids, amounts = eth_abi.decode(["uint256[]", "uint256[]"], data)
        for k, (token_id, amount) in enumerate(zip(ids, amounts, strict=True)):
            yield *at, 1155, token_id, amount, k
