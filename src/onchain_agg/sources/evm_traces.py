"""What calls inside transactions moved, from either of the two kinds of trace that nodes offer.

A call moves coins when it and every call around it succeeded. Delegate, static and code calls move
nothing, and the outermost call is the transaction's own value, so neither is listed.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from onchain_agg.errors import ForkError, SourceError
from onchain_agg.sources.evm_columns import number
from onchain_agg.sources.evm_json import Block, Frame, Trace, TracedTransaction
from onchain_agg.sources.evm_native import Internals, Move

_MOVING_FRAMES = ("CALL", "CREATE", "CREATE2")


@dataclass
class _Transaction:
    """What is known of one transaction while its calls are walked."""

    index: int
    cancun: bool
    moves: list[Move] = field(default_factory=list)
    created: set[str] = field(default_factory=set)

    def moved(self, sender: str | None, recipient: str | None, value: str | None) -> None:
        self.moves.append(Move(self.index, "internal", sender, recipient, number(value or "0x0")))

    def destroyed(self, contract: str | None, heir: str | None, value: str | None) -> None:
        to: str | None = heir
        if contract == heir:
            # Since Cancun only a contract of the same transaction dies, and its coins with it.
            if self.cancun and contract not in self.created:
                return
            to = None
        self.moves.append(Move(self.index, "selfdestruct", contract, to, number(value or "0x0")))


def from_traces(block: Block, traces: Sequence[Trace]) -> Internals:
    """Return what the entries of ``trace_block`` add to *block*.

    Raises:
        ForkError: A trace belongs to another block of that height.
        SourceError: A transaction of the block has no trace.
    """
    rewards: list[Move] = []
    of_transaction: dict[int, list[Trace]] = defaultdict(list)
    for trace in traces:
        if trace.block_hash != block.hash:
            raise ForkError(
                f"A trace of block {number(block.number)} belongs to {trace.block_hash}, not to "
                f"{block.hash}: the chain was reorganised during the read. Read the range again."
            )
        if trace.type == "reward":
            value = number(trace.action.value or "0x0")
            rewards.append(Move(None, "reward", None, trace.action.author, value))
        elif trace.transaction_position is not None:
            of_transaction[trace.transaction_position].append(trace)
    _check_complete(block, set(of_transaction))
    failed = {
        i for i, own in of_transaction.items() if any(t.error and not t.trace_address for t in own)
    }
    moves = {i: _trace_moves(i, own, cancun=_cancun(block)) for i, own in of_transaction.items()}
    return Internals(moves, rewards, frozenset(failed))


def _trace_moves(index: int, traces: Sequence[Trace], *, cancun: bool) -> list[Move]:
    transaction = _Transaction(index, cancun)
    failed: set[tuple[int, ...]] = set()
    for trace in traces:
        at = trace.trace_address
        if trace.error or at[:-1] in failed:  # an outer call is listed before its inner calls
            failed.add(at)
        else:
            _follow(transaction, trace)
    return transaction.moves


def _follow(transaction: _Transaction, trace: Trace) -> None:
    action, inner = trace.action, bool(trace.trace_address)
    if trace.type == "create":
        contract = trace.result.address if trace.result else None
        transaction.created.add(contract or "")
        if inner:
            transaction.moved(action.sender, contract, action.value)
    elif trace.type in ("suicide", "selfdestruct"):
        transaction.destroyed(action.address, action.refund_address, action.balance)
    elif inner and trace.type == "call" and action.call_type == "call":
        transaction.moved(action.sender, action.to, action.value)


def from_frames(block: Block, traced: Sequence[TracedTransaction]) -> Internals:
    """Return what the ``callTracer`` of ``debug_traceBlockByHash`` adds to *block*.

    Raises:
        SourceError: A transaction of the block has no trace.
    """
    _check_complete(block, set(range(len(traced))))
    moves: dict[int, list[Move]] = {}
    for i, entry in enumerate(traced):
        transaction = _Transaction(i, _cancun(block))
        for frame, inner in _succeeded(entry.result):
            _follow_frame(transaction, frame, inner=inner)
        moves[i] = transaction.moves
    failed = frozenset(i for i, entry in enumerate(traced) if entry.result.error)
    return Internals(moves, (), failed)


def _succeeded(root: Frame) -> Iterator[tuple[Frame, bool]]:
    """Yield the frames that took effect, outer before inner, and whether each is an inner one."""
    waiting = [(root, False)]  # a list, because calls nest deeper than Python's stack
    while waiting:
        frame, inner = waiting.pop()
        if frame.error:
            continue
        yield frame, inner
        waiting.extend((call, True) for call in reversed(frame.calls))


def _follow_frame(transaction: _Transaction, frame: Frame, *, inner: bool) -> None:
    if frame.type.startswith("CREATE"):
        transaction.created.add(frame.to or "")
    if frame.type == "SELFDESTRUCT":
        transaction.destroyed(frame.sender, frame.to, frame.value)
    elif inner and frame.type in _MOVING_FRAMES:
        transaction.moved(frame.sender, frame.to, frame.value)


def _check_complete(block: Block, traced: set[int]) -> None:
    missing = set(range(len(block.transactions))) - traced
    if missing:
        raise SourceError(
            f"The traces of block {number(block.number)} leave out transaction {min(missing)}. "
            "Point the connection at a node with traces of this block, or read without traces."
        )


def _cancun(block: Block) -> bool:
    return block.parent_beacon_block_root is not None
