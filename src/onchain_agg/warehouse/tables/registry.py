"""The one MetaData, and which tables are partitioned by day."""

from typing import Any

from sqlalchemy import MetaData, Table

METADATA = MetaData()
SCHEMAS = ("chain", "market", "state", "serving", "history", "ops")

_BY_DAY = {"postgresql_partition_by": "RANGE (day)", "info": {"by_day": True}}


def by_day() -> dict[str, Any]:
    """Return the table arguments of a table that has one partition a day."""
    return dict(_BY_DAY)


def is_partitioned(table: Table) -> bool:
    """Return whether *table* has one partition a day."""
    return bool(table.info.get("by_day"))
