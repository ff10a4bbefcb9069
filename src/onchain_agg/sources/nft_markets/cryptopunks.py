"""CryptoPunks: the contract of 2017 that is collection and market in one, before any standard.

Its own events are the only record of who owns a punk: ``Assign`` (of an owner at the start),
``PunkTransfer`` and ``PunkBought`` become changes of owner. Its ``Transfer`` log carries no punk
and a value of 1, so it stays a transfer of an ERC-20 coin.

The contract clears a bid before it logs that it was accepted, so that ``PunkBought`` names no
buyer and a price of 0. The buyer is the recipient of the seller's ``Transfer`` log before it in the
transaction; the price is that of the bid, which was entered before: the trade is unpriced here
("accepted bid"), and the bids are kept for whoever looks it up. A punk given away for 0 names its
buyer. The market takes no fee and pays no royalty.

A bid that a higher one replaces, or that its bidder's own purchase ends, is not withdrawn by a log.

The first contract, 0x6ba6f2207e343923ba692e5cae646fb0f566db8d, was given up within weeks: a fault
let the buyer take the payment back, and its ``PunkBought`` names the buyer as the seller. Its logs
are no sales and are kept as malformed.
"""

from collections.abc import Callable, Sequence

import numpy as np

from onchain_agg.sources.event_words import (
    EventWords,
    addresses,
    event_words,
    refused,
    topic_words,
)
from onchain_agg.sources.evm_columns import Bytes2D, Int64s, from_hex
from onchain_agg.sources.evm_json import Log
from onchain_agg.sources.evm_logs import TRANSFER
from onchain_agg.sources.nft_markets.definition import (
    Bid,
    Decoded,
    Flags,
    Move,
    NftMarket,
    Side,
    Trades,
)
from onchain_agg.sources.uint256 import small
from onchain_agg.sources.unpriced import ACCEPTED_BID

# PunkBought(uint256 indexed punkIndex, uint256 value, address indexed from, address indexed to)
BOUGHT = "0x58e5d5a525e3b40bc15abaa38b5882678db1ee68befd2f60bafe3a7fd06db9e3"
# PunkBidEntered(uint256 indexed punkIndex, uint256 value, address indexed fromAddress)
BID_ENTERED = "0x5b859394fabae0c1ba88baffe67e751ab5248d2e879028b8c8d6897b0519f56a"
# PunkBidWithdrawn(uint256 indexed punkIndex, uint256 value, address indexed fromAddress)
BID_WITHDRAWN = "0x6f30e1ee4d81dcc7a8a478577f65d2ed2edb120565960ac45fe7c50551c87932"
# PunkTransfer(address indexed from, address indexed to, uint256 punkIndex)
TRANSFERRED = "0x05af636b70da6819000c49f85b21fa82081c632069bb626f30932034099107d8"
# Assign(address indexed to, uint256 punkIndex)
ASSIGNED = "0x8a0e37b73a0d9c82e205d4d1a3ff3d0b57ce5f4d7bccf6bac03336dc101cb7ba"

CONTRACT = "0xb47e3cd837ddf8e4c57f05d70ab865de6e193bbb"

_NAME = "cryptopunks"
_COLLECTION = bytes.fromhex(CONTRACT[2:])
_NOBODY = bytes(20)


# Makes facts of well-formed events: the logs, their words and their addresses, 20 bytes each.
_Reader = Callable[[Sequence[Log], EventWords, list[Bytes2D]], Decoded]


def decode(logs: Sequence[Log], chosen: Sequence[int]) -> Decoded:
    """Return the sales, bids and changes of owner that the *chosen* logs tell.

    Raises:
        SourceError: A log's fields are not hex or not of their width.
    """
    of_topic: dict[str, list[int]] = {topic: [] for topic in _EVENTS}
    for i in chosen:
        of_topic[logs[i].topics[0]].append(i)
    return _joined([_read(logs, at, *_EVENTS[topic]) for topic, at in of_topic.items() if at])


def _joined(parts: Sequence[Decoded]) -> Decoded:
    """Return what all *parts* say, with bids and moves in the order of their logs."""
    return Decoded(
        trades=[trades for part in parts for trades in part.trades],
        malformed=[bad for part in parts for bad in part.malformed],
        bids=sorted((bid for part in parts for bid in part.bids), key=_place),
        moves=sorted((move for part in parts for move in part.moves), key=_place),
    )


def _read(
    logs: Sequence[Log], at: Sequence[int], parties: tuple[int, ...], reader: _Reader
) -> Decoded:
    """Return what the logs of one event say; *parties* are its topics that are addresses."""
    groups, malformed = event_words(logs, at, _NAME, topics=max(parties) + 1, at_least=1)
    parts = [Decoded(malformed=malformed)]
    for group in groups:
        if group.words.shape[1] != 1:
            none = np.zeros(len(group.log), np.bool_)
            reason = f"{_NAME}: more than 32 bytes of data"
            parts.append(Decoded(malformed=refused(group.log, none, reason)))
            continue
        found = [addresses(topic_words(logs, group.log, k)) for k in parties]
        clean: Flags = np.logical_and.reduce([good for _, good in found])
        parts.append(Decoded(malformed=refused(group.log, clean, f"{_NAME}: no address")))
        parts.append(reader(logs, group.where(clean), [who[clean] for who, _ in found]))
    return _joined(parts)


