"""The DAG that finds what no event woke: changed definitions, lost events, throttled days."""

from airflow.sdk import DAG, XComArg

from onchain_agg.chains import all_chains
from onchain_agg.dag_building.defaults import DEFAULTS
from onchain_agg.operators.publish import sweep_dirty, waking_task
from onchain_agg.operators.waking import blocks_of, wake_data_sets


def sweep_dags() -> dict[str, DAG]:
    """Return the sweeping DAG, by id."""
    with DAG(
        dag_id="sweep",
        schedule="*/10 * * * *",
        catchup=False,
        max_active_runs=1,
        is_paused_upon_creation=False,
        default_args=DEFAULTS,
        tags=["upkeep"],
        doc_md=_PAGE,
    ) as dag:
        sweep_dirty(list(all_chains())) >> waking_tasks()
    return {dag.dag_id: dag}


def waking_tasks() -> list[XComArg]:
    """Return one task a chain that wakes its data sets, in the DAG that is being built."""
    return [
        wake_data_sets.override(task_id=waking_task(chain.name), outlets=[blocks_of(chain)])(
            chain.name
        )
        for chain in all_chains().values()
    ]


_PAGE = """\
Every 10 minutes, compares the definitions of assets and data sets with those that the warehouse
was computed from, marks what they changed, and wakes the data sets of every chain that still has
dirty days. It runs whether or not the chains are ingested.
"""
