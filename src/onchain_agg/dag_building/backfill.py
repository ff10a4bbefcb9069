"""The DAG that computes a range of days again. Airflow's own backfill refuses woken DAGs."""

from airflow.sdk import DAG, Param

from onchain_agg.chains import all_chains
from onchain_agg.dag_building.defaults import defaults
from onchain_agg.dag_building.sweep import waking_tasks
from onchain_agg.metrics.registry import all_datasets
from onchain_agg.operators.publish import mark_dirty


def backfill_dags() -> dict[str, DAG]:
    """Return the backfill DAG, by id."""
    with DAG(
        dag_id="backfill",
        schedule=None,
        max_active_runs=1,
        is_paused_upon_creation=False,
        default_args=defaults(),
        tags=["upkeep"],
        params={
            "dataset": Param(type="string", enum=sorted(all_datasets()), title="Data set"),
            "chain": Param(type="string", enum=sorted(all_chains()), title="Chain"),
            "from": Param(type="string", format="date", title="First day (UTC)"),
            "to": Param(type="string", format="date", title="Last day (UTC), included"),
        },
        doc_md=_PAGE,
    ) as dag:
        mark_dirty() >> waking_tasks()
    return {dag.dag_id: dag}


_PAGE = """\
Marks the days of one data set and chain as dirty and wakes it. What is published is compared with
what was there: only rows that differ are written, and the old ones move to the history.
"""
