"""LooksRare's events, encoded from the fields that its contracts have."""

from collections.abc import Sequence
from typing import Any

from tests.fakes.nft_events import NATIVE, WETH, Event, erc20, event

V1 = "0x59728544b08ab483533076417fbbb2fd0b17ce3a"
V2 = "0x0000000000e655fae4d56241588680f86e3b2377"
STRATEGY, FEE_SHARING, CREATOR = ("0x" + 40 * digit for digit in "456")
_FIELDS_1 = "(bytes32,uint256,address,address,address,address,address,uint256,uint256,uint256)"
_FIELDS_2 = (
    "((bytes32,uint256,bool),address,address,uint256,address,address,uint256[],uint256[],"
    "address[2],uint256[3])"
)
SIGNATURES_1 = tuple(name + _FIELDS_1 for name in ("TakerBid", "TakerAsk"))
SIGNATURES_2 = tuple(name + _FIELDS_2 for name in ("TakerBid", "TakerAsk"))
ROYALTY_SIGNATURE = "RoyaltyPayment(address,uint256,address,address,uint256)"


def taken_1(
    kind: str, taker: str, maker: str, token: tuple[str, int], price: int, amount: int = 1
) -> Event:
    """Return a TakerBid or a TakerAsk of version 1, in wrapped ether."""
    return event(
        V1,
        kind + _FIELDS_1,
        [("address", taker), ("address", maker), ("address", STRATEGY)],
        [
            *(("bytes32", b"\1" * 32), ("uint256", 9), ("address", WETH), ("address", token[0])),
            *(("uint256", token[1]), ("uint256", amount), ("uint256", price)),
        ],
    )


def royalty_1(token: tuple[str, int], amount: int, exchange: str = V1) -> Event:
    """Return the payment of a royalty."""
    indexed = [("address", token[0]), ("uint256", token[1]), ("address", CREATOR)]
    return event(exchange, ROYALTY_SIGNATURE, indexed, [("address", WETH), ("uint256", amount)])


def payments_1(
    payer: str, token: tuple[str, int], seller: str, parts: Sequence[int]
) -> list[Event]:
    """Return what version 1 pays for a trade: fee, royalty and the seller's part; 0 is not paid."""
    fee, royalty, rest = parts
    events = [erc20(WETH, payer, FEE_SHARING, fee)] if fee else []
    if royalty:
        events += [erc20(WETH, payer, CREATOR, royalty), royalty_1(token, royalty)]
    return [*events, erc20(WETH, payer, seller, rest)]


def taken_2(
    kind: str, first: str, second: str, token: tuple[str, Sequence[int]], **given: Any
) -> Event:
    """Return a TakerBid or a TakerAsk of version 2.

    Args:
        kind: TakerBid or TakerAsk.
        first: The taker.
        second: Who gets the token of a TakerBid, who bid for that of a TakerAsk.
        token: The collection and the ids.
        **given: ``paid_to``, ``parts`` (the seller's, the royalty, the fee), ``amounts``,
            ``currency``.
    """
    collection, ids = token
    fields = {"amounts": [1] * len(ids), "currency": NATIVE, "paid_to": first} | given
    return event(
        V2,
        kind + _FIELDS_2,
        (),
        [
            *(("(bytes32,uint256,bool)", (b"\1" * 32, 9, True)), ("address", first)),
            *(("address", second), ("uint256", 0), ("address", fields["currency"])),
            *(("address", collection), ("uint256[]", ids), ("uint256[]", fields["amounts"])),
            *(("address[2]", (fields["paid_to"], CREATOR)), ("uint256[3]", fields["parts"])),
        ],
    )
