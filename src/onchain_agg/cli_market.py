"""``onchain-agg market`` and ``onchain-agg tokens``: facts of exchanges, files and contracts."""

import math
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from onchain_agg import cli_times
from onchain_agg.chains import EvmChain, chain_named
from onchain_agg.command_errors import one_line_errors
from onchain_agg.errors import ConfigError, UnknownNameError
from onchain_agg.markets import Venue, all_venues, venue_named
from onchain_agg.settings import configured_warehouse, extra_assets, load_settings
from onchain_agg.sources.masking import is_base_url

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from onchain_agg.sources.token_metadata import Declared
    from onchain_agg.warehouse.market_pulls import Pulled, Reading

_KINDS = ("trades", "candles", "funding")
_FACTS = ("trades", "candles", "funding", "fx", "prices", "assets")


def _pairs(
    _context: click.Context, parameter: click.Parameter, values: tuple[str, ...]
) -> dict[str, str]:
    found: dict[str, str] = {}
    for value in values:
        left, sign, right = value.partition("=")
        if not sign or not left or not right:
            raise click.BadParameter(f"{value!r} is not {parameter.metavar}.")
        if left in found:
            raise click.BadParameter(f"{left!r} comes twice.")
        found[left] = right
    return found


def _base_url(
    _context: click.Context, _parameter: click.Parameter, value: str | None
) -> str | None:
    if value is not None and not is_base_url(value):
        # It may hold a key, so it is not repeated.
        raise click.BadParameter(
            "it is not an http:// or https:// URL without a query. Write it as "
            "https://host:port/path."
        )
    return value


def _rate(
    _context: click.Context, _parameter: click.Parameter, value: float | None
) -> float | None:
    # Infinity and what is no number are floats too.
    if value is not None and not 0 < value < math.inf:
        raise click.BadParameter(f"{value:g} is not a number above 0. Leave it out, or correct it.")
    return value


@click.group("market")
def market_commands() -> None:
    """Prices, trades and rates: pull them from exchanges, or import files."""


@market_commands.command("pull")
@click.argument("venue", required=False)
@click.option("--kind", type=click.Choice(_KINDS), help="Only trades, candles or funding.")
@click.option("--market", help="Only this market of VENUE, such as BTC/USD.")
@click.option(
    "--since", callback=cli_times.moment, help="Begin at this time (UTC unless it says so)."
)
@click.option("--pages", type=click.IntRange(1), help="Most answers to ask for a market.")
@click.option(
    "--url", callback=_base_url, help="Ask here, in place of the exchange's own scheme and host."
)
@click.option(
    "--calls-per-second", type=float, callback=_rate, help="Requests of the lightest kind."
)
@one_line_errors
def pull(
    venue: str | None,
    kind: str | None,
    market: str | None,
    since: datetime | None,
    pages: int | None,
    url: str | None,
    calls_per_second: float | None,
) -> None:
    """Bring the markets of VENUE, or of every venue, up to date, from where the last pull ended."""
    # The other commands must not wait for the libraries of exchanges.
    from onchain_agg.sources.market import ExchangeAccess  # noqa: PLC0415
    from onchain_agg.warehouse.market_pulls import Reading  # noqa: PLC0415 - as above

    venues = [venue_named(venue)] if venue else list(all_venues().values())
    if market is not None and venue is None:
        raise ConfigError("A market belongs to a venue. Name the venue too.")
    reading = Reading(since=since)
    if pages is not None:
        reading = replace(reading, most_pages=pages)
    with configured_warehouse() as engine:
        for one in venues:
            access = ExchangeAccess(
                exchange=one.exchange, url=url, calls_per_second=calls_per_second
            )
            _pull_venue(engine, one, access, list(_wanted(one, kind, market)), reading)


def _wanted(venue: Venue, kind: str | None, market: str | None) -> Iterator[tuple[str, ...]]:
    """Yield kind, market and (of candles) span of what is pulled."""
    known = [
        *(("trades", name) for name in venue.trades),
        *(("candles", *pair) for pair in venue.candles),
        *(("funding", name) for name in venue.funding),
    ]
    found = [k for k in known if kind in (None, k[0]) and market in (None, k[1])]
    if not found and market is not None:
        raise UnknownNameError(f"market of {venue.name}", market, {k[1] for k in known})
    yield from found


def _pull_venue(
    engine: "Engine",
    venue: Venue,
    access: Any,
    wanted: list[tuple[str, ...]],
    reading: "Reading",
) -> None:
    from onchain_agg.sources.market import exchange_errors, open_exchange  # noqa: PLC0415 - as above
    from onchain_agg.sources.masking import keys_in, scrubbed  # noqa: PLC0415 - as above
    from onchain_agg.warehouse import market_pulls  # noqa: PLC0415 - as above

    pulls: dict[str, Any] = {
        "trades": market_pulls.pull_trades,
        "candles": market_pulls.pull_candles,
        "funding": market_pulls.pull_funding,
    }
    secrets = keys_in(access.url) if access.url else ()
    client = open_exchange(access)
    try:
        with exchange_errors(f"Exchange {venue.name}", lambda text: scrubbed(text, secrets)):
            for kind, *what in wanted:
                done = pulls[kind](engine, client, venue, *what, reading=reading)
                click.echo(f"{venue.name} {kind} {' '.join(what)}: {_told(done)}")
    finally:
        client.session.close()


