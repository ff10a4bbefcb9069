"""From dirty days to the days to compute: what each reaches, and what has to wait."""

from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta

from sqlalchemy import Connection, or_, select

from onchain_agg.metrics.dataset import DataSet
from onchain_agg.metrics.inputs import is_over, open_day, recorded_days
from onchain_agg.warehouse import dirty, ledger
from onchain_agg.warehouse.tables.chain import BLOCK
from onchain_agg.warehouse.tables.ops import WINDOW
from onchain_agg.warehouse.tables.state import TIP


@dataclass(frozen=True)
class Todo:
    """The work of one run.

    Attributes:
        claim: The dirty rows that the run answers.
        days: Days to compute, oldest first.
        ends: For each of these days, the dirty days whose reach ends with it.
        nothing_to_do: Dirty days that reach no window at all.
    """

    claim: dirty.Claim
    days: tuple[date, ...] = ()
    ends: dict[date, list[date]] = field(default_factory=dict)
    nothing_to_do: tuple[date, ...] = ()

    @classmethod
    def again(cls, claim: dirty.Claim) -> "Todo":
        """Return the work of a claim whose days are computed for themselves, whatever the reach."""
        return cls(claim, claim.days, {day: [day] for day in claim.days})

    def without(self, failed: date) -> "Todo":
        """Return the work in which every dirty day that reaches *failed* stays dirty."""
        # Reach has no holes: what began before the failed day and has not ended yet reaches it.
        kept = {end: [day for day in days if day > failed] for end, days in self.ends.items()}
        return replace(self, ends=kept)


def todo(
    connection: Connection, dataset: DataSet, scope: str, *, refresh: timedelta, now: datetime
) -> Todo:
    """Claim the dirty days of *dataset* in *scope* and return what they ask for.

    A day whose blocks are loaded but not applied yet stays dirty and is left out. A day that lost
    all its blocks is computed, so that its rows vanish. The newest day stays dirty while its last
    computation is younger than *refresh*, and, of a data set that is computed at the day's close,
    until the day is over.
    """
    claim = dirty.claim(connection, dataset.name, scope)
    if not claim.days:
        return Todo(claim)
    known, waiting = _known_days(connection, dataset, scope, claim.days[0])
    if dataset.elsewhere is not None:
        # What a day lost before it was ever served may still be told of on other days.
        known = sorted({*known, *claim.days} - waiting)
    postponed = _postponed(connection, dataset, scope, now, refresh)
    wanted: set[date] = set()
    ends: dict[date, list[date]] = {}
    nothing: list[date] = []
    left_over: set[date] = set()
    for changed in claim.days:
        if changed in waiting or changed == postponed:
            continue
        last = dataset.reach.last_day(changed, known[-1]) if known else changed
        reached = [day for day in known if changed <= day <= last]
        if postponed is not None and postponed in reached:
            reached.remove(postponed)
            left_over = {postponed}
        wanted.update(reached)
        if reached:
            ends.setdefault(reached[-1], []).append(changed)
        else:
            nothing.append(changed)
    dirty.mark(connection, dataset.name, scope, left_over - set(claim.days))
    return Todo(claim, tuple(sorted(wanted)), ends, tuple(nothing))


def applied_days(connection: Connection, scope: str, since: date) -> list[date]:
    """Return the days from *since* on that have applied blocks, oldest first."""
    query = (
        select(BLOCK.c.day)
        .join(TIP, TIP.c.chain == BLOCK.c.chain)
        .where(
            BLOCK.c.chain == scope,
            BLOCK.c.day >= since,
            BLOCK.c.height.between(TIP.c.from_height, TIP.c.height),
        )
        .distinct()
        .order_by(BLOCK.c.day)
    )
    return list(connection.scalars(query))


def days_of(
    connection: Connection, dataset: DataSet, scope: str, since: date = date.min
) -> list[date]:
    """Return the days from *since* on that *dataset* can be computed for, oldest first."""
    if dataset.scope == "chain":
        return applied_days(connection, scope, since)
    return recorded_days(connection, dataset, scope, since)


def _known_days(
    connection: Connection, dataset: DataSet, scope: str, since: date
) -> tuple[list[date], set[date]]:
    """Return the days that can be computed, oldest first, and those whose blocks still wait."""
    ready = set(days_of(connection, dataset, scope, since))
    served = select(WINDOW.c.day).where(
        WINDOW.c.dataset == dataset.name, WINDOW.c.scope == scope, WINDOW.c.day >= since
    )
    waiting = _waiting_days(connection, scope, since) - ready if dataset.scope == "chain" else set()
    return sorted((ready | set(connection.scalars(served))) - waiting), waiting


def _waiting_days(connection: Connection, scope: str, since: date) -> set[date]:
    """Return the days from *since* on that have a loaded block which is not applied."""
    waiting = (
        select(BLOCK.c.day)
        .outerjoin(TIP, TIP.c.chain == BLOCK.c.chain)
        .where(
            BLOCK.c.chain == scope,
            BLOCK.c.day >= since,
            or_(
                TIP.c.chain.is_(None),
                BLOCK.c.height < TIP.c.from_height,
                BLOCK.c.height > TIP.c.height,
            ),
        )
        .distinct()
    )
    return set(connection.scalars(waiting))


def _postponed(
    connection: Connection, dataset: DataSet, scope: str, now: datetime, refresh: timedelta
) -> date | None:
    """Return the newest day if it is to wait, else None."""
    newest = _newest_day(connection, dataset, scope)
    if newest is None:
        return None
    entry = ledger.entry_of(connection, dataset.name, scope, newest)
    if dataset.at_close:
        over = dataset.scope != "chain" and is_over(newest, now)
        # What is served of a day that is open again has to vanish.
        return newest if entry is None and not over else None
    if refresh and entry is not None and entry.computed_at > now - refresh:
        return newest
    return None


def _newest_day(connection: Connection, dataset: DataSet, scope: str) -> date | None:
    if dataset.scope == "chain":
        return open_day(connection, scope)
    return max(recorded_days(connection, dataset, scope), default=None)
