"""Which blocks of a set of files are the chain: the branch from genesis with the most work.

Holds 100 bytes a block, and under 400 while it is made. Stale blocks, and blocks whose parents are
not there, are left out.
"""

import logging
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from onchain_agg.chains import UtxoChain
from onchain_agg.errors import SourceError, WrongChainError
from onchain_agg.sources.bitcoin_parse import HEADER_BYTES, Header, parse_header, sha256d
from onchain_agg.sources.block_files import (
    block_files,
    cannot_read,
    frames,
    plain_bytes,
    xor_key,
)

LOG = logging.getLogger(__name__)

_NO_PARENT = -1
_NO_HASH = bytes(32)


@dataclass(frozen=True)
class BlockIndex:
    """The blocks of one branch, by height.

    Attributes:
        key: What the files' bytes are XORed with.
        detached: Blocks that are in the files but connect to nothing below them.
    """

    files: Sequence[Path]
    key: bytes
    file_numbers: Sequence[int]
    offsets: Sequence[int]
    sizes: Sequence[int]
    headers: bytes
    detached: int

    def __len__(self) -> int:
        return len(self.offsets)

    def header(self, height: int) -> Header:
        """Return the header of the block at *height*."""
        return parse_header(self.headers[height * HEADER_BYTES : (height + 1) * HEADER_BYTES])

    def raw_block(self, height: int) -> bytes:
        """Return the block at *height* as it lies in its file.

        Raises:
            SourceError: The file can no longer be read, or became shorter.
        """
        file, offset = self.files[self.file_numbers[height]], self.offsets[height]
        size = self.sizes[height]
        try:
            with file.open("rb") as handle:
                handle.seek(offset)
                stored = handle.read(size)
        except OSError as error:
            raise cannot_read(file, error) from None
        if len(stored) != size:
            raise SourceError(
                f"{file} ends inside the block at offset {offset}, which was whole before. "
                "Restore the file, or run again if the node has pruned it."
            )
        return plain_bytes(stored, offset, self.key)


def index_blocks(chain: UtxoChain, path: Path) -> BlockIndex:
    """Return the best branch of the block files at *path*, a file or a directory.

    Raises:
        ConfigError: There is no block file.
        SourceError: A file is damaged, or the blocks do not connect to the genesis block.
        WrongChainError: A file belongs to another network.
    """
    files = block_files(path)
    key = xor_key(files[0].parent)
    blocks = _every_block(chain, files, key)
    parents = _parents(blocks)
    genesis = np.flatnonzero(blocks.by_hash() == bytes.fromhex(chain.genesis_hash)[::-1])
    if not len(genesis):
        raise _without_genesis(chain, path, blocks, parents)
    work = _total_work(blocks, parents, int(genesis[0]))
    branch = _branch(parents, max(range(len(work)), key=work.__getitem__))
    detached = work.count(0)
    if detached:
        _report_detached(chain, blocks, parents, work)
    return BlockIndex(
        files,
        key,
        array("I", np.frombuffer(blocks.file_numbers, np.uint32)[branch].tobytes()),
        array("Q", np.frombuffer(blocks.offsets, np.uint64)[branch].tobytes()),
        array("I", np.frombuffer(blocks.sizes, np.uint32)[branch].tobytes()),
        np.frombuffer(blocks.headers, f"V{HEADER_BYTES}")[branch].tobytes(),
        detached,
    )


@dataclass(frozen=True)
class _Blocks:
    """Every block of the files, a row each, in the order they lie there."""

    hashes: bytearray = field(default_factory=bytearray)
    file_numbers: "array[int]" = field(default_factory=lambda: array("I"))
    offsets: "array[int]" = field(default_factory=lambda: array("Q"))
    sizes: "array[int]" = field(default_factory=lambda: array("I"))
    headers: bytearray = field(default_factory=bytearray)

    def header(self, row: int) -> bytes:
        return bytes(self.headers[row * HEADER_BYTES : (row + 1) * HEADER_BYTES])

    def by_hash(self) -> npt.NDArray[np.bytes_]:
        return np.frombuffer(self.hashes, "S32")


