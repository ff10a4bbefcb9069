"""X2Y2: ``EvInventory``, which tells what was done to an order, and of which token.

The event's data is eleven words, then three parts that the words point to: a mask, the item (its
price and its tokens) and the settlement (operation, price paid, fees). An operation 1 takes a
listing and 2 an offer, by the settlement's price. A mask has been applied to the item already: an
offer for a whole collection names the token that it got. Fees are parts in a million of the price,
each rounded down; what does not go to X2Y2's own two recipients is the collection's royalty, as no
other fee was ever signed.

An auction's end (operation 5) names neither winner nor price. The winner is whom the delegate, who
holds the token until then, sends it to before the log. The price is the winner's last bid for the
token (operation 4), in an earlier transaction: the trade is unpriced here, and bids for single
tokens are kept for whoever looks it up. What an auction's fees come to is not known. Refunds and
cancelled orders are no trades.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from onchain_agg.sources.event_words import (
    EventWords,
    addresses,
    event_words,
    refused,
    small_numbers,
)
from onchain_agg.sources.evm_columns import Bytes2D, Int64s, from_hex
from onchain_agg.sources.evm_json import Log
from onchain_agg.sources.evm_logs import TRANSFER_TOPICS
from onchain_agg.sources.malformed import Malformed
from onchain_agg.sources.nft_markets.definition import (
    Bid,
    Decoded,
    Flags,
    NftMarket,
    Side,
    Trades,
)
from onchain_agg.sources.nft_transfers import other_parties, steps_beside
from onchain_agg.sources.uint256 import divided, shares, small, times, total
from onchain_agg.sources.unpriced import ACCEPTED_BID

# EvInventory(bytes32 indexed itemHash, address maker, address taker, uint256 orderSalt,
#   uint256 settleSalt, uint256 intent, uint256 delegateType, uint256 deadline, address currency,
#   bytes dataMask, (uint256 price, bytes data) item, (uint8 op, uint256 orderIdx, uint256 itemIdx,
#   uint256 price, bytes32 itemHash, address executionDelegate, bytes dataReplacement,
#   uint256 bidIncentivePct, uint256 aucMinIncrementPct, uint256 aucIncDurationSecs,
#   (uint256 percentage, address to)[] fees) detail)
INVENTORY = "0x3cbb63f144840e5b1b0a38a7c19211d2e89de4d7c5faf8b2d3c1776c302d1d33"

_NAME = "x2y2"
_HEAD, _ITEM, _DETAIL = 11, 2, 11  # words of each part before what it points to
_MAKER, _TAKER, _KIND, _CURRENCY = 0, 1, 5, 7
_DELEGATE = 5  # word of the settlement
# Operations that tell of a sale. 0, 3, 6 and 7 are known and do not.
_LISTING, _OFFER, _BID, _AUCTION = 1, 2, 4, 5
_OPERATIONS = 8
_WHOLE = 1_000_000  # parts of a price that a fee is counted in
_OWN_RECIPIENTS = (
    "0xd823c605807cc5e6bd6fc0d7e4eea50d3e2d66cd",  # the fee management contract
    "0x099ba539cde20ff8b87b18460024a9e3acc9e025",  # the wallet before it, until March 2022
)
# Words of one token in an item by kind of delegate: contract, token id and, for ERC-1155, amount.
_TOKEN_WORDS = np.array([0, 2, 3], np.int64)
_BUNDLE_AUCTION = "auction of a bundle"


@dataclass(frozen=True)
class _Sales:
    """Settlements and bids whose parts lie where they should; places are words in the data."""

    events: EventWords
    operation: Int64s
    kind: Int64s
    tokens: Int64s  # place of the first token
    count: Int64s
    detail: Int64s
    fees: Int64s  # place of the first fee
    fee_count: Int64s

    def where(self, flags: Flags) -> "_Sales":
        if flags.all():
            return self
        columns = (self.operation, self.kind, self.tokens, self.count, self.detail, self.fees)
        chosen = (column[flags] for column in (*columns, self.fee_count))
        return _Sales(self.events.where(flags), *chosen)


def decode(logs: Sequence[Log], chosen: Sequence[int]) -> Decoded:
    """Return the sales, and the bids for single tokens, that the *chosen* logs tell.

    Raises:
        SourceError: A log's data is not hex.
    """
    groups, malformed = event_words(logs, chosen, _NAME, topics=2, at_least=_HEAD)
    trades: list[Trades] = []
    bids: list[Bid] = []
    for group in groups:
        settled = _sales(group, malformed)
        is_bid = settled.operation == _BID
        if is_bid.any():
            bids += _bids(settled.where(is_bid), malformed)
        sales = settled.where(~is_bid)
        if len(sales.kind):
            trades.append(_trades(logs, sales, malformed))
    return Decoded(trades=trades, malformed=malformed, bids=sorted(bids, key=lambda bid: bid.log))


def _word(events: EventWords, place: Int64s) -> tuple[Bytes2D, Flags]:
    """Return each row's word at *place*, zero where that lies outside the data, and where not."""
    inside: Flags = (place >= 0) & (place < events.words.shape[1])
    rows = np.arange(len(place))
    if inside.all():
        return events.words[rows, place], inside
    words = events.words[rows, np.where(inside, place, 0)]
    words[~inside] = 0
    return words, inside


