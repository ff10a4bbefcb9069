"""The DAGs of cold days: to the archive, a comparison with it, and the state from it again."""

from airflow.sdk import DAG, Param

from onchain_agg.chains import all_chains
from onchain_agg.dag_building.defaults import defaults, upkeep_dag
from onchain_agg.operators.archive import archive_days, audit_chain, drop_cold_days
from onchain_agg.operators.archived_chains import chains_to_archive, chains_to_audit
from onchain_agg.operators.rebuild_operator import rebuild_chain
from onchain_agg.operators.waking import blocks_of

# DuckDB's share of a pod of size `memory`; the rest is for the process and its buffers.
_MEMORY = "16GB"
_BY_CHAIN = "{{ task.op_kwargs['chain'] }}"


def archive_dags() -> dict[str, DAG]:
    """Return the DAGs that archive, audit and rebuild, by id."""
    with upkeep_dag("archive", "@daily", _ARCHIVE_PAGE) as archiving:
        chains = chains_to_archive()
        placed = defaults("ingest_worker")
        archived = archive_days.override(map_index_template=_BY_CHAIN, **placed)
        dropped = drop_cold_days.override(map_index_template=_BY_CHAIN, **placed)
        # A partition holds a day of all chains, so it goes once all of them are archived.
        archived.expand(chain=chains) >> dropped.expand(chain=chains)
    with upkeep_dag("audit", "@weekly", _AUDIT_PAGE) as auditing:
        audited = audit_chain.override(map_index_template=_BY_CHAIN).partial(memory=_MEMORY)
        audited.expand(chain=chains_to_audit())
    chain = Param(type="string", enum=sorted(all_chains()), title="Chain")
    with upkeep_dag("rebuild", None, _REBUILD_PAGE, params={"chain": chain}) as rebuilding:
        outlets = [blocks_of(one) for one in all_chains().values()]
        rebuild_chain.override(outlets=outlets)(memory=_MEMORY)
    return {dag.dag_id: dag for dag in (archiving, auditing, rebuilding)}


_ARCHIVE_PAGE = """\
Writes the closed, final days of every chain to the archive as Parquet files, reads them back and
compares them with the tables. Days that are older than `hot_days` and archived for every chain then
leave PostgreSQL; what reads them goes to the archive. Without `archive_url` it skips.
"""

_AUDIT_PAGE = """\
Builds balances and the unspent outputs of every archived chain again from all of its facts, in a
pod: days that left PostgreSQL from their files, which must be those that were archived, and the
other days from its tables. The result is compared row for row with the tables that ingest keeps up
to date, and the newest published day of `holder_distribution_daily` and `top_holders_daily` with
the holders that it counts. A difference fails the task and is named.
"""

_REBUILD_PAGE = """\
Builds the running state of one chain again from all of its facts, in a pod, and computes its data
sets again; equal rows stay. For a chain that `audit` found to differ.
"""
