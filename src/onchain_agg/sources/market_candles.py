"""The candles of a market that are over, page by page, oldest first.

The open candle is left out: its values change with every trade, and each would be a correction.
"""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any, NamedTuple

from onchain_agg.errors import SourceError
from onchain_agg.markets.definition import Span, Venue
from onchain_agg.sources.market import ask, use_market
from onchain_agg.sources.market_answers import Asked, moment_of, number_of, rows_of, shown

SPAN_MS: dict[Span, int] = {"1m": 60_000, "1h": 3_600_000, "1d": 86_400_000}

_PRICES = ("open", "high", "low", "close")


class Candle(NamedTuple):
    """One candle; its numbers are exact texts, the volume is in base units."""

    open_ms: int
    open: str
    high: str
    low: str
    close: str
    volume: str


def candle_pages(
    client: Any, venue: Venue, market: str, span: Span, since_ms: int, *, most_pages: int
) -> Iterator[list[Candle]]:
    """Yield the closed candles of *market* that open at *since_ms* or later; no page is empty.

    A span without a trade has a candle on some exchanges and none on others. Exchanges may hand
    out only their newest candles, so the first one may open later than *since_ms*.

    Args:
        client: ccxt's client of the exchange; raises ccxt's errors.
        venue: Tells how many candles an answer holds.
        market: As ccxt writes it.
        span: Length of a candle.
        since_ms: Milliseconds since 1970; rounded down to where a candle opens.
        most_pages: Most answers to ask for; the next read goes on from there.

    Raises:
        ConfigError: The exchange lists no such market.
        SourceError: An answer cannot be.
    """
    use_market(client, market)
    asked = Asked(venue.name, market, client.milliseconds())
    length = SPAN_MS[span]
    since = since_ms // length * length
    limit = venue.candle_page
    for _ in range(most_pages):
        if since + length > asked.now_ms:
            return
        page = _page(client, asked, span, since, limit)
        if page:
            yield page
            since = page[-1].open_ms + length
        else:
            since += limit * length


def require_candle(venue: Venue, market: str, known_ms: int, page: list[Candle]) -> None:
    """Check that *page* holds the last candle known, which opened at *known_ms*.

    Raises:
        SourceError: It does not, so there may be a gap after it.
    """
    if any(candle.open_ms == known_ms for candle in page):
        return
    raise SourceError(
        f"{venue.name} {market}: the candle of {shown(known_ms)}, the last one known, is not in "
        "the answer: what followed it is not handed out any more. Import the missing candles from "
        "a file, and begin anew after them with `onchain-agg market pull --since`."
    )


def _page(client: Any, asked: Asked, span: Span, since: int, limit: int) -> list[Candle]:
    answer = ask(client, lambda: client.fetch_ohlcv(asked.market, span, since, limit))
    candles = sorted(_candle(asked, span, row) for row in rows_of(asked, answer))
    over = asked.now_ms - SPAN_MS[span]
    return [candle for candle in candles if since <= candle.open_ms <= over]


def _candle(asked: Asked, span: Span, row: object) -> Candle:
    if not isinstance(row, list) or len(row) < 6:
        raise asked.wrong(f"a candle is {row!r:.60}")
    opens = moment_of(asked, "a candle", row[0])
    named = f"the {span} candle of {shown(opens)}"
    if opens % SPAN_MS[span]:
        raise asked.wrong(f"{named} does not open on a whole {span} in UTC")
    opened, high, low, close = (
        number_of(asked, named, name, value) for name, value in zip(_PRICES, row[1:5], strict=True)
    )
    volume = number_of(asked, named, "volume", row[5], "0 or more")
    candle = Candle(opens, opened, high, low, close, volume)
    if problem := inconsistency(candle):
        raise asked.wrong(f"{named} has {problem}")
    return candle


def inconsistency(candle: Candle) -> str | None:
    """Return how the candle's prices contradict each other, or None."""
    low, high = Decimal(candle.low), Decimal(candle.high)
    for name, text in (("open", candle.open), ("close", candle.close)):
        if not low <= Decimal(text) <= high:
            return f"the {name} {text}, outside of low {candle.low} to high {candle.high}"
    return None
