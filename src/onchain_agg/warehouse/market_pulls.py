"""Pulling a market's trades, candles and funding rates from its exchange into the fact tables.

Each page is recorded with its watermark in one transaction, so a pull that dies goes on where it
was, and one that meets a wrong answer leaves whole pages only.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Literal

import pyarrow as pa
from sqlalchemy import Engine

from onchain_agg.errors import ConfigError
from onchain_agg.markets import Span, Venue
from onchain_agg.sources.market_answers import at, ms_of
from onchain_agg.sources.market_candles import SPAN_MS, Candle, candle_pages, require_candle
from onchain_agg.sources.market_funding import Funding, Known, funding_pages
from onchain_agg.sources.market_trades import Position, Trade, place_of, trade_pages
from onchain_agg.warehouse import facts
from onchain_agg.warehouse.facts import Clock, Pull, Recorded
from onchain_agg.warehouse.tables.market import CANDLE, FUNDING_RATE, TRADE

Kind = Literal["trades", "candles", "funding"]

# How many answers one pull asks for; the next one goes on from there.
MOST_PAGES = 500
# Where a first pull begins: with the UTC day that was so long before now. A market's first day is
# whole then, for the trades of a part of it would stand for all of it. Of trades it is today's:
# Upbit and Bithumb hand them out backward, and all of them have to be asked for in one pull.
_FIRST_TRADES = timedelta(0)
# Kraken keeps 720 candles.
_FIRST_CANDLES = 700
_FIRST_FUNDING = timedelta(days=90)
_TIME = pa.timestamp("us", tz="UTC")


@dataclass(frozen=True)
class Pulled:
    """What a pull did.

    Attributes:
        inserted: New rows.
        corrected: Rows that the exchange tells otherwise than before.
        days: Days that changed, in order.
        first_at: Time of the first row that was read; None where nothing was.
        last_at: Time of the last one.
    """

    inserted: int = 0
    corrected: int = 0
    days: tuple[date, ...] = ()
    first_at: datetime | None = None
    last_at: datetime | None = None

    def then(self, recorded: Recorded, first_ms: int, last_ms: int) -> "Pulled":
        """Return what was done after another page from *first_ms* to *last_ms*."""
        return Pulled(
            self.inserted + recorded.inserted,
            self.corrected + recorded.corrected,
            tuple(sorted({*self.days, *recorded.days})),
            self.first_at or at(first_ms),
            at(last_ms),
        )


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How a pull reads.

    Attributes:
        since: Begin at this time instead of where the last pull ended.
        most_pages: Most answers to ask for.
        clock: Tells since when the rows are believed; by default the database's clock.
    """

    since: datetime | None = None
    most_pages: int = MOST_PAGES
    clock: Clock | None = None

    def __post_init__(self) -> None:
        """Refuse a time without an offset.

        Raises:
            ConfigError: *since* is naive.
        """
        if self.since is not None and self.since.tzinfo is None:
            raise ConfigError(
                f"The time {self.since} has no offset. Write it as 2026-03-01T00:00Z."
            )


def pull_trades(
    engine: Engine, client: Any, venue: Venue, market: str, reading: Reading | None = None
) -> Pulled:
    """Record the trades of *market* since the last pull; return what changed.

    A first pull begins with the first instant of the UTC day.

    Args:
        engine: The warehouse.
        client: ccxt's client of the exchange; its errors pass, see `sources.market`.
        venue: Whose trades they are.
        market: As ccxt writes it.
        reading: How to read, where not by default.

    Raises:
        ConfigError: The exchange lists no such market.
        SourceError: An answer cannot be, or there is a gap that the exchange does not fill.
    """
    reading = reading or Reading()
    name = f"trades.{venue.name}"
    known = _known(engine, name, market, reading)
    if known is not None:
        start = Position(known["at_ms"], known["trade_id"])
    else:
        start = Position(_first_ms(client, reading, _FIRST_TRADES))
    done = Pulled()
    for page in trade_pages(client, venue, market, start, most_pages=reading.most_pages):
        last = max(page, key=place_of)
        pull = Pull(name, market, {"at_ms": last.at_ms, "trade_id": last.trade_id})
        batch = _trades(market, page)
        recorded = facts.record(engine, TRADE, venue.name, batch, pull=pull, clock=reading.clock)
        done = done.then(recorded, page[0].at_ms, last.at_ms)
    return done


