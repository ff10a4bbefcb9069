"""Trades of Blur's second version, which logs the maker's side only, packed where it fits.

Layouts: ``_emitOptimalExecutionEvent`` and the functions that pack, in its ``Executor.sol``.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from onchain_agg.sources.event_words import EventWords, Flags, Words3D, addresses, small_numbers
from onchain_agg.sources.evm_columns import Bytes2D, Int64s
from onchain_agg.sources.evm_json import Log
from onchain_agg.sources.malformed import Malformed
from onchain_agg.sources.nft_markets.definition import Trades
from onchain_agg.sources.nft_pieces import WHOLE, Paid, checked, fees_of, ones, single_items
from onchain_agg.sources.nft_transfers import Steps, other_parties
from onchain_agg.sources.uint256 import total

EXECUTION = "0xf2f66294df6fae7ac681cbe2f6d91c6904485929679dce263e8f6539b7d5c559"
PACKED = "0x1d5e12b51dee5e4d34434576c3fb99714a85f57b0fd546ada4b0bddd736d12b2"
TAKER_FEE_PACKED = "0x0fcf17fac114131b10f37b183c6a60f905911e52802caeeb3e6ea210398b81ab"
MAKER_FEE_PACKED = "0x7dc5c0699ac8dd5250cbe368a2fc3b4a2daadb120ad07f6cccea29f83482686e"

FILL_WORDS = {EXECUTION: 15, PACKED: 3, TAKER_FEE_PACKED: 4, MAKER_FEE_PACKED: 4}

_ASK, _BID = 0, 1


@dataclass(frozen=True)
class _Fill:
    """What the events say, a row a log; rates in basis points."""

    maker: Bytes2D
    collection: Bytes2D
    token_id: Bytes2D
    quantity: Bytes2D
    standard: Int64s
    price: Bytes2D
    maker_rate: Int64s
    taker_rate: Int64s
    platform_rate: Int64s
    kind: Int64s  # of the maker's order
    is_clean: Flags


def fills(
    logs: Sequence[Log], steps: Steps, group: EventWords, topic: str
) -> tuple[Trades, list[Malformed]]:
    """Return the trades of logs that have one *topic* and its number of words."""
    fill = _execution(group.words) if topic == EXECUTION else _packed(group.words, topic)
    is_listing = fill.kind == _ASK
    paid, is_possible = _paid(fill, is_listing)
    taker, is_known = other_parties(
        steps, logs, group.log, (fill.collection, fill.token_id), (fill.maker, is_listing)
    )
    checks = [
        (fill.is_clean, "a field of the execution is out of its range"),
        (is_possible, "fees above the price, or a price above 256 bits"),
        (is_known, "no transfer of the token tells the taker"),
    ]
    keep, malformed = checked(group.log, "blur", checks)
    gives, maker, other = is_listing[keep, None], fill.maker[keep], taker[keep]
    trades = single_items(
        group.log[keep],
        is_listing=is_listing[keep],
        standard=fill.standard[keep],
        token=(fill.collection[keep], fill.token_id[keep], fill.quantity[keep]),
        parties=(np.where(gives, maker, other), np.where(gives, other, maker)),
        # Asks are paid in ether, bids out of the pool.
        currency=np.zeros_like(maker),
        paid=paid.where(keep),
    )
    return trades, malformed


def _packed(words: Words3D, topic: str) -> _Fill:
    """Return trades of one ERC-721 token without a platform fee.

    After the order's hash: token id (11 bytes), index and maker; kind (1 byte), price (11) and
    collection; a fee's rate and its recipient.
    """
    count = len(words)
    none = rate = np.zeros(count, np.int64)
    is_clean: Flags = words[:, 2, 0] <= _BID
    if topic != PACKED:
        rate = words[:, 3, 10].astype(np.int64) * 256 + words[:, 3, 11]
        is_clean = is_clean & ~words[:, 3, :10].any(axis=1)
    return _Fill(
        maker=words[:, 1, 12:],
        collection=words[:, 2, 12:],
        token_id=_widened(words[:, 1, :11]),
        quantity=ones(count),
        standard=np.full(count, 721, np.int64),
        price=_widened(words[:, 2, 1:12]),
        maker_rate=rate if topic == MAKER_FEE_PACKED else none,
        taker_rate=rate if topic == TAKER_FEE_PACKED else none,
        platform_rate=none,
        kind=words[:, 2, 0].astype(np.int64),
        is_clean=is_clean,
    )


def _execution(words: Words3D) -> _Fill:
    """Return the trades that do not fit a packed event, as every one of an ERC-1155 token."""
    maker, is_maker = addresses(words[:, 0])
    collection, is_collection = addresses(words[:, 3])
    numbers = small_numbers(words)
    rates = np.where(numbers < 0, WHOLE + 1, numbers)
    is_erc1155, kind = numbers[:, 4] == 1, numbers[:, 14]
    is_kind = ((numbers[:, [4, 14]] >= 0) & (numbers[:, [4, 14]] <= 1)).all(axis=1)
    return _Fill(
        maker=maker,
        collection=collection,
        token_id=words[:, 1],
        # The amount of an ERC-721 token is not set.
        quantity=np.where(is_erc1155[:, None], words[:, 2], ones(len(words))),
        standard=np.where(is_erc1155, 1155, 721),
        price=words[:, 7],
        maker_rate=rates[:, 9],
        platform_rate=rates[:, 11],
        taker_rate=rates[:, 13],
        kind=kind,
        is_clean=is_maker & is_collection & is_kind,
    )


def _paid(fill: _Fill, is_listing: Flags) -> tuple[Paid, Flags]:
    of_maker, is_first = fees_of(fill.price, fill.maker_rate[:, None])
    of_taker, is_second = fees_of(fill.price, fill.taker_rate[:, None])
    platform_fee, is_third = fees_of(fill.price, fill.platform_rate[:, None])
    royalty, _ = total([of_maker, of_taker])
    # The seller's fee comes out of the order's price, the buyer's on top of it.
    price, exceeds = total([fill.price, np.where(is_listing[:, None], of_taker, of_maker)])
    known = np.ones(len(price), np.bool_)
    return Paid(price, royalty, platform_fee, known), is_first & is_second & is_third & ~exceeds


def _widened(low: Bytes2D) -> Bytes2D:
    rows = np.zeros((len(low), 32), np.uint8)
    rows[:, 32 - low.shape[1] :] = low
    return rows
