"""Wyvern's event, encoded from the fields that its contracts have."""

from tests.fakes.nft_events import Event, event

V1, V2 = "0x7be8076f4ea4a4ad08075c2508e481d6c946d12b", "0x7f268357a8c2552623316e2562d90e642bb538e5"
SIGNATURE = "OrdersMatched(bytes32,bytes32,address,address,uint256,bytes32)"


def matched(maker: str, taker: str, price: int, *, exchange: str = V2) -> Event:
    """Return a match of *maker*'s order, which was for the price."""
    indexed = [("address", maker), ("address", taker), ("bytes32", bytes(32))]
    orders = [("bytes32", b"\1" * 32), ("bytes32", b"\2" * 32)]
    return event(exchange, SIGNATURE, indexed, [*orders, ("uint256", price)])
