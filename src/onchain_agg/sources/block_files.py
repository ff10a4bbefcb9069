"""A node's block files: which there are, and where in them each block lies.

A file is a row of frames: four bytes of network magic, four of length, the block. Blocks lie in
the order they arrived, stale ones among them; `block_index` picks the best branch. Zeros fill what
a node has reserved and not yet written, and a newer node hides its files behind a key.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from onchain_agg.chains import UtxoChain
from onchain_agg.errors import ConfigError, SourceError, WrongChainError
from onchain_agg.sources.bitcoin_parse import HEADER_BYTES, parse_block

FRAME_BYTES = 8

# No network's blocks are near it; a larger length is damage.
_LARGEST_BLOCK = 1 << 26
_SMALLEST_BLOCK = HEADER_BYTES + 1
_FIRST_SCAN_BYTES, _LARGEST_SCAN_BYTES = 64, 1 << 20
_KEY_BYTES = 8

# A block that ends in so many zeros may lie in reserved space, half written.
_UNWRITTEN_ZEROS = 8

_KNOWN_MAGICS = {
    "f9beb4d9": "bitcoin mainnet",
    "fbc0b6db": "litecoin mainnet",
    "0b110907": "bitcoin testnet3",
    "1c163f28": "bitcoin testnet4",
    "0a03cf40": "bitcoin signet",
    "fabfb5da": "bitcoin or litecoin regtest",
    "fdd2c8f1": "litecoin testnet4",
    "c0c0c0c0": "dogecoin mainnet",
    "fcc1b7dc": "dogecoin testnet3",
    "bf0c6bbd": "dash mainnet",
    "24e92764": "zcash mainnet",
}


@dataclass(frozen=True, slots=True)
class Frame:
    """Where a block lies: *size* bytes from *offset* of *file*, after its frame."""

    file: Path
    offset: int
    size: int
    header: bytes


def block_files(path: Path) -> list[Path]:
    """Return *path* itself if it is a file, else its ``blk*.dat`` in the order they were written.

    Raises:
        ConfigError: There is no such file, or no block file in the directory.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise ConfigError(f"No block file or directory {path}. Name a blk*.dat or its directory.")
    found = sorted(path.glob("blk*.dat"), key=lambda file: (len(file.name), file.name))
    if not found:
        raise ConfigError(f"No blk*.dat in {path}. Name the `blocks` directory of the node's data.")
    return found


def xor_key(directory: Path) -> bytes:
    """Return the key that a node (Bitcoin Core 28 and later) hides its files with; zeros if none.

    Raises:
        SourceError: The key file cannot be read or does not hold a key.
    """
    file = directory / "xor.dat"
    try:
        key = file.read_bytes()
    except FileNotFoundError:
        return bytes(_KEY_BYTES)
    except OSError as error:
        raise cannot_read(file, error) from None
    if len(key) != _KEY_BYTES:
        raise SourceError(
            f"{file} has {len(key)} bytes instead of {_KEY_BYTES}. Copy it from the node again."
        )
    return key


def frames(file: Path, chain: UtxoChain, key: bytes, *, is_last: bool) -> Iterator[Frame]:
    """Yield every block of *file* in the order they lie there.

    The file's bytes are XORed with *key*, by their offset. The last file may still be written to:
    a block that is cut off at its end is left out.

    Raises:
        SourceError: A block is cut off or damaged; the message names the file and the offset.
        WrongChainError: The file belongs to another network.
    """
    try:
        with file.open("rb") as handle:
            size = os.fstat(handle.fileno()).st_size
            yield from _frames(_Scan(file, handle.fileno(), size, key, chain, is_last))
    except OSError as error:
        raise cannot_read(file, error) from None


def cannot_read(file: Path, error: OSError) -> SourceError:
    """Return the error for a block file, or its key, that the system does not let us read."""
    return SourceError(f"Cannot read {file}: {error.strerror}. Restore the file or its rights.")


