"""The tasks that bring a market's facts into the warehouse, for any DAG."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from airflow.sdk import task
from airflow.sdk.exceptions import AirflowSkipException

from onchain_agg.errors import ConfigError
from onchain_agg.hooks.market import MarketHook
from onchain_agg.markets import Span, Venue, venue_named
from onchain_agg.operators.session import warehouse
from onchain_agg.operators.waking import wake_readers

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from onchain_agg.warehouse.market_pulls import Pulled


@task
def pull_trades(venue: str, market: str) -> list[str]:
    """Record the trades of *market* since the last pull.

    Killed, the next run goes on after the last page that was committed. What reads trades wakes
    where `waking.facts_of` the table is among the task's outlets.

    Args:
        venue: Name of the venue.
        market: As ccxt writes it, such as ``BTC/USD``.

    Returns:
        The days that changed, as ISO texts.

    Raises:
        AirflowSkipException: The venue has no connection, so there is nobody to ask.
        AirflowFailException: A retry cannot help: credentials, an unknown market.
        SourceError: It may: network, rate limit, an answer that cannot be.
    """
    # The libraries of a pull are not needed to read a DAG file.
    from onchain_agg.warehouse import market_pulls  # noqa: PLC0415

    with _session(venue) as (engine, client, definition):
        pulled = market_pulls.pull_trades(engine, client, definition, market)
    return _told("market.trade", venue, pulled)


@task
def pull_candles(venue: str, market: str, span: Span) -> list[str]:
    """Record the candles of *market* that are over since the last pull; as `pull_trades`.

    *span* is the length of a candle: 1m, 1h or 1d.
    """
    from onchain_agg.warehouse import market_pulls  # noqa: PLC0415 - as above

    with _session(venue) as (engine, client, definition):
        pulled = market_pulls.pull_candles(engine, client, definition, market, span)
    return _told("market.candle", venue, pulled)


@task
def pull_funding(venue: str, market: str) -> list[str]:
    """Record the funding rates of the perpetual *market* since the last pull; as `pull_trades`."""
    from onchain_agg.warehouse import market_pulls  # noqa: PLC0415 - as above

    with _session(venue) as (engine, client, definition):
        pulled = market_pulls.pull_funding(engine, client, definition, market)
    return _told("market.funding_rate", venue, pulled)


@contextmanager
def _session(name: str) -> Iterator[tuple["Engine", Any, Venue]]:
    """Yield the warehouse, the exchange's client and the venue for the length of a task."""
    venue = venue_named(name)
    hook = MarketHook(venue.conn_id)
    if not hook.is_configured():
        raise AirflowSkipException(
            f"Connection {venue.conn_id!r} does not exist. Add it to pull from {name}, or pause "
            "this DAG."
        )
    with warehouse() as engine, hook.session() as client:
        if client.id != venue.exchange:
            raise ConfigError(
                f"Connection {venue.conn_id!r} is to {client.id}, but the venue {name} is on "
                f"{venue.exchange}. Correct its host."
            )
        yield engine, client, venue


def _told(table: str, venue: str, done: "Pulled") -> list[str]:
    """Wake what reads *table* and return the days that changed."""
    wake_readers(table, venue, done.days)
    return [day.isoformat() for day in done.days]
