"""An EVM chain behind JSON-RPC nodes, as batches of typed columns.

Two contents: ``full`` reads blocks, transactions, receipts and traces; ``logs`` reads headers and
token transfers only, which is all that a chain without published native balances needs.
"""

from collections import deque
from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from onchain_agg.chains.definition import EvmChain
from onchain_agg.errors import ForkError, NodeBehindError, WrongChainError
from onchain_agg.sources.batch import Batch, BlockRef
from onchain_agg.sources.evm_columns import from_hex, number
from onchain_agg.sources.evm_fetch import TraceCall, Ways, fetch_full, fetch_logs, ways_of
from onchain_agg.sources.evm_json import HEADER, TEXT, Header
from onchain_agg.sources.evm_tables import tables_of
from onchain_agg.sources.rpc import RefusedError, Rpc

Content = Literal["full", "logs"]
Traces = TraceCall | Literal["auto", "off"]


# Three ranges are under way while the reader works on a fourth, so that the node, the decoding and
# the reader overlap. Memory holds about that many answers of the target size.
_AHEAD = 3
_TARGET_BYTES = 4_000_000
_FIRST_BLOCKS = 16
_MOST_BLOCKS = 1_000


class EvmSource:
    """Reads one chain; implements `BlockSource`."""

    def __init__(
        self,
        chain: EvmChain,
        endpoints: Sequence[str] | Rpc,
        *,
        genesis_alloc: Mapping[bytes, int] | None = None,
        traces: Traces = "auto",
        content: Content = "full",
    ) -> None:
        """Take the nodes of *chain* in order of preference; nothing is asked yet.

        Args:
            chain: The chain that every endpoint must serve.
            endpoints: Their URLs, or a client with limits of its own.
            genesis_alloc: Wei by address in block 0. Without it block 0 counts as untraced.
            traces: How internal transfers are found; ``auto`` tries out what the node offers.
            content: ``full``, or ``logs`` for headers and token transfers only.

        Raises:
            ConfigError: No endpoint, or one that is not a URL.
        """
        self.chain = chain
        self._rpc = endpoints if isinstance(endpoints, Rpc) else Rpc(endpoints)
        self._genesis_alloc = genesis_alloc
        self._traces: Traces = traces
        self._content = content
        self._checked = False
        self._ways: Ways | None = None

    def check_chain(self) -> None:
        """Compare every endpoint's chain id with the chain's; go on without the unreachable ones.

        Raises:
            WrongChainError: An endpoint serves another chain.
            SourceError: No endpoint answers.
        """
        self._rpc = self._rpc.answering(self._check_endpoint)
        self._checked = True

    def _check_endpoint(self, one: Rpc) -> None:
        served = number(one.ask([("eth_chainId", ())], TEXT, self.chain.name).results[0])
        if served != self.chain.chain_id:
            raise WrongChainError(
                f"Connection {self.chain.conn_id!r} serves chain id {served}, but "
                f"{self.chain.name} is {self.chain.chain_id}. Point the connection at a "
                f"{self.chain.name} node."
            )

    def first_height(self) -> int:
        """Return 0; a node without old history says so when it is read."""
        return 0

    def tip(self) -> BlockRef:
        """Return the node's newest block."""
        return _reference(self._header("latest"))

    def final_height(self) -> int:
        """Return the node's finalised height, or the tip less the chain's confirmations (or -1).

        Never above the tip.
        """
        tip = number(self._header("latest").number)
        try:
            return min(number(self._header("finalized").number), tip)
        except RefusedError:  # the node does not know the tag; an unreachable node is an error
            return max(tip - self.chain.confirmations, -1)

    def block_at(self, height: int) -> BlockRef:
        """Return the canonical block at *height*.

        Raises:
            NodeBehindError: The node has not reached it.
            SourceError: The node has no such block any more, or did not answer.
        """
        try:
            return _reference(self._header(hex(height)))
        except RefusedError:
            self._require(height)
            raise

    def read(self, first: int, last: int) -> Iterator[Batch]:
        """Yield batches that cover blocks *first* to *last*, both included, in order.

        Raises:
            WrongChainError: An endpoint serves another chain.
            ForkError: The chain was reorganised during the read.
            NodeBehindError: The node does not reach *last*.
            SourceError: No endpoint answered, or they keep no such history.
        """
        if last < first:
            return
        if not self._checked:
            self.check_chain()
        self._require(last)
        parent: str | None = None
        with closing(self._pieces(first, last)) as pieces:
            for piece in pieces:
                if parent not in (None, piece.parent):
                    raise ForkError(
                        f"{self.chain.name}: block {piece.batch.first} does not follow the block "
                        "before it: the chain was reorganised during the read. Read the range "
                        "again."
                    )
                parent = piece.tip
                yield piece.batch

    def _header(self, which: str) -> Header:
        about = f"{self.chain.name} block {which}"
        header: Header = self._rpc.ask(
            [("eth_getBlockByNumber", (which, False))], HEADER, about
        ).results[0]
        return header

    def _require(self, height: int) -> None:
        tip = number(self._header("latest").number)
        if height > tip:
            raise NodeBehindError(
                f"{self.chain.name}: the node at {self._rpc.shown} is at block {tip}, but block "
                f"{height} was asked for. Wait until it has synchronised, or ask for less."
            )

    def _pieces(self, first: int, last: int) -> Generator["_Piece", None, None]:
        ways = self._ways_now()
        waiting: deque[Future[_Piece]] = deque()
        pace, at = _Pace(), first
        workers = ThreadPoolExecutor(_AHEAD, thread_name_prefix=f"{self.chain.name}-read")
        try:
            while at <= last or waiting:
                piece = waiting.popleft().result() if waiting else None
                pace = pace.after(piece) if piece else pace
                while at <= last and len(waiting) < _AHEAD:
                    upto = min(at + pace.blocks - 1, last)
                    waiting.append(workers.submit(self._piece, at, upto, ways))
                    at = upto + 1
                if piece:
                    yield piece
        finally:
            workers.shutdown(wait=False, cancel_futures=True)

    def _ways_now(self) -> Ways | None:
        """Return the methods for full blocks, or None where only logs are read."""
        if self._content == "logs":
            return None
        if self._ways is not None:
            return self._ways
        tip = self._header("latest")
        ways = ways_of(self._rpc, tip, self._traces)
        if number(tip.number):  # the genesis block tells too little to rely on
            self._ways = ways
        return ways

    def _piece(self, first: int, last: int, ways: Ways | None) -> "_Piece":
        if ways is None:
            fetched = fetch_logs(self._rpc, first, last)
        else:
            fetched = fetch_full(self._rpc, first, last, ways)
        tables = tables_of(fetched, first, self._genesis_alloc)
        return _Piece(
            batch=Batch(self.chain.name, first, last, tables),
            parent=fetched.headers[0].parent_hash,
            tip=fetched.headers[-1].hash,
            size=fetched.size,
            parts=fetched.parts,
        )


@dataclass(frozen=True)
class _Piece:
    """A batch, with what it takes to link it to the next and to choose the next one's size."""

    batch: Batch
    parent: str
    tip: str
    size: int
    parts: int


@dataclass(frozen=True)
class _Pace:
    """How many blocks to ask for next, so that an answer is about `_TARGET_BYTES`."""

    blocks: int = _FIRST_BLOCKS
    ceiling: int = _MOST_BLOCKS

    def after(self, piece: _Piece) -> "_Pace":
        count = piece.batch.last - piece.batch.first + 1
        # What the node refused is not asked for again in this read.
        ceiling = self.ceiling if piece.parts == 1 else max(1, count // piece.parts)
        fitting = count * _TARGET_BYTES // max(piece.size, 1)
        return _Pace(max(1, min(fitting, 4 * count, ceiling)), min(ceiling, self.ceiling))


def _reference(header: Header) -> BlockRef:
    return BlockRef(
        height=number(header.number),
        block_hash=from_hex([header.hash], 32).tobytes(),
        parent_hash=from_hex([header.parent_hash], 32).tobytes(),
        header_at=datetime.fromtimestamp(number(header.timestamp), UTC),
    )