def _bought(logs: Sequence[Log], events: EventWords, parties: list[Bytes2D]) -> Decoded:
    seller, buyer = parties[0], parties[1].copy()
    is_accepted = ~_is_set(buyer)
    for k in np.flatnonzero(is_accepted):
        buyer[k] = np.frombuffer(_recipient(logs, int(events.log[k]), seller[k]), np.uint8)
    known = _is_set(buyer)
    reason = f"{_NAME}: a bid was accepted without a transfer"
    malformed = refused(events.log, known, reason)
    events, seller, buyer = events.where(known), seller[known], buyer[known]
    punk = topic_words(logs, events.log, 1)
    trades = _trades(events, (punk, seller, buyer), is_accepted[known])
    moves = _moves(events.log, punk, seller, buyer)
    return Decoded(trades=[trades], malformed=malformed, moves=moves)


def _recipient(logs: Sequence[Log], at: int, seller: Bytes2D) -> bytes:
    """Return who got the seller's punk: the last such transfer tells; zero if there is none."""
    sender = "0x" + 24 * "0" + seller.tobytes().hex()
    for i in range(at - 1, -1, -1):
        log = logs[i]
        if log.transaction_hash != logs[at].transaction_hash:
            break
        is_sent = len(log.topics) == 3 and log.topics[:2] == (TRANSFER, sender)
        if is_sent and log.address.lower() == CONTRACT:
            return from_hex([log.topics[2]], 32)[0, 12:].tobytes()
    return _NOBODY


def _trades(
    events: EventWords, sale: tuple[Bytes2D, Bytes2D, Bytes2D], is_accepted: Flags
) -> Trades:
    """Return a row for every sale; *sale* is the punk, the seller and the buyer."""
    log, (punk, seller, buyer) = events.log, sale
    price = events.words[:, 0]
    unpriced = is_accepted & ~_is_set(price)
    one = np.ones(len(log), np.int64)
    everywhere = np.ones(len(log), np.bool_)
    sides: list[Side] = ["offer" if accepted else "listing" for accepted in is_accepted]
    return Trades(
        log=log,
        item=np.zeros_like(one),
        bundle_size=one,
        side=sides,
        standard=np.zeros_like(one),
        collection=np.tile(np.frombuffer(_COLLECTION, np.uint8), (len(log), 1)),
        token_id=punk,
        quantity=small(one),
        seller=seller,
        buyer=buyer,
        currency=np.zeros_like(seller),
        price=price,
        platform_fee=np.zeros_like(price),
        royalty=np.zeros_like(price),
        unpriced=[ACCEPTED_BID if accepted else None for accepted in unpriced],
        knows_currency=everywhere,
        knows_fee=everywhere,
        knows_royalty=everywhere,
    )


def _entered(logs: Sequence[Log], events: EventWords, parties: list[Bytes2D]) -> Decoded:
    return Decoded(bids=_bids(logs, events, parties[0], withdrawn=False))


def _withdrawn(logs: Sequence[Log], events: EventWords, parties: list[Bytes2D]) -> Decoded:
    return Decoded(bids=_bids(logs, events, parties[0], withdrawn=True))


def _bids(
    logs: Sequence[Log], events: EventWords, bidder: Bytes2D, *, withdrawn: bool
) -> list[Bid]:
    punk = topic_words(logs, events.log, 1)
    return [
        Bid(log, _COLLECTION, _number(token), who.tobytes(), _number(price), withdrawn)
        for log, token, who, price in zip(
            events.log.tolist(), punk, bidder, events.words[:, 0], strict=True
        )
    ]


def _transferred(logs: Sequence[Log], events: EventWords, parties: list[Bytes2D]) -> Decoded:
    return Decoded(moves=_moves(events.log, events.words[:, 0], *parties))


def _assigned(logs: Sequence[Log], events: EventWords, parties: list[Bytes2D]) -> Decoded:
    nobody = np.zeros_like(parties[0])
    return Decoded(moves=_moves(events.log, events.words[:, 0], nobody, parties[0]))


def _moves(log: Int64s, punk: Bytes2D, sender: Bytes2D, recipient: Bytes2D) -> list[Move]:
    return [
        Move(at, _COLLECTION, _number(token), giver.tobytes(), taker.tobytes())
        for at, token, giver, taker in zip(log.tolist(), punk, sender, recipient, strict=True)
    ]


def _place(fact: Bid | Move) -> int:
    return fact.log


def _is_set(rows: Bytes2D) -> Flags:
    """Return which rows are not zero."""
    found: Flags = np.count_nonzero(rows, axis=1) > 0
    return found


def _number(word: Bytes2D) -> int:
    return int.from_bytes(word.tobytes(), "big")


# The topics of each event that are addresses, and what reads it.
_EVENTS: dict[str, tuple[tuple[int, ...], _Reader]] = {
    BOUGHT: ((2, 3), _bought),
    BID_ENTERED: ((2,), _entered),
    BID_WITHDRAWN: ((2,), _withdrawn),
    TRANSFERRED: ((1, 2), _transferred),
    ASSIGNED: ((1,), _assigned),
}

MARKET = NftMarket(
    name=_NAME,
    contracts={CONTRACT: "2"},
    topics=tuple(_EVENTS),
    context=(TRANSFER,),
    decode=decode,
)
