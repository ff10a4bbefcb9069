"""Blur's events, encoded from the fields that its contracts have."""

from collections.abc import Sequence
from typing import Any

from tests.fakes.nft_events import NATIVE, Event, event

V1 = "0x000000000000ad05ccc4f10045630fb830b95127"
V2 = "0xb2ecfe4e4d61f8790bbb9de2d1259b9e2410cea5"
POOL = "0x0000000000a39bb272e79075ade125fd351887ac"
POLICY = "0x00000000006411739da1c40b106f8511de5d1fac"
CREATOR, PLATFORM = "0x" + 40 * "5", "0x" + 40 * "6"
_ORDER = (
    "(address,uint8,address,address,uint256,uint256,address,uint256,uint256,uint256,"
    "(uint16,address)[],uint256,bytes)"
)
_MATCHED = f"OrdersMatched(address,address,{_ORDER},bytes32,{_ORDER},bytes32)"
_EXECUTION = (
    "Execution((address,uint256,uint256,address,uint8),bytes32,uint256,uint256,(address,uint16),"
    "((address,uint16),(address,uint16)),uint8)"
)
MATCH_SIGNATURE, EXECUTION_SIGNATURE = _MATCHED, _EXECUTION


def order(trader: str, token: tuple[str, int], price: int, **given: Any) -> tuple[Any, ...]:
    """Return an order of version 1; *given* are its other fields."""
    fields = {"side": 0, "amount": 1, "currency": NATIVE, "listed": 100, "rates": (), "extra": b""}
    fields |= given
    return (
        trader,
        fields["side"],
        POLICY,
        *token,
        fields["amount"],
        fields["currency"],
        price,
        fields["listed"],
        2**32,
        [(rate, CREATOR) for rate in fields["rates"]],
        7,
        fields["extra"],
    )


def matched(sell: Sequence[Any], buy: Sequence[Any], maker: str, taker: str) -> Event:
    """Return the event of two orders that were matched, as the exchange names their traders."""
    return event(
        V1,
        _MATCHED,
        [("address", maker), ("address", taker)],
        [(_ORDER, sell), ("bytes32", b"\1" * 32), (_ORDER, buy), ("bytes32", b"\2" * 32)],
    )


def packed(
    maker: str,
    token: tuple[str, int],
    price: int,
    *,
    is_bid: bool,
    fee: tuple[str, int] | None = None,
) -> Event:
    """Return a packed event of version 2; *fee* is whose it is, Maker or Taker, and its rate."""
    collection, token_id = token
    words = [
        ("bytes32", b"\3" * 32),
        ("uint256", token_id << 168 | 4 << 160 | int(maker, 16)),
        ("uint256", is_bid << 248 | price << 160 | int(collection, 16)),
    ]
    if fee is None:
        return event(V2, "Execution721Packed(bytes32,uint256,uint256)", (), words)
    words.append(("uint256", fee[1] << 160 | int(CREATOR, 16)))
    name = f"Execution721{fee[0]}FeePacked(bytes32,uint256,uint256,uint256)"
    return event(V2, name, (), words)


def execution(
    maker: str,
    token: tuple[str, int],
    price: int,
    *,
    is_bid: bool,
    amount: int | None = None,
    rates: tuple[int, int, int] = (0, 0, 0),
) -> Event:
    """Return an unpacked event of version 2.

    *amount* is of an ERC-1155 token, None of an ERC-721 one; *rates* of the maker, the platform and
    the taker.
    """
    collection, token_id = token
    kind = 0 if amount is None else 1
    fees = [(CREATOR, rates[0]), (PLATFORM, rates[1]), (CREATOR, rates[2])]
    return event(
        V2,
        _EXECUTION,
        (),
        [
            (
                "(address,uint256,uint256,address,uint8)",
                (maker, token_id, amount or 0, collection, kind),
            ),
            ("bytes32", b"\4" * 32),
            ("uint256", 1),
            ("uint256", price),
            ("(address,uint16)", fees[0]),
            ("((address,uint16),(address,uint16))", (fees[1], fees[2])),
            ("uint8", int(is_bid)),
        ],
    )
