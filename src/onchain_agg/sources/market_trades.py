"""The trades of a market, page by page, oldest first, without a gap between two pages.

Exchanges hand out old trades in four ways; `Venue.trade_paging` names each one's. Whatever the
way, a page begins with trades that are known already, so that a trade of the same millisecond is
not lost, and one that lacks the last known trade tells of a gap instead of hiding it.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NamedTuple

from onchain_agg.errors import SourceError
from onchain_agg.markets.definition import TradePaging, Venue
from onchain_agg.sources.market import ask, use_market
from onchain_agg.sources.market_answers import (
    SKEW_MS,
    Asked,
    at,
    field_of,
    moment_of,
    number_of,
    rows_of,
    shown,
)

_SECOND_MS = 1_000
_HOUR_MS = 3_600 * _SECOND_MS
_DAY_MS = 24 * _HOUR_MS
# What Upbit and Bithumb keep, in days before today.
_OLDEST_DAY = 7


class Trade(NamedTuple):
    """One trade; price and amount are exact texts, the side is the taker's."""

    at_ms: int
    trade_id: str
    price: str
    amount: str
    side: str | None


@dataclass(frozen=True)
class Position:
    """Where a read begins: at the last known trade, or at a time where *trade_id* is None."""

    at_ms: int
    trade_id: str | None = None


@dataclass(frozen=True)
class _Read:
    """One read of a market's trades: of whom, from where, and how many answers at most."""

    client: Any
    venue: Venue
    asked: Asked
    start: Position
    most_pages: int

    def page(self, since_ms: int | None, **params: object) -> list[Trade]:
        """Return the checked trades of one answer, in order."""
        call = self.client.fetch_trades
        answer = ask(
            self.client,
            lambda: call(self.asked.market, since_ms, self.venue.trade_page, params),
        )
        rows = rows_of(self.asked, answer)
        return sorted((self._trade(row, since_ms) for row in rows), key=place_of)

    def is_full(self, page: Sequence[Trade]) -> bool:
        """Return whether more may follow what the answer holds."""
        return len(page) >= self.venue.trade_page

    def require(self, known: Position, page: Iterable[Trade]) -> None:
        """Raise SourceError unless *page* holds the *known* trade, if one is known."""
        if known.trade_id is None or any(t.trade_id == known.trade_id for t in page):
            return
        raise SourceError(
            f"{self.venue.name} {self.asked.market}: trade {known.trade_id} of "
            f"{shown(known.at_ms)}, the last one known, is not in the answer: what followed it is "
            "not handed out any more. Import the missing trades from a file, and begin anew after "
            "them with `onchain-agg market pull --since`."
        )

    def _trade(self, row: object, since_ms: int | None) -> Trade:
        number = field_of(self.asked, row, "id")
        if number in (None, ""):
            raise self.asked.wrong("a trade has no number")
        named = f"trade {number}"
        time = field_of(self.asked, row, "timestamp")
        side = field_of(self.asked, row, "side")
        if side not in ("buy", "sell", None):
            raise self.asked.wrong(f"{named} has the side {side!r}, which is neither buy nor sell")
        return Trade(
            moment_of(self.asked, named, time, since_ms),
            str(number),
            number_of(self.asked, named, "price", field_of(self.asked, row, "price")),
            number_of(
                self.asked, named, "amount", field_of(self.asked, row, "amount"), "0 or more"
            ),
            side,
        )


def trade_pages(
    client: Any, venue: Venue, market: str, start: Position, *, most_pages: int
) -> Iterator[list[Trade]]:
    """Yield the trades of *market* from *start* on in pages, oldest first; none is empty.

    A page may begin with trades of the page before. Pages come until the exchange has no more or
    *most_pages* were asked for; the next read goes on from there.

    Args:
        client: ccxt's client of the exchange; raises ccxt's errors.
        venue: Tells how the exchange pages.
        market: As ccxt writes it.
        start: The last known trade, or a time.
        most_pages: Most answers to ask for.

    Raises:
        ConfigError: The exchange lists no such market.
        SourceError: An answer cannot be, or there is a gap that the exchange does not fill.
    """
    use_market(client, market)
    asked = Asked(venue.name, market, client.milliseconds())
    read = _Read(client, venue, asked, start, most_pages)
    return _WAYS[venue.trade_paging](read)


def place_of(trade: Trade) -> tuple[int, int, str]:
    """Return what trades are ordered by: their time, then their number."""
    number = int(trade.trade_id) if trade.trade_id.isdecimal() else 0
    return trade.at_ms, number, trade.trade_id


