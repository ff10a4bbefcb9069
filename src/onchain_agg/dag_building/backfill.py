"""The DAGs that compute a range of days again. Airflow's own backfill refuses woken DAGs."""

from airflow.sdk import DAG, Param

from onchain_agg.chains import all_chains
from onchain_agg.dag_building.defaults import upkeep_dag
from onchain_agg.markets import GLOBAL, all_venues
from onchain_agg.metrics.registry import all_datasets
from onchain_agg.operators.publish import mark_dirty
from onchain_agg.operators.recompute import publish_in_pod
from onchain_agg.operators.waking import rows_of, turn_of


def backfill_dags() -> dict[str, DAG]:
    """Return the DAGs that compute days again, on the data set's queue or in a pod, by id."""
    names = list(all_datasets())
    params = {
        "dataset": Param(type="string", enum=sorted(names), title="Data set"),
        "scope": Param(
            type="string",
            # Code of one's own may record facts of further venues, so others are allowed.
            examples=[*all_chains(), *all_venues(), GLOBAL],
            title="Scope",
            description="A chain, a venue or global, as the data set has it.",
        ),
        "from": Param(type="string", format="date", title="First day (UTC)"),
        "to": Param(type="string", format="date", title="Last day (UTC), included"),
    }
    with upkeep_dag("backfill", None, _PAGE, params=params) as waking:
        mark_dirty.override(outlets=[turn_of(name) for name in names])(names)
    with upkeep_dag("recompute", None, _RECOMPUTE_PAGE, params=params) as heavy:
        published = publish_in_pod.override(outlets=[rows_of(name) for name in names])
        mark_dirty([]) >> published(names)
    return {dag.dag_id: dag for dag in (waking, heavy)}


_PAGE = """\
Marks the days of one data set and scope as dirty and wakes it. What is published is compared with
what was there: only rows that differ are written, and the old ones move to the history.
"""

_RECOMPUTE_PAGE = """\
Computes the days of one data set and scope again in a pod, for ranges that take longer than a
worker's task may: all flags of `nft_wash_trade`, years of a distribution. Rows that differ are
written, as by `backfill`. Days that are dirty for another reason are published too.
"""
