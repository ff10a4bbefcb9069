"""Seaport's orders between made parties, and the rows of the trades they become."""

from tests.fakes.nft_events import erc721, logs_of
from tests.fakes.seaport_events import V1_1, V1_5, fulfilled, matched
from tests.unit.sources.nft_markets.made_logs import (
    ALICE,
    APES,
    BLOCK,
    BOB,
    DAVE,
    NATIVE,
    WETH,
    trades,
)

FEES = "0x0000a26b00c1f0df003000390027140000faa719"
OPENSEA_ZONE = "0x000056f7000000ece9003ca63978907a00ffd100"
COIN, ERC20, ERC721, ERC1155, SOME_721, SOME_1155 = range(6)
APE = (ERC721, APES, 8, 1)
USDC = "0x" + 40 * "3"


def eth(amount, recipient):
    return (COIN, NATIVE, 0, amount, recipient)


def weth(amount, recipient):
    return (ERC20, WETH, 0, amount, recipient)


def listing(number=1, offer=(APE,), asked=None, **named):
    """Return an order of ALICE's that BOB fulfils."""
    asked = asked or [eth(900, ALICE), eth(25, FEES), eth(75, DAVE)]
    return fulfilled(ALICE, BOB, offer, asked, number=number, **named)


def sale(**given):
    """Return a row of ALICE's sale of APE to BOB for 1000 wei."""
    row = {
        "log_index": 0,
        "item_index": 0,
        "market": "seaport",
        "version": "1.5",
        "contract": V1_5,
        "side": "listing",
        "standard": 721,
        "collection": APES,
        "token_id": 8,
        "quantity": 1,
        "bundle_size": 1,
        "seller": ALICE,
        "buyer": BOB,
        "currency": NATIVE,
        "price": 1000,
        "platform_fee": 25,
        "royalty": 75,
        "unpriced": None,
    }
    return row | given


def one_transaction(*events):
    return logs_of(events, block_hash=BLOCK)


def sold(*events):
    """Return the trades of one transaction."""
    return trades(*one_transaction(*events))


def unpriced(reason, **given):
    none = dict.fromkeys(("currency", "price", "platform_fee", "royalty"))
    return sale(**none | {"unpriced": reason} | given)


def matches(contract, *orders):
    """Return matched orders as their contract logs them: given as (offerer, offer, asked)."""
    old = contract == V1_1
    told = [
        fulfilled(one, NATIVE if old else one, *items, contract=contract, number=n)
        for n, (one, *items) in enumerate(orders, start=1)
    ]
    moved = erc721(APES, ALICE, BOB, 8)
    numbers = range(1, len(orders) + 1)
    return [*told, moved] if old else [*told, matched(*numbers, contract=contract), moved]
