"""One DAG a chain: every minute, the blocks that are missing."""

from airflow.sdk import DAG, Param

from onchain_agg.chains import Chain, all_chains
from onchain_agg.dag_building.defaults import ingest_dag
from onchain_agg.operators.ingest import FINAL_HEIGHT, apply_blocks, load_blocks, plan_blocks
from onchain_agg.operators.waking import blocks_of

# Mapped tasks of one chain at a time: a node serves few readers well.
_READERS = 4


def ingest_dags() -> dict[str, DAG]:
    """Return the ingest DAG of every chain, by id."""
    dags = (chain_dag(chain) for chain in all_chains().values())
    return {dag.dag_id: dag for dag in dags}


def chain_dag(chain: Chain) -> DAG:
    """Return the DAG that follows *chain*, or loads the range in its parameters."""
    with ingest_dag(
        f"ingest_{chain.name}",
        "* * * * *",
        _PAGE.format(chain=chain.name, connection=chain.conn_id),
        "ingest_worker",
        tags=["ingest", chain.name],
        params={
            "first": _height("First block to load; empty: from where the warehouse began."),
            "last": _height("Last block to load; empty: the node's newest."),
        },
    ) as dag:
        plan = plan_blocks(chain.name)
        load = load_blocks.override(max_active_tis_per_dag=_READERS).partial(chain=chain.name)
        apply = apply_blocks.override(outlets=[blocks_of(chain)])
        final_height = plan[FINAL_HEIGHT]  # type: ignore[index]  # Airflow hides it from types.
        load.expand(blocks=plan) >> apply(chain.name, final_height)
    return dag


def _height(description: str) -> Param:
    return Param(None, type=["null", "integer"], minimum=0, description=description)


_PAGE = """\
Brings the blocks of {chain} into the warehouse, through the connection `{connection}`.

**plan** drops blocks that a reorganisation orphaned and lists what is missing; **load** reads it,
range by range; **apply** moves the running state forward in height order and wakes the data sets.
Each run takes up to 200 ranges; the next one takes the rest. Trigger it with `first` and `last` to
load a range of the past.
"""
