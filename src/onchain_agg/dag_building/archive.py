"""The DAGs of cold days: to the archive every day, and a comparison with it every week."""

from airflow.sdk import DAG

from onchain_agg.dag_building.defaults import defaults, upkeep_dag
from onchain_agg.operators.archive import archive_days, audit_chain, drop_cold_days
from onchain_agg.operators.archived_chains import chains_to_archive, chains_to_audit

# DuckDB's share of a pod of size `memory`; the rest is for the process and its buffers.
_MEMORY = "16GB"
_BY_CHAIN = "{{ task.op_kwargs['chain'] }}"


def archive_dags() -> dict[str, DAG]:
    """Return the DAGs that archive and audit, by id."""
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
    return {dag.dag_id: dag for dag in (archiving, auditing)}


_ARCHIVE_PAGE = """\
Writes the closed, final days of every chain to the archive as Parquet files, reads them back and
compares them with the tables. Days that are older than `hot_days` and archived for every chain then
leave PostgreSQL; what reads them goes to the archive. Without `archive_url` it skips.
"""

_AUDIT_PAGE = """\
Builds balances and the unspent outputs of every archived chain again from the archive alone, in a
pod, and compares them row for row with the tables that ingest keeps up to date. A difference fails
the task and is named.
"""
