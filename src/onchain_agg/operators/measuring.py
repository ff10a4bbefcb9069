"""What tasks tell Airflow's metrics of data sets; see `onchain_agg.measures`."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from datetime import time as clock_time
from typing import TYPE_CHECKING

from airflow.sdk.observability.stats import Stats

from onchain_agg.errors import DataSetError, OnchainAggError, SourceError
from onchain_agg.measures import (
    COMPUTED_AT,
    DUE_DAYS,
    NEWEST_DAY,
    PUBLISH_DURATION,
    PUBLISH_FAILURES,
    PUBLISHED_ROWS,
)

if TYPE_CHECKING:
    from sqlalchemy import Engine


@contextmanager
def publishing(dataset: str, scope: str) -> Iterator[None]:
    """Tell how long publishing *scope* took, and whether it failed; errors pass."""
    tags = {"dataset": dataset, "scope": scope}
    start = time.monotonic()
    try:
        yield
    except OnchainAggError as error:
        Stats.incr(PUBLISH_FAILURES.name, tags={**tags, "fault": _fault(error)})
        raise
    finally:
        # In milliseconds, as Airflow's own timers.
        Stats.timing(PUBLISH_DURATION.name, (time.monotonic() - start) * 1000, tags=tags)


def tell_rows(dataset: str, scope: str, rows: int) -> None:
    """Tell that *rows* of *scope* were published."""
    Stats.incr(PUBLISHED_ROWS.name, rows, tags={"dataset": dataset, "scope": scope})


def tell_freshness(engine: "Engine") -> None:
    """Tell how fresh every data set is in every scope."""
    # A DAG file's reader needs no database's driver.
    from onchain_agg.metrics.freshness import freshness  # noqa: PLC0415

    for one in freshness(engine):
        tags = {"dataset": one.dataset, "scope": one.scope}
        start = datetime.combine(one.newest, clock_time(), UTC)
        Stats.gauge(NEWEST_DAY.name, start.timestamp(), tags=tags)
        Stats.gauge(COMPUTED_AT.name, one.computed_at.timestamp(), tags=tags)
        Stats.gauge(DUE_DAYS.name, one.due, tags=tags)


def _fault(error: OnchainAggError) -> str:
    if isinstance(error, DataSetError):
        return "contract"
    return "source" if isinstance(error, SourceError) else "config"
