"""Events of NFT markets out of a real node: each from its real address, byte for byte."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import pytest

from onchain_agg.chains import EvmChain, chain_named
from onchain_agg.sources.evm import EvmSource
from onchain_agg.sources.nft_markets import all_nft_markets
from tests.fakes import cryptopunks_events as punks
from tests.fakes.nft_events import NATIVE, Event
from tests.nodes import anvil, evm_contracts
from tests.nodes.evm_contracts import Contract, deploy
from tests.nodes.json_rpc import JsonRpc
from tests.nodes.nft_scenes import ALICE, BOB, CAROL, ETHER, SCENES, STANDARDS

pytestmark = pytest.mark.node

_PLACE = ("day", "height", "block_hash", "tx_index", "tx_hash", "log_index", "item_index")
_SIDES = ("listing", "offer")
# What a market sells, as side and standard, if it is not both standards on both sides.
_SOLD = {"cryptopunks": {(side, None) for side in _SIDES}}
# Markets and versions that sell several tokens for one price.
_WITH_BUNDLES = {("looksrare", "2")} | {
    (name, version)
    for name in ("seaport", "wyvern", "x2y2")
    for version in all_nft_markets()[name].contracts.values()
}


@dataclass(frozen=True)
class Played:
    """A node that has played every scene, and the transaction of each."""

    url: str
    transactions: dict[str, str]


@pytest.fixture(scope="module")
def played():
    if reason := anvil.available() or evm_contracts.available():
        pytest.skip(reason)
    with anvil.running_anvil("--accounts", "1") as url:
        rpc = JsonRpc(url)
        (account,) = rpc.call("eth_accounts")
        replay = deploy(rpc, account, "Replay")
        _put_emitters(rpc, deploy(rpc, account, "Emitter"))
        transactions = {
            name: replay.send(rpc, account, "play", *_arguments(scene.events))
            for name, scene in SCENES.items()
        }
        yield Played(url, transactions)
        rpc.close()


def _put_emitters(rpc: JsonRpc, emitter: Contract) -> None:
    code = rpc.call("eth_getCode", emitter.address, "latest")
    for address in {one.address for scene in SCENES.values() for one in scene.events}:
        rpc.call("anvil_setCode", address, code)


def _arguments(events: Sequence[Event]) -> tuple[list[Any], ...]:
    return [e.address for e in events], [e.topics for e in events], [e.data for e in events]


def _readable(value: Any) -> Any:
    if isinstance(value, bytes):
        return "0x" + value.hex() if len(value) == 20 else int.from_bytes(value, "big")
    return value


def _tables(url: str, content: str) -> list[dict[str, Any]]:
    chain = chain_named("anvil")
    assert isinstance(chain, EvmChain)
    source = EvmSource(chain, [url], content=content)
    return [batch.tables for batch in source.read(0, source.tip().height)]


def test_every_market_and_version_sells_each_kind_on_each_side():
    wanted = {
        (market.name, version, *sold)
        for market in all_nft_markets().values()
        for version in market.contracts.values()
        for sold in _SOLD.get(market.name, product(_SIDES, STANDARDS))
    }

    trades = [trade for scene in SCENES.values() for trade in scene.trades]

    shown = {tuple(one[k] for k in ("market", "version", "side", "standard")) for one in trades}
    assert shown == wanted
    bundles = {(one["market"], one["version"]) for one in trades if one["bundle_size"] > 1}
    assert bundles == _WITH_BUNDLES


@pytest.mark.parametrize("content", ["full", "logs"])
def test_every_event_of_a_node_becomes_its_trades(played, content):
    tables = _tables(played.url, content)

    found: dict[str, list[dict[str, Any]]] = {name: [] for name in SCENES}
    names = {transaction: name for name, transaction in played.transactions.items()}
    for row in (row for table in tables for row in table["nft_trade"].to_pylist()):
        name = names["0x" + row["tx_hash"].hex()]
        found[name].append({k: _readable(v) for k, v in row.items() if k not in _PLACE})

    assert found == {name: list(scene.trades) for name, scene in SCENES.items()}
    assert [row for table in tables for row in table["malformed_log"].to_pylist()] == []


def test_bids_and_the_owners_of_punks_come_out_of_the_markets_own_events(played):
    tables = _tables(played.url, "logs")

    bids = [row for table in tables for row in table["nft_bid"].to_pylist()]
    asked = ("token_id", "bidder", "price", "withdrawn")
    found = {
        market: [
            tuple(_readable(row[name]) for name in asked) for row in bids if row["market"] == market
        ]
        for market in ("cryptopunks", "x2y2")
    }
    assert found == {
        "cryptopunks": [
            (7, CAROL, ETHER, False),
            (7, BOB, 2 * ETHER, False),
            (8, BOB, ETHER, False),
            (8, BOB, ETHER, True),
        ],
        # In an auction of each standard.
        "x2y2": [(7, BOB, ETHER, False)] * 2,
    }
    moves = [row for table in tables for row in table["token_transfer"].to_pylist()]
    asked = ("token_id", "sender", "recipient")
    punk = [row for row in moves if _readable(row["token"]) == punks.CONTRACT]
    assert [
        tuple(_readable(row[name]) for name in asked) for row in punk if row["standard"] == 721
    ] == [(7, ALICE, BOB), (7, NATIVE, CAROL), (7, CAROL, ALICE), (7, ALICE, BOB)]
    # The contract's own Transfer looks like a coin's.
    assert [row["token_id"] for row in punk if row["standard"] == 20] == [None] * 3
