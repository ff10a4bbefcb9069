"""Events of NFT markets out of a real node: each from its real address, byte for byte.

One entry of `SCENES` is one transaction and the rows of ``nft_trade`` that it becomes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from onchain_agg.chains import EvmChain, chain_named
from onchain_agg.sources.evm import EvmSource
from tests.fakes import blur_events as blur
from tests.fakes import cryptopunks_events as punks
from tests.fakes import looksrare_events as looksrare
from tests.fakes import wyvern_events as wyvern
from tests.fakes import x2y2_events as x2y2
from tests.fakes.nft_events import NATIVE, WETH, Event, erc20, erc721, erc1155
from tests.nodes import anvil, evm_contracts
from tests.nodes.evm_contracts import Contract, deploy
from tests.nodes.json_rpc import JsonRpc

pytestmark = pytest.mark.node

ALICE, BOB, CAROL = ("0x" + 40 * digit for digit in "abc")
APES = "0x" + 40 * "9"
ETHER = 10**18
_PLACE = ("day", "height", "block_hash", "tx_index", "tx_hash", "log_index", "item_index")


def sale(market: str, version: str, contract: str, **given: Any) -> dict[str, Any]:
    """Return the row of ALICE's sale of one ERC-721 token to BOB for an ether without fees."""
    return {
        "market": market,
        "version": version,
        "contract": contract,
        "side": "listing",
        "standard": 721,
        "collection": APES,
        "token_id": 7,
        "quantity": 1,
        "bundle_size": 1,
        "seller": ALICE,
        "buyer": BOB,
        "currency": NATIVE,
        "price": ETHER,
        "platform_fee": 0,
        "royalty": 0,
        "unpriced": None,
    } | given


def _punk_sale(**given: Any) -> dict[str, Any]:
    return sale(
        "cryptopunks", "2", punks.CONTRACT, standard=None, collection=punks.CONTRACT, **given
    )


@dataclass(frozen=True)
class Scene:
    """What one transaction logs, and its trades in order."""

    events: Sequence[Event]
    trades: Sequence[dict[str, Any]]


_MOVED = erc721(APES, ALICE, BOB, 7)
_APE = (APES, 7)
_NO_FEES_KNOWN = {"platform_fee": None, "royalty": None}

