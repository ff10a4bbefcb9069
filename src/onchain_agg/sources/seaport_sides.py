"""Which order tells an NFT's sale, and who is on the other side of it.

An order that somebody fulfils tells its own trade. Of matched orders each tells a half: a seller's
order gives the NFT and a buyer's asks for it. Only one of the two is read, as if the other's owner
had fulfilled it, so that no sale counts twice.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from onchain_agg.sources.event_words import Flags, same_bytes
from onchain_agg.sources.evm_columns import Int64s
from onchain_agg.sources.evm_json import Log
from onchain_agg.sources.seaport_orders import Items, Orders


@dataclass(frozen=True)
class Sides:
    """What is read of orders of one layout; one row an order, one entry an item.

    Attributes:
        gives: Offered NFTs that the order is read for; *buyer* has 20 bytes for each.
        takes: NFTs asked for that the order is read for; *seller* has 20 bytes for each.
        swaps: One entry an order: NFTs went both ways.
        partly: One entry an order: another order is read for some of what it offered.
    """

    gives: Flags
    buyer: npt.NDArray[np.uint8]
    takes: Flags
    seller: npt.NDArray[np.uint8]
    swaps: Flags
    partly: Flags


@dataclass(frozen=True)
class _Order:
    """One matched order: where it stands, and its NFTs by position, as (token, id).

    Attributes:
        pays: It asks for coins, for whomever.
        keeps: What nobody asks for stays with its owner, as in version 1.1; later ones give it to
            the event's recipient.
    """

    orders: Orders
    sides: Sides
    row: int
    given: Mapping[int, bytes]
    asked: Mapping[int, bytes]
    pays: bool
    keeps: bool


def fulfilled(orders: Orders) -> Sides:
    """Return the sides of orders that somebody fulfilled, each for itself.

    What was offered went to the event's recipient, who gave what was asked for. An NFT that is
    offered and asked for goes on to whom it was asked for: a sale to a named buyer.
    """
    offer, asked = orders.offer, orders.asked
    same = _same_token(orders)
    shape = offer.kind.shape
    buyer = np.broadcast_to(orders.recipient[:, None], (*shape, 20)).copy()
    row, item, place = np.nonzero(same)
    # From the last to the first, so that of several the first one stays.
    buyer[row[::-1], item[::-1]] = asked.recipient[row[::-1], place[::-1]]
    takes = asked.nft & ~same.any(axis=1)
    seller = np.broadcast_to(orders.recipient[:, None], (*asked.kind.shape, 20)).copy()
    swaps: Flags = np.any(offer.nft, axis=1) & np.any(takes, axis=1)
    return Sides(offer.nft.copy(), buyer, takes, seller, swaps, np.zeros(shape[0], np.bool_))


def _same_token(orders: Orders) -> npt.NDArray[np.bool_]:
    """Return, for each order, which offered NFT is which of those asked for."""
    offer, asked = orders.offer, orders.asked
    if not (offer.nft.any() and asked.nft.any()):
        return np.zeros((*offer.kind.shape, asked.kind.shape[1]), np.bool_)
    same = offer.nft[:, :, None] & asked.nft[:, None, :]
    same &= same_bytes(offer.token[:, :, None], asked.token[:, None, :])
    same &= same_bytes(offer.token_id[:, :, None], asked.token_id[:, None, :])
    return same


def match_sides(layouts: Sequence[tuple[Orders, Sides]], groups: Sequence[Sequence[int]]) -> None:
    """Set the sides of matched orders; each of *groups* has the positions of one match's logs.

    An NFT's sale is read from the buyer's order if that order also asks for coins, which are its
    fees, or if the seller's asks for none, or sells to several orders; else from the seller's.
    """
    wanted = np.array([log for group in groups for log in group], np.int64)
    found: dict[int, _Order] = {}
    for orders, sides in layouts:
        for order in _chosen(orders, sides, np.flatnonzero(np.isin(orders.log, wanted))):
            found[int(orders.log[order.row])] = order
    for group in groups:
        orders_of = [found[log] for log in group if log in found]
        if (pair := _pair(orders_of)) is None:
            _match(orders_of)
        else:
            _match_pair(*pair)


def _chosen(orders: Orders, sides: Sides, rows: Int64s) -> Iterator[_Order]:
    """Yield the orders of *rows*."""
    pays = np.any(~orders.asked.nft, axis=1)
    keeps = ~np.any(orders.recipient, axis=1)
    given, asked = _tokens(orders.offer, rows), _tokens(orders.asked, rows)
    for n, row in enumerate(rows.tolist()):
        yield _Order(orders, sides, row, given[n], asked[n], bool(pays[row]), bool(keeps[row]))


def _tokens(items: Items, rows: Int64s) -> list[dict[int, bytes]]:
    """Return the NFTs of each of *rows* by position."""
    found: list[dict[int, bytes]] = [{} for _ in rows]
    at, place = np.nonzero(items.nft[rows])
    of_row = rows[at]
    both = np.concatenate([items.token[of_row, place], items.token_id[of_row, place]], axis=1)
    text, width = both.tobytes(), both.shape[1]
    for n, (row, k) in enumerate(zip(at.tolist(), place.tolist(), strict=True)):
        found[row][k] = text[n * width : (n + 1) * width]
    return found


def _pair(group: Sequence[_Order]) -> tuple[_Order, _Order] | None:
    """Return seller's and buyer's order of a match that sells one NFT, which most matches do."""
    if len(group) != 2:
        return None
    seller, buyer = group if group[0].given else (group[1], group[0])
    is_pair = (
        len(seller.given) == len(buyer.asked) == 1
        and not (seller.asked or buyer.given)
        and [*seller.given.values()] == [*buyer.asked.values()]
    )
    return (seller, buyer) if is_pair else None


def _match_pair(seller: _Order, buyer: _Order) -> None:
    """Do what `_match` does, for a pair: such matches are too many for the long way."""
    (given,), (asked,) = seller.given, buyer.asked
    is_offer = buyer.pays or not seller.pays
    seller.sides.gives[seller.row, given] = not is_offer
    buyer.sides.takes[buyer.row, asked] = is_offer
    seller.sides.buyer[seller.row, given] = buyer.orders.asked.recipient[buyer.row, asked]
    buyer.sides.seller[buyer.row, asked] = seller.orders.offerer[seller.row]


def _match(group: Sequence[_Order]) -> None:
    takers = _by_token(group, offered=False)
    givers = _by_token(group, offered=True)
    buyers_of = [_others(n, order.given.values(), takers) for n, order in enumerate(group)]
    sellers_of = [_others(n, order.asked.values(), givers) for n, order in enumerate(group)]
    swapping = {n for n in range(len(group)) if buyers_of[n] and sellers_of[n]}
    read_as_offer = {
        n
        for n, order in enumerate(group)
        if sellers_of[n]
        and n not in swapping
        and (order.pays or any(not group[s].pays or len(buyers_of[s]) > 1 for s in sellers_of[n]))
    }
    for n, order in enumerate(group):
        order.sides.swaps[order.row] = n in swapping or bool(buyers_of[n] & swapping)
        _set_gives(n, group, takers, read_as_offer)
        for k, token in order.asked.items():
            # Where nobody gives it, its order could not be read: then nothing is known of it.
            sellers = [s for s, _ in givers.get(token, ()) if s != n and n in read_as_offer]
            order.sides.takes[order.row, k] = bool(sellers)
            for s in sellers[:1]:
                order.sides.seller[order.row, k] = group[s].orders.offerer[group[s].row]


def _by_token(group: Sequence[_Order], *, offered: bool) -> dict[bytes, list[tuple[int, int]]]:
    """Return who has each token on that side, as (order, item)."""
    found: dict[bytes, list[tuple[int, int]]] = {}
    for n, order in enumerate(group):
        for k, token in (order.given if offered else order.asked).items():
            found.setdefault(token, []).append((n, k))
    return found


def _others(
    n: int, tokens: Iterable[bytes], by_token: Mapping[bytes, list[tuple[int, int]]]
) -> set[int]:
    return {other for token in tokens for other, _ in by_token.get(token, ()) if other != n}


def _set_gives(
    n: int,
    group: Sequence[_Order],
    takers: Mapping[bytes, list[tuple[int, int]]],
    read_as_offer: set[int],
) -> None:
    order = group[n]
    sides, row = order.sides, order.row
    for k, token in order.given.items():
        there = takers.get(token, [])
        if there:
            taker, item = there[0]
            sides.gives[row, k] = taker == n or taker not in read_as_offer
            sides.buyer[row, k] = group[taker].orders.asked.recipient[group[taker].row, item]
        else:
            sides.gives[row, k] = not order.keeps
    elsewhere = [
        k for k, token in order.given.items() if _is_read(takers.get(token), read_as_offer)
    ]
    sides.partly[row] = bool(elsewhere) and bool(sides.gives[row].any())


def _is_read(there: list[tuple[int, int]] | None, read_as_offer: set[int]) -> bool:
    return there is not None and there[0][0] in read_as_offer


def matches(
    logs: Sequence[Log], own: Sequence[int], topic: str, unaddressed: Sequence[int]
) -> list[list[int]]:
    """Return the positions of the logs of each match's orders.

    Args:
        logs: The logs of a range.
        own: Positions of the market's logs, in order.
        topic: That of ``OrdersMatched``, which follows the orders whose hashes it lists.
        unaddressed: Positions of orders whose recipient is zero: version 1.1, which has no such
            event, matched them. It logs a match's orders one directly after the other.
    """
    groups = [
        members
        for at, position in enumerate(own)
        if logs[position].topics[0] == topic and (members := _listed(logs, own, at, topic))
    ]
    told = {member for group in groups for member in group}
    run: list[int] = []
    for position in unaddressed:
        if position in told:
            continue
        if run and not _follows(logs[run[-1]], logs[position]):
            groups.append(run)
            run = []
        run.append(position)
    return [*groups, run] if run else groups


def _listed(logs: Sequence[Log], own: Sequence[int], at: int, topic: str) -> list[int]:
    """Return the orders before the OrdersMatched at *own*[*at*] that it lists."""
    matched = logs[own[at]]
    words = [matched.data[k : k + 64].lower() for k in range(2, len(matched.data), 64)][2:]
    found: list[int] = []
    for position in reversed(own[max(0, at - len(words)) : at]):
        log = logs[position]
        if log.topics[0] == topic or not _is_beside(matched, log):
            break
        if log.data[2:66].lower() in words:
            found.append(position)
    return found[::-1]


def _is_beside(one: Log, other: Log) -> bool:
    return (
        one.transaction_hash == other.transaction_hash
        and one.address.lower() == other.address.lower()
    )


def _follows(before: Log, after: Log) -> bool:
    return _is_beside(before, after) and int(after.log_index, 16) == int(before.log_index, 16) + 1
