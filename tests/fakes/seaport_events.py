"""Seaport's events, byte for byte as its contracts log them."""

from collections.abc import Sequence

from tests.fakes.nft_events import NATIVE, Event, event

V1_1 = "0x00000000006c3852cbef3e08e8df289169ede581"
V1_5 = "0x00000000000000adc04c56bf30ac9d3c0aaf14dc"
V1_6 = "0x0000000000000068f116a894984e2db1123eb395"
FULFILLED_SIGNATURE = (
    "OrderFulfilled(bytes32,address,address,address,"
    "(uint8,address,uint256,uint256)[],(uint8,address,uint256,uint256,address)[])"
)
MATCHED_SIGNATURE = "OrdersMatched(bytes32[])"

# An item as it was offered: kind, token, id, amount; one that was asked for has its recipient too.
Offered = tuple[int, str, int, int]
Asked = tuple[int, str, int, int, str]


def fulfilled(
    offerer: str,
    recipient: str,
    offer: Sequence[Offered],
    asked: Sequence[Asked],
    *,
    contract: str = V1_5,
    number: int = 1,
    zone: str = NATIVE,
) -> Event:
    """Return an OrderFulfilled of the order whose hash is *number*."""
    return event(
        contract,
        FULFILLED_SIGNATURE,
        [("address", offerer), ("address", zone)],
        [
            ("bytes32", number.to_bytes(32, "big")),
            ("address", recipient),
            ("(uint8,address,uint256,uint256)[]", list(offer)),
            ("(uint8,address,uint256,uint256,address)[]", list(asked)),
        ],
    )


def matched(*numbers: int, contract: str = V1_5) -> Event:
    """Return an OrdersMatched of the orders whose hashes are *numbers*."""
    hashes = [number.to_bytes(32, "big") for number in numbers]
    return event(contract, MATCHED_SIGNATURE, data=[("bytes32[]", hashes)])
