"""What the packaged sample holds, checked without the package's own readers."""

import re
from collections import Counter
from datetime import UTC, datetime
from hashlib import sha256
from itertools import pairwise
from pathlib import Path

import pytest

from onchain_agg import sample
from onchain_agg.chains import chain_named
from onchain_agg.sample import replay

TRANSFER = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
TRANSFER_BATCH = "0x4a39dc06d4c0dbc64b70af90fd698a233a518aa5d07e595d983b8c0526c8f7fb"
NOBODY = "0x" + "00" * 20

# An output: its value (below 2**48, so two zeros end it), its script's length and the script.
OUTPUTS = {
    "pubkey": rb"(.{6}\0\0)(?:\x23\x21[\x02\x03].{32}|\x43\x41\x04.{64})\xac",
    "pubkeyhash": rb"(.{6}\0\0)\x19\x76\xa9\x14.{20}\x88\xac",
    "scripthash": rb"(.{6}\0\0)\x17\xa9\x14.{20}\x87",
    "witness_v0_keyhash": rb"(.{6}\0\0)\x16\x00\x14.{20}",
    "witness_v0_scripthash": rb"(.{6}\0\0)\x22\x00\x20.{32}",
    "witness_v1_taproot": rb"(.{6}\0\0)\x22\x51\x20.{32}",
    "multisig": rb"(.{6}\0\0)\x47\x51\x21.{33}\x21.{33}\x52\xae",
}


@pytest.fixture(scope="module")
def recording():
    return replay.load(sample.recording_file())


@pytest.fixture(scope="module")
def facts():
    return sample.expected()


@pytest.fixture(scope="module")
def framed_blocks():
    magic = chain_named("regtest").magic
    data = (sample.block_dir() / "blk00000.dat").read_bytes()
    blocks, at = [], 0
    while at < len(data):
        assert data[at : at + 4] == magic
        length = int.from_bytes(data[at + 4 : at + 8], "little")
        blocks.append(data[at + 8 : at + 8 + length])
        at += 8 + length
    return blocks


@pytest.fixture(scope="module")
def logs(recording):
    return [log for block in recording.receipts for each in block for log in each["logs"]]


def moves_of(logs, token):
    return [
        ("0x" + log["topics"][1][-40:], "0x" + log["topics"][2][-40:], int(log["data"], 16))
        for log in logs
        if log["address"] == token and log["topics"][0] == TRANSFER
    ]


def test_the_sample_is_small_enough_to_ship():
    files = [path for path in Path(sample.__file__).parent.rglob("*") if path.is_file()]

    assert sum(path.stat().st_size for path in files if path.suffix != ".pyc") < 1_500_000


def test_the_block_file_holds_every_block_of_the_node_in_order(framed_blocks, facts):
    hashes = [sha256(sha256(block[:80]).digest()).digest()[::-1].hex() for block in framed_blocks]

    assert hashes == [block["hash"] for block in facts["regtest"]["blocks"]]
    assert hashes[0] == chain_named("regtest").genesis_hash
    assert hashes[-1] == facts["regtest"]["tip"]["hash"]
    assert [len(block) for block in framed_blocks] == [
        block["size"] for block in facts["regtest"]["blocks"]
    ]


@pytest.mark.parametrize("kind", OUTPUTS)
def test_outputs_of_every_kind_occur_as_often_as_the_node_counted(framed_blocks, facts, kind):
    found = re.findall(OUTPUTS[kind], b"".join(framed_blocks), re.DOTALL)

    assert len(found) == facts["regtest"]["script_types"][kind] > 20


def test_the_node_counted_no_other_kind_but_notes(facts):
    assert set(facts["regtest"]["script_types"]) == {*OUTPUTS, "nulldata"}


def test_a_payment_of_more_than_a_hundred_coins_occurs(framed_blocks):
    data = b"".join(framed_blocks)
    values = [
        int.from_bytes(value, "little")
        for pattern in OUTPUTS.values()
        for value in re.findall(pattern, data, re.DOTALL)
    ]

    assert values.count(103 * 10**8) > 5


def test_a_miner_claims_less_than_it_may_and_a_note_burns_coins(facts):
    blocks = facts["regtest"]["blocks"][1:]
    issued = sum(block["subsidy"] for block in blocks)

    # The fee that block 250 left unclaimed, and the value of the note that burns.
    lost = blocks[249]["totalfee"] + 777
    assert issued - lost == facts["regtest"]["unspent"]["amount"]


def test_miners_clocks_run_back_but_the_median_time_past_does_not(facts):
    blocks = facts["regtest"]["blocks"]
    steps = [later["time"] - block["time"] for block, later in pairwise(blocks)]
    medians = [block["mediantime"] for block in blocks]

    assert sum(step == -60 for step in steps) > 5
    assert medians == sorted(medians)


@pytest.mark.parametrize("chain", ["anvil", "regtest"])
def test_days_meet_at_a_block_of_the_last_and_a_block_of_the_first_second(recording, facts, chain):
    times = {
        "anvil": [int(block["timestamp"], 16) for block in recording.blocks],
        "regtest": [block["time"] for block in facts["regtest"]["blocks"]],
    }[chain]
    midnights = [int(datetime(2026, 3, day, tzinfo=UTC).timestamp()) for day in range(2, 9)]

    assert {midnight - 1 for midnight in midnights} <= set(times)
    assert set(midnights) <= set(times)


