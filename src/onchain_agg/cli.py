"""``onchain-agg``: the library by hand, for a notebook's shell, a cron job or a check.

Each command calls the function that the DAGs call; none has logic of its own.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress, TaskID
from sqlalchemy import Engine

from onchain_agg import cli_times
from onchain_agg.chains import EvmChain, UtxoChain, chain_named
from onchain_agg.cli_archive import archive, audit
from onchain_agg.cli_check import check
from onchain_agg.cli_cost import cost
from onchain_agg.cli_datasets import datasets
from onchain_agg.cli_market import market_commands, token_commands
from onchain_agg.cli_routing import routing
from onchain_agg.cli_sources import label_commands, source_commands
from onchain_agg.command_errors import one_line_errors
from onchain_agg.errors import ConfigError
from onchain_agg.metrics import reading
from onchain_agg.metrics.compute import backfill as mark_days
from onchain_agg.metrics.compute import compute as publish
from onchain_agg.metrics.compute import dirty_scopes
from onchain_agg.metrics.dataset import DataSet
from onchain_agg.metrics.definitions import sync
from onchain_agg.metrics.registry import all_datasets, dataset_named
from onchain_agg.metrics.scopes import check_scope, scopes_of
from onchain_agg.metrics.summary import summary, table_of
from onchain_agg.metrics.todo import days_of
from onchain_agg.settings import (
    archive_of,
    configured_warehouse,
    extra_assets,
    load_settings,
    warehouse_url,
)
from onchain_agg.sources.opening import open_source
from onchain_agg.warehouse import ingest as ingesting
from onchain_agg.warehouse.apply import apply_blocks, rebuild_state
from onchain_agg.warehouse.engine import engine_for, shown
from onchain_agg.warehouse.rebuild.replacing import has_left, rebuild_all
from onchain_agg.warehouse.schema import migrate

console = Console(highlight=False, soft_wrap=True)


_ROWS = click.IntRange(min=1)


@contextmanager
def _warehouse() -> Iterator[Engine]:
    """Yield an engine on a migrated warehouse that follows the definitions."""
    with configured_warehouse() as engine:
        settings = load_settings()
        sync(engine, extra_assets(settings), archive=archive_of(settings))
        yield engine


@contextmanager
def _bar(what: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """Yield a function that moves a progress bar on."""
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task: TaskID = progress.add_task(what, total=total)
        yield lambda done: progress.advance(task, done)


@click.group()
@click.version_option(package_name="onchain-agg")
def main() -> None:
    """Precomputed on-chain metrics: load blocks, publish data sets, read them."""


main.add_command(archive)
main.add_command(audit)
main.add_command(check)
main.add_command(cost)
main.add_command(datasets)
main.add_command(routing)
main.add_command(label_commands)
main.add_command(market_commands)
main.add_command(source_commands)
main.add_command(token_commands)


@main.command()
@one_line_errors
def init() -> None:
    """Create or update the warehouse's tables. Safe to repeat."""
    settings = load_settings()
    engine = engine_for(warehouse_url(settings))
    try:
        revision = migrate(engine)
        changes = sync(engine, extra_assets(settings), archive=archive_of(settings))
        console.print(f"{shown(engine.url)} is at revision {revision}.", markup=False)
        for change in changes:
            console.print(f"  {change}", markup=False)
    finally:
        engine.dispose()


@main.command()
@click.argument("chain")
@click.option("--rpc", multiple=True, help="URL of a node; repeat it for a second one.")
@click.option("--blocks", type=Path, help="A blk*.dat file, or a folder of them.")
@click.option("--genesis", type=Path, help="EVM: genesis file, for native balances.")
@click.option("--content", default="full", help="EVM: full, or logs for token transfers alone.")
@click.option("--from", "first", type=int, help="First block.")
@click.option("--to", "last", type=int, help="Last block, included.")
@one_line_errors
def ingest(
    chain: str,
    rpc: tuple[str, ...],
    blocks: Path | None,
    genesis: Path | None,
    content: str,
    first: int | None,
    last: int | None,
) -> None:
    """Load the blocks of CHAIN that are missing, and apply them."""
    definition = chain_named(chain)
    source = open_source(definition, endpoints=rpc, blocks=blocks, genesis=genesis, content=content)
    written = 0
    with _warehouse() as engine:
        while ranges := ingesting.plan(engine, definition, source, first=first, last=last):
            total = sum(high - low + 1 for low, high in ranges)
            with _bar(f"Loading {chain}", total) as advance:
                for low, high in ranges:
                    written += ingesting.load(
                        engine, definition, source, low, high, progress=advance
                    )
        _apply(engine, definition, source.final_height())
    console.print(f"{chain}: {written:,} rows written.")


def _apply(engine: Engine, chain: EvmChain | UtxoChain, final_height: int) -> None:
    with _bar(f"Applying {chain.name}", None) as advance:
        applied = apply_blocks(engine, chain, final_height=final_height, progress=advance)
    waiting = f"; {applied.waiting:,} blocks wait above a gap" if applied.waiting else ""
    console.print(f"{chain.name}: applied to block {applied.height:,}{waiting}.")


