"""One DAG a data set: woken by whatever it reads."""

import sys
from functools import reduce
from operator import or_

from airflow.sdk import DAG, Asset, PartitionedAssetTimetable

from onchain_agg.chains import all_chains
from onchain_agg.dag_building.defaults import defaults
from onchain_agg.metrics.dataset import DataSet
from onchain_agg.metrics.registry import all_datasets
from onchain_agg.metrics.wiring import fact_inputs, reads_blocks, upstream_of
from onchain_agg.operators.publish import publish
from onchain_agg.operators.waking import blocks_of, facts_of, rows_of, turn_of


def metric_dags() -> dict[str, DAG]:
    """Return the DAG of every data set, by id."""
    dags = (metric_dag(dataset) for dataset in all_datasets().values())
    return {dag.dag_id: dag for dag in dags}


def metric_dag(dataset: DataSet) -> DAG:
    """Return the DAG that publishes the dirty days of *dataset*."""
    with DAG(
        dag_id=dataset.name,
        schedule=PartitionedAssetTimetable(assets=reduce(or_, _woken_by(dataset))),
        catchup=False,
        max_active_runs=1,
        is_paused_upon_creation=False,
        default_args=defaults(dataset.workload),
        tags=["data set", dataset.family],
        doc_md=sys.modules[dataset.rows.__module__].__doc__,
    ) as dag:
        publish.override(outlets=[rows_of(dataset.name)])(dataset.name)
    return dag


def _woken_by(dataset: DataSet) -> list[Asset]:
    """Return the assets of what *dataset* reads, and that of its turn.

    What reads other data sets alone waits for them: blocks would wake it too early.
    """
    covered = [chain for chain in all_chains().values() if dataset.covers(chain)]
    blocks = [blocks_of(chain) for chain in covered if reads_blocks(dataset)]
    facts = [facts_of(one.name) for one in fact_inputs(dataset)]
    rows = [rows_of(one.name) for one in upstream_of(dataset)]
    return [*blocks, *facts, *rows, turn_of(dataset.name)]
