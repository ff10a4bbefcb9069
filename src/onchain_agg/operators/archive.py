"""The tasks that archive a chain's final days, drop cold ones and audit its state, for any DAG.

``archive_days`` → ``drop_cold_days``; ``audit_chain`` runs in a pod. Each may be repeated or
killed at any point.
"""

from typing import TYPE_CHECKING

from airflow.sdk import task
from airflow.sdk.exceptions import AirflowSkipException

from onchain_agg.chains import chain_named
from onchain_agg.operators.session import warehouse
from onchain_agg.routing.decorators import heavy_task

if TYPE_CHECKING:
    from onchain_agg.settings import Settings
    from onchain_agg.warehouse.parquet_store import ParquetStore


@task
def archive_days(chain: str) -> dict[str, int]:
    """Archive the closed, final days of *chain* that are not; return days, rows and bytes.

    Raises:
        AirflowSkipException: No archive is configured.
        AirflowFailException: A file that was read back does not hold what the tables hold.
        SourceError: The storage does not answer.
    """
    # The libraries of a running task are not needed to read a DAG file.
    from onchain_agg.warehouse.archiving import archive_days as archive  # noqa: PLC0415

    definition, (store, _) = chain_named(chain), _archive(chain)
    with warehouse() as engine:
        done = archive(engine, store, definition)
    return {
        "days": len(done),
        "rows": sum(one.rows for one in done),
        "bytes": sum(one.bytes for one in done),
    }


@task
def drop_cold_days(chain: str) -> dict[str, list[str]]:
    """Drop the archived days of *chain* that are older than ``hot_days``.

    Returns:
        Under ``dropped`` the days that left, under ``waiting`` those that another chain still
        keeps.

    Raises:
        AirflowSkipException: No archive is configured.
        AirflowFailException: The rows of a day are not what was archived; nothing of it left.
        SourceError: The storage does not answer, or a reader holds a table for long.
    """
    from onchain_agg.warehouse.retention import drop_cold_days as drop  # noqa: PLC0415 - as above

    definition, (store, settings) = chain_named(chain), _archive(chain)
    with warehouse() as engine:
        dropped = drop(engine, store, definition, settings.hot_days)
    return {
        "dropped": [str(day) for day in dropped.days],
        "waiting": [str(day) for day in dropped.waiting],
    }


@heavy_task(size="memory")  # type: ignore[untyped-decorator] # Airflow types none of its factories.
def audit_chain(chain: str, memory: str = "2GB") -> dict[str, int]:
    """Compare the running state of *chain* and its served holders with all its facts.

    Days that left the fact tables are read from the archive, the others from the tables.

    Args:
        chain: Name of the chain.
        memory: DuckDB's limit; the pod needs about 1 GB beside it, and disk under ``/tmp``.

    Returns:
        Height, days of facts, those from the archive, and rows compared.

    Raises:
        AirflowFailException: Rows differ; names table, key and both figures. Or days left for an
            archive that is not configured.
        SourceError: The storage does not answer.
    """
    from onchain_agg.metrics.holder_audit import audit_chain as audit  # noqa: PLC0415 - as above
    from onchain_agg.settings import archive_of, load_settings  # noqa: PLC0415 - as above
    from onchain_agg.warehouse.rebuild.scratch import Limits  # noqa: PLC0415 - as above

    definition, store = chain_named(chain), archive_of(load_settings())
    with warehouse() as engine:
        report = audit(engine, definition, store, Limits(memory))
        report.check()
    return {
        "height": report.height,
        "days": report.days,
        "archived_days": report.archived_days,
        "rows": sum(table.rows for table in report.tables),
    }


def _archive(chain: str) -> "tuple[ParquetStore, Settings]":
    from onchain_agg.settings import archive_of, load_settings  # noqa: PLC0415 - as above

    settings = load_settings()
    store = archive_of(settings)
    if store is None:
        raise AirflowSkipException(
            f"There is no archive for {chain}: [onchain_agg] archive_url is empty. Set it to a"
            " folder or s3://bucket/prefix, or pause this DAG."
        )
    return store, settings
