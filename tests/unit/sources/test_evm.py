"""EvmSource against a scripted node: splitting, forks, missing methods, and a node's own limits."""

from itertools import pairwise

import pytest

from onchain_agg.errors import ForkError, NodeBehindError, SourceError, WrongChainError
from onchain_agg.sources.rpc import TooLargeError
from tests.unit.sources.evm_node import BOB, Node, amounts_of, column, scripted_source

CONTENTS = pytest.mark.parametrize("content", ["full", "logs"])


@CONTENTS
def test_a_range_comes_back_whole_in_order_and_without_overlap(content):
    batches = list(scripted_source(Node(300), content=content).read(5, 290))

    assert column(batches, "block", "height") == list(range(5, 291))
    assert amounts_of(batches) == list(range(5, 291))
    assert [b.first for b in batches[1:]] == [b.last + 1 for b in batches[:-1]]
    assert len(batches) > 2


@CONTENTS
def test_one_block_and_no_block(content):
    source = scripted_source(Node(9), content=content)

    assert [(b.first, b.last) for b in source.read(9, 9)] == [(9, 9)]
    assert list(source.read(9, 8)) == []


def test_a_block_says_what_its_header_says():
    ((batch),) = scripted_source(Node(9)).read(7, 7)

    (block,) = batch.tables["block"].to_pylist()
    assert block["header_at"] == block["block_at"]
    assert block["header_at"].isoformat() == "2020-09-13T12:26:47+00:00"
    assert (block["day"].isoformat(), block["tx_count"]) == ("2020-09-13", 1)
    assert (block["size_bytes"], block["gas_used"], block["base_fee_per_gas"]) == (525, 21000, 2)
    assert "0x" + block["miner"].hex() == BOB
    assert block["bits"] is None
    (transaction,) = batch.tables["evm_transaction"].to_pylist()
    assert int.from_bytes(transaction["value"], "big") == 7
    assert int.from_bytes(transaction["gas_price"], "big") == 3
    assert (transaction["gas_used"], transaction["succeeded"]) == (10, True)
    assert transaction["created_contract"] is None


def test_a_refused_range_is_split_until_it_fits_and_nothing_is_lost():
    node = Node(200, most_blocks=3)

    batches = list(scripted_source(node, content="logs").read(0, 200))

    assert amounts_of(batches) == list(range(201))
    sizes = [
        int(params[0]["toBlock"], 16) - int(params[0]["fromBlock"], 16) + 1
        for method, params in node.asked
        if method == "eth_getLogs"
    ]
    assert max(sizes) == 16
    # Three ranges of 16 were under way; each was refused once whole, twice in halves and four times
    # in quarters. What came after was never too large again.
    assert sum(size > 3 for size in sizes) == 21


@CONTENTS
def test_a_refused_batch_is_split_too(content):
    batches = list(scripted_source(Node(60, most_calls=5), content=content).read(0, 60))

    assert amounts_of(batches) == list(range(61))


def test_a_single_block_that_is_refused_stops_the_read():
    read = scripted_source(Node(5, most_blocks=0), content="logs").read(0, 5)

    with pytest.raises(TooLargeError, match="eth_getLogs at http://node0"):
        next(read)


@CONTENTS
def test_other_refusals_are_not_split(content):
    node = Node(40)
    method = "eth_getLogs" if content == "logs" else "eth_getBlockReceipts"
    setattr(node, method, lambda *_: {"error": {"code": -32000, "message": "database is locked"}})

    with pytest.raises(SourceError, match="database is locked"):
        list(scripted_source(node, content=content).read(30, 30))
    assert [m for m, _ in node.asked].count(method) == 1


@pytest.mark.parametrize(
    ("missing", "used"),
    [
        ((), {"trace_block", "eth_getBlockReceipts"}),
        (("trace_block",), {"debug_traceBlockByHash", "eth_getBlockReceipts"}),
        (("trace_block", "debug_traceBlockByHash"), {"eth_getBlockReceipts"}),
        (("eth_getBlockReceipts",), {"trace_block", "eth_getTransactionReceipt"}),
    ],
)
def test_what_a_node_lacks_is_replaced_by_what_it_has(missing, used):
    node = Node(30, missing=missing)

    batches = list(scripted_source(node).read(1, 20))

    offered = {method for method, _ in node.asked} - set(missing)
    assert offered - {"eth_chainId", "eth_getBlockByNumber"} == used
    assert amounts_of(batches) == list(range(1, 21))
    with_traces = bool(used & {"trace_block", "debug_traceBlockByHash"})
    assert set(column(batches, "block", "traced")) == {with_traces}


