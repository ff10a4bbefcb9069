"""Trades of Blur's first version, which logs both orders in full.

Layout: ``Order`` in its ``OrderStructs.sol``; two of them, each with a hash after it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from onchain_agg.sources.event_words import (
    EventWords,
    Flags,
    Words3D,
    addresses,
    small_numbers,
    topic_words,
)
from onchain_agg.sources.evm_columns import Bytes2D, Int64s
from onchain_agg.sources.evm_json import Log
from onchain_agg.sources.malformed import Malformed
from onchain_agg.sources.nft_markets.definition import Trades
from onchain_agg.sources.nft_pieces import WHOLE, Paid, checked, fees_of, ones, single_items
from onchain_agg.sources.nft_transfers import Standards, standards_of
from onchain_agg.sources.uint256 import total

ORDERS_MATCHED = "0x61cbb2a3dee0b6064c2e681aadd61677fb4ef319f0b547508d495626f5a62f64"

_POOL = np.frombuffer(bytes.fromhex("0000000000a39bb272e79075ade125fd351887ac"), np.uint8)
_ORDER_WORDS = 13
# Two orders, their hashes and offsets, and the lengths of their fees and of their extra bytes.
MATCH_WORDS = 2 * (_ORDER_WORDS + 2) + 4


@dataclass(frozen=True)
class _Order:
    """One side's orders, a row a log; fields mean nothing where one does not lie inside."""

    trader: Bytes2D
    collection: Bytes2D
    token_id: Bytes2D
    amount: Bytes2D
    currency: Bytes2D
    price: Bytes2D
    listed: Int64s
    rates: Int64s  # basis points; a column a fee, zero where an order has fewer
    lies_inside: Flags
    has_addresses: Flags


def matches(
    logs: Sequence[Log], standards: Standards, group: EventWords
) -> tuple[Trades, list[Malformed]]:
    """Return the trades of ``OrdersMatched`` logs that have two indexed traders."""
    sell, buy = _order(group.words, 0), _order(group.words, 2)
    is_listing = sell.listed <= buy.listed  # the older order is the maker's
    paid, is_possible = _paid(sell, buy, is_listing)
    checks = [
        (sell.lies_inside & buy.lies_inside, "an order lies outside the data"),
        (sell.has_addresses & buy.has_addresses, "a field of an order is not an address"),
        (_named_by_topics(logs, group.log, sell, buy), "the topics name other traders"),
        (is_possible, "fees above the price, or a price above 256 bits"),
    ]
    keep, malformed = checked(group.log, "blur", checks)
    at, collection, currency = group.log[keep], sell.collection[keep], sell.currency[keep]
    standard = standards_of(standards, logs, at, collection)
    # An ERC-721 policy moves one token, whatever the order's amount.
    quantity = np.where((standard == 1155)[:, None], sell.amount[keep], ones(len(at)))
    is_pool = (currency == _POOL).all(axis=1)[:, None]
    trades = single_items(
        at,
        is_listing=is_listing[keep],
        standard=standard,
        token=(collection, sell.token_id[keep], quantity),
        parties=(sell.trader[keep], buy.trader[keep]),
        currency=np.where(is_pool, np.zeros_like(currency), currency),
        paid=paid.where(keep),
    )
    return trades, malformed


def _order(words: Words3D, head: int) -> _Order:
    """Return the orders whose offset is word *head*."""
    rows = np.arange(len(words))
    base = np.zeros(len(words), np.int64)
    start, has_fields = _place(words, base, base + head, _ORDER_WORDS)
    fees, has_fees = _place(words, start, start + 10, 1)
    count = small_numbers(words[rows, fees])
    is_inside = has_fields & has_fees & (count >= 0) & (fees + 1 + 2 * count <= words.shape[1])
    fields = words[rows[:, None], start[:, None] + np.arange(_ORDER_WORDS)]
    (trader, first), (collection, second), (currency, third) = (
        addresses(fields[:, at]) for at in (0, 3, 6)
    )
    return _Order(
        trader=trader,
        collection=collection,
        token_id=fields[:, 4],
        amount=fields[:, 5],
        currency=currency,
        price=fields[:, 7],
        listed=_seconds(fields[:, 8]),
        rates=_rates(words, fees, np.where(is_inside, count, 0)),
        lies_inside=is_inside,
        has_addresses=first & second & third,
    )


def _place(words: Words3D, base: Int64s, at: Int64s, room: int) -> tuple[Int64s, Flags]:
    """Return where the offset in word *at* points to from *base*; 0 where *room* is missing."""
    offset = small_numbers(words[np.arange(len(words)), at])
    place = base + offset // 32
    fits: Flags = (offset >= 0) & (offset % 32 == 0) & (place + room <= words.shape[1])
    return np.where(fits, place, 0), fits


def _rates(words: Words3D, fees: Int64s, count: Int64s) -> Int64s:
    rates = np.zeros((len(words), int(count.max(initial=0))), np.int64)
    for k in range(rates.shape[1]):
        has = np.flatnonzero(count > k)
        rate = small_numbers(words[has, fees[has] + 1 + 2 * k])
        rates[has, k] = np.where(rate < 0, WHOLE + 1, rate)
    return rates


def _seconds(words: Bytes2D) -> Int64s:
    # The contract compares them with the block's time, so they never need more than eight bytes.
    low: Int64s = np.ascontiguousarray(words[:, 24:]).view(">i8")[:, 0].astype(np.int64)
    return low


def _named_by_topics(logs: Sequence[Log], at: Int64s, sell: _Order, buy: _Order) -> Flags:
    is_listing = (sell.listed <= buy.listed)[:, None]
    makers = np.where(is_listing, sell.trader, buy.trader)
    takers = np.where(is_listing, buy.trader, sell.trader)
    named: Flags = np.ones(len(at), np.bool_)
    for topic, traders in ((1, makers), (2, takers)):
        found, is_address = addresses(topic_words(logs, at, topic))
        named = named & is_address & (found == traders).all(axis=1)
    return named


def _paid(sell: _Order, buy: _Order, is_listing: Flags) -> tuple[Paid, Flags]:
    price = np.where(is_listing[:, None], sell.price, buy.price)
    of_seller, is_first = fees_of(price, sell.rates)
    of_buyer, is_second = fees_of(price, buy.rates)
    whole, exceeds = total([price, of_buyer])
    royalty, _ = total([of_seller, of_buyer])
    known = np.ones(len(price), np.bool_)
    return Paid(whole, royalty, np.zeros_like(price), known), is_first & is_second & ~exceeds
