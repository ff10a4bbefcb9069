"""One DAG a data set: woken by the chains that it covers."""

import sys
from functools import reduce
from operator import or_

from airflow.sdk import DAG, PartitionedAssetTimetable

from onchain_agg.chains import all_chains
from onchain_agg.dag_building.defaults import defaults
from onchain_agg.metrics.dataset import DataSet
from onchain_agg.metrics.registry import all_datasets
from onchain_agg.operators.publish import publish
from onchain_agg.operators.waking import blocks_of


def metric_dags() -> dict[str, DAG]:
    """Return the DAG of every data set, by id."""
    dags = (metric_dag(dataset) for dataset in all_datasets().values())
    return {dag.dag_id: dag for dag in dags}


def metric_dag(dataset: DataSet) -> DAG:
    """Return the DAG that publishes the dirty days of *dataset*."""
    chains = [chain for chain in all_chains().values() if dataset.covers(chain)]
    with DAG(
        dag_id=dataset.name,
        schedule=PartitionedAssetTimetable(assets=reduce(or_, map(blocks_of, chains))),
        catchup=False,
        max_active_runs=1,
        is_paused_upon_creation=False,
        default_args=defaults(dataset.workload),
        tags=["data set", dataset.family],
        doc_md=sys.modules[dataset.rows.__module__].__doc__,
    ) as dag:
        publish(dataset.name)
    return dag
