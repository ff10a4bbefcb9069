"""Reads Bitcoin-family blocks from a node's block files or from the node itself.

Knows neither SQL nor Airflow. Both sources yield the same batches for the same blocks.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

import msgspec

from onchain_agg.chains import UtxoChain
from onchain_agg.errors import NodeBehindError, SourceError, WrongChainError
from onchain_agg.sources.batch import Batch, BlockRef
from onchain_agg.sources.bitcoin_batches import (
    BATCH_BYTES,
    EARLIER_TIMES,
    Before,
    batches,
    check_link,
)
from onchain_agg.sources.bitcoin_parse import (
    HEADER_BYTES,
    Header,
    ParsedBlock,
    parse_block,
    parse_header,
)
from onchain_agg.sources.block_index import BlockIndex, index_blocks
from onchain_agg.sources.rpc import RefusedError, Rpc, TooLargeError, decoder_of

# Before any block's size is known; the next requests follow the sizes seen.
_FIRST_REQUEST_BLOCKS = 4
_LARGEST_REQUEST_BLOCKS = 100

_TEXT = decoder_of(str)


class _ChainInfo(msgspec.Struct):
    """What ``getblockchaininfo`` tells; a pruned node has no block below *pruneheight*."""

    blocks: int
    bestblockhash: str
    pruned: bool = False
    pruneheight: int = 0


_CHAIN_INFO = decoder_of(_ChainInfo)


class BlockFileSource:
    """Reads one chain's block files; implements `BlockSource`.

    The files are indexed once, at first use: make a new source to see blocks that came later.
    """

    def __init__(self, chain: UtxoChain, path: Path) -> None:
        """Take a block file of *chain*, or the directory of them; nothing is read yet."""
        self.chain = chain
        self.path = path

    @cached_property
    def _index(self) -> BlockIndex:
        return index_blocks(self.chain, self.path)

    def check_chain(self) -> None:
        """Index the files.

        Raises:
            ConfigError: There is no block file.
            WrongChainError: A file belongs to another network.
            SourceError: A file is damaged, or the blocks do not connect to the genesis block.
        """
        self._index  # noqa: B018 - the index is made by being asked for

    def first_height(self) -> int:
        """Return 0: files that do not reach down to the genesis block are refused."""
        return 0

    def tip(self) -> BlockRef:
        """Return the highest block of the branch with the most work."""
        return self.block_at(len(self._index) - 1)

    def final_height(self) -> int:
        """Return the highest block that the chain's confirmations lie on; -1 where none does."""
        return max(len(self._index) - 1 - self.chain.confirmations, -1)

    def block_at(self, height: int) -> BlockRef:
        """Return the block at *height* of the branch with the most work.

        Raises:
            NodeBehindError: The files do not reach *height*.
        """
        self._check_reach(height)
        return _block_ref(height, self._index.header(height))

    def read(self, first: int, last: int) -> Iterator[Batch]:
        """Yield the facts of blocks *first* to *last* in batches of about 8 MB of blocks.

        Raises:
            NodeBehindError: The files do not reach *last*.
            SourceError: A block is damaged.
        """
        self._check_reach(last)
        headers = [self._index.header(height) for height in _earlier_heights(first)]
        before = _before(self.chain, first, headers)
        yield from batches(self.chain.name, first, before, self._blocks(first, last))

    def _check_reach(self, height: int) -> None:
        if height < len(self._index):
            return
        detached = self._index.detached
        gap = f" ({detached} more do not connect: a file is missing)" if detached else ""
        raise NodeBehindError(
            f"{self.path} reaches block {len(self._index) - 1} of {self.chain.name}{gap}, not "
            f"{height}. Add the later blk*.dat files."
        )

    def _blocks(self, first: int, last: int) -> Iterator[ParsedBlock]:
        index = self._index
        for height in range(first, last + 1):
            file, offset = index.files[index.file_numbers[height]], index.offsets[height]
            block = parse_block(index.raw_block(height), f"Block {height} in {file} at {offset}")
            if block.header != index.header(height):
                raise SourceError(
                    f"{file} changed during the read: another block lies at {offset}. Read again."
                )
            yield block


