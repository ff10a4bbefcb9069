"""``onchain-agg labels`` and ``onchain-agg source``: facts that people and other databases hold."""

import csv
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from onchain_agg import cli_times
from onchain_agg.chains import chain_named
from onchain_agg.command_errors import one_line_errors
from onchain_agg.settings import configured_warehouse, sources_folder

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

    from onchain_agg.sources.sql import SqlSource


@click.group("labels")
def label_commands() -> None:
    """Whose addresses are: exchanges, miners, bridges and others."""


@label_commands.command("import")
@click.argument("chain")
@click.argument("file", type=Path)
@click.option("--source", help="Who says it; by default the file's name without its suffix.")
@click.option(
    "--replace",
    "replace_all",
    is_flag=True,
    help="End the source's labels that FILE does not name.",
)
@one_line_errors
def import_file(chain: str, file: Path, source: str | None, *, replace_all: bool) -> None:
    """Believe the labels of CHAIN in FILE, a CSV of address,category,entity,valid_from,valid_to."""
    # The other commands must not wait for a database's libraries.
    from onchain_agg.sources.label_file import read_labels  # noqa: PLC0415
    from onchain_agg.warehouse.labels import import_labels  # noqa: PLC0415 - as above

    definition = chain_named(chain)
    rows = read_labels(file)
    with configured_warehouse() as engine:
        done = import_labels(
            engine,
            definition,
            rows,
            source=source or file.stem,
            at=datetime.now(UTC),  # noqa: TID251 - the moment of the import is what is recorded
            replace_all=replace_all,
        )
    click.echo(
        f"{chain}: {done.added:,} labels added, {done.corrected:,} corrected, "
        f"{done.ended:,} ended, {done.unchanged:,} known already; {len(done.days):,} days are "
        "computed again."
    )


@label_commands.command("show")
@click.argument("chain")
@click.option("--category", help="Only this category.")
@click.option("--as-of", "moment", callback=cli_times.moment, help="What was believed then (UTC).")
@one_line_errors
def show_labels(chain: str, category: str | None, moment: datetime | None) -> None:
    """Print the labels of CHAIN as CSV, as they are or were believed."""
    from onchain_agg.sources.address import address_text  # noqa: PLC0415 - as above
    from onchain_agg.warehouse.labels import labels_as_of  # noqa: PLC0415 - as above

    definition = chain_named(chain)
    with configured_warehouse() as engine, engine.connect() as connection:
        found = labels_as_of(connection, definition, moment)
    lines = csv.writer(sys.stdout, lineterminator="\n")
    lines.writerow(("address", "category", "entity", "valid_from", "valid_to", "source"))
    for label in found:
        if category in (None, label.category):
            lines.writerow(
                (
                    address_text(definition, label.address),
                    label.category,
                    label.entity,
                    label.valid_from,
                    label.valid_to or "",
                    label.source,
                )
            )


@click.group("source")
def source_commands() -> None:
    """Tables of other databases that are declared as sources."""


@source_commands.command("check")
@click.argument("name")
@one_line_errors
def check_source(name: str) -> None:
    """Look at source NAME: that its table has what is declared, and can be converted.

    Nothing is written.
    """
    from onchain_agg.warehouse.sql_pull import check  # noqa: PLC0415 - as above

    declared, url = _declared(name)
    found = check(declared, url)
    types = found.reading.types
    click.echo(f"{name}: {declared.table} becomes {declared.target}.")
    for ours, mapped in declared.columns.items():
        theirs = (
            f"{mapped.column} ({types[mapped.column]})"
            if mapped.column
            else f"always {mapped.constant}"
        )
        click.echo(f"  {ours}: {theirs}")
    click.echo(f"  in order of {', '.join((declared.watermark, *found.reading.key))}")
    click.echo(f"The first {found.rows:,} rows can be taken.")


@source_commands.command("pull")
@click.argument("name")
@click.option("--again", is_flag=True, help="Read from the beginning; equal rows write nothing.")
@one_line_errors
def pull_source(name: str, *, again: bool) -> None:
    """Bring the facts of source NAME up to date, from where the last pull ended."""
    from onchain_agg.warehouse.sql_pull import pull  # noqa: PLC0415 - as above

    declared, url = _declared(name)
    with configured_warehouse() as engine:
        done = pull(engine, declared, url, again=again)
    click.echo(
        f"{name}: {done.rows:,} rows read, {done.inserted:,} facts added, {done.corrected:,} "
        f"corrected, on {len(done.days):,} days; read up to {done.watermark}."
    )


def _declared(name: str) -> tuple["SqlSource", "URL"]:
    from onchain_agg.sources.sql_file import source_named  # noqa: PLC0415 - as above

    declared = source_named(sources_folder(), name)
    if declared.connection is None:
        return declared, declared.database_url()
    # Only a source that names an Airflow connection needs Airflow.
    from onchain_agg.hooks.sql_url import source_url  # noqa: PLC0415

    return declared, source_url(declared)