def _number(events: EventWords, place: Int64s) -> Int64s:
    """Return each row's word at *place* as a number; -1 if it is large or outside the data."""
    words, inside = _word(events, place)
    return np.where(inside, small_numbers(words), -1)


def _pointed(events: EventWords, base: Int64s, word: int) -> Int64s:
    """Return the place that word *word* of the part at *base* points to; -1 if it points astray."""
    offset = _number(events, base + word)
    there = base + offset // 32
    fits = (base >= 0) & (offset >= 0) & (offset % 32 == 0) & (there < events.words.shape[1])
    return np.where(fits, there, -1)


def _sales(events: EventWords, malformed: list[Malformed]) -> _Sales:
    """Return what *events* tell of sales and bids; what is wrong goes to *malformed*."""
    start = np.zeros(len(events.log), np.int64)
    detail = _pointed(events, start, 10)
    operation = np.where(detail < 0, -1, _number(events, detail))
    is_known = (operation >= 0) & (operation < _OPERATIONS)
    malformed += refused(events.log, is_known, f"{_NAME}: the settlement has no known operation")
    is_sale = np.isin(operation, (_LISTING, _OFFER, _BID, _AUCTION))
    sales, laid_out = _laid_out(events.where(is_sale), operation[is_sale], detail[is_sale])
    malformed += refused(sales.events.log, laid_out, f"{_NAME}: tokens or fees lie outside")
    return sales.where(laid_out)


def _laid_out(events: EventWords, operation: Int64s, detail: Int64s) -> tuple[_Sales, Flags]:
    """Return where the parts of each sale lie, and which sales have all of them inside the data."""
    size = events.words.shape[1]
    start = np.zeros(len(events.log), np.int64)
    kind = _number(events, start + _KIND)
    width = _TOKEN_WORDS[np.where((kind >= 0) & (kind < len(_TOKEN_WORDS)), kind, 0)]
    data = _pointed(events, _pointed(events, start, 9), 1)
    # The bytes hold one array: its offset of 32, its length, its members.
    length, offset, count = (_number(events, data + k) for k in range(3))
    tokens = data + 3
    whole = (width > 0) & (data >= 0) & (offset == 32) & (count > 0)
    whole &= (length == 64 + 32 * count * width) & (tokens + count * width <= size)
    fees = _pointed(events, detail, 10)
    fee_count = np.where(fees < 0, -1, _number(events, fees))
    whole &= (detail + _DETAIL <= size) & (fee_count >= 0) & (fees + 1 + 2 * fee_count <= size)
    places = (operation, kind, tokens, count, detail, fees + 1, fee_count)
    return _Sales(events, *places), whole


def _parties(sales: _Sales) -> tuple[Bytes2D, Flags]:
    """Return makers, takers and currencies of *sales*, and which have only addresses."""
    parties, clean = addresses(sales.events.words[:, [_MAKER, _TAKER, _CURRENCY]])
    return parties, clean.all(axis=1) & _token_words(sales, 0)[1]


def _bids(sales: _Sales, malformed: list[Malformed]) -> list[Bid]:
    """Return the bids for one token each; a bundle's are of no token alone."""
    are_addresses = _parties(sales)[1]
    malformed += refused(sales.events.log, are_addresses, f"{_NAME}: no address")
    bids = sales.where(are_addresses & (sales.count == 1))
    bidders = _parties(bids)[0][:, 1]
    (collections, _), (ids, _) = (_token_words(bids, k) for k in range(2))
    prices, _ = _word(bids.events, bids.detail + 3)
    return [
        Bid(
            log=log,
            collection=collections[k, 12:].tobytes(),
            token_id=int.from_bytes(ids[k].tobytes()),
            bidder=bidders[k].tobytes(),
            price=int.from_bytes(prices[k].tobytes()),
            withdrawn=False,
        )
        for k, log in enumerate(bids.events.log.tolist())
    ]


def _trades(logs: Sequence[Log], sales: _Sales, malformed: list[Malformed]) -> Trades:
    price, _ = _word(sales.events, sales.detail + 3)
    platform, royalty, fits = _fees(sales, price)
    parties, are_addresses = _parties(sales)
    malformed += refused(sales.events.log, fits, f"{_NAME}: a fee of more than the price")
    malformed += refused(sales.events.log, are_addresses | ~fits, f"{_NAME}: no address")
    keep: Flags = fits & are_addresses
    sold, won_by = sales.where(keep), parties[keep]
    won_by[:, 1], is_told = _takers(logs, sold, won_by[:, 1])
    malformed += refused(sold.events.log, is_told, f"{_NAME}: no transfer tells who won an auction")
    amounts = (price[keep][is_told], platform[keep][is_told], royalty[keep][is_told])
    return _rows(sold.where(is_told), won_by[is_told], amounts)