def _told(done: "Pulled") -> str:
    if done.first_at is None:
        return "nothing new."
    return (
        f"{done.inserted:,} added, {done.corrected:,} corrected, on {len(done.days):,} days; read "
        f"from {done.first_at:%Y-%m-%d %H:%M:%S} to {done.last_at:%Y-%m-%d %H:%M:%S} UTC."
    )


@market_commands.command("import")
@click.argument("fact", type=click.Choice(_FACTS))
@click.argument("file", type=Path)
@click.option("--venue", help="Whose trades, candles or funding rates they are.")
@click.option("--source", help="Who told the rates, prices or facts of assets.")
@click.option(
    "--map",
    "columns",
    metavar="THEIRS=OURS",
    multiple=True,
    callback=_pairs,
    help="A column of FILE by our name; may be repeated.",
)
@click.option(
    "--set",
    "constants",
    metavar="OURS=TEXT",
    multiple=True,
    callback=_pairs,
    help="One value for all rows, such as market=BTC/USD; may be repeated.",
)
@click.option("--ignore", multiple=True, help="A column of FILE not to read; may be repeated.")
@click.option(
    "--time-unit",
    type=click.Choice(["s", "ms", "us", "ns"]),
    help="What times count since 1970; without it they are ISO 8601 with an offset.",
)
@one_line_errors
def import_facts(  # noqa: PLR0913 - click passes each option by its name
    *,
    fact: str,
    file: Path,
    venue: str | None,
    source: str | None,
    columns: dict[str, str],
    constants: dict[str, str],
    ignore: tuple[str, ...],
    time_unit: str | None,
) -> None:
    """Believe the facts in FILE, a .csv or .parquet; nothing is written where a row is wrong."""
    from onchain_agg.sources.table_files import FileForm  # noqa: PLC0415 - as above
    from onchain_agg.warehouse.file_imports import (  # noqa: PLC0415 - as above
        import_file,
        with_constant,
    )

    form = FileForm(columns=columns, constants=constants, ignored=ignore, time_unit=time_unit)
    form = with_constant(with_constant(form, "venue", venue), "source", source)
    with configured_warehouse() as engine:
        done = import_file(engine, fact, file, form)
    click.echo(
        f"{file}: {done.rows:,} rows; {done.inserted:,} {fact} added, {done.corrected:,} corrected,"
        f" on {len(done.days):,} days."
    )


@click.group("tokens")
def token_commands() -> None:
    """Tokens, and whether what their contracts tell can be relied on."""


@token_commands.command("check")
@click.argument("chain")
@click.option("--rpc", multiple=True, required=True, help="URL of a node; may be repeated.")
@click.option("--list", "file", type=Path, help="A token list in JSON, besides the tracked ones.")
@one_line_errors
def check_tokens(chain: str, rpc: tuple[str, ...], file: Path | None) -> None:
    """Compare the tokens of CHAIN with their contracts; put doubtful ones into quarantine.

    The tracked ones are checked, and those of a list. What is in quarantine is not tracked; a
    token that is found to be in order leaves it.
    """
    from onchain_agg.metrics.definitions import sync  # noqa: PLC0415 - as above
    from onchain_agg.sources.evm import EvmSource  # noqa: PLC0415 - as above
    from onchain_agg.sources.rpc import Rpc  # noqa: PLC0415 - as above
    from onchain_agg.sources.token_metadata import read_token_list  # noqa: PLC0415 - as above
    from onchain_agg.warehouse.token_checks import check  # noqa: PLC0415 - as above

    definition = chain_named(chain)
    if not isinstance(definition, EvmChain):
        raise ConfigError(f"{chain} has no tokens. Name an EVM chain.")
    listed = read_token_list(file, definition.chain_id) if file else []
    client = Rpc(list(rpc))
    EvmSource(definition, client).check_chain()
    extra = extra_assets(load_settings())
    declared = [*_tracked(definition, extra), *listed]
    with configured_warehouse() as engine:
        found = check(engine, definition.name, client, declared)
        for one in found:
            click.echo(f"{one.symbol} 0x{one.address.hex()}: {one.reason}.")
        for change in sync(engine, extra):
            click.echo(f"  {change}")
    click.echo(f"{chain}: {len(declared):,} tokens checked, {len(found):,} in quarantine.")


def _tracked(chain: EvmChain, extra: Any) -> list["Declared"]:
    from onchain_agg.sources.token_metadata import Declared  # noqa: PLC0415 - as above

    assets = [*chain.tracked_assets, *extra.get(chain.name, ())]
    return [Declared(a.address, a.symbol, a.decimals) for a in assets if a.address is not None]