def plain_bytes(data: bytes, offset: int, key: bytes) -> bytes:
    """Return what the bytes at *offset* of a file hide behind *key*."""
    if not any(key):
        return data
    stream = (key[offset % _KEY_BYTES :] + key * (len(data) // _KEY_BYTES + 1))[: len(data)]
    return (int.from_bytes(data) ^ int.from_bytes(stream)).to_bytes(len(data))


@dataclass(frozen=True, slots=True)
class _Scan:
    """A file being read, *size* bytes long when it was opened."""

    file: Path
    descriptor: int
    size: int
    key: bytes
    chain: UtxoChain
    is_last: bool

    def stored(self, start: int, size: int) -> bytes:
        """Return up to *size* bytes from *start* as they lie there."""
        # Not mapped into memory: nodes cut reserved space off, which would kill the process.
        return os.pread(self.descriptor, max(size, 0), start)

    def plain(self, start: int, size: int) -> bytes:
        """Return up to *size* plain bytes from *start*."""
        return plain_bytes(self.stored(start, size), start, self.key)


def _frames(scan: _Scan) -> Iterator[Frame]:
    end = 0
    while (start := _next_frame(scan, end)) is not None:
        frame = _frame(scan, start, end)
        if frame is None:
            return
        end = frame.offset + frame.size
        yield frame


def _next_frame(scan: _Scan, pos: int) -> int | None:
    """Return where the next frame starts, past padding; None at the end of the file."""
    if scan.plain(pos, 4) == scan.chain.magic:
        return pos
    used = _end_of_padding(scan, pos)
    if used is None:
        return None
    # A hidden magic may itself start with bytes that look like padding.
    starts = range(max(pos, used - 3), used + 1)
    return next((at for at in starts if scan.plain(at, 4) == scan.chain.magic), used)


def _end_of_padding(scan: _Scan, pos: int) -> int | None:
    """Return where the zeros at *pos* (plain or hidden) end; None where the file ends first."""
    # Padding is mostly absent or megabytes long, so the steps start small and grow.
    step = _FIRST_SCAN_BYTES
    while pos < scan.size:
        data = scan.stored(pos, step)
        stored = np.frombuffer(data, np.uint8)
        hidden = np.frombuffer(plain_bytes(data, pos, scan.key), np.uint8)
        used = np.flatnonzero((stored != 0) & (hidden != 0))
        if len(used):
            return pos + int(used[0])
        pos, step = pos + step, min(step * 4, _LARGEST_SCAN_BYTES)
    return None


def _frame(scan: _Scan, start: int, previous_end: int) -> Frame | None:
    """Return the frame at *start*; None where it is the cut-off end of the last file."""
    head = scan.plain(start, FRAME_BYTES + HEADER_BYTES)
    left = scan.size - start - FRAME_BYTES
    if not scan.chain.magic.startswith(head[:4]):
        raise _not_a_frame(scan, head[:4], previous_end)
    size = int.from_bytes(head[4:FRAME_BYTES], "little")
    if left >= 0 and not _SMALLEST_BLOCK <= size <= _LARGEST_BLOCK:
        raise _damaged(scan, start, f"its length of {size} bytes is impossible")
    if left < 0 or size > left:
        if scan.is_last and not _has_frame(scan, start + FRAME_BYTES):
            return None
        raise _damaged(scan, start, "it is cut off")
    frame = Frame(scan.file, start + FRAME_BYTES, size, head[FRAME_BYTES:])
    return None if scan.is_last and _is_half_written(scan, frame) else frame


def _has_frame(scan: _Scan, start: int) -> bool:
    """Return whether a whole frame lies anywhere after *start*."""
    rest = scan.plain(start, scan.size - start)
    at = rest.find(scan.chain.magic)
    while at >= 0:
        size = int.from_bytes(rest[at + 4 : at + FRAME_BYTES], "little")
        if _SMALLEST_BLOCK <= size <= len(rest) - at - FRAME_BYTES:
            return True
        at = rest.find(scan.chain.magic, at + 1)
    return False


def _is_half_written(scan: _Scan, frame: Frame) -> bool:
    """Return whether nothing follows *frame* and its own end is still reserved space."""
    end = frame.offset + frame.size
    if (
        any(scan.stored(end - _UNWRITTEN_ZEROS, _UNWRITTEN_ZEROS))
        or _end_of_padding(scan, end) is not None
    ):
        return False
    try:
        parse_block(scan.plain(frame.offset, frame.size))
    except SourceError:
        return True
    return False


def _not_a_frame(scan: _Scan, found: bytes, previous_end: int) -> Exception:
    """Return the error for bytes that are no frame: another network's file, or damage."""
    if previous_end:
        what = "no block starts there, so the block before it is cut off"
        return _damaged(scan, previous_end, what)
    chain = scan.chain
    network = _KNOWN_MAGICS.get(found.hex())
    if network:
        what, cure = f"a block file of {network}", f"Name the block files of {chain.name}."
    else:
        what = "of no known network"
        cure = (
            f"Name the block files of {chain.name}; where the node hides them (Bitcoin Core 28 "
            "and later), keep its xor.dat beside them."
        )
    return WrongChainError(
        f"{scan.file} starts with the magic {found.hex()} ({what}), but {chain.name} has "
        f"{chain.magic.hex()}. {cure}"
    )


def _damaged(scan: _Scan, start: int, what: str) -> SourceError:
    return SourceError(
        f"{scan.file} is damaged at offset {start}: {what}. Copy the file from the node again."
    )
