"""Seaport's OrderFulfilled events as arrays: what each order gave, and what it asked for.

``OrderFulfilled(bytes32 orderHash, address indexed offerer, address indexed zone, address
recipient, SpentItem[] offer, ReceivedItem[] consideration)``; an offered item is (kind, token, id,
amount), one of the consideration has its recipient besides. Amounts are those of this fill, and
token ids those that a criterion was met with.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from onchain_agg.sources.event_words import (
    EventWords,
    Flags,
    addresses,
    event_words,
    refused,
    small_numbers,
    topic_words,
)
from onchain_agg.sources.evm_columns import Bytes2D, Int64s
from onchain_agg.sources.evm_json import Log
from onchain_agg.sources.malformed import Malformed

ORDER_FULFILLED = "0x9d9af8e38d66c62e2c12f0225249fd9d721c54b83f48d9352c97c6cacdcb6f31"

# Kinds of items: 0 native, 1 ERC-20, 2 ERC-721, 3 ERC-1155; 4 and 5 are 2 and 3 by a criterion,
# which the contracts write as 2 and 3 once they know the token.
NATIVE_KIND, _FIRST_NFT_KIND, _LAST_KIND = 0, 2, 5
_KINDS_OF_1155 = (3, 5)

_HEAD, _OFFERED, _ASKED = 4, 4, 5  # words of the head, of an offered item, of one asked for
_NAME = "seaport"


@dataclass(frozen=True)
class Items:
    """One side of orders: arrays of one row an order, one entry an item, then its bytes."""

    kind: npt.NDArray[np.int64]
    token: npt.NDArray[np.uint8]
    token_id: npt.NDArray[np.uint8]
    amount: npt.NDArray[np.uint8]
    recipient: npt.NDArray[np.uint8]  # counts for what was asked for

    @property
    def nft(self) -> Flags:
        """Return which items are tokens of a collection."""
        return self.kind >= _FIRST_NFT_KIND

    @property
    def standard(self) -> npt.NDArray[np.int64]:
        """Return 721 or 1155 for each item; it counts where the item is `nft`."""
        return np.where(np.isin(self.kind, _KINDS_OF_1155), 1155, 721)

    def where(self, flags: Flags) -> "Items":
        """Return the items of the orders that *flags* names."""
        return Items(
            self.kind[flags],
            self.token[flags],
            self.token_id[flags],
            self.amount[flags],
            self.recipient[flags],
        )


@dataclass(frozen=True)
class Orders:
    """Filled orders with equally many items; *log* is each order's position in the logs."""

    log: Int64s
    offerer: Bytes2D
    zone: Bytes2D
    recipient: Bytes2D  # of what was offered; zero where version 1.1 matched orders
    offer: Items
    asked: Items


def read_orders(logs: Sequence[Log], chosen: Sequence[int]) -> tuple[list[Orders], list[Malformed]]:
    """Return the orders that the *chosen* logs tell, grouped by layout, and what is not one.

    Raises:
        SourceError: A log's fields are not hex or not of their width.
    """
    groups, malformed = event_words(logs, chosen, _NAME, topics=3, at_least=_HEAD + 2)
    found: list[Orders] = []
    for group in groups:
        offered, asked = small_numbers(group.words[:, 4]), _asked_count(group)
        canonical = _is_canonical(group, offered, asked)
        malformed += refused(group.log, canonical, f"{_NAME}: items are not where ABI puts them")
        for count in np.unique(offered[canonical]):
            chosen_rows = group.where(canonical & (offered == count))
            orders, odd = _orders(logs, chosen_rows, int(count))
            found.append(orders)
            malformed += odd
    return found, malformed


def _asked_count(group: EventWords) -> Int64s:
    """Return how many items fill the words behind those that the offer takes."""
    offered = small_numbers(group.words[:, 4])
    rest = group.words.shape[1] - _HEAD - 2 - _OFFERED * offered
    return np.where((rest >= 0) & (rest % _ASKED == 0), rest // _ASKED, -1)


def _is_canonical(group: EventWords, offered: Int64s, asked: Int64s) -> Flags:
    at_asked = _HEAD + 1 + _OFFERED * offered
    fits = (offered >= 0) & (asked >= 0)
    heads = (small_numbers(group.words[:, 2]) == 32 * _HEAD) & (
        small_numbers(group.words[:, 3]) == 32 * at_asked
    )
    rows = np.arange(len(group.log))
    told = small_numbers(group.words[rows, np.where(fits, at_asked, 0)])
    canonical: Flags = fits & heads & (told == asked)
    return canonical


def _orders(logs: Sequence[Log], group: EventWords, offered: int) -> tuple[Orders, list[Malformed]]:
    """Return the orders that hold addresses and kinds where they should, and the others."""
    start = _HEAD + 1
    middle = start + _OFFERED * offered
    offer, offer_fits = _items(group.words[:, start:middle], _OFFERED)
    asked, asked_fits = _items(group.words[:, middle + 1 :], _ASKED)
    offerer, is_offerer = addresses(topic_words(logs, group.log, 1))
    zone, is_zone = addresses(topic_words(logs, group.log, 2))
    recipient, is_recipient = addresses(group.words[:, 1])
    clean = offer_fits & asked_fits & is_offerer & is_zone & is_recipient
    reason = f"{_NAME}: a kind above {_LAST_KIND}, or an address of more than 20 bytes"
    malformed = refused(group.log, clean, reason)
    orders = Orders(group.log, offerer, zone, recipient, offer, asked)
    return (_kept(orders, clean) if malformed else orders), malformed


def _items(words: npt.NDArray[np.uint8], width: int) -> tuple[Items, Flags]:
    """Return the items in *words*, and which rows have only kinds and addresses that exist."""
    count = words.shape[1] // width
    items = words.reshape(len(words), count, width, 32)
    kind = small_numbers(items[:, :, 0])
    token, is_token = addresses(items[:, :, 1])
    recipient, is_recipient = addresses(items[:, :, -1])
    fits = (kind >= 0) & (kind <= _LAST_KIND) & is_token
    if width == _ASKED:
        fits &= is_recipient
    # The native coin has no contract, whatever stands there.
    token = np.where((kind == NATIVE_KIND)[:, :, None], np.uint8(0), token)
    all_fit: Flags = np.all(fits, axis=1)
    return Items(kind, token, items[:, :, 2], items[:, :, 3], recipient), all_fit


def _kept(orders: Orders, flags: Flags) -> Orders:
    return Orders(
        orders.log[flags],
        orders.offerer[flags],
        orders.zone[flags],
        orders.recipient[flags],
        orders.offer.where(flags),
        orders.asked.where(flags),
    )
