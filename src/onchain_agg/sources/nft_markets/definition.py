"""What an NFT market is to the reader: its events, its contracts, and how they are decoded."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from onchain_agg.sources.evm_columns import Bytes2D, Int64s
from onchain_agg.sources.evm_json import Log
from onchain_agg.sources.malformed import Malformed

Flags = npt.NDArray[np.bool_]
Side = Literal["listing", "offer"]

# The native coin as a currency.
NATIVE = "0x" + 40 * "0"


@dataclass(frozen=True, kw_only=True)
class Trades:
    """Decoded trades, one row an item; every array has one entry a row.

    Attributes:
        log: Position in the list of logs.
        item: Position in the bundle; 0 for a single item.
        bundle_size: Items that the price was split over.
        side: What was taken, a listing or an offer.
        standard: 721 or 1155; 0 where it is neither.
        collection: Contract of the token, 20 bytes; `token_id` and `quantity` 32 bytes.
        seller: 20 bytes, as `buyer` and `currency`, which is zero for the native coin.
        price: 32 bytes, of the item, fees included; counts where `unpriced` is None.
        platform_fee: 32 bytes; counts where `knows_fee`.
        royalty: 32 bytes; counts where `knows_royalty`.
        unpriced: Why there is no price.
        knows_currency: False where the trade is unpriced for several currencies, or none is told.
    """

    log: Int64s
    item: Int64s
    bundle_size: Int64s
    side: Sequence[Side]
    standard: Int64s
    collection: Bytes2D
    token_id: Bytes2D
    quantity: Bytes2D
    seller: Bytes2D
    buyer: Bytes2D
    currency: Bytes2D
    price: Bytes2D
    platform_fee: Bytes2D
    royalty: Bytes2D
    unpriced: Sequence[str | None]
    knows_currency: Flags
    knows_fee: Flags
    knows_royalty: Flags


@dataclass(frozen=True)
class Bid:
    """A bid that outlives its transaction; *log* is its position in the list."""

    log: int
    collection: bytes
    token_id: int
    bidder: bytes
    price: int
    withdrawn: bool


@dataclass(frozen=True)
class Move:
    """A change of owner that no standard transfer tells; *log* is its position in the list."""

    log: int
    collection: bytes
    token_id: int
    sender: bytes
    recipient: bytes


@dataclass(frozen=True)
class Decoded:
    """What a market's logs say; *trades* may be several pieces, in any order."""

    trades: Sequence[Trades] = ()
    malformed: Sequence[Malformed] = ()
    bids: Sequence[Bid] = ()
    moves: Sequence[Move] = ()


# Takes all logs of a range, in order, and the positions of those that are the market's own: of its
# contracts, with one of its topics. Others tell what happened in the same transaction.
Decode = Callable[[Sequence[Log], Sequence[int]], Decoded]


@dataclass(frozen=True, kw_only=True)
class NftMarket:
    """A market.

    Attributes:
        name: Also the name of its file.
        contracts: Version by contract, ``0x…`` in lower case.
        topics: First topics of its events, ``0x…``. A log with one of them and of another contract
            is kept as malformed: a version or a copy that nobody has looked at.
        context: First topics of other events that its decoder looks at, of any contract.
        decode: Never raises for what a log holds: that is `Malformed`.
    """

    name: str
    contracts: Mapping[str, str]
    topics: tuple[str, ...]
    decode: Decode
    context: tuple[str, ...] = field(default=())
