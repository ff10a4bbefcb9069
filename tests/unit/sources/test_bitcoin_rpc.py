"""Reading blocks from a node, against a node of a few lines that answers from made blocks."""

import json
from dataclasses import dataclass, field

import pytest

from onchain_agg.errors import ForkError, NodeBehindError, SourceError, WrongChainError
from onchain_agg.sources import bitcoin
from onchain_agg.sources.bitcoin import BitcoinRpcSource, BlockFileSource
from onchain_agg.sources.rpc import HttpAnswer, Rpc
from tests.unit.sources.bitcoin_blocks import MadeChain, framed

MADE = MadeChain().grow(30)
URL = "http://user:secret@node:8332"


@dataclass
class FakeNode:
    """Answers as a node does; *on_batch* runs before each request, with its methods."""

    made: MadeChain = MADE
    prune_height: int = 0
    most_blocks: int = 1_000
    on_batch: object = lambda node, methods: None
    requests: list = field(default_factory=list)

    def __call__(self, url, body):
        asked = json.loads(body)
        calls = asked if isinstance(asked, list) else [asked]
        methods = [call["method"] for call in calls]
        self.on_batch(self, methods)
        self.requests.append((methods[0], len(methods)))
        if methods.count("getblock") > self.most_blocks:
            return HttpAnswer(413, b"")
        answers = [{"id": call["id"], **self.answer(call)} for call in calls]
        return HttpAnswer(
            200, json.dumps(answers if isinstance(asked, list) else answers[0]).encode()
        )

    def answer(self, call):
        try:
            result = getattr(self, call["method"])(*call["params"])
        except LookupError as error:
            return {"result": None, "error": {"code": -8, "message": str(error)}}
        return {"result": result, "error": None}

    def getblockchaininfo(self):
        info = {
            "chain": "main",
            "blocks": len(self.made.blocks) - 1,
            "pruned": bool(self.prune_height),
        }
        pruned = {"pruneheight": self.prune_height} if self.prune_height else {}
        return {**info, **pruned, "bestblockhash": self.made.blocks[-1].hash.hex()}

    def getblockhash(self, height):
        if height >= len(self.made.blocks):
            raise LookupError("Block height out of range")
        return self.made.blocks[height].hash.hex()

    def getblockheader(self, block_hash, verbose):
        assert verbose is False
        return self._block(block_hash)[:160]

    def getblock(self, block_hash, verbosity):
        assert verbosity == 0
        return self._block(block_hash)

    def _block(self, block_hash):
        blocks = {block.hash.hex(): block for block in [*MADE.blocks, *self.made.blocks]}
        return blocks[block_hash].serialize().hex()


def source(node, made=MADE):
    return BitcoinRpcSource(made.chain, Rpc([URL], send=node, sleep=lambda seconds: None))


def test_a_node_gives_the_same_batches_as_its_files(tmp_path):
    (tmp_path / "blk00000.dat").write_bytes(framed(MADE.blocks))

    from_node = list(source(FakeNode()).read(5, 29))
    from_files = list(BlockFileSource(MADE.chain, tmp_path).read(5, 29))

    assert from_node == from_files
    assert [(batch.first, batch.last) for batch in from_node] == [(5, 29)]


def test_tip_block_at_and_final_height_follow_the_node():
    blocks = source(FakeNode())

    assert blocks.tip() == blocks.block_at(29)
    assert blocks.tip().block_hash == MADE.blocks[29].hash
    assert blocks.block_at(0).parent_hash == bytes(32)
    assert blocks.final_height() == 29 - 6
    assert blocks.first_height() == 0


def test_no_block_is_final_in_a_short_chain():
    assert source(FakeNode(MADE.fork(2, 0))).final_height() == -1


def test_requests_grow_to_the_bytes_of_a_batch_and_stay_bounded(monkeypatch):
    node = FakeNode()
    monkeypatch.setattr(bitcoin, "BATCH_BYTES", 10 * len(MADE.blocks[0].serialize()))

    assert len(list(source(node).read(0, 29))) == 1

    assert [count for method, count in node.requests if method == "getblock"] == [4, 10, 10, 6]


def test_a_request_that_is_too_large_is_split():
    node = FakeNode(most_blocks=3)

    (batch,) = source(node).read(0, 29)

    assert batch.tables["block"].column("block_hash").to_pylist() == [b.hash for b in MADE.blocks]