def _by_id(read: _Read) -> Iterator[list[Trade]]:
    """Ask from a trade's number on, that trade included."""
    known, pages = read.start, read.most_pages
    if known.trade_id is None:
        first, pages = _first_since(read)
        if first is None:
            return
        known = Position(first.at_ms, first.trade_id)
    for _ in range(pages):
        page = read.page(None, fromId=known.trade_id)
        read.require(known, page)
        if any(trade.at_ms < known.at_ms - SKEW_MS for trade in page):
            raise read.asked.wrong(f"a trade after {known.trade_id} is older than it")
        yield page
        last = max(page, key=lambda trade: int(trade.trade_id))
        if not read.is_full(page) or last.trade_id == known.trade_id:
            return
        known = Position(last.at_ms, last.trade_id)


def _first_since(read: _Read) -> tuple[Trade | None, int]:
    """Return the first trade at or after the start, and how many answers are left to ask for."""
    since, width, left = read.start.at_ms, _HOUR_MS, read.most_pages
    while since <= read.asked.now_ms and left > 0:
        page, left = read.page(since, until=since + width - 1), left - 1
        if read.is_full(page) and width > 1:
            # Which part of a span an exchange cuts off is not told, so all of it has to fit.
            width = max(width // 2, 1)
        elif page:
            return min(page, key=lambda trade: int(trade.trade_id)), left
        else:
            since += width
    return None, left


def _by_time(read: _Read) -> Iterator[list[Trade]]:
    """Ask from a time on, that of the last known trade included."""
    known = read.start
    for _ in range(read.most_pages):
        # ccxt knows seconds, and Kraken nanoseconds: from the last one before this millisecond.
        page = read.page(known.at_ms, since=str(known.at_ms * 1_000_000 - 1))
        read.require(known, page)
        if page:
            yield page
        if not read.is_full(page):
            return
        last = page[-1]
        if last.at_ms == known.at_ms:
            raise SourceError(
                f"{read.venue.name} {read.asked.market}: all {len(page)} trades of an answer are "
                f"of {shown(last.at_ms)}, and the exchange cannot be asked for the rest of that "
                "millisecond. Import that day's trades from a file, and begin anew after them "
                "with `onchain-agg market pull --since`."
            )
        known = Position(last.at_ms, last.trade_id)


def _by_window(read: _Read) -> Iterator[list[Trade]]:
    """Ask for spans of whole seconds that are small enough for all of their trades to fit."""
    since, width = read.start.at_ms // _SECOND_MS * _SECOND_MS, _HOUR_MS
    known: Position | None = read.start
    for _ in range(read.most_pages):
        page = read.page(since, until=since + width)
        if read.is_full(page) and width > _SECOND_MS:
            width = max(width // 2 // _SECOND_MS, 1) * _SECOND_MS
            continue
        if read.is_full(page):
            raise SourceError(
                f"{read.venue.name} {read.asked.market}: {len(page)} trades or more are of the "
                f"second from {shown(since)}, and the exchange hands out no more at once. Import "
                "that day's trades from a file, and begin anew after them with "
                "`onchain-agg market pull --since`."
            )
        if known is not None:
            read.require(known, page)
            known = None
        if page:
            yield page
        since += width
        if since > read.asked.now_ms:
            return
        if len(page) < read.venue.trade_page // 2:
            width = min(2 * width, _DAY_MS)


def _backward(read: _Read) -> Iterator[list[Trade]]:
    """Ask from the newest trade back to the start; hold them all, for the oldest comes first."""
    found: dict[str, Trade] = {}
    left = read.most_pages
    for day in _days_back(read):
        cursor: str | None = None
        while True:
            if left == 0:
                raise _too_far(read, found.values())
            left -= 1
            params: dict[str, object] = {"daysAgo": day} if day else {}
            page = read.page(None, **params, **({"cursor": cursor} if cursor else {}))
            new = [trade for trade in page if trade.trade_id not in found]
            found.update((trade.trade_id, trade) for trade in new)
            if not new or new[0].at_ms < read.start.at_ms:
                break
            cursor = new[0].trade_id
    read.require(read.start, found.values())
    trades = sorted((t for t in found.values() if t.at_ms >= read.start.at_ms), key=place_of)
    for first in range(0, len(trades), read.venue.trade_page):
        yield trades[first : first + read.venue.trade_page]


def _days_back(read: _Read) -> range:
    """Return the days to ask for, counted back from today: an answer is of one day alone."""
    back = at(read.asked.now_ms).date() - at(read.start.at_ms).date()
    return range(min(back // timedelta(days=1), _OLDEST_DAY) + 1)


def _too_far(read: _Read, found: Iterable[Trade]) -> SourceError:
    reached = min((trade.at_ms for trade in found), default=read.asked.now_ms)
    return SourceError(
        f"{read.venue.name} {read.asked.market}: {read.most_pages} answers reach back to "
        f"{shown(reached)}, not to {shown(read.start.at_ms)}. Pull more often, or once with "
        "`onchain-agg market pull --pages` of more."
    )


_WAYS: dict[TradePaging, Callable[[_Read], Iterator[list[Trade]]]] = {
    "id": _by_id,
    "time": _by_time,
    "window": _by_window,
    "backward": _backward,
}