SCENES = {
    "blur: orders matched": Scene(
        [
            _MOVED,
            blur.matched(
                blur.order(ALICE, _APE, ETHER, side=1, currency=blur.POOL, rates=(50,)),
                blur.order(BOB, _APE, ETHER, currency=blur.POOL, listed=101),
                ALICE,
                BOB,
            ),
        ],
        [sale("blur", "1", blur.V1, royalty=5 * 10**15)],
    ),
    "blur: packed, without and with fees": Scene(
        [
            _MOVED,
            blur.packed(ALICE, _APE, ETHER, is_bid=False),
            blur.packed(ALICE, _APE, ETHER, is_bid=False, fee=("Maker", 50)),
            blur.packed(BOB, _APE, ETHER, is_bid=True, fee=("Taker", 50)),
        ],
        [
            sale("blur", "2", blur.V2),
            sale("blur", "2", blur.V2, royalty=5 * 10**15),
            sale("blur", "2", blur.V2, side="offer", royalty=5 * 10**15),
        ],
    ),
    "blur: unpacked": Scene(
        [
            erc1155(APES, ALICE, BOB, 7, 3),
            blur.execution(ALICE, _APE, ETHER, is_bid=False, amount=3, rates=(100, 250, 0)),
        ],
        [
            sale(
                "blur",
                "2",
                blur.V2,
                standard=1155,
                quantity=3,
                royalty=10**16,
                platform_fee=25 * 10**15,
            )
        ],
    ),
    "looksrare: version 1": Scene(
        [
            *looksrare.payments_1(BOB, _APE, ALICE, (2 * 10**16, 10**16, 97 * 10**16)),
            _MOVED,
            looksrare.taken_1("TakerBid", BOB, ALICE, _APE, ETHER),
        ],
        [
            sale(
                "looksrare",
                "1",
                looksrare.V1,
                currency=WETH,
                platform_fee=2 * 10**16,
                royalty=10**16,
            )
        ],
    ),
    "looksrare: a bundle of version 2": Scene(
        [
            _MOVED,
            looksrare.taken_2(
                "TakerBid", BOB, BOB, (APES, [7, 8]), paid_to=ALICE, parts=(ETHER, 10**16 + 1, 10)
            ),
        ],
        [
            sale(
                "looksrare",
                "2",
                looksrare.V2,
                token_id=token_id,
                bundle_size=2,
                price=(ETHER + 10**16 + 10) // 2 + odd,
                royalty=10**16 // 2 + odd,
                platform_fee=5,
            )
            for token_id, odd in ((7, 1), (8, 0))
        ],
    ),
    "cryptopunks: a bid is entered, replaced and accepted": Scene(
        [
            punks.bid(7, ETHER, CAROL),
            punks.bid(7, 2 * ETHER, BOB),
            punks.bid(8, ETHER, BOB),
            punks.bid(8, ETHER, BOB, withdrawn=True),
            punks.moved(ALICE, BOB),
            punks.bought(7, 0, ALICE, NATIVE),
        ],
        [
            _punk_sale(side="offer", price=None, unpriced="accepted bid"),
        ],
    ),
    "cryptopunks: a punk is assigned, given and sold": Scene(
        [
            punks.assigned(7, CAROL),
            punks.moved(CAROL, ALICE),
            punks.given(7, CAROL, ALICE),
            punks.moved(ALICE, BOB),
            punks.bought(7, ETHER, ALICE, BOB),
        ],
        [_punk_sale()],
    ),
    "wyvern: a listing of each version, then an offer": Scene(
        [
            _MOVED,
            wyvern.matched(ALICE, BOB, ETHER, exchange=wyvern.V1),
            _MOVED,
            wyvern.matched(ALICE, BOB, ETHER),
            erc20(WETH, BOB, ALICE, ETHER),
            _MOVED,
            wyvern.matched(BOB, ALICE, ETHER),
        ],
        [
            sale("wyvern", "1", wyvern.V1, **_NO_FEES_KNOWN),
            sale("wyvern", "2", wyvern.V2, **_NO_FEES_KNOWN),
            sale("wyvern", "2", wyvern.V2, side="offer", currency=WETH, **_NO_FEES_KNOWN),
        ],
    ),
    "x2y2: a listing and an offer": Scene(
        [
            _MOVED,
            x2y2.inventory(
                (ALICE, BOB),
                [_APE],
                ETHER,
                fees=[(5_000, x2y2.FEE_MANAGEMENT), (50_000, CAROL)],
            ),
            erc1155(APES, ALICE, BOB, 7, 3),
            x2y2.inventory((BOB, ALICE), [(*_APE, 3)], ETHER, operation=2, kind=2, currency=WETH),
        ],
        [
            sale(
                "x2y2",
                "1",
                x2y2.EXCHANGE,
                platform_fee=5 * 10**15,
                royalty=5 * 10**16,
            ),
            sale(
                "x2y2",
                "1",
                x2y2.EXCHANGE,
                side="offer",
                standard=1155,
                quantity=3,
                currency=WETH,
            ),
        ],
    ),
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


@pytest.mark.parametrize("content", ["full", "logs"])
def test_every_event_of_a_node_becomes_its_trades(played, content):
    chain = chain_named("anvil")
    assert isinstance(chain, EvmChain)
    source = EvmSource(chain, [played.url], content=content)
    tables = [batch.tables for batch in source.read(0, source.tip().height)]

    found: dict[str, list[dict[str, Any]]] = {name: [] for name in SCENES}
    names = {transaction: name for name, transaction in played.transactions.items()}
    for row in (row for table in tables for row in table["nft_trade"].to_pylist()):
        name = names["0x" + row["tx_hash"].hex()]
        found[name].append({k: _readable(v) for k, v in row.items() if k not in _PLACE})

    assert found == {name: list(scene.trades) for name, scene in SCENES.items()}
    assert [row for table in tables for row in table["malformed_log"].to_pylist()] == []


def test_the_bids_and_owners_of_punks_come_out_of_their_own_events(played):
    chain = chain_named("anvil")
    assert isinstance(chain, EvmChain)
    source = EvmSource(chain, [played.url], content="logs")
    tables = [batch.tables for batch in source.read(0, source.tip().height)]

    bids = [row for table in tables for row in table["nft_bid"].to_pylist()]
    asked = ("token_id", "bidder", "price", "withdrawn")
    assert [tuple(_readable(row[name]) for name in asked) for row in bids] == [
        (7, CAROL, ETHER, False),
        (7, BOB, 2 * ETHER, False),
        (8, BOB, ETHER, False),
        (8, BOB, ETHER, True),
    ]
    moves = [row for table in tables for row in table["token_transfer"].to_pylist()]
    asked = ("token_id", "sender", "recipient")
    punk = [row for row in moves if _readable(row["token"]) == punks.CONTRACT]
    assert [
        tuple(_readable(row[name]) for name in asked) for row in punk if row["standard"] == 721
    ] == [(7, ALICE, BOB), (7, NATIVE, CAROL), (7, CAROL, ALICE), (7, ALICE, BOB)]
    # The contract's own Transfer looks like a coin's.
    assert [row["token_id"] for row in punk if row["standard"] == 20] == [None] * 3
