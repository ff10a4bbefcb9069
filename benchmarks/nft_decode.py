"""Logs of NFT markets into trades, and of token standards into transfers: logs a CPU second.

The events are made, byte for byte as the contracts log them, each with the token transfers of its
transaction. A market's figure counts its own logs only, though its decoder also looks at the
transfers. A market without an entry in `TRANSACTIONS` is an error, so that none is left out.
"""
# ruff: noqa: INP001 - run from the repository, never installed.

import itertools
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from msgspec.structs import replace

from benchmarks.measuring import Result
from onchain_agg.sources.evm_columns import BlockColumns, block_columns
from onchain_agg.sources.evm_json import Header, Log
from onchain_agg.sources.evm_logs import token_tables
from onchain_agg.sources.nft_logs import nft_tables
from onchain_agg.sources.nft_markets import NftMarket, all_nft_markets
from tests.fakes import (
    blur_events,
    cryptopunks_events,
    looksrare_events,
    seaport_events,
    wyvern_events,
    x2y2_events,
)
from tests.fakes.nft_events import NATIVE, WETH, Event, erc20, erc721, erc1155, logs_of

LOGS_A_SECOND = 150_000
LOGS = 40_000
ROUNDS = 5
_MADE = 400  # transactions that are made, then repeated: to encode one takes long
_BLOCK = "0x" + 64 * "7"
_ALICE, _BOB, _FEES = "0x" + 40 * "a", "0x" + 40 * "b", "0x0000a26b00c1f0df003000390027140000faa719"
_APES = "0x" + 40 * "9"
_PRICE = 10**18 + 7

# What one transaction logs, by its number.
Transaction = Callable[[int], Sequence[Event]]


def _seaport(number: int) -> Sequence[Event]:
    """Return, of ten, six listings, two accepted offers, a bundle, and a matched offer."""
    ape = (2, _APES, number, 1)
    paid = [(0, NATIVE, 0, _PRICE, _ALICE), (0, NATIVE, 0, 25, _FEES), (0, NATIVE, 0, 50, _APES)]
    fee, wanted = (1, WETH, 0, 25, _FEES), (*ape, _ALICE)
    offered = [(1, WETH, 0, _PRICE)]
    moved = erc721(_APES, _ALICE, _BOB, number)
    make = seaport_events.fulfilled
    kind = number % 10
    if kind < 6:
        return [moved, make(_ALICE, _BOB, [ape], paid, number=number)]
    if kind < 8:
        return [moved, make(_ALICE, _BOB, offered, [wanted, fee], number=number)]
    if kind == 8:
        bundle = [(2, _APES, number + more, 1) for more in range(3)]
        return [moved, make(_ALICE, _BOB, bundle, paid, number=number)]
    seller = make(_BOB, _BOB, [ape], [], number=2 * number)
    buyer = make(_ALICE, _BOB, offered, [wanted, fee], number=2 * number + 1)
    return [buyer, seller, seaport_events.matched(2 * number + 1, 2 * number), moved]


def _blur(number: int) -> Sequence[Event]:
    token = (_APES, number)
    moved = erc721(_APES, _ALICE, _BOB, number)
    if number % 2:
        return [moved, blur_events.packed(_ALICE, token, _PRICE, is_bid=False)]
    sell = blur_events.order(_ALICE, token, _PRICE, side=1)
    return [moved, blur_events.matched(sell, blur_events.order(_BOB, token, _PRICE), _ALICE, _BOB)]


def _looksrare(number: int) -> Sequence[Event]:
    moved = erc721(_APES, _ALICE, _BOB, number)
    if number % 2:
        parts, bought = (_PRICE - 70, 50, 20), (_APES, [number])
        taken = looksrare_events.taken_2("TakerBid", _BOB, _BOB, bought, parts=parts)
        return [moved, taken]
    token = (_APES, number)
    payments = looksrare_events.payments_1(_BOB, token, _ALICE, (20, 50, _PRICE - 70))
    taken = looksrare_events.taken_1("TakerBid", _BOB, _ALICE, token, _PRICE)
    return [*payments, moved, taken]


def _wyvern(number: int) -> Sequence[Event]:
    """Return, of four, three listings and an accepted offer."""
    moved = erc721(_APES, _ALICE, _BOB, number)
    if number % 4:
        return [moved, wyvern_events.matched(_ALICE, _BOB, _PRICE)]
    paid = erc20(WETH, _BOB, _ALICE, _PRICE)
    return [paid, moved, wyvern_events.matched(_BOB, _ALICE, _PRICE)]


