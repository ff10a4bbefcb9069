"""The replay server, asked over HTTP as a source would ask it."""

import socket
from urllib.parse import urlsplit

import pytest
import urllib3
from hypothesis import given
from hypothesis import strategies as st

from onchain_agg import sample
from onchain_agg.sample import replay
from tests.nodes.json_rpc import JsonRpc, RpcError

TIP = 383
TRANSFER = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
KRILL = "0x5fbdb2315678afecb367f032d93f642f64180aa3"
CUSD = "0xe7f1725e7734ce288f8367e1bb143e90bb3f0512"
MINER = "0x" + "c0" * 20


@pytest.fixture(scope="module")
def recording():
    return replay.load(sample.recording_file())


@pytest.fixture(scope="module")
def url():
    with sample.running_replay() as url:
        yield url


@pytest.fixture(scope="module")
def node(url):
    client = JsonRpc(url)
    yield client
    client.close()


def recorded_logs(recording, first, last):
    return [
        log
        for height in range(first, last + 1)
        for receipt in recording.receipts[height]
        for log in receipt["logs"]
    ]


def test_names_its_chain_and_its_tip(node):
    assert node.call("eth_chainId") == "0x7a69"
    assert node.call("net_version") == "31337"
    assert node.call("eth_blockNumber") == "0x17f"
    assert node.call("web3_clientVersion").startswith("anvil/")


@pytest.mark.parametrize(
    ("tag", "height"),
    [("latest", TIP), ("pending", TIP), ("safe", 351), ("finalized", 319), ("earliest", 0)],
)
def test_resolves_tags_as_the_node_did(node, recording, tag, height):
    assert node.call("eth_getBlockByNumber", tag, True) == recording.blocks[height]


def test_serves_whole_blocks_and_blocks_with_hashes_only(node, recording):
    whole = recording.blocks[2]
    hashes = [transaction["hash"] for transaction in whole["transactions"]]

    assert node.call("eth_getBlockByNumber", "0x2", True) == whole
    assert node.call("eth_getBlockByNumber", "0x2", False) == whole | {"transactions": hashes}
    assert node.call("eth_getBlockByHash", whole["hash"], True) == whole
    assert len(hashes) > 20


def test_serves_every_receipt_and_every_trace(node, recording):
    heights = [hex(height) for height in range(TIP + 1)]

    assert node.batch(("eth_getBlockReceipts", h) for h in heights) == recording.receipts
    assert node.batch(("trace_block", h) for h in heights) == recording.traces


def test_finds_one_receipt_by_its_hash(node, recording):
    wanted = recording.receipts[300][0]

    assert node.call("eth_getTransactionReceipt", wanted["transactionHash"]) == wanted


def test_takes_a_block_by_hash_in_an_object(node, recording):
    block = {"blockHash": recording.blocks[7]["hash"]}

    assert node.call("eth_getBlockReceipts", block) == recording.receipts[7]
    assert node.call("trace_block", {"blockNumber": "0x7"}) == recording.traces[7]


def test_knows_nothing_beyond_its_tip(node):
    assert node.call("eth_getBlockByNumber", "0x180", True) is None
    assert node.call("eth_getBlockByHash", "0x" + "ab" * 32, False) is None
    assert node.call("eth_getBlockReceipts", "0x180") is None
    assert node.call("eth_getTransactionReceipt", "0x" + "ab" * 32) is None
    assert node.call("trace_block", "0x180") == []
    assert node.call("eth_getLogs", {"fromBlock": "0x180", "toBlock": "0x190"}) == []


def test_serves_the_logs_of_a_range(node, recording):
    answer = node.call("eth_getLogs", {"fromBlock": "0x0", "toBlock": "latest"})

    assert answer == recorded_logs(recording, 0, TIP)
    assert len(answer) == 1732


def test_serves_the_logs_of_the_tip_where_no_range_is_named(node, recording):
    assert node.call("eth_getLogs", {}) == recorded_logs(recording, TIP, TIP)


def test_serves_the_logs_of_one_block_by_its_hash(node, recording):
    answer = node.call("eth_getLogs", {"blockHash": recording.blocks[2]["hash"]})

    assert answer == recorded_logs(recording, 2, 2)


