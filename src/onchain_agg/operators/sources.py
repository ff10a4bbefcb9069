"""The task that brings a declared table's facts into the warehouse, for any DAG."""

from airflow.sdk import task

from onchain_agg.operators.session import warehouse
from onchain_agg.operators.waking import wake_readers


@task
def pull_table(name: str, *, again: bool = False) -> dict[str, int]:
    """Bring the facts of source *name* up to date, from where the last pull ended.

    The source is a YAML file in the folder ``[onchain_agg] sources_folder``. Killed, the next run
    goes on after the last page that was committed. What reads the facts wakes where
    `waking.facts_of` their table is among the task's outlets.

    Args:
        name: The source.
        again: Whether to read from the beginning; rows that are known already write nothing.

    Returns:
        Rows read, facts inserted and corrected, and the number of days that changed.

    Raises:
        AirflowFailException: The declaration or a row is wrong; a retry cannot help.
        SourceError: The database does not answer, and a retry may help.
    """
    # The libraries of a pull are not needed to read a DAG file.
    from onchain_agg.hooks.sql_url import source_url  # noqa: PLC0415
    from onchain_agg.settings import sources_folder  # noqa: PLC0415 - as above
    from onchain_agg.sources.sql_file import source_named  # noqa: PLC0415 - as above
    from onchain_agg.sources.sql_targets import TARGETS  # noqa: PLC0415 - as above
    from onchain_agg.warehouse.sql_pull import pull  # noqa: PLC0415 - as above

    with warehouse() as engine:
        source = source_named(sources_folder(), name)
        done = pull(engine, source, source_url(source), again=again)
    wake_readers(TARGETS[source.target].table, name, done.days)
    return {
        "rows": done.rows,
        "inserted": done.inserted,
        "corrected": done.corrected,
        "days": len(done.days),
    }
