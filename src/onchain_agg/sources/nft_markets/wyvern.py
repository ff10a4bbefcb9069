"""Wyvern, OpenSea's exchange from 2018 to 2022: ``OrdersMatched``, which tells no token.

What was sold is in the token transfers of the same transaction, between the match before and this
one. Those between the two parties count, and only if there are none those that one party sends
elsewhere (a buyer who has it delivered), and then those that a party gets from elsewhere (a token
minted when it is sold). A token that its sender got before an earlier match is not counted there:
an aggregator passes on what it bought. Who sends is the seller; the event's maker is whose order
was taken.

The currency is the ERC-20 token of which the buyer sent the seller exactly the price; without such
a transfer it is the native coin. Fees are in neither log, so they are not known.

Known gaps: a token without the standard's log, as CryptoKitties, leaves the match malformed. What
a buyer paid on top of the price, which the exchange allows and OpenSea hardly used, is not in it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

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
from onchain_agg.sources.evm_logs import TRANSFER_TOPICS, TransferRows, transfer_rows
from onchain_agg.sources.malformed import Malformed
from onchain_agg.sources.nft_markets.definition import Decoded, Flags, NftMarket, Side, Trades
from onchain_agg.sources.uint256 import shares

# OrdersMatched(bytes32 buyHash, bytes32 sellHash, address indexed maker, address indexed taker,
#   uint256 price, bytes32 indexed metadata)
MATCHED = "0xc4109843e0b7d514e4c093114b863f8e7d8d9a458c372cd51bfe526b588006c9"

_NAME = "wyvern"
# How a transfer may belong to a match, the best first.
_BETWEEN, _SENT, _RECEIVED, _NONE = range(4)


@dataclass(frozen=True)
class _Matches:
    """Matches in the order of the logs; *log* is the position of each."""

    log: Int64s
    maker: Bytes2D
    taker: Bytes2D
    price: Bytes2D


@dataclass(frozen=True)
class _Moved:
    """Transfers, *match* being the match that each came before, and *contract* its token's."""

    rows: TransferRows
    standard: Int64s
    match: Int64s
    contract: Bytes2D


@dataclass(frozen=True)
class _Sold:
    """The transfers that are sales: positions of their rows, and whether the maker is the seller.

    *match* is each row's match. Rows of one match stand together.
    """

    row: Int64s
    match: Int64s
    by_maker: Flags


def decode(logs: Sequence[Log], chosen: Sequence[int]) -> Decoded:
    """Return the sales that the *chosen* logs tell.

    Raises:
        SourceError: A log's fields are not hex or not of their width.
    """
    groups, malformed = event_words(logs, chosen, _NAME, topics=4, at_least=3)
    whole = [group for group in groups if group.words.shape[1] == 3]
    for group in groups:
        fits = np.full(len(group.log), group.words.shape[1] == 3)
        malformed += refused(group.log, fits, f"{_NAME}: more than 96 bytes of data")
    if not whole:
        return Decoded(malformed=malformed)
    matches = _matches(logs, whole[0], malformed)
    moved = _moved(logs, chosen, matches)
    sold = _sold(matches, moved, logs, malformed)
    return Decoded(trades=[_trades(matches, moved, sold)], malformed=malformed)


def _matches(logs: Sequence[Log], events: EventWords, malformed: list[Malformed]) -> _Matches:
    maker, good_maker = addresses(topic_words(logs, events.log, 1))
    taker, good_taker = addresses(topic_words(logs, events.log, 2))
    good: Flags = good_maker & good_taker
    malformed += refused(events.log, good, f"{_NAME}: no address")
    return _Matches(events.log[good], maker[good], taker[good], events.words[good, 2])


def _moved(logs: Sequence[Log], chosen: Sequence[int], matches: _Matches) -> _Moved:
    """Return the transfers before each match, back to the one before it in its transaction."""
    own = set(chosen)
    before: list[int] = []
    match: list[int] = []
    for k, at in enumerate(matches.log.tolist()):
        transaction = logs[at].transaction_hash
        first = at
        while first and first - 1 not in own and logs[first - 1].transaction_hash == transaction:
            first -= 1
        found = [
            i for i in range(first, at) if logs[i].topics and logs[i].topics[0] in TRANSFER_TOPICS
        ]
        before += found
        match += [k] * len(found)
    rows, standard = transfer_rows([logs[i] for i in before])
    contract = from_hex([logs[before[i]].address for i in rows.log], 20)
    of_row = np.array(match, np.int64)[rows.log] if before else np.zeros(0, np.int64)
    return _Moved(rows, standard.astype(np.int64), of_row, contract)


