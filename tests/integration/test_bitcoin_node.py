"""Both Bitcoin sources against a live litecoind: its own words on every block, and a real fork."""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest

from onchain_agg.chains import UtxoChain, chain_named
from onchain_agg.errors import NodeBehindError, WrongChainError
from onchain_agg.sources.bitcoin import BitcoinRpcSource, BlockFileSource
from onchain_agg.sources.bitcoin_address import address_text
from tests.nodes.litecoind import Litecoind, available, running_litecoind

pytestmark = pytest.mark.node

# The private key 1, as test networks write it, and its public key.
PRIVATE = "cMahea7zqjxrtgAbB7LSGbcQUr1uX1ojuat9jZodMN87JcbXMTcA"
PUBLIC = "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"
HASH = bytes.fromhex("751e76e8199196d454941c45d1b3a323f1433bd6")

SCRIPT_OF = {
    b"\x00" + HASH: "76a914" + HASH.hex() + "88ac",
    b"\x05" + HASH: "a914" + HASH.hex() + "87",
    b"\x10" + HASH: "0014" + HASH.hex(),
    b"\x10" + bytes(32): "0020" + "00" * 32,
    b"\x11" + bytes.fromhex(PUBLIC[2:]): "5120" + PUBLIC[2:],
    b"\x12\x01\x02": "52020102",
}


@dataclass(frozen=True)
class Scene:
    node: Litecoind
    chain: UtxoChain
    tip: int

    @property
    def rpc(self) -> BitcoinRpcSource:
        return BitcoinRpcSource(self.chain, [self.node.url])

    @property
    def files(self) -> BlockFileSource:
        return BlockFileSource(self.chain, self.node.blocks_dir)


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    if reason := available():
        pytest.skip(reason)
    with running_litecoind() as node:
        yield _played(node)


@pytest.fixture(scope="module")
def mweb_scene() -> Iterator[Scene]:
    if reason := available():
        pytest.skip(reason)
    # The wallet makes the hidden part; the last -vbparams wins, and brings MWEB in at height 432.
    with running_litecoind("-disablewallet=0", "-vbparams=mweb:1601450001:2000000000") as node:
        yield _played_mweb(node)


def _played(node: Litecoind) -> Scene:
    chain = chain_named("regtest")
    node.call("generatetodescriptor", 1, f"pk({PUBLIC})")
    node.call("generatetoaddress", 109, address_text(chain, b"\x10" + HASH))
    (first,) = node.call("getblock", node.call("getblockhash", 1))["tx"]
    texts = [address_text(chain, address) for address in SCRIPT_OF]
    legacy = _sent(node, first, [*({text: 1} for text in texts), {"data": "c0ffee"}])
    # Spends the legacy transaction's P2WPKH output in the same block.
    _sent(node, legacy, [{texts[0]: Decimal("0.5")}], vout=2)
    node.call("generatetoaddress", 10, texts[1])
    return Scene(node, chain, 120)


def _sent(node: Litecoind, txid: str, outputs: list[dict[str, Any]], vout: int = 0) -> str:
    amounts = [{to: str(what) for to, what in output.items()} for output in outputs]
    raw = node.call("createrawtransaction", [{"txid": txid, "vout": vout}], amounts)
    signed = node.call("signrawtransactionwithkey", raw, [PRIVATE])
    assert signed["complete"]
    txid = node.call("sendrawtransaction", signed["hex"], 0)  # any fee
    assert isinstance(txid, str)
    return txid


def _played_mweb(node: Litecoind) -> Scene:
    node.call("createwallet", "hidden")
    address = node.call("getnewaddress")
    for count in (200, 231):
        node.call("generatetoaddress", count, address)
    for _ in range(2):
        node.call("sendtoaddress", node.call("getnewaddress", "", "mweb"), 1)
        node.call("generatetoaddress", 1, address)
    return Scene(node, chain_named("regtest"), 433)


def _told_by_the_node(scene: Scene, first: int, last: int) -> tuple[list[Any], list[Any]]:
    """The outputs and inputs of the blocks, as the node itself decodes them."""
    outputs, inputs = [], []
    for height in range(first, last + 1):
        block = scene.node.call("getblock", scene.node.call("getblockhash", height), 2)
        for tx_index, tx in enumerate(block["tx"]):
            outputs += [
                (height, tx_index, out["n"], tx["txid"], int(Decimal(out["value"]) * 10**8))
                for out in tx["vout"]
            ]
            inputs += [
                (height, tx_index, n, spent["txid"], spent["vout"])
                for n, spent in enumerate(tx["vin"])
                if "coinbase" not in spent
            ]
    return outputs, inputs


def _rows(source: Any, table: str, first: int, last: int) -> list[dict[str, Any]]:
    return [row for batch in source.read(first, last) for row in batch.tables[table].to_pylist()]


def _facts_read(source: Any, first: int, last: int) -> tuple[list[Any], list[Any]]:
    outputs = [
        (row["height"], row["tx_index"], row["vout"], row["txid"].hex(), row["value"])
        for row in _rows(source, "utxo_output", first, last)
    ]
    inputs = [
        (
            row["height"],
            row["tx_index"],
            row["input_index"],
            row["prev_txid"].hex(),
            row["prev_vout"],
        )
        for row in _rows(source, "utxo_input", first, last)
    ]
    return outputs, inputs


