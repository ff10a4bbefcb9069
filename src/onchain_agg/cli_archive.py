"""``onchain-agg archive`` and ``audit``: old days elsewhere, and the state against its facts."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any, TypeVar

import click
from sqlalchemy import Engine, Row, select

from onchain_agg import cli_times
from onchain_agg.chains import chain_named
from onchain_agg.command_errors import one_line_errors
from onchain_agg.errors import ConfigError, DataSetError
from onchain_agg.metrics.holder_audit import audit_chain
from onchain_agg.settings import Settings, archive_of, configured_warehouse, load_settings
from onchain_agg.warehouse import archiving
from onchain_agg.warehouse.parquet_store import ParquetStore
from onchain_agg.warehouse.rebuild.scratch import Limits
from onchain_agg.warehouse.retention import drop_cold_days
from onchain_agg.warehouse.tables.ops import ARCHIVED_DAY

Command = TypeVar("Command", bound=Callable[..., Any])


def _days(command: Command) -> Command:
    """Add the options of a range of days."""
    first = click.option(
        "--from", "first", callback=cli_times.day, help="First UTC day; by default the oldest."
    )
    last = click.option("--to", "last", callback=cli_times.day, help="Last UTC day, included.")
    return first(last(command))


@click.group()
def archive() -> None:
    """Final days in Parquet files, in a folder or on s3://."""


@archive.command()
@click.argument("chain")
@click.option("--drop", is_flag=True, help="Also drop what is older than hot_days.")
@one_line_errors
def run(chain: str, *, drop: bool) -> None:
    """Archive the final days of CHAIN that are not archived yet."""
    definition = chain_named(chain)
    with _archive() as (engine, store, settings):
        done = archiving.archive_days(engine, store, definition)
        rows, size = sum(one.rows for one in done), sum(one.bytes for one in done)
        click.echo(f"{chain}: {len(done)} days archived, {rows:,} rows in {size:,} bytes.")
        if not drop:
            return
        dropped = drop_cold_days(engine, store, definition, settings.hot_days)
        click.echo(f"{chain}: {len(dropped.days)} days dropped.")
        for day, chains in dropped.waiting.items():
            click.echo(f"{day} stays for {', '.join(chains)}.")


@archive.command()
@click.argument("chain")
@_days
@one_line_errors
def restore(chain: str, first: date | None, last: date | None) -> None:
    """Bring days of CHAIN back into their tables, to be corrected there."""
    definition = chain_named(chain)
    with _archive() as (engine, store, _):
        left = {row.day for row in _archived(engine, chain, first, last) if row.dropped}
        rows = sum(archiving.restore_day(engine, store, definition, day) for day in sorted(left))
    click.echo(f"{chain}: {len(left)} days restored, {rows:,} rows.")


@archive.command()
@click.argument("chain")
@_days
@one_line_errors
def verify(chain: str, first: date | None, last: date | None) -> None:
    """Read the files of CHAIN and compare them with what was archived."""
    chain_named(chain)
    faults = []
    with _archive() as (engine, store, _):
        files = _archived(engine, chain, first, last)
        for row in files:
            try:
                archiving.verify_day(store, row)
            except DataSetError as error:
                faults.append(str(error))
    if faults:
        raise DataSetError(f"{len(faults)} of {len(files)} files: {' '.join(faults)}")
    click.echo(f"{chain}: {len(files)} files hold what was archived.")


@click.command()
@click.argument("chain")
@click.option("--memory", default=Limits.memory, show_default=True, help="Limit of DuckDB.")
@click.option("--scratch", type=Path, default=Limits.folder, help="Folder of temporary files.")
@one_line_errors
def audit(chain: str, memory: str, scratch: Path) -> None:
    """Compare the state of CHAIN and its served holders with all facts, archived and hot."""
    definition, settings = chain_named(chain), load_settings()
    with configured_warehouse() as engine:
        report = audit_chain(engine, definition, archive_of(settings), Limits(memory, scratch))
    report.check()
    tables = ", ".join(f"{table.table} {table.rows:,}" for table in report.tables)
    click.echo(
        f"{chain} at block {report.height:,}: {report.days:,} days of facts,"
        f" {report.archived_days:,} from the archive. Rows that agree: {tables}."
    )


@contextmanager
def _archive() -> Iterator[tuple[Engine, ParquetStore, Settings]]:
    """Yield the warehouse and the archive, which must be configured."""
    settings = load_settings()
    store = archive_of(settings)
    if store is None:
        raise ConfigError(
            "There is no archive. Set [onchain_agg] archive_url to a folder or s3://bucket/prefix."
        )
    with configured_warehouse() as engine:
        yield engine, store, settings


def _archived(engine: Engine, chain: str, first: date | None, last: date | None) -> list[Row[Any]]:
    columns = ARCHIVED_DAY.c
    days = (first or date.min, last or date.max)
    query = select(ARCHIVED_DAY).where(columns.chain == chain, columns.day.between(*days))
    with engine.connect() as connection:
        return list(connection.execute(query.order_by(columns.day, columns.table_name)))