@pytest.mark.parametrize(
    ("wanted", "keeps"),
    [
        pytest.param({"address": KRILL}, lambda log: log["address"] == KRILL, id="an address"),
        pytest.param(
            {"address": ["0x" + KRILL[2:].upper(), CUSD]},
            lambda log: log["address"] in (KRILL, CUSD),
            id="one of two addresses, in any case",
        ),
        pytest.param(
            {"topics": [TRANSFER]}, lambda log: log["topics"][0] == TRANSFER, id="a topic"
        ),
        pytest.param(
            {"topics": [None, None, "0x" + "00" * 32]},
            lambda log: len(log["topics"]) > 2 and int(log["topics"][2], 16) == 0,
            id="anything, then a topic",
        ),
        pytest.param(
            {"topics": [[TRANSFER, "0x" + "11" * 32], []]},
            lambda log: log["topics"][0] == TRANSFER and len(log["topics"]) > 1,
            id="one of two topics, then one of any value",
        ),
    ],
)
def test_filters_logs(node, recording, wanted, keeps):
    answer = node.call("eth_getLogs", {"fromBlock": "0x0", "toBlock": "latest"} | wanted)

    assert answer == [log for log in recorded_logs(recording, 0, TIP) if keeps(log)]
    assert answer


@given(st.lists(st.integers(0, TIP), min_size=1, max_size=6))
def test_a_range_in_parts_has_the_logs_of_the_whole(recording, cuts):
    starts = [0, *sorted(set(cuts) - {0})]
    ends = [*(start - 1 for start in starts[1:]), TIP]

    parts = [
        replay.answer(recording, "eth_getLogs", [{"fromBlock": hex(a), "toBlock": hex(b)}])
        for a, b in zip(starts, ends, strict=True)
    ]

    assert [log for part in parts for log in part] == recorded_logs(recording, 0, TIP)


def test_serves_balances_at_the_tip_and_at_the_genesis(node, recording):
    rich = next(iter(recording.alloc))

    assert node.call("eth_getBalance", rich, "0x0") == hex(100_000 * 10**18)
    assert node.call("eth_getBalance", MINER, "latest") == recording.balances[MINER]
    assert node.call("eth_getBalance", MINER, "earliest") == "0x0"
    assert node.call("eth_getBalance", MINER.upper().replace("0X", "0x"), hex(TIP)) != "0x0"


@pytest.mark.parametrize(
    ("call", "code", "words"),
    [
        (("debug_traceBlockByHash", "0x0"), -32601, "debug_traceBlockByHash does not exist"),
        (("eth_getBalance", MINER, "0x7"), -32000, "recorded at block 0 and 383 only, not at 0x7"),
        (("eth_getLogs", {"blockHash": "0x" + "ab" * 32}), -32000, "unknown block 0xabab"),
        (("eth_getBlockByNumber", "newest"), -32602, "invalid params of eth_getBlockByNumber"),
        (("eth_getBlockByNumber", {}), -32602, "invalid params of eth_getBlockByNumber"),
        (("eth_getBlockReceipts",), -32602, "invalid params of eth_getBlockReceipts"),
    ],
)
def test_refuses_what_was_not_recorded(node, call, code, words):
    with pytest.raises(RpcError, match=words) as refusal:
        node.call(*call)

    assert refusal.value.code == code


@pytest.mark.parametrize(
    ("body", "code"), [(b"{", -32700), (b"7", -32600), (b"[]", -32600), (b'{"id": 1}', -32600)]
)
def test_refuses_what_is_not_a_call(url, body, code):
    answer = urllib3.request("POST", url, body=body).json()

    assert answer["error"]["code"] == code


def test_answers_the_calls_of_a_batch_in_order_each_for_itself(url):
    batch = [
        {"jsonrpc": "2.0", "id": "a", "method": "eth_chainId", "params": []},
        {"jsonrpc": "2.0", "id": "b", "method": "eth_nothing", "params": []},
        {"jsonrpc": "2.0", "id": "c", "method": "eth_blockNumber"},
    ]

    answers = urllib3.request("POST", url, json=batch).json()

    assert [answer["id"] for answer in answers] == ["a", "b", "c"]
    assert (answers[0]["result"], answers[2]["result"]) == ("0x7a69", "0x17f")
    assert answers[1]["error"]["code"] == -32601


def test_keeps_a_connection_open(url):
    with urllib3.HTTPConnectionPool(urlsplit(url).netloc) as pool:
        for number in range(3):
            call = {"jsonrpc": "2.0", "id": number, "method": "eth_chainId"}
            pool.request("POST", "/", json=call)

        assert (pool.num_requests, pool.num_connections) == (3, 1)


def test_a_stopped_replay_leaves_its_port_to_the_next():
    with sample.running_replay() as url:
        port = urlsplit(url).port

    with sample.running_replay(port) as again:
        assert JsonRpc(again).call("eth_chainId") == "0x7a69"


def test_a_taken_port_is_refused():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        with pytest.raises(OSError, match="in use"), sample.running_replay(port):
            pass