class BitcoinRpcSource:
    """Reads one chain from its nodes; implements `BlockSource`."""

    def __init__(self, chain: UtxoChain, endpoints: Sequence[str] | Rpc) -> None:
        """Take the nodes of *chain* in order of preference; nothing is asked yet.

        Args:
            chain: The chain that every endpoint must serve.
            endpoints: Their URLs, with user and password, or a client with limits of its own.

        Raises:
            ConfigError: No endpoint, or one that is not a URL.
        """
        self.chain = chain
        self._rpc = endpoints if isinstance(endpoints, Rpc) else Rpc(endpoints)

    def check_chain(self) -> None:
        """Compare every node's block 0 with the chain's; go on without the unreachable ones.

        Raises:
            WrongChainError: An endpoint serves another chain.
            SourceError: No endpoint answers.
        """
        self._rpc = self._rpc.answering(self._check_endpoint)

    def _check_endpoint(self, one: Rpc) -> None:
        served = one.ask([("getblockhash", (0,))], _TEXT, self.chain.name).results[0]
        if served != self.chain.genesis_hash:
            raise WrongChainError(
                f"Connection {self.chain.conn_id!r} serves a chain that starts from block "
                f"{served}, but {self.chain.name} starts from {self.chain.genesis_hash}. "
                f"Point the connection at a {self.chain.name} node."
            )

    def first_height(self) -> int:
        """Return the lowest block that the node keeps: above 0 where it is pruned."""
        return self._info().pruneheight

    def tip(self) -> BlockRef:
        """Return the node's highest block."""
        info = self._info()
        return _block_ref(info.blocks, self._headers([info.bestblockhash])[0])

    def final_height(self) -> int:
        """Return the highest block that the chain's confirmations lie on; -1 where none does."""
        return max(self._info().blocks - self.chain.confirmations, -1)

    def block_at(self, height: int) -> BlockRef:
        """Return the node's block at *height*.

        Raises:
            NodeBehindError: The node has not reached *height*.
            SourceError: No node answered.
        """
        try:
            hashes = self._hashes(range(height, height + 1))
        except RefusedError:
            self._check_reach(height, self._info())
            raise
        return _block_ref(height, self._headers(hashes)[0])

    def read(self, first: int, last: int) -> Iterator[Batch]:
        """Yield the facts of blocks *first* to *last* in batches of about 8 MB of blocks.

        Raises:
            ForkError: The chain was reorganised during the read.
            NodeBehindError: The node has not reached *last*.
            SourceError: The node is pruned above *first*, did not answer, or sent a broken block.
        """
        info = self._info()
        self._check_reach(last, info)
        if first < info.pruneheight:
            raise SourceError(
                f"The node of {self.chain.name} is pruned: its lowest block is "
                f"{info.pruneheight}, and {first} was asked for. Point connection "
                f"{self.chain.conn_id!r} at a node that keeps all blocks, or give its block files."
            )
        headers = self._headers(self._hashes(_earlier_heights(first)))
        before = _before(self.chain, first, headers)
        yield from batches(self.chain.name, first, before, self._blocks(first, last))

    def _check_reach(self, height: int, info: _ChainInfo) -> None:
        if height > info.blocks:
            raise NodeBehindError(
                f"The node of {self.chain.name} has reached block {info.blocks}, not {height}. "
                "Wait until it has synchronised."
            )

    def _blocks(self, first: int, last: int) -> Iterator[ParsedBlock]:
        count = _FIRST_REQUEST_BLOCKS
        while first <= last:
            heights = range(first, min(first + count - 1, last) + 1)
            hashes = self._hashes(heights)
            try:
                raw_blocks = self._raw_blocks(hashes)
            except TooLargeError:
                if len(hashes) == 1:
                    raise
                count = len(hashes) // 2
                continue
            for height, block_hash, raw in zip(heights, hashes, raw_blocks, strict=True):
                yield _checked_block(self.chain, height, block_hash, raw)
            first = heights.stop
            average = sum(map(len, raw_blocks)) // len(raw_blocks)
            count = min(max(BATCH_BYTES // average, 1), _LARGEST_REQUEST_BLOCKS)

    def _info(self) -> _ChainInfo:
        calls = [("getblockchaininfo", ())]
        info: _ChainInfo = self._rpc.ask(calls, _CHAIN_INFO, self.chain.name).results[0]
        return info

    def _hashes(self, heights: range) -> list[str]:
        calls = [("getblockhash", (height,)) for height in heights]
        return self._rpc.ask(calls, _TEXT, _about(self.chain, heights)).results

    def _headers(self, hashes: Sequence[str]) -> list[Header]:
        calls = [("getblockheader", (block_hash, False)) for block_hash in hashes]
        answers = self._rpc.ask(calls, _TEXT, self.chain.name).results
        pairs = zip(hashes, answers, strict=True)
        return [_checked_header(self.chain, asked, answer) for asked, answer in pairs]

    def _raw_blocks(self, hashes: Sequence[str]) -> list[bytes]:
        calls = [("getblock", (block_hash, 0)) for block_hash in hashes]
        answers = self._rpc.ask(calls, _TEXT, self.chain.name).results
        return [_from_hex(self.chain, answer) for answer in answers]


def _earlier_heights(first: int) -> range:
    """Return the heights whose header times decide the median-time-past of block *first*."""
    return range(max(first - EARLIER_TIMES, 0), first)


def _before(chain: UtxoChain, first: int, headers: Sequence[Header]) -> Before:
    """Return what block *first* stands on, given the headers below it, lowest first."""
    parent_hash = None
    for height, header in enumerate(headers, first - len(headers)):
        check_link(chain.name, height, parent_hash, header)
        parent_hash = header.block_hash
    return Before(parent_hash, [header.time for header in headers])


def _block_ref(height: int, header: Header) -> BlockRef:
    header_at = datetime.fromtimestamp(header.time, UTC)
    return BlockRef(height, header.block_hash, header.parent_hash, header_at)


def _checked_block(chain: UtxoChain, height: int, block_hash: str, raw: bytes) -> ParsedBlock:
    """Return the parsed block, or raise SourceError where it is not the one asked for."""
    block = parse_block(raw, f"Block {height} of {chain.name}")
    _check_hash(chain, block_hash, block.header)
    return block


def _checked_header(chain: UtxoChain, block_hash: str, answer: str) -> Header:
    """Return the header, or raise SourceError where it is not the one asked for."""
    raw = _from_hex(chain, answer)
    if len(raw) != HEADER_BYTES:
        raise SourceError(
            f"The node of {chain.name} answered a header of {len(raw)} bytes instead of "
            f"{HEADER_BYTES}. Check what stands between it and here."
        )
    header = parse_header(raw)
    _check_hash(chain, block_hash, header)
    return header


def _check_hash(chain: UtxoChain, block_hash: str, header: Header) -> None:
    if header.block_hash.hex() != block_hash:
        raise SourceError(
            f"The node of {chain.name} answered block {header.block_hash.hex()} when "
            f"{block_hash} was asked for. Check what stands between it and here."
        )


def _from_hex(chain: UtxoChain, answer: str) -> bytes:
    try:
        return bytes.fromhex(answer)
    except ValueError:
        raise SourceError(
            f"The node of {chain.name} answered {answer[:40]!r}, which is not hexadecimal. "
            "Check what stands between it and here."
        ) from None


def _about(chain: UtxoChain, heights: range) -> str:
    return f"blocks {heights.start} to {heights.stop - 1} of {chain.name}"