def test_the_recorded_blocks_are_linked_from_zero_to_the_tip(recording, facts):
    blocks = recording.blocks

    assert [int(block["number"], 16) for block in blocks] == list(range(384))
    assert [b["parentHash"] for b in blocks[1:]] == [block["hash"] for block in blocks[:-1]]
    assert facts["anvil"]["tip"] == {"height": 383, "hash": blocks[-1]["hash"]}
    assert (recording.chain_id, recording.finalized) == ("0x7a69", 319)


def test_an_amount_above_two_to_the_128_moves(logs, facts):
    moves = moves_of(logs, facts["anvil"]["erc20"]["KRILL"]["address"])
    large = [amount for sender, _, amount in moves if amount > 2**128 and sender != NOBODY]

    assert large
    assert all(amount % 2**64 for amount in large)  # digits in the lowest limb too


@pytest.mark.parametrize("name", ["KRILL", "CUSD"])
def test_the_transfer_logs_add_up_to_what_the_token_says(logs, facts, name):
    token = facts["anvil"]["erc20"][name]
    held = Counter()
    for sender, recipient, amount in moves_of(logs, token["address"]):
        held[sender] -= amount
        held[recipient] += amount
    supply = -held.pop(NOBODY)

    assert {who: str(amount) for who, amount in held.items() if amount} == token["balances"]
    assert str(supply) == token["total_supply"]
    assert len(token["balances"]) > 200


def test_ether_is_explained_by_the_genesis_the_traces_and_the_fees(recording, facts):
    held = Counter(sample.genesis_alloc())

    for block, receipts, traces in zip(
        recording.blocks, recording.receipts, recording.traces, strict=True
    ):
        held.update(of_fees(block, receipts))
        for sender, recipient, wei in moved_ether(traces):
            held[sender] -= wei
            held[recipient] += wei

    balances = {"0x" + who.hex(): str(wei) for who, wei in held.items() if wei}
    assert balances == facts["anvil"]["native_balances"]


def of_fees(block, receipts):
    changes = Counter()
    base_fee = int(block["baseFeePerGas"], 16)
    for each in receipts:
        gas, price = int(each["gasUsed"], 16), int(each["effectiveGasPrice"], 16)
        changes[bytes.fromhex(each["from"][2:])] -= gas * price
        changes[bytes.fromhex(block["miner"][2:])] += gas * (price - base_fee)
    return changes


def moved_ether(traces):
    failed = []
    for trace in traces:
        place = [trace["transactionHash"], *trace["traceAddress"]]
        # What failed undoes everything that it called.
        if "error" in trace:
            failed.append(place)
        undone = any(place[: len(root)] == root for root in failed)
        action, result = trace["action"], trace.get("result") or {}
        if undone or action.get("callType", "call") != "call":
            continue
        sender = action.get("from") or action["address"]
        recipient = action.get("to") or action.get("refundAddress") or result["address"]
        wei = int(action.get("value") or action["balance"], 16)
        yield bytes.fromhex(sender[2:]), bytes.fromhex(recipient[2:]), wei


def test_a_failed_transaction_undoes_a_payment_that_had_succeeded_inside_it(recording):
    traces = recording.traces[200]
    (root,) = [trace for trace in traces if not trace["traceAddress"] and "error" in trace]
    first = next(
        trace
        for trace in traces
        if trace["transactionHash"] == root["transactionHash"] and trace["traceAddress"] == [0]
    )

    assert "error" not in first
    assert int(first["action"]["value"], 16) == 10**18


def test_every_trap_for_a_reader_occurs(recording, logs):
    actions = [trace["type"] for block in recording.traces for trace in block]
    statuses = Counter(each["status"] for block in recording.receipts for each in block)
    transfers = Counter(
        (len(log["topics"]), len(log["data"]) // 2 - 1)
        for log in logs
        if log["topics"][0] == TRANSFER
    )

    assert actions.count("suicide") == 1
    assert statuses["0x0"] > 10
    assert sum(log["topics"][0] == TRANSFER_BATCH for log in logs) > 10
    # Malformed: nothing indexed, and half a word of data.
    assert (transfers[1, 96], transfers[3, 16]) == (2, 2)
    assert set(transfers) == {(1, 96), (3, 16), (3, 32), (4, 0)}
    assert [] in recording.receipts[1:]  # a block without transactions


def test_the_chain_tracks_the_tokens_of_the_sample(facts):
    tracked = {asset.symbol: asset.address for asset in chain_named("anvil").tracked_assets}

    assert tracked == {
        "ETH": None,
        "KRILL": facts["anvil"]["erc20"]["KRILL"]["address"],
        "CUSD": facts["anvil"]["erc20"]["CUSD"]["address"],
        "DECK": facts["anvil"]["erc721"]["address"],
    }


@pytest.mark.parametrize(("symbol", "whales"), [("KRILL", 13), ("CUSD", 18), ("DECK", 0)])
def test_the_thresholds_let_a_handful_of_transfers_through(logs, symbol, whales):
    (asset,) = [a for a in chain_named("anvil").tracked_assets if a.symbol == symbol]
    transfers = [
        int(log["data"], 16) if len(log["data"]) > 2 else 1
        for log in logs
        if log["address"] == asset.address and log["topics"][0] == TRANSFER
    ]

    assert sum(amount >= asset.whale_threshold for amount in transfers) == whales
    assert len(transfers) > 200