@main.command()
@click.argument("dataset", required=False)
@click.option("--scope", help="Only this chain or venue.")
@one_line_errors
def compute(dataset: str | None, scope: str | None) -> None:
    """Publish what is dirty: of DATASET, or of every data set."""
    chosen = [dataset_named(dataset)] if dataset else list(all_datasets().values())
    done = 0
    without: set[str] = set()
    with _warehouse() as engine:
        if scope is not None:
            chosen = _computed_for(engine, chosen, scope)
        # What one data set publishes may make the later ones dirty.
        for one in chosen:
            for _, dirty in dirty_scopes(engine, one.name):
                if scope in (None, dirty):
                    _publish(engine, one, dirty, without)
                    done += 1
        if without:
            console.print(f"No data yet, so nothing to compute: {', '.join(sorted(without))}.")
        if not done:
            console.print("Nothing is dirty: every window is up to date.")


def _computed_for(engine: Engine, datasets: Sequence[DataSet], scope: str) -> list[DataSet]:
    """Return those of *datasets* that are computed for *scope*.

    Raises:
        ConfigError: None is.
    """
    with engine.connect() as connection:
        found = [one for one in datasets if scope in scopes_of(connection, one)]
        if not found:
            check_scope(connection, datasets[0], scope)
    return found


def _check_scope(engine: Engine, dataset: DataSet, scope: str) -> None:
    with engine.connect() as connection:
        check_scope(connection, dataset, scope)


def _publish(engine: Engine, dataset: DataSet, scope: str, without: set[str] | None = None) -> None:
    """Publish *scope* and say so; one that has no data at all only joins *without*, if given."""
    with _bar(f"Computing {dataset.name}", None) as advance:
        windows = publish(
            engine,
            dataset,
            scope,
            progress=lambda _window: advance(1),
            archive=archive_of(load_settings()),
        )
    if not windows and without is not None and not _has_data(engine, dataset, scope):
        without.add(scope)
        return
    changed = sum(window.changed for window in windows)
    console.print(f"{dataset.name}, {scope}: {len(windows):,} windows, {changed:,} rows changed.")


def _has_data(engine: Engine, dataset: DataSet, scope: str) -> bool:
    with engine.connect() as connection:
        return bool(days_of(connection, dataset, scope))


@main.command()
@click.argument("dataset")
@click.option("--scope", required=True, help="The chain or venue, or global.")
@click.option("--from", "first", required=True, callback=cli_times.day, help="First UTC day.")
@click.option("--to", "last", required=True, callback=cli_times.day, help="Last UTC day, included.")
@one_line_errors
def backfill(dataset: str, scope: str, first: date, last: date) -> None:
    """Compute a range of days of DATASET again."""
    definition = dataset_named(dataset)
    if first > last:
        raise ConfigError(f"The days {first} to {last} are in the wrong order. Swap them.")
    with _warehouse() as engine:
        _check_scope(engine, definition, scope)
        if not mark_days(engine, definition, scope, first, last, force=True):
            lacking = "applied blocks" if definition.scope == "chain" else "facts"
            console.print(
                f"{dataset}, {scope}: no day from {first} to {last} has {lacking}, so none of them"
                " is computed."
            )
        _publish(engine, definition, scope)


@main.command()
@click.option("--chain", required=True, help="Build this chain's state again from its facts.")
@click.option("--dataset", help="Only compute this data set again, on all days.")
@one_line_errors
def rebuild(chain: str, dataset: str | None) -> None:
    """Compute everything of a chain again; equal rows stay, history is kept."""
    definition = chain_named(chain)
    datasets = [dataset_named(dataset)] if dataset else list(all_datasets().values())
    with _warehouse() as engine:
        if dataset is None:
            _rebuild_state(engine, definition)
        for one in datasets:
            if one.covers(definition):
                mark_days(engine, one, chain, force=True)
                _publish(engine, one, chain)


def _rebuild_state(engine: Engine, chain: EvmChain | UtxoChain) -> None:
    with engine.connect() as connection:
        is_archived = has_left(connection, chain)
    if is_archived:
        rebuild_all(engine, chain, archive_of(load_settings()))
        return
    with _bar(f"Applying {chain.name}", None) as advance:
        rebuild_state(engine, chain, progress=advance)


@main.command()
@click.argument("dataset", required=False)
@click.option("--scope", help="Only this chain or venue.")
@click.option("--day", callback=cli_times.day, help="Only this UTC day.")
@click.option("--limit", type=_ROWS, default=20, show_default=True, help="Most rows.")
@one_line_errors
def show(dataset: str | None, scope: str | None, day: date | None, limit: int) -> None:
    """Print the newest rows of DATASET, or an overview of all."""
    chosen = dataset_named(dataset) if dataset else None
    with configured_warehouse() as engine, engine.connect() as connection:
        if chosen is None:
            console.print(summary(engine))
        else:
            if scope is not None:
                check_scope(connection, chosen, scope)
            found = reading.newest(connection, chosen, scope=scope, day=day, limit=limit)
            console.print(table_of(found))


@main.command("as-of")
@click.argument("dataset")
@click.argument("moment", callback=cli_times.moment)
@click.option("--limit", type=_ROWS, default=20, show_default=True, help="Most rows.")
@one_line_errors
def as_of(dataset: str, moment: datetime, limit: int) -> None:
    """Print what readers of DATASET saw at MOMENT (UTC unless it says otherwise)."""
    chosen = dataset_named(dataset)
    with configured_warehouse() as engine, engine.connect() as connection:
        console.print(table_of(reading.as_of(connection, chosen, moment, limit)))
