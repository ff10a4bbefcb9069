"""One DAG a declared SQL source: every ten minutes, the rows that are new or corrected."""

from typing import TYPE_CHECKING

from airflow.sdk import DAG

from onchain_agg.dag_building.defaults import defaults
from onchain_agg.operators.sources import pull_table
from onchain_agg.operators.waking import facts_of
from onchain_agg.settings import sources_folder

if TYPE_CHECKING:
    from onchain_agg.sources.sql import SqlSource


def pull_dags() -> dict[str, DAG]:
    """Return the DAG of every source in ``[onchain_agg] sources_folder``, by id.

    No other file is read, and no database.

    Raises:
        ConfigError: The folder or a declaration is wrong; names file, line, field and cure.
    """
    folder = sources_folder()
    if folder is None:
        return {}
    # What checks declarations is loaded only where there are some.
    from onchain_agg.sources.sql_file import load_sources  # noqa: PLC0415

    dags = (pull_dag(source) for source in load_sources(folder).values())
    return {dag.dag_id: dag for dag in dags}


def pull_dag(source: "SqlSource") -> DAG:
    """Return the DAG that brings *source* up to date. Who declared it wants it, so it is on."""
    from onchain_agg.sources.sql_targets import TARGETS  # noqa: PLC0415 - as above

    target = TARGETS[source.target]
    with DAG(
        dag_id=f"pull_{source.name}",
        schedule="*/10 * * * *",
        catchup=False,
        max_active_runs=1,
        is_paused_upon_creation=False,
        default_args=defaults("market_worker"),
        tags=["ingest", "source"],
        doc_md=_PAGE.format(table=source.table, target=target.table),
    ) as dag:
        pull_table.override(outlets=[facts_of(target.table)])(source.name)
    return dag


_PAGE = """\
Reads the table `{table}` of another database on, from the highest watermark that was read, into
`{target}`. Rows that are known already write nothing; corrected ones wake what reads their day.
"""
