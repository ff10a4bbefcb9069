"""LooksRare, versions 1 and 2.

Price: what the buyer paid, fees and royalties included. Version 2 names all three parts. Version 1
names the whole; its royalty is an event of the same transaction, and its platform fee what is left
after the royalty and the payment to the seller: NULL where that payment was not found.

Buyer of a version 2 listing: who got the token, because an aggregator may buy for somebody. Neither
version names the standard of its tokens: it is that of the collection's transfers in the same
transaction, NULL where there is none.

Layouts: ``TakerBid`` and ``TakerAsk`` of ``LooksRareExchange.sol`` and of
``ILooksRareProtocol.sol``.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from onchain_agg.sources.event_words import (
    EventWords,
    Flags,
    Words3D,
    addresses,
    event_words,
    small_numbers,
    topic_words,
)
from onchain_agg.sources.evm_columns import Bytes2D, Int64s, amounts
from onchain_agg.sources.evm_json import Log
from onchain_agg.sources.evm_logs import TRANSFER_TOPICS
from onchain_agg.sources.looksrare_royalties import ROYALTY_PAYMENT, Sale, fees_paid
from onchain_agg.sources.malformed import Malformed
from onchain_agg.sources.nft_markets.definition import Decoded, NftMarket, Side, Trades
from onchain_agg.sources.nft_pieces import Paid, checked, single_items
from onchain_agg.sources.nft_transfers import Standards, standards_beside, standards_of
from onchain_agg.sources.uint256 import shares, total

TAKER_BID_1 = "0x95fb6205e23ff6bda16a2d1dba56b9ad7c783f67c96fa149785052f47696f2be"
TAKER_ASK_1 = "0x68cd251d4d267c6e2034ff0088b990352b97b2002c0476587d0c4da889c11330"
TAKER_BID_2 = "0x3ee3de4684413690dee6fff1a0a4f92916a1b97d1c5a83cdf24671844306b2e3"
TAKER_ASK_2 = "0x9aaa45d6db2ef74ead0751ea9113263d1dec1b50cea05f0ca2002cb8063564a4"

_WORDS_1 = 7
_HEAD_2 = 15
# Its fields, and the lengths of two arrays.
_LEAST_2 = _HEAD_2 + 2


@dataclass(frozen=True)
class _Items:
    """Where the items of each log are: words of the first id and amount, and how many."""

    ids: Int64s
    amounts: Int64s
    count: Int64s
    lies_inside: Flags
    agrees: Flags


def _decode(logs: Sequence[Log], chosen: Sequence[int]) -> Decoded:
    standards = standards_beside(logs, chosen)
    before = dict(zip(chosen, (-1, *chosen), strict=False))
    trades: list[Trades] = []
    malformed: list[Malformed] = []
    of_topic: dict[str, list[int]] = {topic: [] for topic in _SHAPES}
    for i in chosen:
        of_topic[logs[i].topics[0]].append(i)
    for topic, (topics, least) in _SHAPES.items():
        groups, odd = event_words(logs, of_topic[topic], "looksrare", topics=topics, at_least=least)
        malformed += odd
        # Who bids takes a listing.
        side: Side = "listing" if topic in (TAKER_BID_1, TAKER_BID_2) else "offer"
        for group in groups:
            if least == _LEAST_2:
                found, refused = _second(logs, standards, group, side)
            elif group.words.shape[1] == _WORDS_1:
                found, refused = _first(logs, (standards, before), group, side)
            else:
                reason = f"looksrare: {32 * group.words.shape[1]} bytes, not {32 * _WORDS_1}"
                malformed += [Malformed(int(i), reason) for i in group.log]
                continue
            trades.append(found)
            malformed += refused
    return Decoded(trades, malformed)


def _first(
    logs: Sequence[Log], beside: tuple[Standards, dict[int, int]], group: EventWords, side: Side
) -> tuple[Trades, list[Malformed]]:
    """Return the trades of version 1.

    Order hash and nonce, currency, collection, token id, amount and price; indexed: taker, maker
    and strategy.
    """
    standards, before = beside
    taker, is_taker = addresses(topic_words(logs, group.log, 1))
    maker, is_maker = addresses(topic_words(logs, group.log, 2))
    currency, is_currency = addresses(group.words[:, 2])
    collection, is_collection = addresses(group.words[:, 3])
    checks = [(is_taker & is_maker & is_currency & is_collection, "a field is not an address")]
    keep, malformed = checked(group.log, "looksrare", checks)
    at, words, collection = group.log[keep], group.words[keep], collection[keep]
    seller, buyer = (maker, taker) if side == "listing" else (taker, maker)
    trades = single_items(
        at,
        is_listing=np.full(len(at), side == "listing"),
        standard=standards_of(standards, logs, at, collection),
        token=(collection, words[:, 4], words[:, 5]),
        parties=(seller[keep], buyer[keep]),
        currency=currency[keep],
        paid=_paid_first(logs, before, _sales(at, words, seller[keep], buyer[keep]), words[:, 6]),
    )
    return trades, malformed


def _sales(at: Int64s, words: Words3D, seller: Bytes2D, buyer: Bytes2D) -> list[Sale]:
    texts = words.tobytes().hex()
    width = 64 * _WORDS_1
    sellers, buyers = seller.tobytes().hex(), buyer.tobytes().hex()
    clean = 24 * "0"
    return [
        Sale(
            log=log,
            currency=texts[row + 128 : row + 192],
            collection=texts[row + 192 : row + 256],
            token_id=texts[row + 256 : row + 320],
            price=int(texts[row + 384 : row + 448], 16),
            seller=clean + sellers[k : k + 40],
            buyer=clean + buyers[k : k + 40],
        )
        for log, row, k in zip(
            at.tolist(), range(0, len(texts), width), range(0, len(sellers), 40), strict=True
        )
    ]


def _paid_first(
    logs: Sequence[Log], before: dict[int, int], sales: Sequence[Sale], price: Bytes2D
) -> Paid:
    found = [fees_paid(logs, sale, before[sale.log]) for sale in sales]
    return Paid(
        price=price,
        royalty=amounts([royalty for royalty, _ in found]),
        platform_fee=amounts([fee or 0 for _, fee in found]),
        knows_fee=np.array([fee is not None for _, fee in found], np.bool_),
    )


def _second(
    logs: Sequence[Log], standards: Standards, group: EventWords, side: Side
) -> tuple[Trades, list[Malformed]]:
    """Return the trades of version 2.

    Order hash, nonce and whether it ends; the taker, and who gets the token or bid for it;
    strategy, currency, collection; offsets of ids and amounts; who gets what is paid, the seller
    first; the three amounts.
    """
    words = group.words
    items = _items(words)
    price, checks = _second_checks(words, items)
    keep, malformed = checked(group.log, "looksrare", checks)
    at, words, count = group.log[keep], words[keep], items.count[keep]
    spread = np.repeat(np.arange(len(at)), count)
    whole, item = shares(price[keep], count)
    seller = words[:, 10 if side == "listing" else 3, 12:]
    known = np.ones(len(spread), np.bool_)
    trades = Trades(
        log=at[spread],
        item=item,
        bundle_size=count[spread],
        side=[side] * len(spread),
        standard=standards_of(standards, logs, at, words[:, 7, 12:])[spread],
        collection=words[spread, 7, 12:],
        token_id=words[spread, items.ids[keep][spread] + item],
        quantity=words[spread, items.amounts[keep][spread] + item],
        seller=seller[spread],
        buyer=words[spread, 4, 12:],
        currency=words[spread, 6, 12:],
        price=whole,
        platform_fee=shares(words[:, 14], count)[0],
        royalty=shares(words[:, 13], count)[0],
        unpriced=[None] * len(spread),
        knows_currency=known,
        knows_fee=known,
        knows_royalty=known,
    )
    return trades, malformed


def _second_checks(words: Words3D, items: _Items) -> tuple[Bytes2D, list[tuple[Flags, str]]]:
    """Return the price of each event of version 2, and what must hold of it."""
    clean: Flags = np.logical_and.reduce(addresses(words[:, [3, 4, 6, 7, 10]])[1], axis=1)
    price, exceeds = total([words[:, 12], words[:, 13], words[:, 14]])
    return price, [
        (clean, "a field is not an address"),
        (items.lies_inside, "an array lies outside the data"),
        (items.agrees, "the arrays of ids and amounts are empty or differ in length"),
        (~exceeds, "a price above 256 bits"),
    ]


def _items(words: Words3D) -> _Items:
    ids, id_count, has_ids = _array(words, 8)
    values, value_count, has_values = _array(words, 9)
    agrees = (id_count == value_count) & (id_count > 0)
    return _Items(ids, values, id_count, has_ids & has_values, agrees)


def _array(words: Words3D, head: int) -> tuple[Int64s, Int64s, Flags]:
    """Return the first entry of the array whose offset is word *head*, its length, and if it is."""
    size = words.shape[1]
    offset = small_numbers(words[:, head])
    place = offset // 32
    has_length = (offset >= 0) & (offset % 32 == 0) & (place < size)
    place = np.where(has_length, place, 0)
    count = small_numbers(words[np.arange(len(words)), place])
    return place + 1, count, has_length & (count >= 0) & (place + 1 + count <= size)


# Topics of each event, and how many words it has at least.
_SHAPES = {
    TAKER_BID_1: (4, _WORDS_1),
    TAKER_ASK_1: (4, _WORDS_1),
    TAKER_BID_2: (1, _LEAST_2),
    TAKER_ASK_2: (1, _LEAST_2),
}

MARKET = NftMarket(
    name="looksrare",
    contracts={
        "0x59728544b08ab483533076417fbbb2fd0b17ce3a": "1",
        "0x0000000000e655fae4d56241588680f86e3b2377": "2",
    },
    topics=(TAKER_BID_1, TAKER_ASK_1, TAKER_BID_2, TAKER_ASK_2),
    decode=_decode,
    context=(*TRANSFER_TOPICS, ROYALTY_PAYMENT),
)