def _x2y2(number: int) -> Sequence[Event]:
    """Return, of ten, eight sales without and one with a royalty, and a bundle."""
    kind = number % 10
    fees = [(5_000, x2y2_events.FEE_MANAGEMENT), (50_000, _FEES)][: 1 + (kind == 1)]
    tokens = [(_APES, number + more) for more in range(1 + 2 * (kind == 0))]
    sold = x2y2_events.inventory((_ALICE, _BOB), tokens, _PRICE, fees=fees)
    return [erc721(_APES, _ALICE, _BOB, number), sold]


def _cryptopunks(number: int) -> Sequence[Event]:
    """Return, of four, two sales, a bid and an accepted one."""
    moved = cryptopunks_events.moved(_ALICE, _BOB)
    if number % 4 == 0:
        return [cryptopunks_events.bid(number, _PRICE, _BOB)]
    if number % 4 == 1:
        return [moved, cryptopunks_events.bought(number, 0, _ALICE, NATIVE)]
    return [moved, cryptopunks_events.bought(number, _PRICE, _ALICE, _BOB)]


def _transfers(number: int) -> Sequence[Event]:
    return [
        erc20(WETH, _ALICE, _BOB, _PRICE),
        erc721(_APES, _ALICE, _BOB, number),
        erc1155(_APES, _ALICE, _BOB, number, 3),
    ]


# By market.
TRANSACTIONS: Mapping[str, Transaction] = {
    "blur": _blur,
    "cryptopunks": _cryptopunks,
    "looksrare": _looksrare,
    "seaport": _seaport,
    "wyvern": _wyvern,
    "x2y2": _x2y2,
}


def results() -> Iterator[Result]:
    """Yield the figure of every market, of token transfers, and of whole tables of both."""
    for name, market in all_nft_markets().items():
        yield _market(market, _logs(TRANSACTIONS[name]))
    blocks = _blocks()
    transfers = _logs(_transfers)
    seconds = _seconds(lambda: token_tables(transfers, blocks))
    yield _result("token transfers into chain.token_transfer", len(transfers), seconds)
    everything = [log for make in TRANSACTIONS.values() for log in _logs(make, LOGS // 6)]
    seconds = _seconds(lambda: (nft_tables(everything, blocks), token_tables(everything, blocks)))
    own = f"all markets and transfers into tables, {len(everything):,} logs"
    yield Result(own, "", f"{len(everything) / seconds:,.0f} logs/s a core")


def _market(market: NftMarket, logs: Sequence[Log]) -> Result:
    own = [i for i, log in enumerate(logs) if log.topics[0] in market.topics]
    decoded = market.decode(logs, own)
    if decoded.malformed:
        raise RuntimeError(f"{market.name}: {decoded.malformed[0].reason}.")
    seconds = _seconds(lambda: market.decode(logs, own))
    return _result(f"{market.name} into trades", len(own), seconds)


def _result(what: str, logs: int, seconds: float) -> Result:
    speed = logs / seconds
    return Result(
        f"NFT: {what}, {logs:,} logs",
        f"at least {LOGS_A_SECOND // 1000}k logs/s a core",
        f"{speed / 1000:,.0f}k logs/s a core",
        met=speed >= LOGS_A_SECOND,
    )


def _seconds(run: Callable[[], object]) -> float:
    """Return the median of the CPU seconds of *run*."""
    spent = []
    for _ in range(ROUNDS):
        before = time.process_time()
        run()
        spent.append(time.process_time() - before)
    return statistics.median(spent)


def _logs(make: Transaction, count: int = LOGS) -> list[Log]:
    """Return *count* logs or a few more, in whole transactions."""
    made = [logs_of(make(number), block_hash=_BLOCK) for number in range(1, _MADE + 1)]
    logs: list[Log] = []
    for number, members in enumerate(itertools.cycle(made)):
        if len(logs) >= count:
            return logs
        here = {"transaction_hash": f"0x{number:064x}", "transaction_index": hex(number)}
        first = len(logs)
        logs += [replace(log, log_index=hex(first + k), **here) for k, log in enumerate(members)]
    raise RuntimeError("The cycle of transactions ended.")


def _blocks() -> BlockColumns:
    header = Header(
        number="0x7",
        hash=_BLOCK,
        parent_hash="0x" + 64 * "6",
        timestamp=hex(1_600_000_007),
        size="0x1",
        gas_used="0x0",
        miner=_ALICE,
        transactions=[],
    )
    return block_columns([header], 7)
