"""Which dirty days can be computed now, and which wait for their day to end."""

from sqlalchemy import ColumnElement, Engine, and_, exists, not_, select

from onchain_agg.metrics.registry import all_datasets
from onchain_agg.warehouse.tables.ops import DIRTY
from onchain_agg.warehouse.tables.state import TIP


def is_due() -> ColumnElement[bool]:
    """Return the condition that a row of ``ops.dirty`` does not wait for its chain's open day.

    So wait data sets that are computed at a day's close.
    """
    at_close = [dataset.name for dataset in all_datasets().values() if dataset.at_close]
    is_open = exists().where(TIP.c.chain == DIRTY.c.scope, TIP.c.day == DIRTY.c.day)
    return not_(and_(DIRTY.c.dataset.in_(at_close), is_open))


def scopes_due(engine: Engine) -> dict[str, list[str]]:
    """Return the scopes that have dirty days to compute now, by data set."""
    columns = (DIRTY.c.dataset, DIRTY.c.scope)
    found: dict[str, list[str]] = {}
    with engine.connect() as connection:
        for name, scope in connection.execute(
            select(*columns).where(is_due()).distinct().order_by(*columns)
        ):
            found.setdefault(name, []).append(scope)
    return found
