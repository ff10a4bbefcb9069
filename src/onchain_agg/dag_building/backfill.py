"""The DAG that computes a range of days again. Airflow's own backfill refuses woken DAGs."""

from airflow.sdk import DAG, Param

from onchain_agg.chains import all_chains
from onchain_agg.dag_building.defaults import upkeep_dag
from onchain_agg.markets import all_venues
from onchain_agg.metrics.registry import all_datasets
from onchain_agg.operators.publish import mark_dirty
from onchain_agg.operators.waking import turn_of
from onchain_agg.warehouse.tables.market import GLOBAL


def backfill_dags() -> dict[str, DAG]:
    """Return the backfill DAG, by id."""
    names = list(all_datasets())
    params = {
        "dataset": Param(type="string", enum=sorted(names), title="Data set"),
        "scope": Param(
            type="string",
            # Facts of a venue may come from files or databases too, so others are allowed.
            examples=[*all_chains(), *all_venues(), GLOBAL],
            title="Scope",
            description="A chain, a venue or global, as the data set has it.",
        ),
        "from": Param(type="string", format="date", title="First day (UTC)"),
        "to": Param(type="string", format="date", title="Last day (UTC), included"),
    }
    with upkeep_dag("backfill", None, _PAGE, params=params) as dag:
        mark_dirty.override(outlets=[turn_of(name) for name in names])(names)
    return {dag.dag_id: dag}


_PAGE = """\
Marks the days of one data set and scope as dirty and wakes it. What is published is compared with
what was there: only rows that differ are written, and the old ones move to the history.
"""
