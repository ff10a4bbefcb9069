"""EVM transfers from a live anvil into PostgreSQL, with and without balances.

Loading is compared with only fetching the answers to the same requests, one after the other and
two at once, and its CPU time, per log, with web3.py's ``get_logs`` and ``process_log``. The
second part adds balances, for few and for many holders.
"""
# ruff: noqa: INP001 - run from the repository, never installed.

from collections.abc import Callable, Iterator

from sqlalchemy import Engine, text

from benchmarks.evm_fetch import BuiltChain, built_chain, bytes_only, recorded, source, web3_logs
from benchmarks.measuring import (
    Result,
    Server,
    Spent,
    interleaved,
    median,
    peak_megabytes,
    running_server,
    track,
)
from onchain_agg.chains import chain_named
from onchain_agg.warehouse import ingest
from onchain_agg.warehouse.apply import apply_blocks
from onchain_agg.warehouse.engine import engine_for

BLOCKS = 500
ROUNDS = 3
HOLDERS = (2_000, 50_000)
EVENTS_A_SECOND = 60_000
AT_MOST_FETCHING = 2.0
LESS_CPU_THAN_WEB3 = 40.0
MOST_GROWTH = 1.25
_CHAIN = chain_named("anvil")


def results() -> Iterator[Result]:
    """Yield the figures of loading, and of loading and applying for each number of holders."""
    with running_server() as server:
        for holders in HOLDERS:
            with built_chain(BLOCKS, holders) as chain:
                if holders == HOLDERS[0]:
                    yield from _loading(server, chain)
                    yield _memory(server, chain)
                yield _with_balances(server, chain, holders)


def _loading(server: Server, chain: BuiltChain) -> Iterator[Result]:
    bodies = recorded(chain)
    web3_count = web3_logs(chain)
    spent = interleaved(
        {
            "one": lambda: server.measure(lambda: bytes_only(chain, bodies, 1)),
            "two": lambda: server.measure(lambda: bytes_only(chain, bodies, 2)),
            "load": lambda: _loaded(server, chain),
            "web3": lambda: server.measure(lambda: web3_logs(chain)),
        },
        ROUNDS,
    )
    one, two, load, web3 = (median(spent[name]) for name in ("one", "two", "load", "web3"))
    ratio = load.wall / one.wall
    yield Result(
        f"EVM: {chain.transfers:,} transfer logs into chain.token_transfer",
        f"at most {AT_MOST_FETCHING:.0f} x only fetching the bytes, one request after the other",
        f"{ratio:.2f} x ({load.wall:.2f} s; bytes {one.wall:.2f} s, or {two.wall:.2f} s by two"
        f" requests at once: {load.wall / two.wall:.2f} x)",
        met=ratio <= AT_MOST_FETCHING,
    )
    ours, theirs = load.client / chain.transfers, web3.client / web3_count
    yield Result(
        "EVM: CPU of this process a log, web3.py on a slice",
        f"at least {LESS_CPU_THAN_WEB3:.0f} x less than web3.py",
        f"{theirs / ours:.0f} x less ({ours * 1e6:.1f} and {theirs * 1e6:.0f} us; PostgreSQL adds"
        f" {load.server / chain.transfers * 1e6:.1f} us)",
        met=theirs / ours >= LESS_CPU_THAN_WEB3,
    )


def _with_balances(server: Server, chain: BuiltChain, holders: int) -> Result:
    whole = interleaved({"all": lambda: _loaded(server, chain, _apply)}, ROUNDS)
    spent = median(whole["all"])
    speed = chain.transfers / spent.wall
    return Result(
        f"EVM: transfers end to end with balances, {holders:,} holders",
        f"at least {EVENTS_A_SECOND // 1000}k events/s",
        f"{speed / 1000:.0f}k events/s ({spent.wall:.2f} s; CPU: client {spent.client:.2f} s,"
        f" PostgreSQL {spent.server:.2f} s)",
        met=speed >= EVENTS_A_SECOND,
    )


def _memory(server: Server, chain: BuiltChain) -> Result:
    """Return how the peak of a process that loads and applies grows with its range."""
    peaks = []
    for blocks in (BLOCKS // 10, BLOCKS):
        with server.fresh() as engine:
            with engine.begin() as connection:
                track(connection, _CHAIN.name, chain.coins)
            url = engine.url.render_as_string(hide_password=False)
            last = chain.first + blocks - 1
            peaks.append(peak_megabytes(load_and_apply, url, chain.url, chain.first, last))
    growth = peaks[1] / peaks[0]
    return Result(
        f"EVM: peak memory for {BLOCKS} blocks over {BLOCKS // 10}",
        f"the batch bounds it: at most {MOST_GROWTH} x",
        f"{growth:.2f} x ({peaks[0]:.0f} and {peaks[1]:.0f} MB)",
        met=growth <= MOST_GROWTH,
    )


def load_and_apply(url: str, node: str, first: int, last: int) -> None:
    """Load blocks *first* to *last* of *node* into the database and apply them."""
    engine = engine_for(url)
    ingest.load(engine, _CHAIN, source(node, "logs"), first, last)
    _apply(engine)
    engine.dispose()


def _loaded(
    server: Server, chain: BuiltChain, then: Callable[[Engine], object] | None = None
) -> Spent:
    """Return what loading the chain into a fresh database took, and *then* whatever follows."""

    def run() -> None:
        ingest.load(engine, _CHAIN, source(chain.url, "logs"), chain.first, chain.last)
        if then is not None:
            then(engine)

    with server.fresh() as engine:
        with engine.begin() as connection:
            track(connection, _CHAIN.name, chain.coins)
        spent = server.measure(run)
        with engine.connect() as connection:
            _check(connection.scalar(text("SELECT count(*) FROM chain.token_transfer")), chain)
    return spent


def _apply(engine: Engine) -> None:
    applied = apply_blocks(engine, _CHAIN, final_height=-1)
    if applied.waiting:
        raise RuntimeError(f"{applied.waiting} blocks were not applied.")


def _check(rows: int | None, chain: BuiltChain) -> None:
    if rows != chain.transfers:
        raise RuntimeError(f"{rows} transfers were loaded, not {chain.transfers}.")
