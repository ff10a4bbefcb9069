"""Pulls a declared table into the warehouse, from where the last pull ended.

Each page of rows is committed together with the watermark that it reached, so a killed pull goes
on where it was. A pull begins ``lag`` below the watermark; rows that are known already write
nothing, rows that changed are corrections. A row that is deleted at its source stays a fact.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.engine import URL

from onchain_agg.errors import ConfigError
from onchain_agg.sources import sql_watermark
from onchain_agg.sources.sql import SqlSource
from onchain_agg.sources.sql_engine import opened
from onchain_agg.sources.sql_read import Page, Reading, read_pages, reading_of
from onchain_agg.sources.sql_targets import TARGETS
from onchain_agg.sources.sql_values import BadValueError
from onchain_agg.warehouse import facts
from onchain_agg.warehouse.locks import lock_pull
from onchain_agg.warehouse.tables import METADATA

# What the rows that were read do not depend on.
_NOT_OF_ROWS = {"connection", "url", "lag", "batch_rows"}


@dataclass(frozen=True)
class Pulled:
    """What a pull did.

    Attributes:
        rows: Rows read, those of the lag included.
        inserted: New facts.
        corrected: Facts with other values than before.
        days: Days that changed, in order.
        watermark: The highest one that was ever read; None while the table is empty.
    """

    rows: int
    inserted: int
    corrected: int
    days: tuple[date, ...]
    watermark: sql_watermark.Raw | None


@dataclass(frozen=True)
class Checked:
    """A declared table, found fit to be pulled.

    Attributes:
        reading: What is read of it.
        rows: How many of its first rows were converted; at most a page.
    """

    reading: Reading
    rows: int


def pull(
    engine: Engine,
    source: SqlSource,
    url: URL,
    *,
    again: bool = False,
    clock: facts.Clock | None = None,
    progress: Callable[[int], None] | None = None,
) -> Pulled:
    """Bring the facts of *source* up to date and return what changed.

    A declaration whose mapping was edited is read from the beginning.

    Args:
        engine: The warehouse.
        source: The declaration.
        url: Its database.
        again: Whether to read from the beginning in any case.
        clock: Tells since when the rows are believed; by default the warehouse's clock.
        progress: Called with the number of rows of each page.

    Raises:
        ConfigError: The declaration does not fit its table or its database.
        SourceError: The database does not answer, and waiting may help.
        DataSetError: A row is wrong; names column, watermark and key. Earlier pages are kept.
    """
    rows, inserted, corrected, days = 0, 0, 0, set[date]()
    with engine.begin() as holder, opened(source.name, url) as origin:
        lock_pull(holder, source.name)
        reading = reading_of(origin, source)
        highest = None if again else _stored(engine, source)
        for page in read_pages(origin, reading, _since(source, highest)):
            if highest is None or not sql_watermark.is_before(page.watermark, highest):
                highest = page.watermark
            for done in _record(engine, source, page, highest, clock):
                inserted += done.inserted
                corrected += done.corrected
                days |= {*done.days}
            rows += page.rows
            if progress is not None:
                progress(page.rows)
    return Pulled(rows, inserted, corrected, tuple(sorted(days)), highest)


def check(source: SqlSource, url: URL) -> Checked:
    """Return what would be read of *source*, after a look at its first page. Writes nothing.

    Raises:
        ConfigError: The declaration does not fit its table or its database.
        SourceError: The database does not answer, and waiting may help.
        DataSetError: One of the first rows is wrong; names column, watermark and key.
    """
    with opened(source.name, url) as origin:
        reading = reading_of(origin, source)
        first = next(read_pages(origin, reading, None), None)
    return Checked(reading, first.rows if first else 0)


def _stored(engine: Engine, source: SqlSource) -> sql_watermark.Raw | None:
    """Return how far *source* was read; None where its declaration is new or was edited."""
    told = facts.watermark(engine, source.name, source.table)
    if told is None or told["declaration"] != _declaration(source):
        return None
    return sql_watermark.from_json(told["at"])


def _since(source: SqlSource, highest: sql_watermark.Raw | None) -> sql_watermark.Raw | None:
    if highest is None:
        return None
    try:
        return sql_watermark.looked_back(highest, source.lag, source.time_unit)
    except BadValueError as error:
        raise ConfigError(f"Source {source.name}: lag {error}.") from None


def _record(
    engine: Engine,
    source: SqlSource,
    page: Page,
    highest: sql_watermark.Raw,
    clock: facts.Clock | None,
) -> list[facts.Recorded]:
    """Record a page, its watermark with the last scope's rows: before, the page is not done."""
    mark: dict[str, Any] = {
        "at": sql_watermark.as_json(highest),
        "declaration": _declaration(source),
    }
    reached = facts.Pull(source.name, source.table, mark)
    table = METADATA.tables[TARGETS[source.target].table]
    last = max(page.batches)
    return [
        facts.record(
            engine, table, scope, batch, pull=reached if scope == last else None, clock=clock
        )
        for scope, batch in page.batches.items()
    ]


def _declaration(source: SqlSource) -> str:
    """Return a hash of what decides which facts the table's rows become."""
    text = source.model_dump_json(exclude=_NOT_OF_ROWS)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
