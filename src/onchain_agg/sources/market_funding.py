"""The funding rates of a perpetual, page by page, oldest first, with the open interest if told."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from onchain_agg.errors import SourceError
from onchain_agg.markets.definition import Venue
from onchain_agg.sources.market import ask, use_market
from onchain_agg.sources.market_answers import (
    Asked,
    field_of,
    moment_of,
    number_of,
    rows_of,
    shown,
)

_HOUR_MS = 3_600_000
_PAGE = 500
# Exchanges keep the history of the open interest for a month.
_INTEREST_MS = 29 * 24 * _HOUR_MS


class Funding(NamedTuple):
    """One funding rate: a fraction, for the hours before it; the interest is in US dollar."""

    at_ms: int
    rate: str
    interval_hours: int
    open_interest_usd: str | None


class Known(NamedTuple):
    """The last known rate: its time, and its hours (None for a first read, which has no rate)."""

    at_ms: int
    interval_hours: int | None = None


def funding_pages(
    client: Any, venue: Venue, market: str, start: Known, *, most_pages: int
) -> Iterator[list[Funding]]:
    """Yield the rates of *market* after *start* in pages; none is empty.

    A rate holds for the time since the rate before it, so the first one that an exchange ever
    tells here is only where the next one's time begins. Where a rate is missing in between, the
    rate after it keeps the length that was usual before.

    Args:
        client: ccxt's client of the exchange; raises ccxt's errors.
        venue: The venue, for messages.
        market: The perpetual, as ccxt writes it.
        start: The last known rate, or a time.
        most_pages: Most answers to ask for; the next read goes on from there.

    Raises:
        ConfigError: The exchange lists no such market.
        SourceError: An answer cannot be, or no longer holds the last known rate.
    """
    use_market(client, market)
    asked = Asked(venue.name, market, client.milliseconds())
    before = start if start.interval_hours is not None else None
    since = start.at_ms
    for _ in range(most_pages):
        rates = _rates(client, asked, since)
        if before is not None:
            _require(asked, before, rates)
        page, before = _after(before, rates, _interest(client, asked, rates))
        if page:
            yield page
        if before is None or len(rates) < _PAGE:
            return
        since = before.at_ms


def _after(
    before: Known | None, rates: list[tuple[int, str]], interest: dict[int, str]
) -> tuple[list[Funding], Known | None]:
    """Return the rates after *before*, and the last of them."""
    page: list[Funding] = []
    for moment, rate in rates:
        if before is not None and moment <= before.at_ms:
            continue
        hours = _hours(before, moment) if before is not None else None
        if hours is not None:
            page.append(Funding(moment, rate, hours, interest.get(_hour(moment))))
        before = Known(moment, hours)
    return page, before


def _rates(client: Any, asked: Asked, since: int) -> list[tuple[int, str]]:
    call = client.fetch_funding_rate_history
    rows = rows_of(asked, ask(client, lambda: call(asked.market, since, _PAGE)))
    found = []
    for row in rows:
        moment = moment_of(asked, "a funding rate", field_of(asked, row, "timestamp"), since)
        named = f"the funding of {shown(moment)}"
        value = field_of(asked, row, "fundingRate")
        found.append((moment, number_of(asked, named, "rate", value, "any")))
    return sorted(found)


def _require(asked: Asked, known: Known, rates: list[tuple[int, str]]) -> None:
    if any(moment == known.at_ms for moment, _ in rates):
        return
    raise SourceError(
        f"{asked.venue} {asked.market}: the funding of {shown(known.at_ms)}, the last one known, "
        "is not in the answer: what followed it is not handed out any more. Import the missing "
        "rates from a file, and begin anew after them with `onchain-agg market pull --since`."
    )


def _hour(ms: int) -> int:
    """Return the full hour nearest to *ms*: exchanges fund some milliseconds after it."""
    return round(ms / _HOUR_MS)


def _interest(client: Any, asked: Asked, rates: list[tuple[int, str]]) -> dict[int, str]:
    """Return the value of the open interest by hour, for the rates for which it is still kept."""
    recent = [moment for moment, _ in rates if moment >= asked.now_ms - _INTEREST_MS]
    if not recent or client.has.get("fetchOpenInterestHistory") is not True:
        return {}
    first = _hour(recent[0])
    found: dict[int, str] = {}
    for hour in range(first, _hour(recent[-1]) + 1, _PAGE):
        since = hour * _HOUR_MS
        answer = _interest_page(client, asked, since)
        for row in rows_of(asked, answer):
            moment = moment_of(asked, "an open interest", field_of(asked, row, "timestamp"))
            value = field_of(asked, row, "openInterestValue")
            if value is not None:
                named = f"the open interest of {shown(moment)}"
                found[_hour(moment)] = number_of(asked, named, "value", value, "0 or more")
    return found


def _interest_page(client: Any, asked: Asked, since: int) -> Any:
    call = client.fetch_open_interest_history
    return ask(client, lambda: call(asked.market, "1h", since, _PAGE))


def _hours(before: Known, moment: int) -> int | None:
    """Return the hours that the rate of *moment* holds for, or None where nothing tells them."""
    hours = _hour(moment) - _hour(before.at_ms)
    if 0 < hours <= 24 and 24 % hours == 0:
        return hours
    return before.interval_hours
