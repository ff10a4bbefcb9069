"""How fresh what is served is: the newest day of each data set and scope, and what is due."""

from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import Engine, func, select

from onchain_agg.metrics.due import is_due
from onchain_agg.warehouse.tables.ops import DIRTY, WINDOW


@dataclass(frozen=True, kw_only=True)
class Freshness:
    """What is served of one data set and scope.

    Attributes:
        newest: The newest day.
        computed_at: Publish clock of the last computation of any of its days.
        due: Days that could be computed now.
    """

    dataset: str
    scope: str
    newest: date
    computed_at: datetime
    due: int


def freshness(engine: Engine) -> list[Freshness]:
    """Return how fresh each data set is in each scope that it was ever published in."""
    served, dirty = WINDOW.c, DIRTY.c
    with engine.connect() as connection:
        due = {
            (name, scope): days
            for name, scope, days in connection.execute(
                select(dirty.dataset, dirty.scope, func.count(dirty.day.distinct()))
                .where(is_due())
                .group_by(dirty.dataset, dirty.scope)
            )
        }
        rows = connection.execute(
            select(served.dataset, served.scope, func.max(served.day), func.max(served.computed_at))
            .group_by(served.dataset, served.scope)
            .order_by(served.dataset, served.scope)
        ).all()
    return [
        Freshness(
            dataset=name,
            scope=scope,
            newest=newest,
            computed_at=computed_at,
            due=due.get((name, scope), 0),
        )
        for name, scope, newest, computed_at in rows
    ]
