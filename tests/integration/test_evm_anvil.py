"""EvmSource against a live anvil: real blocks, real contracts, the node's own balances."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from onchain_agg.chains import EvmChain, chain_named
from onchain_agg.errors import NodeBehindError, WrongChainError
from onchain_agg.sources.batch import EVM_TABLES, SCHEMAS
from onchain_agg.sources.evm import EvmSource
from tests.nodes import anvil, evm_contracts
from tests.nodes.evm_contracts import Contract, deploy, send_transaction
from tests.nodes.json_rpc import JsonRpc

pytestmark = pytest.mark.node

FUNDS = 10_000 * 10**18  # what anvil gives each of its accounts
MINER = "0x" + 40 * "0"  # anvil's coinbase, which the miner's tip is paid to
MOST = 2**256 - 1
# PUSH20 <heir> SELFDESTRUCT, and ADDRESS SELFDESTRUCT, both as creation code.
DIE_FOR = "0x73{}ff"
DIE_FOR_ITSELF = "0x30ff"


@dataclass(frozen=True)
class Scene:
    url: str
    rpc: JsonRpc
    accounts: list[str]
    wallet: Contract
    coin: Contract
    items: Contract
    nft: Contract
    refuser: Contract
    failed_tx: str


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    if reason := anvil.available() or evm_contracts.available():
        pytest.skip(reason)
    with anvil.running_anvil("--accounts", "5") as url:
        rpc = JsonRpc(url)
        yield _played(url, rpc)
        rpc.close()


def _played(url: str, rpc: JsonRpc) -> Scene:
    a, b, c, d, e = accounts = rpc.call("eth_accounts")
    wallet, coin = deploy(rpc, a, "ExchangeWallet"), deploy(rpc, a, "Coin", "Coin", "C", 18)
    items, nft = deploy(rpc, a, "Items"), deploy(rpc, a, "Collectible")
    refuser = deploy(rpc, a, "MalformedToken")
    deposit = deploy(rpc, a, "DepositAddress", wallet.address)
    bank = deploy(rpc, a, "Piggybank", value=77)
    send_transaction(rpc, b, to=c, value=10**18, maxPriorityFeePerGas=5)
    send_transaction(rpc, b, to=deposit.address, value=3 * 10**18)
    # The refuser turns its part down, so that inner call moves nothing.
    payees = [c, refuser.address, d]
    wallet.send(rpc, b, "payEther", payees, [10**17, 5, 2 * 10**17], value=4 * 10**17)
    failed = send_transaction(rpc, c, to=refuser.address, value=9)
    bank.send(rpc, c, "retire", d)
    send_transaction(rpc, d, data=DIE_FOR.format(e[2:]), value=1234)
    send_transaction(rpc, d, data=DIE_FOR_ITSELF, value=4321)
    coin.send(rpc, a, "mint", b, MOST)
    coin.send(rpc, b, "transfer", c, MOST - 1)
    nft.send(rpc, a, "mint", b, MOST)
    items.send(rpc, a, "mint", b, 5, 6)
    items.send(rpc, a, "mintBatch", c, [1, MOST], [MOST, 2])
    refuser.send(rpc, a, "emitUnindexed", b, c, 1)
    refuser.send(rpc, a, "emitShort", b, c)
    return Scene(url, rpc, accounts, wallet, coin, items, nft, refuser, failed)


def _chain() -> EvmChain:
    chain = chain_named("anvil")
    assert isinstance(chain, EvmChain)
    return chain


def _source(scene: Scene, **options: Any) -> EvmSource:
    alloc = {bytes.fromhex(account[2:]): FUNDS for account in scene.accounts}
    return EvmSource(_chain(), [scene.url], **{"genesis_alloc": alloc, **options})


def _rows(source: EvmSource, table: str) -> list[dict[str, Any]]:
    tip = source.tip().height
    return [row for b in source.read(0, tip) for row in b.tables[table].to_pylist()]


def _text(raw: bytes | None) -> str | None:
    return None if raw is None else "0x" + raw.hex()


@pytest.mark.parametrize("traces", ["trace_block", "debug_traceBlockByHash", "auto"])
def test_the_native_ledger_sums_to_the_balance_of_every_address(scene, traces):
    source = _source(scene, traces=traces)
    balances: Counter[str] = Counter()

    for row in _rows(source, "native_transfer"):
        amount = int.from_bytes(row["amount"], "big")
        balances[_text(row["recipient"]) or "burned"] += amount
        balances[_text(row["sender"]) or "issued"] -= amount

    issued, burned = -balances.pop("issued"), balances.pop("burned")
    told = {a: int(scene.rpc.call("eth_getBalance", a, "latest"), 16) for a in balances}
    assert dict(balances) == told
    assert len(told) == 11  # five accounts, five contracts and the miner
    assert issued == 5 * FUNDS
    assert issued - burned == sum(told.values())
    assert balances[MINER] > 0


def test_the_two_kinds_of_trace_give_the_same_ledger(scene):
    by_trace = _rows(_source(scene, traces="trace_block"), "native_transfer")
    by_debug = _rows(_source(scene, traces="debug_traceBlockByHash"), "native_transfer")

    assert by_trace == by_debug
    kinds = Counter(row["kind"] for row in by_trace)
    assert kinds["internal"] == 3  # one deposit passed on, two of three payees accepted
    assert kinds["selfdestruct"] == 3
    assert kinds["genesis"] == 5


def test_without_traces_only_the_top_level_is_listed_and_the_blocks_say_so(scene):
    source = _source(scene, traces="off")

    kinds = {row["kind"] for row in _rows(source, "native_transfer")}
    traced = {row["traced"] for row in _rows(source, "block")}

    assert kinds == {"genesis", "fee", "tip", "value"}
    assert traced == {False}


def test_with_traces_every_block_is_traced(scene):
    assert {row["traced"] for row in _rows(_source(scene), "block")} == {True}


def test_the_genesis_block_is_untraced_without_its_allocation(scene):
    blocks = _rows(_source(scene, genesis_alloc=None), "block")

    assert [row["height"] for row in blocks if not row["traced"]] == [0]


def test_a_failed_transaction_pays_its_fee_and_moves_no_value(scene):
    source = _source(scene)
    failed = [row for row in _rows(source, "evm_transaction") if not row["succeeded"]]

    assert [_text(row["tx_hash"]) for row in failed] == [scene.failed_tx]
    (row,) = failed
    moves = [m for m in _rows(source, "native_transfer") if m["height"] == row["height"]]
    assert [m["kind"] for m in moves] == ["fee", "tip"]
    paid = sum(int.from_bytes(m["amount"], "big") for m in moves)
    assert paid == row["gas_used"] * int.from_bytes(row["gas_price"], "big")


def test_token_transfers_keep_every_digit_of_every_standard(scene):
    _, b, c, *_ = scene.accounts
    nobody = MINER

    rows = [
        (
            row["standard"],
            _text(row["token"]),
            _text(row["sender"]),
            _text(row["recipient"]),
            row["token_id"] and int.from_bytes(row["token_id"], "big"),
            int.from_bytes(row["amount"], "big"),
            row["item_index"],
        )
        for row in _rows(_source(scene), "token_transfer")
    ]

    assert rows == [
        (20, scene.coin.address, nobody, b, None, MOST, 0),
        (20, scene.coin.address, b, c, None, MOST - 1, 0),
        (721, scene.nft.address, nobody, b, MOST, 1, 0),
        (1155, scene.items.address, nobody, b, 5, 6, 0),
        (1155, scene.items.address, nobody, c, 1, MOST, 0),
        (1155, scene.items.address, nobody, c, MOST, 2, 1),
    ]


def test_malformed_transfers_are_kept_apart_with_their_reason(scene):
    rows = _rows(_source(scene), "malformed_log")

    assert [(_text(row["token"]), row["reason"]) for row in rows] == [
        (scene.refuser.address, "1 topics, not 3 or 4"),
        (scene.refuser.address, "16 bytes of data, not 32"),
    ]


def test_reading_logs_only_gives_the_same_tokens_and_nothing_else(scene):
    full, logs = _source(scene), _source(scene, content="logs")

    for table in ("token_transfer", "malformed_log"):
        assert _rows(logs, table) == _rows(full, table)
    assert _rows(logs, "native_transfer") == []
    assert _rows(logs, "evm_transaction") == []
    untraced = [{**row, "traced": False} for row in _rows(full, "block")]
    assert _rows(logs, "block") == untraced


def test_batches_have_the_schema_and_hold_the_blocks_of_the_node(scene):
    source = _source(scene)
    tip = source.tip()

    batches = list(source.read(0, tip.height))

    assert batches[0].first == 0
    assert batches[-1].last == tip.height
    for batch in batches:
        assert {name: t.schema for name, t in batch.tables.items()} == {
            name: SCHEMAS[name] for name in EVM_TABLES
        }
    last = batches[-1].tables["block"].to_pylist()[-1]
    assert last["block_hash"] == tip.block_hash
    assert last["header_at"] == tip.header_at == source.block_at(tip.height).header_at


def test_a_height_above_the_tip_is_a_node_that_is_behind(scene):
    source = _source(scene)
    tip = source.tip().height

    with pytest.raises(NodeBehindError, match=f"is at block {tip}, but block {tip + 1} was"):
        next(source.read(0, tip + 1))
    with pytest.raises(NodeBehindError, match=f"block {tip + 9} was asked for"):
        source.block_at(tip + 9)


def test_the_final_height_is_the_nodes_own(scene):
    assert _source(scene).final_height() == 0  # anvil finalises 64 blocks back, but never below 0


def test_a_node_of_another_chain_is_refused_before_the_first_read(scene):
    polygon = chain_named("polygon")
    assert isinstance(polygon, EvmChain)

    with pytest.raises(WrongChainError) as error:
        next(EvmSource(polygon, [scene.url]).read(0, 0))

    assert str(error.value) == (
        "Connection 'onchain_polygon' serves chain id 31337, but polygon is 137. Point the "
        "connection at a polygon node."
    )


def test_a_reorganised_chain_is_read_anew(scene):
    if reason := anvil.available():
        pytest.skip(reason)
    with anvil.running_anvil("--accounts", "2") as url:
        rpc = JsonRpc(url)
        a, b = rpc.call("eth_accounts")
        for value in range(1, 9):
            send_transaction(rpc, a, to=b, value=value)
        source = EvmSource(_chain(), [url])
        before = {row["height"]: row["block_hash"] for row in _rows(source, "block")}

        rpc.call("anvil_reorg", 3, [])
        after = {row["height"]: row["block_hash"] for row in _rows(source, "block")}
        rpc.close()

    assert {h for h in before if before[h] != after[h]} == {6, 7, 8}
