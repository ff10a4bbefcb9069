"""What is believed of addresses: whose they were on which days, and since when that is believed.

A label is never changed in place: a correction ends the belief in the old row and begins that in
the new one, so `labels_as_of` tells what was believed at any moment. Days whose labels changed
become dirty for the data sets that read them.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import Any

from sqlalchemy import Connection, Engine, bindparam, func, insert, or_, select, update
from sqlalchemy.dialects.postgresql import ARRAY

from onchain_agg.chains import Chain
from onchain_agg.errors import ConfigError
from onchain_agg.sources.address import address_bytes, address_text
from onchain_agg.sources.label_file import LabelRow
from onchain_agg.warehouse import facts
from onchain_agg.warehouse.locks import lock_chain
from onchain_agg.warehouse.tables.chain import BLOCK, LABEL
from onchain_agg.warehouse.tables.state import TIP
from onchain_agg.warehouse.types import ADDRESS, TIME

# Stands for "still so" where days are compared.
_OPEN = date.max
# Category and entity of what data sets tell of every exchange together.
_ALL_EXCHANGES = ("exchange", "all")
_INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True)
class Label:
    """Whose an address is, from the UTC day *valid_from* to the day before *valid_to*.

    Attributes:
        valid_to: First day after; None: still so.
        source: Who told it.
        label_id: Of the stored row; 0 where it is not stored.
        place: Where it was read, for errors; empty where it was stored.
    """

    address: bytes
    category: str
    entity: str
    valid_from: date
    valid_to: date | None
    source: str
    # Labels that say the same are equal, wherever they stand.
    label_id: int = field(default=0, compare=False)
    place: str = field(default="", compare=False)


@dataclass(frozen=True)
class Imported:
    """What an import did.

    Attributes:
        added: New labels.
        corrected: Labels that take the place of others.
        ended: Labels that are believed no longer, and that nothing took the place of.
        unchanged: Rows that were believed already.
        days: Days with applied blocks whose labels changed, in order.
        at: Since when the new labels are believed; None where nothing was written.
    """

    added: int
    corrected: int
    ended: int
    unchanged: int
    days: tuple[date, ...]
    at: datetime | None


def import_labels(
    engine: Engine,
    chain: Chain,
    rows: Iterable[LabelRow],
    *,
    source: str,
    at: datetime,
    replace_all: bool = False,
) -> Imported:
    """Believe *rows* from now on; return what changed. All of them are taken, or none.

    A row takes the place of the labels of the same source, address and category that begin on the
    same day, or that name the same entity on some of its days. A row that is believed already
    writes nothing.

    Args:
        engine: The warehouse.
        chain: The chain of the addresses.
        rows: What is said.
        source: Who says it; only this source's labels are corrected.
        at: Since when it is believed, an aware time; a little later where a label of the chain was
            imported later than that, so that every belief has its moment.
        replace_all: Whether labels of the source that the rows do not name are believed no longer.

    Raises:
        ConfigError: An address is wrong, a label ends before it begins, an exchange is named
            ``all``, or two labels of one address and category name different entities for one day;
            names both.
    """
    if at.tzinfo is None:
        raise ConfigError(f"The import's time {at} has no zone. Give an aware time, such as UTC.")
    told = [_label(chain, row, source) for row in rows]
    _refuse_overlaps(chain, told)
    with engine.begin() as connection:
        # A block that is being applied must be seen here, or see the labels.
        lock_chain(connection, chain.name)
        believed = _believed(connection, chain, told, source if replace_all else None)
        new, corrected, gone = _changes(told, believed, source, replace_all=replace_all)
        _refuse_contradictions(chain, new, [one for one in believed if one not in gone])
        if not new and not gone:
            return Imported(0, 0, 0, len(told), (), None)
        at = _after_all(connection, chain, at)
        _write(connection, chain, new, gone, at)
        days = _applied(connection, chain, _merged(_changed_spans(gone, new)))
        facts.changed(connection, LABEL.fullname, chain.name, days)
    ended = len(gone) - sum(len(olds) for olds in corrected.values())
    return Imported(
        len(new) - len(corrected), len(corrected), ended, len(told) - len(new), tuple(days), at
    )


def labels_as_of(connection: Connection, chain: Chain, moment: datetime | None) -> list[Label]:
    """Return the labels of *chain* that were believed at *moment*; None is now."""
    label = LABEL.c
    query = select(*_columns()).where(label.chain == chain.name)
    if moment is None:
        query = query.where(label.known_to.is_(None))
    else:
        query = query.where(
            label.known_from <= moment, or_(label.known_to.is_(None), label.known_to > moment)
        )
    order = (label.category, label.entity, label.address, label.valid_from, label.source)
    return [_stored(row) for row in connection.execute(query.order_by(*order))]


def _label(chain: Chain, row: LabelRow, source: str) -> Label:
    try:
        address = address_bytes(chain, row.address)
    except ConfigError as error:
        raise ConfigError(f"{row.place}: {error}") from None
    if row.valid_to is not None and row.valid_to <= row.valid_from:
        raise ConfigError(
            f"{row.place}: valid_to {row.valid_to} is not after valid_from {row.valid_from}. "
            "valid_to is the first day after."
        )
    if (row.category, row.entity) == _ALL_EXCHANGES:
        raise ConfigError(
            f"{row.place}: entity is 'all', which stands for all exchanges as one. Write the "
            "exchange's own name."
        )
    return Label(
        address=address,
        category=row.category,
        entity=row.entity,
        valid_from=row.valid_from,
        valid_to=row.valid_to,
        source=source,
        place=row.place,
    )


def _refuse_overlaps(chain: Chain, told: Sequence[Label]) -> None:
    for labels in _by_address(told).values():
        for one, other in pairwise(sorted(labels, key=lambda label: label.valid_from)):
            if one == other:
                raise ConfigError(f"{other.place}: it repeats {one.place}. Remove one of the two.")
            if _overlap(one, other):
                raise ConfigError(
                    f"{other.place}: {_said(chain, other)}, which overlaps {one.place}: "
                    f"{one.entity} {_days(one)}. End one where the other begins."
                )


def _changes(
    told: Sequence[Label], believed: Sequence[Label], source: str, *, replace_all: bool
) -> tuple[list[Label], dict[Label, list[Label]], set[Label]]:
    """Return the new labels, what those that correct take the place of, and what ends in all."""
    own = {label for label in believed if label.source == source}
    said = set(told)
    doubted = _by_address(own - said)
    new = [label for label in told if label not in own]
    corrected: dict[Label, list[Label]] = defaultdict(list)
    gone: set[Label] = set()
    for label in new:
        for old in doubted.get((label.address, label.category), ()):
            if old not in gone and _names(label, old):
                corrected[label].append(old)
                gone.add(old)
    if replace_all:
        gone |= own - said
    return new, dict(corrected), gone


def _names(label: Label, old: Label) -> bool:
    """Return whether *label* is about what *old* is about, and so corrects it."""
    same_entity = label.entity == old.entity and _overlap(label, old)
    return same_entity or label.valid_from == old.valid_from


def _refuse_contradictions(chain: Chain, new: Sequence[Label], kept: Sequence[Label]) -> None:
    by_address = _by_address(kept)
    for label in new:
        for other in by_address.get((label.address, label.category), ()):
            if other.entity != label.entity and _overlap(label, other):
                raise ConfigError(
                    f"{label.place}: {_said(chain, label)}, but {other.source} says "
                    f"{other.entity} {_days(other)}. Correct one of them, or end it with valid_to."
                )


def _believed(
    connection: Connection, chain: Chain, told: Sequence[Label], also_of: str | None
) -> list[Label]:
    """Return what is believed of the addresses of *told*, and all that source *also_of* said."""
    label = LABEL.c
    addresses = bindparam("addresses", list({one.address for one in told}), ARRAY(ADDRESS))
    wanted = label.address == func.any(addresses)
    if also_of is not None:
        wanted = or_(wanted, label.source == also_of)
    query = select(*_columns()).where(label.chain == chain.name, label.known_to.is_(None), wanted)
    return [_stored(row) for row in connection.execute(query)]


def _columns() -> tuple[Any, ...]:
    label = LABEL.c
    return (
        label.address,
        label.category,
        label.entity,
        label.valid_from,
        label.valid_to,
        label.source,
        label.label_id,
    )


def _stored(row: Any) -> Label:
    return Label(*row)


def _after_all(connection: Connection, chain: Chain, at: datetime) -> datetime:
    """Return *at*, or the first instant after every belief about *chain* began or ended."""
    label = LABEL.c
    newest: datetime | None = connection.scalar(
        select(
            func.greatest(func.max(label.known_from), func.max(label.known_to), type_=TIME)
        ).where(label.chain == chain.name)
    )
    return at if newest is None else max(at, newest + _INSTANT)


def _write(
    connection: Connection, chain: Chain, new: Sequence[Label], gone: Iterable[Label], at: datetime
) -> None:
    ended = [{"row": label.label_id} for label in gone]
    if ended:
        statement = update(LABEL).where(LABEL.c.label_id == bindparam("row")).values(known_to=at)
        connection.execute(statement, ended)
    added = [
        {
            "chain": chain.name,
            "address": label.address,
            "category": label.category,
            "entity": label.entity,
            "valid_from": label.valid_from,
            "valid_to": label.valid_to,
            "known_from": at,
            "source": label.source,
        }
        for label in new
    ]
    if added:
        connection.execute(insert(LABEL), added)


def _changed_spans(gone: Iterable[Label], new: Iterable[Label]) -> Iterator[tuple[date, date]]:
    """Yield first and last day of every span on which somebody's labels or the day before differ.

    The day after counts, because a label that ends or begins is told on the day itself.
    """
    steps: dict[tuple[bytes, str, str], dict[date, list[int]]] = {}
    for side, labels in enumerate((gone, new)):
        for label in labels:
            of_entity = steps.setdefault((label.address, label.category, label.entity), {})
            of_entity.setdefault(label.valid_from, [0, 0])[side] += 1
            of_entity.setdefault(label.valid_to or _OPEN, [0, 0])[side] -= 1
    for of_entity in steps.values():
        held = [0, 0]
        for day, following in pairwise([*sorted(of_entity), _OPEN]):
            held = [count + step for count, step in zip(held, of_entity[day], strict=True)]
            if bool(held[0]) != bool(held[1]):
                yield day, following


def _merged(spans: Iterable[tuple[date, date]]) -> list[tuple[date, date]]:
    merged: list[tuple[date, date]] = []
    for first, last in sorted(spans):
        if merged and first <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(last, merged[-1][1])
        else:
            merged.append((first, last))
    return merged


def _applied(
    connection: Connection, chain: Chain, spans: Sequence[tuple[date, date]]
) -> list[date]:
    """Return the days of *spans*, both ends included, that have applied blocks."""
    block = BLOCK.c
    query = (
        select(block.day)
        .distinct()
        .join(TIP, TIP.c.chain == block.chain)
        .where(block.chain == chain.name, block.height.between(TIP.c.from_height, TIP.c.height))
        .order_by(block.day)
    )
    days = list(connection.scalars(query))
    found = [days[bisect_left(days, first) : bisect_right(days, last)] for first, last in spans]
    return [day for some in found for day in some]


def _by_address(labels: Iterable[Label]) -> Mapping[tuple[bytes, str], list[Label]]:
    found: dict[tuple[bytes, str], list[Label]] = defaultdict(list)
    for label in labels:
        found[label.address, label.category].append(label)
    return found


def _overlap(one: Label, other: Label) -> bool:
    return one.valid_from < (other.valid_to or _OPEN) and other.valid_from < (one.valid_to or _OPEN)


def _said(chain: Chain, label: Label) -> str:
    text = address_text(chain, label.address)
    return f"{label.category} {text} is {label.entity} {_days(label)}"


def _days(label: Label) -> str:
    end = f"to before {label.valid_to}" if label.valid_to else "on"
    return f"from {label.valid_from} {end}"
