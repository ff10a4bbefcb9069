"""What is done to the served tables beside publishing."""

from datetime import date, timedelta

from sqlalchemy import Engine, func, select

from onchain_agg.metrics.registry import all_datasets
from onchain_agg.warehouse import versions

# Interim values of an open day are of interest for a week.
_KEPT = timedelta(days=7)
# Days that are looked at again: how long the upkeep may have been paused.
_LOOKED_AT = timedelta(days=60)


def thin_history(engine: Engine, today: date | None = None) -> int:
    """Thin the interim revisions of days that ended over a week ago; return the rows deleted.

    Args:
        engine: The warehouse.
        today: The UTC day; by default the database's.
    """
    with engine.begin() as connection:
        now = today or connection.scalars(select(func.current_date())).one()
        before = now - _KEPT
        return sum(
            versions.thin(connection, dataset.table, before - _LOOKED_AT, before)
            for dataset in all_datasets().values()
        )