def test_the_node_is_the_chain_that_the_package_defines(scene):
    scene.rpc.check_chain()
    scene.files.check_chain()

    with pytest.raises(WrongChainError, match=scene.chain.genesis_hash):
        BitcoinRpcSource(chain_named("litecoin"), [scene.node.url]).check_chain()
    with pytest.raises(WrongChainError, match="a block file of bitcoin or litecoin regtest"):
        BlockFileSource(chain_named("litecoin"), scene.node.blocks_dir).check_chain()


@pytest.mark.parametrize("address", SCRIPT_OF, ids=bytes.hex)
def test_the_node_reads_the_text_of_every_kind_of_address(scene, address):
    told = scene.node.call("validateaddress", address_text(scene.chain, address))

    assert told["isvalid"], told
    assert told["scriptPubKey"] == SCRIPT_OF[address]


def test_every_output_and_input_is_what_the_node_says(scene):
    assert _facts_read(scene.rpc, 1, 120) == _told_by_the_node(scene, 1, 120)


def test_each_kind_of_output_has_its_address(scene):
    rows = [row for row in _rows(scene.rpc, "utxo_output", 111, 111) if row["tx_index"]]

    found = [(row["address"], row["spendable"]) for row in rows]
    assert found == [
        *((address, True) for address in SCRIPT_OF),
        (None, False),
        (b"\x00" + HASH, True),
    ]
    coinbase = _rows(scene.rpc, "utxo_output", 1, 1)
    assert coinbase[0]["address"] == b"\x00" + HASH  # a bare key, as the hash of it


def test_sizes_and_times_are_the_nodes_own(scene):
    rows = _rows(scene.rpc, "block", 0, 120)

    blocks = [scene.node.call("getblock", row["block_hash"].hex()) for row in rows]
    assert [row["size_bytes"] for row in rows] == [block["size"] for block in blocks]
    assert [row["tx_count"] for row in rows] == [block["nTx"] for block in blocks]
    assert [f"{row['bits']:08x}" for row in rows] == [block["bits"] for block in blocks]
    assert [int(row["header_at"].timestamp()) for row in rows] == [b["time"] for b in blocks]
    assert [int(row["block_at"].timestamp()) for row in rows] == [b["mediantime"] for b in blocks]


@pytest.mark.parametrize("name", ["scene", "mweb_scene"])
def test_the_nodes_files_hold_the_same_batches_as_the_node(name, request):
    scene = request.getfixturevalue(name)
    heights = scene.node.call("getblockcount")

    assert heights == scene.tip
    assert scene.files.tip() == scene.rpc.tip()
    for table in ("block", "utxo_output", "utxo_input"):
        from_files = _rows(scene.files, table, 0, heights)
        assert from_files == _rows(scene.rpc, table, 0, heights)


def test_blocks_with_a_hidden_part_show_what_the_node_shows(mweb_scene):
    outputs, inputs = _told_by_the_node(mweb_scene, 430, 433)

    assert _facts_read(mweb_scene.rpc, 430, 433) == (outputs, inputs)
    addresses = [row["address"] for row in _rows(mweb_scene.rpc, "utxo_output", 432, 433)]
    hidden = [address[0] - 0x10 for address in addresses if address and address[0] >= 0x18]
    # Each block has its integrating output (version 8); the first coins to hide peg in (version 9).
    assert sorted(hidden) == [8, 8, 9]


def test_a_node_that_is_behind_says_how_far_it_is(scene):
    tip = scene.rpc.tip().height

    with pytest.raises(NodeBehindError, match=f"has reached block {tip}, not {tip + 1}"):
        next(scene.rpc.read(0, tip + 1))
    with pytest.raises(NodeBehindError, match=f"has reached block {tip}, not {tip + 1}"):
        scene.rpc.block_at(tip + 1)


def test_a_fork_is_followed_by_node_and_files_alike():
    if reason := available():
        pytest.skip(reason)
    chain = chain_named("regtest")
    one, other = (address_text(chain, kind + HASH) for kind in (b"\x00", b"\x05"))
    with running_litecoind() as node:
        dropped = node.call("generatetoaddress", 8, one)
        before = BitcoinRpcSource(chain, [node.url]).block_at(5)
        node.call("invalidateblock", dropped[4])
        kept = node.call("generatetoaddress", 6, other)
        rpc = BitcoinRpcSource(chain, [node.url])
        files = BlockFileSource(chain, node.blocks_dir)

        tip, fork = rpc.tip(), rpc.block_at(5)
        hashes = [row["block_hash"].hex() for row in _rows(files, "block", 1, 10)]

    assert (tip.height, tip.block_hash.hex()) == (10, kept[-1])
    assert (before.block_hash.hex(), fork.block_hash.hex()) == (dropped[4], kept[0])
    assert before.parent_hash == fork.parent_hash
    assert hashes == [*dropped[:4], *kept]
