"""Importing a file of market facts: all of it is checked before the first row is written.

The checked rows wait in a temporary Parquet file, where DuckDB looks for keys that come twice, so
a file may be larger than memory.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
from sqlalchemy import Engine, Table

from onchain_agg.errors import ConfigError
from onchain_agg.markets import GLOBAL, venue_named
from onchain_agg.sources.table_files import LINE, FileForm, read_facts, target_named
from onchain_agg.warehouse import facts
from onchain_agg.warehouse.facts import Clock
from onchain_agg.warehouse.tables import METADATA

_BATCH_ROWS = 50_000
_MEMORY = "512MB"


@dataclass(frozen=True)
class Imported:
    """What an import did.

    Attributes:
        rows: Rows of the file.
        inserted: Facts that were new.
        corrected: Facts that were believed with other values.
        days: Days that changed, in order.
    """

    rows: int
    inserted: int
    corrected: int
    days: tuple[date, ...]


def import_file(
    engine: Engine, fact: str, file: Path, form: FileForm, *, clock: Clock | None = None
) -> Imported:
    """Make the warehouse believe the facts in *file*; equal ones stay as they are.

    Rows are written in several transactions: an import that dies is simply repeated.

    Args:
        engine: The warehouse.
        fact: ``trades``, ``candles``, ``funding``, ``fx``, ``prices`` or ``assets``.
        file: A CSV or Parquet file.
        form: What the file does not say itself; the constant ``venue`` where the fact has one.
        clock: Tells since when the rows are believed; by default the database's clock.

    Raises:
        UnknownNameError: No such kind of fact or venue.
        ConfigError: Something in the file is wrong; names file, line and column. Nothing of it
            was written.
    """
    target = target_named(fact)
    scope = _scope(fact, target.scope, form)
    table = METADATA.tables[target.table]
    rows, inserted, corrected = 0, 0, 0
    days: set[date] = set()
    with TemporaryDirectory(prefix="onchain-agg-import-") as folder:
        checked = Path(folder) / "rows.parquet"
        _write(checked, read_facts(file, fact, form))
        _refuse_twins(file, table, checked)
        for batch in _read(checked):
            done = facts.record(engine, table, scope, batch, clock=clock)
            rows += batch.num_rows
            inserted, corrected = inserted + done.inserted, corrected + done.corrected
            days.update(done.days)
    return Imported(rows, inserted, corrected, tuple(sorted(days)))


def with_constant(form: FileForm, name: str, value: str | None) -> FileForm:
    """Return *form* with another constant, where there is one."""
    return form if value is None else replace(form, constants={**form.constants, name: value})


def _scope(fact: str, column: str | None, form: FileForm) -> str:
    if column is None:
        return GLOBAL
    if column not in form.constants:
        raise ConfigError(f"The {column} of the {fact} is missing. Name it with --{column}.")
    return venue_named(form.constants[column]).name


def _write(path: Path, batches: Iterable[pa.RecordBatch]) -> None:
    """Write the batches into one file; none of them is none."""
    # It takes a while to import.
    from pyarrow import parquet  # noqa: PLC0415

    writer: Any = None
    try:
        for batch in batches:
            if writer is None:
                writer = parquet.ParquetWriter(path, batch.schema, compression="lz4")
            writer.write_batch(batch)
    finally:
        if writer is not None:
            writer.close()


def _read(path: Path) -> Iterator[pa.RecordBatch]:
    from pyarrow import parquet  # noqa: PLC0415 - as above

    if not path.exists():
        return
    with parquet.ParquetFile(path) as file:
        for batch in file.iter_batches(_BATCH_ROWS):
            yield batch.drop_columns([LINE])


def _refuse_twins(file: Path, table: Table, checked: Path) -> None:
    """Raise ConfigError where a key comes twice with different values; names both lines."""
    if not checked.exists():
        return
    # It takes long to import, and only imports need it.
    from onchain_agg.warehouse.duckdb_stream import opened  # noqa: PLC0415

    with opened(config={"memory_limit": _MEMORY, "threads": 2}) as connection:
        connection.execute(f"SET temp_directory = '{checked.parent}'")
        names = connection.from_parquet(str(checked)).columns
        key = [column.name for column in table.primary_key if column.name in names]
        twice = connection.execute(_twins_query(checked, key, {*names} - {*key, LINE})).fetchone()
    if twice is not None:
        called = "lines" if file.suffix.lower() == ".csv" else "rows"
        raise ConfigError(
            f"{file}, {called} {twice[0]} and {twice[1]}: they have the same {', '.join(key)}, "
            "and other values. Keep one of them."
        )


def _twins_query(path: Path, key: Sequence[str], others: Iterable[str]) -> str:
    """Return the query of the first two places whose keys are equal and whose values are not."""
    by = ", ".join(f'"{name}"' for name in key)
    values = ", ".join(f'"{name}"' for name in sorted(others))
    # One text a row: DuckDB keeps the smallest and the largest of a key, not all of them.
    return (
        f"WITH rows AS (SELECT {by}, {LINE}, CAST(row({values}) AS VARCHAR) AS told"
        f" FROM read_parquet('{path}')),"
        f" twice AS (SELECT {by}, min({LINE}) AS first FROM rows GROUP BY {by}"
        " HAVING min(told) <> max(told) ORDER BY first LIMIT 1)"
        f" SELECT first, min(other.{LINE}) FROM twice JOIN rows AS other USING ({by})"
        f" JOIN rows AS one ON one.{LINE} = first WHERE other.told <> one.told GROUP BY first"
    )
