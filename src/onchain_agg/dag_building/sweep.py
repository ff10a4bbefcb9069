"""The DAGs of upkeep: what no event woke, and interim versions that nobody asks for any more."""

from airflow.sdk import DAG

from onchain_agg.dag_building.defaults import upkeep_dag
from onchain_agg.metrics.registry import all_datasets
from onchain_agg.operators.publish import sweep_dirty, thin_history
from onchain_agg.operators.waking import turn_of


def sweep_dags() -> dict[str, DAG]:
    """Return the DAGs of upkeep, by id."""
    names = list(all_datasets())
    with upkeep_dag("sweep", "*/10 * * * *", _PAGE) as sweeping:
        sweep_dirty.override(outlets=[turn_of(name) for name in names])(names)
    with upkeep_dag("thin_history", "@daily", _THINNING_PAGE) as thinning:
        thin_history()
    return {dag.dag_id: dag for dag in (sweeping, thinning)}


_PAGE = """\
Every 10 minutes, compares the definitions of assets and data sets with those that the warehouse
was computed from, marks what they changed, and wakes every data set that still has dirty days. It
runs whether or not the chains are ingested.
"""

_THINNING_PAGE = """\
An open day is published every few minutes, and each time its former values move to the history. A
week after the day ended, the last of each hour is kept. What was served of closed days stays.
"""
