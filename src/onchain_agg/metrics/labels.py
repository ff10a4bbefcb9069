"""Whose an address is on a day, for every data set that looks at exchanges, miners and others.

What counts is what is believed now of the window's day; an import that changes it makes the day
dirty. A data set that uses these reads `LABEL`.
"""

from datetime import date, timedelta

from sqlalchemy import CTE, func, or_, select

from onchain_agg.metrics.dataset import Window
from onchain_agg.warehouse.tables.chain import LABEL

READS = (LABEL,)


def labels_on(window: Window, category: str, day: date | None = None) -> CTE:
    """Return the labelled addresses of *category* on *day*, by default the window's.

    An address has one entity a category on each day: the import refuses a second one.

    Columns: ``address``, ``entity``.
    """
    label, on = LABEL.c, day or window.day
    return (
        select(label.address, label.entity)
        # Two sources may say the same.
        .distinct()
        .where(
            label.chain == window.scope,
            label.category == category,
            label.known_to.is_(None),
            label.valid_from <= on,
            or_(label.valid_to.is_(None), label.valid_to > on),
        )
        .cte()
    )


def labels_changed(window: Window, category: str) -> CTE:
    """Return the addresses whose entity on the window's day is not that of the day before.

    Columns: ``address``, ``entity_before`` (NULL: it had no label of *category*) and
    ``entity_after`` (NULL: it has none any more).
    """
    before = labels_on(window, category, window.day - timedelta(days=1))
    after = labels_on(window, category)
    address = before.c.address
    return (
        select(
            # One of the two is there.
            func.coalesce(address, after.c.address).label("address"),
            before.c.entity.label("entity_before"),
            after.c.entity.label("entity_after"),
        )
        .select_from(before.outerjoin(after, address == after.c.address, full=True))
        .where(before.c.entity.is_distinct_from(after.c.entity))
        .cte()
    )
