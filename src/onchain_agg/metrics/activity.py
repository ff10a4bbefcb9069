"""How often and how much large transfers moved, by asset and by what they are worth.

Both grains are folded from the same events, so hours add up to their day.
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Numeric,
    Select,
    Subquery,
    Table,
    Text,
    and_,
    column,
    func,
    or_,
    select,
    values,
)

from onchain_agg.metrics.candles import begin_of
from onchain_agg.metrics.dataset import Window
from onchain_agg.metrics.pricing import money
from onchain_agg.warehouse.types import BIG, NAME

# Thresholds of worth, US dollar.
CLASSES = {"100k": 100_000, "1m": 1_000_000, "10m": 10_000_000, "100m": 100_000_000}
UNPRICED = "unpriced"


def activity_columns() -> tuple[Column[Any], ...]:
    """Return the columns of an activity table after its time, the rest of the key first."""
    return (
        Column(
            "variant",
            NAME,
            primary_key=True,
            comment="all, or without_internal: without transfers inside one exchange.",
        ),
        Column(
            "usd_class",
            NAME,
            primary_key=True,
            comment="100k, 1m, 10m, 100m: worth at least so many US dollar; or unpriced.",
        ),
        Column("symbol", Text, nullable=False, comment="For people; the asset is the identity."),
        Column("transfers", BigInteger, nullable=False, comment="Number of transfers."),
        Column("amount", BIG, nullable=False, comment="Sum, in the asset's smallest unit."),
        Column("usd_value", BIG, comment="Sum, US dollar; NULL: unpriced."),
    )


def activity(window: Window, events: Table, *, hourly: bool) -> Select[Any]:
    """Return the activity of the window's day, or of each of its hours.

    Args:
        window: The day.
        events: The table of `whale_transfer_usd`.
        hourly: Whether the rows are of an hour, with its first instant as ``hour_at``.
    """
    event = _events(window, events)
    classes = values(column("usd_class", Text), column("least", Numeric), name="class").data(
        [*CLASSES.items(), (UNPRICED, None)]
    )
    reached = or_(
        event.c.usd_value >= classes.c.least,
        and_(event.c.usd_value.is_(None), classes.c.least.is_(None)),
    )
    variants = values(column("variant", Text), column("internal", Boolean), name="kept").data(
        [("all", True), ("without_internal", False)]
    )
    keeps = or_(variants.c.internal, event.c.internal_to.is_(None))
    time = (event.c.hour_at,) if hourly else ()
    key = (event.c.asset, event.c.symbol, *time, variants.c.variant, classes.c.usd_class)
    return (
        select(
            *window.labels(),
            *key,
            func.count().label("transfers"),
            func.sum(event.c.amount).label("amount"),
            money(func.sum(event.c.usd_value)).label("usd_value"),
        )
        .select_from(event.join(classes, reached).join(variants, keeps))
        .group_by(*key)
    )


def _events(window: Window, events: Table) -> Subquery:
    event = events.c
    return (
        select(
            event.asset,
            event.symbol,
            event.amount,
            event.usd_value,
            event.internal_to,
            begin_of("hour", event.block_at).label("hour_at"),
        )
        .where(event.chain == window.scope, event.day == window.day)
        .subquery("event")
    )