def test_a_block_too_large_even_alone_is_an_error():
    with pytest.raises(SourceError, match="HTTP 413"):
        list(source(FakeNode(most_blocks=0)).read(0, 29))


def test_a_read_beyond_the_tip_says_how_far_the_node_is():
    with pytest.raises(NodeBehindError, match="node of made has reached block 29, not 30"):
        list(source(FakeNode()).read(20, 30))
    with pytest.raises(NodeBehindError, match="node of made has reached block 29, not 31"):
        source(FakeNode()).block_at(31)


def test_a_pruned_range_says_where_the_node_starts():
    blocks = source(FakeNode(prune_height=12))

    assert blocks.first_height() == 12
    assert len(list(blocks.read(12, 29))) == 1
    with pytest.raises(
        SourceError, match="is pruned: its lowest block is 12, and 11 was asked for"
    ):
        list(blocks.read(11, 29))


def test_a_reorganisation_during_the_read_is_a_fork_error():
    other = MADE.fork(3, 30)

    def reorganise(node, methods):
        if methods[0] == "getblock":
            node.made = other

    with pytest.raises(ForkError, match=r"Block 6 of made follows .* Read again"):
        list(source(FakeNode(on_batch=reorganise)).read(2, 29))


def test_a_reorganisation_below_the_read_is_a_fork_error():
    other = MADE.fork(6, 25)
    node = FakeNode()
    hashes = node.getblockhash
    node.getblockhash = lambda height: (
        hashes(height) if height < 12 else other.blocks[12].hash.hex()
    )
    node.made = MadeChain([*MADE.blocks, *other.blocks[7:]])

    with pytest.raises(ForkError, match="Block 12 of made follows"):
        list(source(node).read(15, 20))


def test_another_chains_node_is_refused_with_both_genesis_blocks():
    other = MadeChain().grow(3, start=7)

    with pytest.raises(WrongChainError, match=other.blocks[0].hash.hex()) as caught:
        source(FakeNode(other)).check_chain()
    assert "'onchain_regtest'" in str(caught.value)
    assert MADE.chain.genesis_hash in str(caught.value)


def test_an_unreachable_node_is_left_out_when_another_answers():
    node = FakeNode()

    def one_is_down(url, body):
        if "down" in url:
            raise OSError("refused")
        return node(url, body)

    blocks = BitcoinRpcSource(MADE.chain, Rpc(["http://down:1", URL], send=one_is_down))
    blocks.check_chain()
    node.requests.clear()

    assert blocks.tip().height == 29


def test_no_reachable_node_is_an_error_without_the_password():
    def down(url, body):
        raise OSError("refused")

    with pytest.raises(SourceError, match="http://node:8332") as caught:
        BitcoinRpcSource(MADE.chain, Rpc([URL], send=down)).check_chain()
    assert "secret" not in str(caught.value)


def test_a_block_other_than_the_one_asked_for_is_refused():
    node = FakeNode()
    node.getblock = lambda block_hash, verbosity: MADE.blocks[3].serialize().hex()

    with pytest.raises(SourceError, match=f"answered block {MADE.blocks[3].hash.hex()} when"):
        list(source(node).read(4, 9))


def test_an_answer_that_is_not_hexadecimal_is_refused():
    node = FakeNode()
    node.getblock = lambda block_hash, verbosity: "<html>"

    with pytest.raises(SourceError, match="answered '<html>', which is not hexadecimal"):
        list(source(node).read(4, 9))


def test_a_cut_off_block_names_its_height():
    node = FakeNode()
    node.getblock = lambda block_hash, verbosity: MADE.blocks[4].serialize()[:-1].hex()

    with pytest.raises(SourceError, match="Block 4 of made is cut off"):
        list(source(node).read(4, 9))


def test_a_cut_off_header_is_refused():
    node = FakeNode()
    node.getblockheader = lambda block_hash, verbose: "00" * 79

    with pytest.raises(SourceError, match="79 bytes"):
        source(node).tip()


def test_a_header_other_than_the_one_asked_for_is_refused():
    node = FakeNode()
    node.getblockheader = lambda block_hash, verbose: MADE.blocks[3].serialize()[:80].hex()

    with pytest.raises(SourceError, match=f"answered block {MADE.blocks[3].hash.hex()} when"):
        source(node).tip()
