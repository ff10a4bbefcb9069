"""Events of NFT markets, byte for byte as their contracts log them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import eth_abi
from eth_utils.crypto import keccak

from onchain_agg.sources.evm_json import Log

WETH = "0xc02aaa39b223fe8d0a0e5c4f27ead9083c756cc2"
NATIVE = "0x" + 40 * "0"


@dataclass(frozen=True)
class Event:
    """What a contract logs."""

    address: str
    topics: tuple[bytes, ...]
    data: bytes

    def with_data(self, data: bytes) -> "Event":
        """Return the event with other data."""
        return Event(self.address, self.topics, data)

    def with_word(self, at: int, value: int | bytes) -> "Event":
        """Return the event with word *at* of its data replaced."""
        word = value if isinstance(value, bytes) else value.to_bytes(32, "big")
        return self.with_data(self.data[: 32 * at] + word + self.data[32 * at + 32 :])


def event(
    address: str,
    signature: str,
    indexed: Sequence[tuple[str, Any]] = (),
    data: Sequence[tuple[str, Any]] = (),
) -> Event:
    """Return the event of *signature*, its indexed fields and the others by type and value."""
    topics = [keccak(text=signature), *(eth_abi.encode([kind], [v]) for kind, v in indexed)]
    body = eth_abi.encode([kind for kind, _ in data], [value for _, value in data])
    return Event(address, tuple(topics), body)


def erc721(token: str, sender: str, recipient: str, token_id: int) -> Event:
    """Return an ERC-721 transfer."""
    parties = [("address", sender), ("address", recipient), ("uint256", token_id)]
    return event(token, "Transfer(address,address,uint256)", parties)


def erc20(token: str, sender: str, recipient: str, amount: int) -> Event:
    """Return an ERC-20 transfer."""
    parties = [("address", sender), ("address", recipient)]
    return event(token, "Transfer(address,address,uint256)", parties, [("uint256", amount)])


def erc1155(token: str, sender: str, recipient: str, token_id: int, amount: int) -> Event:
    """Return a TransferSingle, whose operator is its sender."""
    parties = [("address", sender), ("address", sender), ("address", recipient)]
    moved = [("uint256", token_id), ("uint256", amount)]
    return event(token, "TransferSingle(address,address,address,uint256,uint256)", parties, moved)


def erc1155_batch(
    token: str, sender: str, recipient: str, ids: Sequence[int], amounts: Sequence[int]
) -> Event:
    """Return a TransferBatch, whose operator is its sender."""
    parties = [("address", sender), ("address", sender), ("address", recipient)]
    moved = [("uint256[]", ids), ("uint256[]", amounts)]
    signature = "TransferBatch(address,address,address,uint256[],uint256[])"
    return event(token, signature, parties, moved)


def logs_of(*transactions: Sequence[Event], block_hash: str) -> list[Log]:
    """Return the logs of a block with those transactions, as a node tells them."""
    found: list[Log] = []
    for number, events in enumerate(transactions, start=1):
        for one in events:
            made = Log(
                address=one.address,
                topics=tuple("0x" + topic.hex() for topic in one.topics),
                data="0x" + one.data.hex(),
                block_hash=block_hash,
                transaction_hash=f"0x{number:064x}",
                transaction_index=hex(number),
                log_index=hex(len(found)),
            )
            found.append(made)
    return found


def topic_of(signature: str) -> str:
    """Return the first topic of an event."""
    return "0x" + keccak(text=signature).hex()
