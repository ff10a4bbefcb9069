"""Seaport on a live anvil: version 1.6 itself, and events of the others from their addresses."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from onchain_agg.chains import chain_named
from onchain_agg.sources.evm import EvmSource
from onchain_agg.sources.nft_markets.seaport import MARKET
from tests.fakes.seaport_events import fulfilled
from tests.nodes import anvil, evm_contracts, seaport
from tests.nodes.evm_contracts import Contract, deploy, send_transaction
from tests.nodes.json_rpc import JsonRpc
from tests.nodes.seaport import ADDRESS, NO_KEY, NOBODY, Seaport, order

pytestmark = pytest.mark.node

FEES = "0x0000a26b00c1f0df003000390027140000faa719"
COIN, ERC20, ERC721, ERC1155, SOME_721 = range(5)
MOST = 2**256 - 1
# Logs what it is called with: three topics, then the data.
EMITTER = "0x60403560203560003560603603806060600037" + "6000a300"


@dataclass(frozen=True)
class Scene:
    rpc: JsonRpc
    url: str
    alice: str
    bob: str
    creator: str
    nft: Contract
    items: Contract
    coin: Contract
    seaport: Seaport

    def eth(self, amount: int, recipient: str) -> tuple[int, str, int, int, str]:
        """Return native coins that are asked for."""
        return (COIN, NOBODY, 0, amount, recipient)

    def trades(self, since: int) -> list[dict[str, Any]]:
        """Return the trades of the blocks after height *since*."""
        tip = self.height()
        source = EvmSource(chain_named("anvil"), [self.url])
        rows = [r for b in source.read(since + 1, tip) for r in b.tables["nft_trade"].to_pylist()]
        assert not [
            r for b in source.read(since + 1, tip) for r in b.tables["malformed_log"].to_pylist()
        ]
        return [
            {
                "version": row["version"],
                "side": row["side"],
                "token_id": int.from_bytes(row["token_id"], "big"),
                "quantity": int.from_bytes(row["quantity"], "big"),
                "seller": "0x" + row["seller"].hex(),
                "buyer": "0x" + row["buyer"].hex(),
                "currency": "0x" + row["currency"].hex(),
                "price": int.from_bytes(row["price"], "big"),
                "platform_fee": int.from_bytes(row["platform_fee"], "big"),
                "royalty": row["royalty"] and int.from_bytes(row["royalty"], "big"),
            }
            for row in rows
        ]

    def height(self) -> int:
        """Return the height of the tip."""
        return int(self.rpc.call("eth_blockNumber"), 16)

    def sale(self, **given: Any) -> dict[str, Any]:
        """Return a sale of ALICE's to BOB for 1000 wei."""
        return {
            "version": "1.6",
            "side": "listing",
            "token_id": 1,
            "quantity": 1,
            "seller": self.alice,
            "buyer": self.bob,
            "currency": NOBODY,
            "price": 1000,
            "platform_fee": 25,
            "royalty": 75,
        } | given


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    if reason := anvil.available() or evm_contracts.available() or seaport.available():
        pytest.skip(reason)
    with anvil.running_anvil("--accounts", "3") as url:
        rpc = JsonRpc(url)
        alice, bob, creator = rpc.call("eth_accounts")
        nft, items = deploy(rpc, alice, "Collectible"), deploy(rpc, alice, "Items")
        coin = deploy(rpc, alice, "Coin", "Coin", "C", 18)
        exchange = seaport.deployed(rpc, alice)
        for number in (1, 2, 3, 4, MOST):
            nft.send(rpc, alice, "mint", alice, number)
        items.send(rpc, alice, "mint", alice, 7, 4)
        coin.send(rpc, bob, "mint", bob, 10_000)
        nft.send(rpc, alice, "setApprovalForAll", ADDRESS, True)
        items.send(rpc, alice, "setApprovalForAll", ADDRESS, True)
        for owner in (alice, bob):
            coin.send(rpc, owner, "approve", ADDRESS, 10_000)
        yield Scene(rpc, url, alice, bob, creator, nft, items, coin, exchange)
        rpc.close()