def _every_block(chain: UtxoChain, files: Sequence[Path], key: bytes) -> _Blocks:
    """Return every block of *files*, one that was written twice included."""
    blocks = _Blocks()
    for number, file in enumerate(files):
        for frame in frames(file, chain, key, is_last=number == len(files) - 1):
            blocks.hashes.extend(sha256d(frame.header))
            blocks.file_numbers.append(number)
            blocks.offsets.append(frame.offset)
            blocks.sizes.append(frame.size)
            blocks.headers.extend(frame.header)
    return blocks


def _parents(blocks: _Blocks) -> "array[int]":
    """Return the row of each block's parent: of a parent that was written twice, the first."""
    headers = np.frombuffer(blocks.headers, np.uint8).reshape(-1, HEADER_BYTES)
    wanted = np.ascontiguousarray(headers[:, 4:36]).reshape(-1).view("S32")
    # Sorted hashes take a fraction of the memory of a dictionary.
    known, rows = np.unique(blocks.by_hash(), return_index=True)
    at = np.searchsorted(known, wanted) % max(len(known), 1)
    found = np.where(known[at] == wanted, rows[at], _NO_PARENT)
    return array("q", found.astype(np.int64).tobytes())


def _total_work(blocks: _Blocks, parents: Sequence[int], genesis: int) -> list[int]:
    """Return the work from genesis up to each block; 0 where it does not connect."""
    total: list[int | None] = [None] * len(parents)
    total[genesis] = _work(parse_header(blocks.header(genesis)).bits)
    for start in range(len(parents)):
        pending, row = [], start
        while row != _NO_PARENT and total[row] is None:
            pending.append(row)
            row = parents[row]
        below = 0 if row == _NO_PARENT else total[row] or 0
        for above in reversed(pending):
            if below:
                below += _work(parse_header(blocks.header(above)).bits)
            total[above] = below
    return [work or 0 for work in total]


@lru_cache(maxsize=4096)
def _work(bits: int) -> int:
    """Return the hashes that a block with this compact target takes on average."""
    exponent, mantissa = bits >> 24, bits & 0x7FFFFF
    target = mantissa << 8 * (exponent - 3) if exponent > 3 else mantissa >> 8 * (3 - exponent)
    return (1 << 256) // (target + 1)


def _branch(parents: Sequence[int], row: int) -> npt.NDArray[np.int64]:
    """Return the rows from genesis up to *row*."""
    branch = array("q")
    while row != _NO_PARENT:
        branch.append(row)
        row = parents[row]
    return np.frombuffer(branch, np.int64)[::-1]


def _without_genesis(
    chain: UtxoChain, path: Path, blocks: _Blocks, parents: Sequence[int]
) -> Exception:
    """Return the error for files without the chain's genesis block."""
    if not parents:
        return SourceError(f"{path} holds no whole block. Name the node's blk*.dat files.")
    first = parents.index(_NO_PARENT)
    missing = blocks.header(first)[4:36]
    if missing == _NO_HASH:
        found = sha256d(blocks.header(first))[::-1].hex()
        return WrongChainError(
            f"{path} starts from the genesis block {found}, but {chain.name} starts from "
            f"{chain.genesis_hash}. Name the block files of {chain.name}."
        )
    return SourceError(
        f"The blocks of {path} do not connect to {chain.name}'s genesis block: the parent "
        f"{missing[::-1].hex()} is missing. Add the earlier blk*.dat files."
    )


def _report_detached(
    chain: UtxoChain, blocks: _Blocks, parents: Sequence[int], work: Sequence[int]
) -> None:
    """Log how many blocks are left out because a block below them is not there."""
    starts = (row for row, parent in enumerate(parents) if parent == _NO_PARENT and not work[row])
    missing = blocks.header(next(starts))[4:36]
    LOG.warning(
        "%d blocks of %s are left out: the parent %s is missing. Add the file it is in; while the "
        "node synchronises, it comes by itself.",
        work.count(0),
        chain.name,
        missing[::-1].hex(),
    )
