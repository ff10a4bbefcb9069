"""Two DAGs a venue: every minute its trades, every hour its candles and funding rates."""

from airflow.sdk import DAG

from onchain_agg.dag_building.defaults import ingest_dag
from onchain_agg.markets import Venue, all_venues
from onchain_agg.operators.market import pull_candles, pull_funding, pull_trades
from onchain_agg.operators.waking import facts_of

# An exchange counts the calls of all its readers, and each task counts its own only.
_TASKS_AT_A_TIME = 1


def market_dags() -> dict[str, DAG]:
    """Return the DAGs of every venue that has something to pull, by id."""
    dags = [dag for venue in all_venues().values() for dag in venue_dags(venue)]
    return {dag.dag_id: dag for dag in dags if dag.tasks}


def venue_dags(venue: Venue) -> tuple[DAG, DAG]:
    """Return the DAG of the venue's trades and that of its candles and funding rates."""
    with _dag(venue, "", "* * * * *", _TRADES_PAGE) as trades:
        for market in venue.trades:
            task_id, outlets = _task_id("trades", market), [facts_of("market.trade")]
            pull_trades.override(task_id=task_id, outlets=outlets)(venue.name, market)
    with _dag(venue, "_hourly", "@hourly", _HOURLY_PAGE) as hourly:
        for market, span in venue.candles:
            task_id, outlets = _task_id("candles", market, span), [facts_of("market.candle")]
            pull_candles.override(task_id=task_id, outlets=outlets)(venue.name, market, span)
        for market in venue.funding:
            task_id, outlets = _task_id("funding", market), [facts_of("market.funding_rate")]
            pull_funding.override(task_id=task_id, outlets=outlets)(venue.name, market)
    return trades, hourly


def _dag(venue: Venue, suffix: str, schedule: str, page: str) -> DAG:
    return ingest_dag(
        f"ingest_market_{venue.name}{suffix}",
        schedule,
        page.format(venue=venue.name, connection=venue.conn_id),
        "market_worker",
        max_active_tasks=_TASKS_AT_A_TIME,
        tags=["ingest", "market", venue.name],
    )


def _task_id(*parts: str) -> str:
    return "_".join(parts).lower().replace("/", "_").replace(":", "_")


_TRADES_PAGE = """\
Brings the trades of {venue} into the warehouse, through the connection `{connection}`: each market
from where its last pull ended. What reads them wakes at most every `refresh_minutes`, and at once
where a day that is over changed.
"""

_HOURLY_PAGE = """\
Brings the candles and funding rates of {venue} into the warehouse, through the connection
`{connection}`: each from where its last pull ended. What reads them wakes.
"""
