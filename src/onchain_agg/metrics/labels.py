"""Whose an address is on a day, for every data set that looks at exchanges, miners and others.

What counts is what is believed now of the window's day; an import that changes it makes the day
dirty. A data set that uses these reads `LABEL`.
"""

from collections.abc import Sequence
from datetime import date

from sqlalchemy import CTE, ColumnElement, and_, func, or_, select
from sqlalchemy.dialects.postgresql import distinct_on

from onchain_agg.metrics.dataset import Window
from onchain_agg.warehouse.tables.chain import LABEL

READS = (LABEL,)


def labels_on(window: Window, category: str, day: date | None = None) -> CTE:
    """Return the labelled addresses of *category* on *day*, by default the window's.

    An address has one entity a category on each day: the import refuses a second one.

    Columns: ``address``, ``entity``.
    """
    label = LABEL.c
    return (
        select(label.address, label.entity)
        # Two sources may say the same. By address, so that PostgreSQL knows that a join with it
        # makes no more rows.
        .ext(distinct_on(label.address))
        .order_by(label.address, label.entity)
        .where(label.category == category, _holds(window, day or window.day))
        .cte()
    )


def categories_on(window: Window, categories: Sequence[str]) -> CTE:
    """Return the addresses that labels put into one of *categories* on the window's day.

    Columns: ``address``, and for each category whether it is in it.
    """
    label = LABEL.c
    return (
        select(
            label.address,
            *(func.bool_or(label.category == category).label(category) for category in categories),
        )
        .where(label.category.in_(categories), _holds(window, window.day))
        .group_by(label.address)
        .cte()
    )


def _holds(window: Window, on: date) -> ColumnElement[bool]:
    label = LABEL.c
    return and_(
        label.chain == window.scope,
        label.known_to.is_(None),
        label.valid_from <= on,
        or_(label.valid_to.is_(None), label.valid_to > on),
    )