def test_traces_can_be_left_out():
    node = Node(5)

    batches = list(scripted_source(node, traces="off").read(1, 5))

    assert "trace_block" not in {method for method, _ in node.asked}
    assert set(column(batches, "block", "traced")) == {False}
    assert column(batches, "native_transfer", "kind")[:3] == ["fee", "tip", "value"]


@pytest.mark.parametrize(
    ("traces", "traced"), [("trace_block", True), ("debug_traceBlockByHash", False)]
)
def test_a_mined_block_is_only_complete_with_its_reward(traces, traced):
    batches = list(scripted_source(Node(5, difficulty="0x9"), traces=traces).read(1, 5))

    assert set(column(batches, "block", "traced")) == {traced}


@CONTENTS
def test_a_fork_between_two_batches_throws_the_range_away(content):
    node = Node(200)

    def fork_once(method, params):
        if method == "eth_getBlockByNumber" and params[0] == hex(60):
            node.fork(30)
            node.before = lambda *_: None

    node.before = fork_once
    seen = []

    with pytest.raises(ForkError, match="Read the range again"):
        seen.extend(scripted_source(node, content=content).read(0, 200))
    for one, other in pairwise(seen):
        assert other.first == one.last + 1


@pytest.mark.parametrize(
    ("content", "method"),
    [
        ("logs", "eth_getLogs"),
        ("full", "eth_getBlockReceipts"),
        ("full", "trace_block"),
        ("full", "eth_getTransactionReceipt"),
    ],
)
def test_a_fork_between_a_header_and_its_facts_throws_the_range_away(content, method):
    missing = {"eth_getBlockReceipts"} if method == "eth_getTransactionReceipt" else ()
    node = Node(20, missing=missing)

    def fork_once(asked, params):
        # Block 20 is the newest, on which the methods are tried out first.
        if asked == method and params[0] != hex(20):
            node.fork(8)
            node.before = lambda *_: None

    node.before = fork_once

    with pytest.raises(ForkError, match="Read the range again"):
        list(scripted_source(node, content=content).read(5, 10))


def test_a_fork_that_leaves_no_log_behind_is_noticed():
    node = Node(20)

    def empty_fork(method, _):
        if method == "eth_getLogs":
            node.fork(8)

    node.before = empty_fork
    node.eth_getLogs = lambda _: []

    with pytest.raises(ForkError, match="Blocks 5-10: the chain was reorganised"):
        list(scripted_source(node, content="logs").read(5, 10))


def test_receipts_of_other_transactions_are_refused():
    node = Node(20)
    receipt = node._receipt
    node._receipt = lambda height: receipt(height) | {"transactionHash": "0x" + "77" * 32}

    with pytest.raises(SourceError, match="receipts of block 5 are not those of its transactions"):
        list(scripted_source(node).read(5, 5))


def test_a_receipt_beyond_the_transactions_keeps_its_logs():
    node = Node(20)
    node.eth_getBlockReceipts = lambda number: [
        node._receipt(int(number, 16)),
        node._receipt(int(number, 16)) | {"transactionHash": "0x" + "77" * 32},
    ]

    batches = list(scripted_source(node).read(5, 5))

    assert amounts_of(batches) == [5, 5]
    assert len(column(batches, "evm_transaction", "tx_hash")) == 1


def test_a_block_above_the_tip_is_a_node_that_is_behind():
    source = scripted_source(Node(9))

    with pytest.raises(NodeBehindError) as caught:
        next(source.read(5, 12))
    with pytest.raises(NodeBehindError, match="at block 9, but block 10 was asked for"):
        source.block_at(10)

    assert str(caught.value) == (
        "toy: the node at http://node0 is at block 9, but block 12 was asked for. Wait until it "
        "has synchronised, or ask for less."
    )