def pull_candles(
    engine: Engine,
    client: Any,
    venue: Venue,
    market: str,
    span: Span,
    reading: Reading | None = None,
) -> Pulled:
    """Record the candles of *market* that are over since the last pull; return what changed.

    The last known candle is read again, so a correction of it is seen. A first pull begins with
    the UTC day of 700 candles ago. Arguments and errors are those of `pull_trades`.
    """
    reading = reading or Reading()
    name, scope = f"candles.{venue.name}", f"{market} {span}"
    known = _known(engine, name, scope, reading)
    if known is not None:
        since = known["open_ms"]
    else:
        since = _first_ms(client, reading, timedelta(milliseconds=_FIRST_CANDLES * SPAN_MS[span]))
    done = Pulled()
    for page in candle_pages(client, venue, market, span, since, most_pages=reading.most_pages):
        if known is not None:
            require_candle(venue, market, since, page)
            known = None
        pull = Pull(name, scope, {"open_ms": page[-1].open_ms})
        batch = _candles(market, span, page)
        recorded = facts.record(engine, CANDLE, venue.name, batch, pull=pull, clock=reading.clock)
        done = done.then(recorded, page[0].open_ms, page[-1].open_ms)
    return done


def pull_funding(
    engine: Engine, client: Any, venue: Venue, market: str, reading: Reading | None = None
) -> Pulled:
    """Record the funding rates of the perpetual *market* since the last pull; return what changed.

    A first pull begins with the UTC day of 90 days ago. Arguments and errors are those of
    `pull_trades`.
    """
    reading = reading or Reading()
    name = f"funding.{venue.name}"
    known = _known(engine, name, market, reading)
    if known is not None:
        first = known["at_ms"]
        start = Known(first, known["interval_hours"])
    else:
        first = _first_ms(client, reading, _FIRST_FUNDING)
        # The rate before the first one says since when that one holds.
        start = Known(first - SPAN_MS["1d"])
    done = Pulled()
    for rates in funding_pages(client, venue, market, start, most_pages=reading.most_pages):
        page = [rate for rate in rates if rate.at_ms >= first]
        if not page:
            continue
        last = page[-1]
        mark = {"at_ms": last.at_ms, "interval_hours": last.interval_hours}
        batch = _funding(market, page)
        recorded = facts.record(
            engine,
            FUNDING_RATE,
            venue.name,
            batch,
            pull=Pull(name, market, mark),
            clock=reading.clock,
        )
        done = done.then(recorded, page[0].at_ms, last.at_ms)
    return done


def _known(engine: Engine, name: str, scope: str, reading: Reading) -> dict[str, Any] | None:
    return None if reading.since is not None else facts.watermark(engine, name, scope)


def _first_ms(client: Any, reading: Reading, before: timedelta) -> int:
    if reading.since is not None:
        return ms_of(reading.since)
    now: int = client.milliseconds()
    first = now - before // timedelta(milliseconds=1)
    return first - first % SPAN_MS["1d"]


def _trades(market: str, trades: Sequence[Trade]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict(
        {
            "market": _text([market] * len(trades)),
            "trade_id": _text(t.trade_id for t in trades),
            "traded_at": _times(t.at_ms for t in trades),
            "price": _text(t.price for t in trades),
            "amount": _text(t.amount for t in trades),
            "side": _text(t.side for t in trades),
        }
    )


def _candles(market: str, span: Span, candles: Sequence[Candle]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict(
        {
            "market": _text([market] * len(candles)),
            "span": _text([span] * len(candles)),
            "open_at": _times(c.open_ms for c in candles),
            **{
                name: _text(getattr(c, name) for c in candles)
                for name in ("open", "high", "low", "close", "volume")
            },
        }
    )


def _funding(market: str, rates: Sequence[Funding]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict(
        {
            "market": _text([market] * len(rates)),
            "funded_at": _times(r.at_ms for r in rates),
            "rate": _text(r.rate for r in rates),
            "interval_hours": pa.array([r.interval_hours for r in rates], pa.int16()),
            "open_interest_usd": _text(r.open_interest_usd for r in rates),
        }
    )


def _text(values: Iterable[str | None]) -> pa.Array:
    return pa.array(list(values), pa.string())


def _times(values: Iterable[int]) -> pa.Array:
    return pa.array([ms * 1_000 for ms in values], pa.int64()).cast(_TIME)
