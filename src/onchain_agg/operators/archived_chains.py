"""The tasks that tell which chains there is something to archive or to audit of."""

from airflow.sdk import task
from airflow.sdk.exceptions import AirflowSkipException

from onchain_agg.operators.session import warehouse


@task
def chains_to_archive() -> list[str]:
    """Return the chains that have applied blocks.

    Raises:
        AirflowSkipException: No archive is configured, or there is no such chain.
    """
    # The libraries of a running task are not needed to read a DAG file.
    from sqlalchemy import select  # noqa: PLC0415

    from onchain_agg.settings import load_settings  # noqa: PLC0415 - as above
    from onchain_agg.warehouse.tables.state import TIP  # noqa: PLC0415 - as above

    if load_settings().archive_url is None:
        raise AirflowSkipException(
            "No archive is configured: set [onchain_agg] archive_url, or pause this DAG."
        )
    with warehouse() as engine, engine.connect() as connection:
        chains = list(connection.scalars(select(TIP.c.chain).order_by(TIP.c.chain)))
    return _some(chains, "No chain has applied blocks yet.")


@task
def chains_to_audit() -> list[str]:
    """Return the chains that have archived days.

    Raises:
        AirflowSkipException: There is none.
    """
    from sqlalchemy import select  # noqa: PLC0415 - as above

    from onchain_agg.warehouse.tables.ops import ARCHIVED_DAY  # noqa: PLC0415 - as above

    chain = ARCHIVED_DAY.c.chain
    with warehouse() as engine, engine.connect() as connection:
        chains = list(connection.scalars(select(chain).distinct().order_by(chain)))
    return _some(chains, "No chain has archived days yet.")


def _some(chains: list[str], otherwise: str) -> list[str]:
    if not chains:
        raise AirflowSkipException(otherwise)
    return chains
