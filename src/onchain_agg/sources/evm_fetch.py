"""What is asked of a node for one range of blocks, and how a refused range is split."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain as concatenated
from itertools import islice
from typing import Any, Literal, TypeVar

import msgspec

from onchain_agg.errors import ForkError, SourceError
from onchain_agg.sources.evm_columns import number
from onchain_agg.sources.evm_json import (
    BLOCK,
    FRAMES,
    HEADER,
    LOGS,
    RECEIPT,
    RECEIPTS,
    TRACES,
    Block,
    Header,
    Log,
    Receipt,
)
from onchain_agg.sources.evm_logs import TRANSFER_TOPICS
from onchain_agg.sources.evm_native import Internals
from onchain_agg.sources.evm_traces import from_frames, from_traces
from onchain_agg.sources.nft_logs import nft_topics
from onchain_agg.sources.rpc import Answers, Call, Rpc, TooLargeError, UnsupportedError

Item = TypeVar("Item")
ReceiptCall = Literal["eth_getBlockReceipts", "eth_getTransactionReceipt"]
TraceCall = Literal["trace_block", "debug_traceBlockByHash"]

_TRACER = {"tracer": "callTracer"}


@dataclass(frozen=True)
class Ways:
    """The methods that a node offers; *traces* is None where internal transfers stay unknown."""

    receipts: ReceiptCall
    traces: TraceCall | None


@dataclass(frozen=True)
class Bodies:
    """Blocks in full with the receipts of each and what traces add, found by *traces*."""

    blocks: Sequence[Block]
    receipts: Sequence[Sequence[Receipt]]
    internals: Sequence[Internals | None]
    traces: TraceCall | None


@dataclass(frozen=True)
class Fetched:
    """One range as the node answered it; *parts* is above 1 where the node made us split it."""

    headers: Sequence[Header]
    logs: Sequence[Log]
    bodies: Bodies | None
    size: int
    parts: int


def fetch_logs(rpc: Rpc, first: int, last: int) -> Fetched:
    """Return the headers and the logs of transfers and trades of blocks *first* to *last*.

    Raises:
        ForkError: The chain was reorganised between the two questions.
    """
    about = _about(first, last)
    calls = [_block_call(height, full=False) for height in range(first, last + 1)]
    headers, header_parts = halving(lambda part: rpc.ask(part, HEADER, about), calls)

    def ask(heights: range) -> Answers[list[Log]]:
        wanted = {
            "fromBlock": hex(heights[0]),
            "toBlock": hex(heights[-1]),
            "topics": [(*TRANSFER_TOPICS, *nft_topics())],
        }
        return rpc.ask([("eth_getLogs", (wanted,))], LOGS, about)

    logs, log_parts = halving(ask, range(first, last + 1))
    # Blocks without transfers leave no trace of a reorganisation in the logs, so the newest
    # header is looked at again: it stands for all blocks below it.
    again = rpc.ask([_block_call(last, full=False)], HEADER, about).results[0]
    if again.hash != headers.results[-1].hash:
        raise ForkError(
            f"{about}: the chain was reorganised during the read. Read the range again."
        )
    found = list(concatenated.from_iterable(logs.results))
    size, parts = headers.size + logs.size, max(header_parts, log_parts)
    return Fetched(headers.results, found, None, size, parts)


def fetch_full(rpc: Rpc, first: int, last: int, ways: Ways) -> Fetched:
    """Return blocks *first* to *last* with their receipts and what traces add.

    Raises:
        ForkError: A receipt or trace belongs to another block than the one at its height.
    """
    about = _about(first, last)
    calls = [_block_call(height, full=True) for height in range(first, last + 1)]
    blocks, block_parts = halving(lambda part: rpc.ask(part, BLOCK, about), calls)
    receipts, receipt_parts = _receipts(rpc, blocks.results, ways.receipts, about)
    internals, trace_parts = _internals(rpc, blocks.results, ways.traces, about)
    for block, of_block in zip(blocks.results, receipts.results, strict=True):
        _check_receipts(block, of_block)
    return Fetched(
        headers=blocks.results,
        logs=[log for of_block in receipts.results for receipt in of_block for log in receipt.logs],
        bodies=Bodies(blocks.results, receipts.results, internals.results, ways.traces),
        size=blocks.size + receipts.size + internals.size,
        parts=max(block_parts, receipt_parts, trace_parts),
    )


def halving(ask: Callable[[Any], Answers[Any]], items: Sequence[Item]) -> tuple[Answers[Any], int]:
    """Return the answers for all *items*, halved while refused as too large, and the parts.

    Raises:
        TooLargeError: A single item is refused.
    """
    try:
        return ask(items), 1
    except TooLargeError:
        if len(items) == 1:
            raise
    middle = len(items) // 2
    left, left_parts = halving(ask, items[:middle])
    right, right_parts = halving(ask, items[middle:])
    both = Answers(left.results + right.results, left.size + right.size)
    return both, left_parts + right_parts


def ways_of(rpc: Rpc, tip: Header, traces: TraceCall | Literal["auto", "off"]) -> Ways:
    """Return the methods to use, tried out on the block *tip* where they are not given.

    A chain that is still at its genesis block cannot be tried out: nodes refuse to trace it.
    """
    if number(tip.number) == 0:
        return Ways("eth_getBlockReceipts", "debug_traceBlockByHash" if traces != "off" else None)
    receipts: ReceiptCall = "eth_getTransactionReceipt"
    if _offers(rpc, ("eth_getBlockReceipts", (tip.number,)), RECEIPTS):
        receipts = "eth_getBlockReceipts"
    if traces == "off":
        return Ways(receipts, None)
    if traces != "auto":
        return Ways(receipts, traces)
    if _offers(rpc, ("trace_block", (tip.number,)), TRACES):
        return Ways(receipts, "trace_block")
    if _offers(rpc, ("debug_traceBlockByHash", (tip.hash, _TRACER)), FRAMES):
        return Ways(receipts, "debug_traceBlockByHash")
    return Ways(receipts, None)


def _offers(rpc: Rpc, call: Call, decoder: msgspec.json.Decoder[Any]) -> bool:
    try:
        rpc.ask([call], decoder, "The newest block")
    except UnsupportedError:
        return False
    return True


def _block_call(height: int, *, full: bool) -> Call:
    return "eth_getBlockByNumber", (hex(height), full)


def _about(first: int, last: int) -> str:
    return f"Blocks {first}-{last}"


def _receipts(
    rpc: Rpc, blocks: Sequence[Block], method: ReceiptCall, about: str
) -> tuple[Answers[list[Receipt]], int]:
    """Return the receipts of each block; a block without transactions is not asked about."""
    if method == "eth_getBlockReceipts":
        asked = [block for block in blocks if block.transactions]
        calls: list[Call] = [(method, (block.number,)) for block in asked]
        answers, parts = halving(lambda part: rpc.ask(part, RECEIPTS, about), calls)
        found = iter(answers.results)
        results = [next(found) if block.transactions else [] for block in blocks]
        return Answers(results, answers.size), parts
    calls = [(method, (t.hash,)) for block in blocks for t in block.transactions]
    answers, parts = halving(lambda part: rpc.ask(part, RECEIPT, about), calls)
    found = iter(answers.results)
    results = [list(islice(found, len(block.transactions))) for block in blocks]
    return Answers(results, answers.size), parts


def _check_receipts(block: Block, receipts: Sequence[Receipt]) -> None:
    hashes = {receipt.block_hash for receipt in receipts} - {block.hash}
    if hashes:
        raise ForkError(
            f"A receipt of block {number(block.number)} belongs to {hashes.pop()}, not to "
            f"{block.hash}: the chain was reorganised during the read. Read the range again."
        )
    # A node may add receipts of its own after those of the block's transactions (Polygon's
    # state sync), but none may be missing or out of order.
    own = [receipt.transaction_hash for receipt in receipts[: len(block.transactions)]]
    if own != [transaction.hash for transaction in block.transactions]:
        raise SourceError(
            f"The receipts of block {number(block.number)} are not those of its transactions."
        )


def _internals(
    rpc: Rpc, blocks: Sequence[Block], method: TraceCall | None, about: str
) -> tuple[Answers[Internals | None], int]:
    if method is None:
        return Answers([None] * len(blocks), 0), 1
    traced = [block for block in blocks if _worth_tracing(block, method)]
    if method == "trace_block":
        calls: list[Call] = [(method, (block.number,)) for block in traced]
        answers, parts = halving(lambda part: rpc.ask(part, TRACES, about), calls)
        found = map(from_traces, traced, answers.results)
    else:
        calls = [(method, (block.hash, _TRACER)) for block in traced]
        answers, parts = halving(lambda part: rpc.ask(part, FRAMES, about), calls)
        found = map(from_frames, traced, answers.results)
    of_block = dict(zip((block.hash for block in traced), found, strict=True))
    nothing = Internals({}, (), frozenset())
    known: list[Internals | None] = [of_block.get(block.hash, nothing) for block in blocks]
    return Answers(known, answers.size), parts


def _worth_tracing(block: Block, method: TraceCall) -> bool:
    """Return whether traces add to the block: calls, or a miner's reward."""
    if number(block.number) == 0:
        return False  # nodes refuse to trace the genesis block
    return bool(block.transactions) or (method == "trace_block" and mined_by_work(block))


def mined_by_work(block: Header) -> bool:
    """Return whether the block may have paid its miner a reward."""
    return number(block.difficulty or "0x0") > 0