def _validated(scene: Scene, made: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the order, which its owner has approved on the chain, so it needs no signature."""
    signed = (made, b"")
    scene.seaport.send(made[0], "validate", [signed])
    return signed


def _paid(scene: Scene) -> list[tuple[int, str, int, int, str]]:
    return [scene.eth(900, scene.alice), scene.eth(25, FEES), scene.eth(75, scene.creator)]


@pytest.mark.parametrize("number", [1, MOST])
def test_a_listing_is_bought(scene, number):
    since = scene.height()
    listing = order(scene.alice, [(ERC721, scene.nft.address, number, 1)], _paid(scene))

    scene.seaport.send(scene.bob, "fulfillOrder", _validated(scene, listing), NO_KEY, value=1000)

    assert scene.trades(since) == [scene.sale(token_id=number)]


def test_a_basic_order_has_its_tip_in_the_price(scene):
    since = scene.height()
    listing = order(scene.alice, [(ERC721, scene.nft.address, 2, 1)], _paid(scene))
    _validated(scene, listing)
    basic = (
        *(NOBODY, 0, 900, scene.alice, NOBODY, scene.nft.address, 2, 1, 0, 0, listing[6]),
        *(NO_KEY, 0, NO_KEY, NO_KEY, 2),
        [(25, FEES), (75, scene.creator), (10, scene.creator)],
        b"",
    )

    scene.seaport.send(scene.bob, "fulfillBasicOrder", basic, value=1010)

    assert scene.trades(since) == [scene.sale(token_id=2, price=1010, royalty=85)]


def test_a_part_of_an_erc1155_listing_costs_its_part(scene):
    since = scene.height()
    asked = [scene.eth(3600, scene.alice), scene.eth(100, FEES), scene.eth(300, scene.creator)]
    listing = order(scene.alice, [(ERC1155, scene.items.address, 7, 4)], asked, partial=True)
    _validated(scene, listing)

    scene.seaport.send(
        scene.bob,
        "fulfillAdvancedOrder",
        (listing, 1, 4, b"", b""),
        [],
        NO_KEY,
        NOBODY,
        value=1000,
    )

    assert scene.trades(since) == [scene.sale(token_id=7)]


def test_an_offer_for_a_collection_names_the_token_that_was_given(scene):
    since = scene.height()
    coin, nft = scene.coin.address, scene.nft.address
    asked = [(SOME_721, nft, 0, 1, scene.bob), (ERC20, coin, 0, 25, FEES)]
    offer = order(scene.bob, [(ERC20, coin, 0, 1000)], asked)
    _validated(scene, offer)
    resolver = (0, 1, 0, 3, [])

    scene.seaport.send(
        scene.alice, "fulfillAdvancedOrder", (offer, 1, 1, b"", b""), [resolver], NO_KEY, NOBODY
    )

    assert scene.trades(since) == [scene.sale(token_id=3, side="offer", currency=coin, royalty=0)]


def test_a_matched_private_sale_is_one_trade(scene):
    since = scene.height()
    piece = (ERC721, scene.nft.address, 4, 1)
    listing = order(scene.alice, [piece], [*_paid(scene), (*piece, scene.bob)])
    mirror = (order(scene.bob, [(COIN, NOBODY, 0, 1000)], []), b"")
    native = [([(1, 0)], [(0, k)]) for k in range(3)]

    scene.seaport.send(
        scene.bob,
        "matchOrders",
        [_validated(scene, listing), mirror],
        [*native, ([(0, 0)], [(0, 3)])],
        value=1000,
    )

    assert scene.trades(since) == [scene.sale(token_id=4)]


@pytest.mark.parametrize(("address", "version"), MARKET.contracts.items())
def test_every_versions_address_is_known(scene, address, version):
    since = scene.height()
    code = scene.rpc.call("eth_getCode", address, "latest")
    scene.rpc.call("anvil_setCode", address, EMITTER)
    event = fulfilled(scene.alice, scene.bob, [(ERC721, scene.nft.address, 1, 1)], _paid(scene))

    data = b"".join([*event.topics, event.data]).hex()
    send_transaction(scene.rpc, scene.alice, to=address, data="0x" + data)
    scene.rpc.call("anvil_setCode", address, code)

    assert scene.trades(since) == [scene.sale(version=version)]
