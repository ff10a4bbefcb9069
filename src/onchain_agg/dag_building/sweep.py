"""The DAGs of upkeep: what no event woke, and interim versions that nobody asks for any more."""

from airflow.sdk import DAG, XComArg

from onchain_agg.chains import all_chains
from onchain_agg.dag_building.defaults import defaults
from onchain_agg.operators.publish import sweep_dirty, thin_history, waking_task
from onchain_agg.operators.waking import blocks_of, wake_data_sets


def sweep_dags() -> dict[str, DAG]:
    """Return the DAGs of upkeep, by id."""
    with DAG(
        dag_id="sweep",
        schedule="*/10 * * * *",
        catchup=False,
        max_active_runs=1,
        is_paused_upon_creation=False,
        default_args=defaults(),
        tags=["upkeep"],
        doc_md=_PAGE,
    ) as dag:
        sweep_dirty(list(all_chains())) >> waking_tasks()
    return {dag.dag_id: dag, "thin_history": _thinning_dag()}


def _thinning_dag() -> DAG:
    with DAG(
        dag_id="thin_history",
        schedule="@daily",
        catchup=False,
        max_active_runs=1,
        is_paused_upon_creation=False,
        default_args=defaults(),
        tags=["upkeep"],
        doc_md=_THINNING_PAGE,
    ) as dag:
        thin_history()
    return dag


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

_THINNING_PAGE = """\
An open day is published every few minutes, and each time its former values move to the history. A
week after the day ended, the last of each hour is kept. What was served of closed days stays.
"""