@CONTENTS
def test_a_pruned_block_below_the_tip_names_the_node_the_range_and_the_cure(content):
    source = scripted_source(Node(50, pruned_below=20), content=content)

    with pytest.raises(SourceError) as caught:
        next(source.read(10, 14))
    with pytest.raises(SourceError, match="does not have that block") as single:
        source.block_at(10)

    assert str(caught.value) == (
        "Blocks 10-14: eth_getBlockByNumber at http://node0: answered null, so it does not have "
        "that block. Point the connection at a node that keeps this history (an archive node)."
    )
    assert not isinstance(single.value, NodeBehindError)


@pytest.mark.parametrize(
    ("tip", "finalized", "final"),
    [(20, 15, 15), (20, None, 17), (2, None, -1), (20, 25, 20)],
    ids=["the node's own", "by confirmations", "too young", "never above the tip"],
)
def test_the_final_height(tip, finalized, final):
    node = Node(tip)
    node.finalized = finalized
    if finalized is not None and finalized > tip:
        newer = Node(finalized, finalized=finalized)
        node.before = lambda method, params: (
            node.blocks.extend(newer.blocks[tip + 1 :]) if params[0] == "finalized" else None
        )

    assert scripted_source(node).final_height() == final


def test_an_unreachable_node_is_no_reason_to_guess_what_is_final():
    node = Node(20)

    def down(_, params):
        if params[0] == "finalized":
            raise OSError("connection reset")

    node.before = down

    with pytest.raises(SourceError, match="connection reset"):
        scripted_source(node).final_height()


def test_block_references_are_of_the_nodes_chain():
    source = scripted_source(Node(20))

    tip, below = source.tip(), source.block_at(19)

    assert (tip.height, below.height, source.first_height()) == (20, 19, 0)
    assert tip.parent_hash == below.block_hash == (20).to_bytes(32, "big")
    assert below.header_at.isoformat() == "2020-09-13T12:26:59+00:00"


@pytest.mark.parametrize("wrong", [0, 1])
def test_every_endpoint_must_serve_the_chain(wrong):
    nodes = [Node(20), Node(20)]
    nodes[wrong].chain_id = 1

    with pytest.raises(WrongChainError) as caught:
        next(scripted_source(*nodes).read(1, 2))

    assert str(caught.value) == (
        "Connection 'onchain_toy' serves chain id 1, but toy is 5. Point the connection at a toy "
        "node."
    )
    assert "eth_getBlockByNumber" not in {m for node in nodes for m, _ in node.asked}


def _is_down(*_):
    raise OSError("no route to host")


def test_an_endpoint_that_is_down_is_left_out():
    down, up = Node(20), Node(20)
    down.before = _is_down
    source = scripted_source(down, up)

    source.check_chain()
    down.before = lambda *_: None

    assert amounts_of(source.read(1, 3)) == [1, 2, 3]
    assert {method for method, _ in down.asked} == {"eth_chainId"}


def test_when_every_endpoint_is_down_the_error_says_so():
    down = Node(20)
    down.before = _is_down

    with pytest.raises(SourceError, match="toy: eth_chainId at http://node0: no answer"):
        scripted_source(down).check_chain()


def test_a_read_that_is_given_up_asks_no_more():
    node = Node(900)
    read = scripted_source(node, content="logs").read(0, 900)
    next(read)

    read.close()

    heights = [int(p[0]["toBlock"], 16) for m, p in node.asked if m == "eth_getLogs"]
    assert max(heights) < 400


def test_the_genesis_allocation_makes_block_zero_complete():
    source = scripted_source(Node(3), genesis_alloc={bytes([7] * 20): 9})

    batches = list(source.read(0, 1))

    first = batches[0].tables["native_transfer"].to_pylist()[0]
    assert (first["kind"], first["seq"], first["tx_index"]) == ("genesis", 0, None)
    assert (first["sender"], first["recipient"]) == (None, bytes([7] * 20))
    assert int.from_bytes(first["amount"], "big") == 9
    assert column(batches, "block", "traced") == [True, True]


def test_a_chain_at_its_genesis_block_can_be_read_before_it_grows():
    node = Node(0)
    source = scripted_source(node)
    before = column(list(source.read(0, 0)), "block", "traced")

    node.blocks += Node(4).blocks[1:]
    after = column(list(source.read(0, 4)), "block", "traced")

    assert before == [False]
    assert after == [False, True, True, True, True]
    assert "trace_block" in {method for method, _ in node.asked}