def _sold(
    matches: _Matches, moved: _Moved, logs: Sequence[Log], malformed: list[Malformed]
) -> _Sold:
    """Return the transfers that the matches are about; a match without goes to *malformed*."""
    rows = moved.rows
    maker, taker = matches.maker[moved.match], matches.taker[moved.match]
    by_maker, by_taker = _same(rows.sender, maker), _same(rows.sender, taker)
    to_maker, to_taker = _same(rows.recipient, maker), _same(rows.recipient, taker)
    rank = np.full(len(rows.log), _NONE, np.int64)
    rank[to_maker | to_taker] = _RECEIVED
    rank[by_maker | by_taker] = _SENT
    rank[(by_maker & to_taker) | (by_taker & to_maker)] = _BETWEEN
    rank[moved.standard == 20] = _NONE
    hashes = [logs[i].transaction_hash for i in matches.log]
    rank[_passed_on(moved, hashes, (rank == _SENT) | (rank == _RECEIVED))] = _NONE
    best = np.full(len(matches.log), _NONE, np.int64)
    np.minimum.at(best, moved.match, rank)
    malformed += refused(matches.log, best < _NONE, f"{_NAME}: no token moved before the match")
    row = np.flatnonzero((rank < _NONE) & (rank == best[moved.match]))
    is_seller = np.select(
        [rank == _BETWEEN, rank == _SENT], [by_maker & to_taker, by_maker], to_taker
    )[row]
    match = moved.match[row]
    ways = np.zeros((len(matches.log), 2), np.bool_)
    ways[match, is_seller.astype(np.int64)] = True
    one_way: Flags = ~(ways[:, 0] & ways[:, 1])
    malformed += refused(matches.log, one_way, f"{_NAME}: tokens moved both ways")
    keep = one_way[match]
    return _Sold(row[keep], match[keep], is_seller[keep])


def _same(a: Bytes2D, b: Bytes2D) -> Flags:
    same: Flags = (a == b).all(axis=1)
    return same


def _passed_on(moved: _Moved, hashes: Sequence[str], asked: Flags) -> Int64s:
    """Return which of the *asked* rows send what the sender got before an earlier match."""
    if not asked.any():
        return np.zeros(0, np.int64)
    asked_of = {hashes[k] for k in np.unique(moved.match[asked])}
    rows, found = moved.rows, []
    received: dict[tuple[str, bytes, bytes], int] = {}  # the first match that it was before
    for k in np.flatnonzero(moved.standard != 20):
        match = int(moved.match[k])
        transaction = hashes[match]
        if transaction not in asked_of:
            continue
        token = moved.contract[k].tobytes() + rows.token_id[k].tobytes()
        if asked[k] and received.get((transaction, token, rows.sender[k].tobytes()), match) < match:
            found.append(int(k))
        received.setdefault((transaction, token, rows.recipient[k].tobytes()), match)
    return np.array(found, np.int64)


def _trades(matches: _Matches, moved: _Moved, sold: _Sold) -> Trades:
    """Return a row for every token sold."""
    match, starts, counts = np.unique(sold.match, return_index=True, return_counts=True)
    count = np.repeat(counts, counts)
    price, item = shares(matches.price[match], counts)
    by_maker = sold.by_maker[:, None]
    maker, taker = matches.maker[sold.match], matches.taker[sold.match]
    maker_sells = np.zeros(len(matches.log), np.bool_)
    maker_sells[match] = sold.by_maker[starts]
    standard = moved.standard[sold.row]
    sides: list[Side] = ["listing" if listing else "offer" for listing in sold.by_maker]
    nothing, everywhere = np.zeros_like(price), np.ones(len(price), np.bool_)
    return Trades(
        log=matches.log[sold.match],
        item=item,
        bundle_size=count,
        side=sides,
        standard=standard,
        collection=moved.contract[sold.row],
        token_id=moved.rows.token_id[sold.row],
        quantity=moved.rows.amount[sold.row],
        seller=np.where(by_maker, maker, taker),
        buyer=np.where(by_maker, taker, maker),
        currency=_currencies(matches, moved, maker_sells)[sold.match],
        price=price,
        platform_fee=nothing,
        royalty=nothing,
        unpriced=[None] * len(price),
        knows_currency=everywhere,
        knows_fee=~everywhere,
        knows_royalty=~everywhere,
    )


def _currencies(matches: _Matches, moved: _Moved, maker_sells: Flags) -> Bytes2D:
    """Return the token that each match was paid in, zero for the native coin."""
    maker, taker = matches.maker[moved.match], matches.taker[moved.match]
    sells = maker_sells[moved.match][:, None]
    price = matches.price[moved.match]
    paid = (moved.standard == 20) & _same(moved.rows.amount, price) & price.any(axis=1)
    paid &= _same(moved.rows.sender, np.where(sells, taker, maker))
    paid &= _same(moved.rows.recipient, np.where(sells, maker, taker))
    currency = np.zeros((len(matches.log), 20), np.uint8)
    currency[moved.match[paid]] = moved.contract[paid]
    return currency


MARKET = NftMarket(
    name=_NAME,
    contracts={
        "0x7be8076f4ea4a4ad08075c2508e481d6c946d12b": "1",
        "0x7f268357a8c2552623316e2562d90e642bb538e5": "2",
    },
    topics=(MATCHED,),
    context=TRANSFER_TOPICS,
    decode=decode,
)
