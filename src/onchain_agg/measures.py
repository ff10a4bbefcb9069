"""The metrics that this package adds to those of Airflow: one entry each, with its tags.

Tasks and the DAG processor tell them to Airflow's own ``Stats``, so they go where Airflow's go:
nowhere, unless `[metrics]` says so. ``deploy/monitoring`` reads them under their Prometheus names.
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A metric: its name below Airflow's prefix, its kind, its tags, and what it says."""

    name: str
    kind: Literal["counter", "gauge", "timer"]
    tags: tuple[str, ...]
    says: str


_DATA_SET = ("dataset", "scope")

PUBLISHED_ROWS = Measure(
    name="onchain_agg.publish.rows",
    kind="counter",
    tags=_DATA_SET,
    says="Rows that arrived, changed or vanished.",
)
PUBLISH_DURATION = Measure(
    name="onchain_agg.publish.duration",
    kind="timer",
    tags=_DATA_SET,
    says="Milliseconds for the dirty days of one scope, whether or not they could be published.",
)
# fault: `contract` where rows broke an invariant or their table's form, `source` where the
# warehouse failed and a retry may help, else `config`.
PUBLISH_FAILURES = Measure(
    name="onchain_agg.publish.failures",
    kind="counter",
    tags=(*_DATA_SET, "fault"),
    says="Scopes that were not published, or not on every day.",
)
NEWEST_DAY = Measure(
    name="onchain_agg.dataset.newest_day",
    kind="gauge",
    tags=_DATA_SET,
    says="Start of the newest day that is served, in seconds since 1970.",
)
COMPUTED_AT = Measure(
    name="onchain_agg.dataset.computed_at",
    kind="gauge",
    tags=_DATA_SET,
    says="When a day was computed last, in seconds since 1970.",
)
DUE_DAYS = Measure(
    name="onchain_agg.dataset.due_days",
    kind="gauge",
    tags=_DATA_SET,
    says="Days that could be computed now.",
)
DELIVERED_AT = Measure(
    name="onchain_agg.dags.delivered_at",
    kind="gauge",
    tags=("bundle_name",),
    says="When git-sync delivered the commit that the DAG processor reads, in seconds since 1970.",
)

MEASURES = (
    *(PUBLISHED_ROWS, PUBLISH_DURATION, PUBLISH_FAILURES),
    *(NEWEST_DAY, COMPUTED_AT, DUE_DAYS, DELIVERED_AT),
)