def _takers(logs: Sequence[Log], sales: _Sales, logged: Bytes2D) -> tuple[Bytes2D, Flags]:
    """Return the *logged* takers, but of auctions who won them, and which of all are told."""
    takers, is_told = logged.copy(), np.ones(len(logged), np.bool_)
    is_auction = sales.operation == _AUCTION
    if not is_auction.any():
        return takers, is_told
    ended = sales.where(is_auction)
    log = ended.events.log
    # All tokens of a bundle go one way, so the first one tells.
    first = np.cumsum(ended.count) - ended.count
    token = (_token_words(ended, 0)[0][first, 12:], _token_words(ended, 1)[0][first])
    delegate = _word(ended.events, ended.detail + _DELEGATE)[0][:, 12:]
    steps = steps_beside(logs, log.tolist())
    sends = np.ones(len(log), np.bool_)
    takers[is_auction], is_told[is_auction] = other_parties(
        steps, logs, log, token, (delegate, sends)
    )
    return takers, is_told


def _token_words(sales: _Sales, word: int) -> tuple[Bytes2D, Flags]:
    """Return that word of every token, and which sales have only addresses there."""
    row = np.repeat(np.arange(len(sales.count)), sales.count)
    member = np.arange(len(row)) - np.repeat(np.cumsum(sales.count) - sales.count, sales.count)
    place = sales.tokens[row] + member * _TOKEN_WORDS[sales.kind[row]] + word
    # An ERC-721 token has no third word, and the last one may end the data.
    words = sales.events.words[row, np.minimum(place, sales.events.words.shape[1] - 1)]
    clean = addresses(words)[1]
    return words, np.logical_and.reduceat(clean, np.cumsum(sales.count) - sales.count)


def _fees(sales: _Sales, price: Bytes2D) -> tuple[Bytes2D, Bytes2D, Flags]:
    """Return X2Y2's fee, the royalty, and which sales have fees of at most their price."""
    own = from_hex(_OWN_RECIPIENTS, 20)
    platform, royalty = np.zeros_like(price), np.zeros_like(price)
    parts = np.zeros(len(price), np.int64)
    fits = np.ones(len(price), np.bool_)
    for k in range(int(sales.fee_count.max(initial=0))):
        there = k < sales.fee_count
        place = np.where(there, sales.fees + 2 * k, 0)
        part = np.where(there, _number(sales.events, place), 0)
        fits &= (part >= 0) & (part <= _WHOLE)
        parts += np.where(fits, part, 0)
        product, exceeds = times(price, np.where(fits, part, 0))
        fits &= ~exceeds
        fee, _ = divided(product, np.full(len(price), _WHOLE, np.int64))
        recipient = _word(sales.events, place + 1)[0][:, 12:]
        is_own = (recipient[:, None] == own).all(axis=2).any(axis=1)[:, None]
        platform, _ = total([platform, np.where(is_own, fee, 0).astype(np.uint8)])
        royalty, _ = total([royalty, np.where(is_own, 0, fee).astype(np.uint8)])
    return platform, royalty, fits & (parts <= _WHOLE)


def _rows(sales: _Sales, parties: Bytes2D, amounts: tuple[Bytes2D, Bytes2D, Bytes2D]) -> Trades:
    """Return a row for every token of *sales*; *amounts* are price, X2Y2's fee and royalty."""
    count = sales.count
    row = np.repeat(np.arange(len(count)), count)
    is_721 = (sales.kind == 1)[row]
    operation = sales.operation[row]
    is_offer, is_auction = operation == _OFFER, operation == _AUCTION
    auctioned: list[str | None] = [ACCEPTED_BID if one == 1 else _BUNDLE_AUCTION for one in count]
    sides: list[Side] = ["listing" if one == _LISTING else "offer" for one in operation]
    maker, taker, currency = (parties[row, k] for k in range(3))
    price, platform, royalty = (shares(amount, count) for amount in amounts)
    known = np.ones(len(row), np.bool_)
    one = small(np.ones(len(row), np.int64))
    return Trades(
        log=sales.events.log[row],
        item=price[1],
        bundle_size=count[row],
        side=sides,
        standard=np.where(is_721, 721, 1155),
        collection=_token_words(sales, 0)[0][:, 12:],
        token_id=_token_words(sales, 1)[0],
        quantity=np.where(is_721[:, None], one, _token_words(sales, 2)[0]),
        seller=np.where(is_offer[:, None], taker, maker),
        buyer=np.where(is_offer[:, None], maker, taker),
        currency=currency,
        price=price[0],
        platform_fee=platform[0],
        royalty=royalty[0],
        unpriced=[auctioned[k] if ends else None for k, ends in zip(row, is_auction, strict=True)],
        knows_currency=known,
        knows_fee=~is_auction,
        knows_royalty=~is_auction,
    )


MARKET = NftMarket(
    name=_NAME,
    contracts={"0x74312363e45dcaba76c59ec49a7aa8a65a67eed3": "1"},
    topics=(INVENTORY,),
    context=TRANSFER_TOPICS,
    decode=decode,
)
