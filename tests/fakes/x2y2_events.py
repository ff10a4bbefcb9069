"""X2Y2's event, encoded from the fields that its contract has."""

from collections.abc import Sequence

import eth_abi

from tests.fakes.nft_events import NATIVE, Event, event

EXCHANGE = "0x74312363e45dcaba76c59ec49a7aa8a65a67eed3"
FEE_MANAGEMENT = "0xd823c605807cc5e6bd6fc0d7e4eea50d3e2d66cd"
DELEGATE = "0xf849de01b080adc3a814fabe1e2087475cf2e354"
_DETAIL = (
    "(uint8,uint256,uint256,uint256,bytes32,address,bytes,uint256,uint256,uint256,"
    "(uint256,address)[])"
)
_FIELDS = [
    *("address", "address", *["uint256"] * 5, "address", "bytes"),
    *("(uint256,bytes)", _DETAIL),
]
SIGNATURE = f"EvInventory(bytes32,{','.join(_FIELDS)})"
_MEMBERS = {1: "(address,uint256)[]", 2: "(address,uint256,uint256)[]"}


def inventory(  # noqa: PLR0913 - the event's own fields
    parties: tuple[str, str],
    tokens: Sequence[tuple[str | int, ...]],
    price: int,
    *,
    operation: int = 1,
    kind: int = 1,
    currency: str = NATIVE,
    fees: Sequence[tuple[int, str]] = (),
    mask: bytes = b"",
    asked: int | None = None,
) -> Event:
    """Return what is logged of the first party's order, which the second settles.

    Args:
        parties: Maker and taker.
        tokens: Contract, token id and, for kind 2 (ERC-1155), amount of each.
        price: What is paid.
        operation: 1 buys a listing, 2 accepts an offer.
        kind: 1 for ERC-721, 2 for ERC-1155.
        currency: Zero for the native coin.
        fees: Parts in a million and recipient of each.
        mask: Bytes that an offer for a collection leaves open.
        asked: Price in the order; what is paid if None.
    """
    members = eth_abi.encode([_MEMBERS.get(kind, _MEMBERS[1])], [list(tokens)])
    item = (price if asked is None else asked, members)
    detail = (operation, 0, 0, price, bytes(32), DELEGATE, mask, 0, 0, 0, list(fees))
    fields = [*parties, 1, 2, 3, kind, 4, currency, mask, item, detail]
    return event(
        EXCHANGE, SIGNATURE, [("bytes32", bytes(32))], list(zip(_FIELDS, fields, strict=True))
    )
