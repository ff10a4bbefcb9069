"""Pieces of which decoders of NFT markets build their trades: checks, fees by rate, one item."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from onchain_agg.sources.event_words import Flags, refused
from onchain_agg.sources.evm_columns import Bytes2D, Int64s
from onchain_agg.sources.malformed import Malformed
from onchain_agg.sources.nft_markets.definition import Trades
from onchain_agg.sources.uint256 import divided, small, times, total

WHOLE = 10_000  # basis points


@dataclass(frozen=True)
class Paid:
    """What was paid, a row a trade: the price, which has both others in it."""

    price: Bytes2D
    royalty: Bytes2D
    platform_fee: Bytes2D
    knows_fee: Flags

    def where(self, keep: Flags) -> "Paid":
        """Return the rows that *keep* names."""
        return Paid(
            self.price[keep], self.royalty[keep], self.platform_fee[keep], self.knows_fee[keep]
        )


def checked(
    at: Int64s, market: str, checks: Sequence[tuple[Flags, str]]
) -> tuple[Flags, list[Malformed]]:
    """Return which rows pass all *checks*, and every other row's log with its first failure."""
    keep: Flags = np.ones(len(at), np.bool_)
    malformed: list[Malformed] = []
    for passes, reason in checks:
        malformed += refused(at[keep], passes[keep], f"{market}: {reason}")
        keep = keep & passes
    return keep, malformed


def fees_of(price: Bytes2D, rates: Int64s) -> tuple[Bytes2D, Flags]:
    """Return the sum of a price's fees, each rounded down, and which are possible.

    Args:
        price: 32 bytes a row.
        rates: Basis points; a row a price, a column a fee. Together at most the whole.
    """
    possible: Flags = rates.sum(axis=1) <= WHOLE
    fees = [np.zeros_like(price)]
    for rate in np.minimum(rates, WHOLE).T:
        product, exceeds = times(price, rate)
        possible = possible & ~exceeds
        fees.append(divided(product, np.full(len(rate), WHOLE))[0])
    return total(fees)[0], possible


def ones(count: int) -> Bytes2D:
    """Return the quantity of that many single tokens."""
    return small(np.ones(count, np.int64))


def single_items(
    at: Int64s,
    *,
    is_listing: Flags,
    standard: Int64s,
    token: tuple[Bytes2D, Bytes2D, Bytes2D],
    parties: tuple[Bytes2D, Bytes2D],
    currency: Bytes2D,
    paid: Paid,
) -> Trades:
    """Return priced trades of one item each.

    Args:
        at: Position of each trade's log.
        is_listing: Which took a listing; the others took an offer.
        standard: 721, 1155, or 0.
        token: Collections, token ids and quantities.
        parties: Sellers and buyers.
        currency: 20 bytes a row.
        paid: Prices and what is in them.
    """
    count = len(at)
    known = np.ones(count, np.bool_)
    return Trades(
        log=at,
        item=np.zeros(count, np.int64),
        bundle_size=np.ones(count, np.int64),
        side=["listing" if listed else "offer" for listed in is_listing.tolist()],
        standard=standard,
        collection=token[0],
        token_id=token[1],
        quantity=token[2],
        seller=parties[0],
        buyer=parties[1],
        currency=currency,
        price=paid.price,
        platform_fee=paid.platform_fee,
        royalty=paid.royalty,
        unpriced=[None] * count,
        knows_currency=known,
        knows_fee=paid.knows_fee,
        knows_royalty=known,
    )
