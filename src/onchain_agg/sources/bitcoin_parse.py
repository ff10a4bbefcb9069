"""Reads one raw Bitcoin-family block: its header, its txids, and where its inputs and outputs lie.

Fields are found, not copied: `bitcoin_columns` cuts the columns out of the raw bytes at these
offsets, all at once. Understands legacy and segwit transactions, and Litecoin's MWEB extension.
"""

import struct
from dataclasses import dataclass
from hashlib import sha256

from onchain_agg.errors import SourceError

HEADER_BYTES = 80

_WITNESS = 0x01
_MWEB = 0x08

_U16, _U32, _U64 = struct.Struct("<H"), struct.Struct("<I"), struct.Struct("<Q")
_HEADER = struct.Struct("<4x32s32sII4x")


@dataclass(frozen=True, slots=True)
class Header:
    """A block header; hashes in the order explorers print them.

    Attributes:
        time: The header's own time, Unix seconds.
        bits: The compact target.
    """

    block_hash: bytes
    parent_hash: bytes
    merkle_root: bytes
    time: int
    bits: int


@dataclass(frozen=True, slots=True)
class ParsedBlock:
    """A block and where its parts lie; offsets count from the start of *raw*.

    The coinbase's input spends nothing, so it is left out: its input count is 0.

    Attributes:
        txids: One per transaction, in the order they are hashed (explorers print it reversed).
        input_counts: Inputs of each transaction; 0 for the coinbase.
        output_counts: Outputs of each transaction.
        input_offsets: Where each input starts: 32 bytes of txid, 4 of output number.
        output_offsets: Where each output starts: 8 bytes of value, then the script's length.
        script_ends: Where each output's script ends.
    """

    raw: bytes
    header: Header
    txids: list[bytes]
    input_counts: list[int]
    output_counts: list[int]
    input_offsets: list[int]
    output_offsets: list[int]
    script_ends: list[int]


class _MalformedError(Exception):
    """Says what is wrong with a block; `parse_block` adds which block it is."""


def sha256d(data: bytes) -> bytes:
    """Return the double SHA-256 of *data*."""
    return sha256(sha256(data).digest()).digest()


def merkle_root(level: list[bytes]) -> bytes:
    """Return the root of the tree over the hashes in *level*, in the order they are hashed."""
    while len(level) > 1:
        if len(level) % 2:
            level = [*level, level[-1]]
        pairs = zip(level[::2], level[1::2], strict=True)
        level = [sha256(sha256(a + b).digest()).digest() for a, b in pairs]
    return level[0]


def parse_header(raw: bytes) -> Header:
    """Return the header that *raw*, at least 80 bytes, starts with."""
    parent, root, time, bits = _HEADER.unpack_from(raw)
    block_hash = sha256d(raw[:HEADER_BYTES])
    return Header(block_hash[::-1], parent[::-1], root[::-1], time, bits)


def parse_block(raw: bytes, name: str = "The block") -> ParsedBlock:
    """Return the parts of one raw block, without framing; its Merkle root is checked.

    Args:
        raw: Header and transactions as nodes send them.
        name: What an error calls the block.

    Raises:
        SourceError: The bytes are not one whole block.
    """
    try:
        return _walk(raw)
    except (IndexError, struct.error):
        msg = f"{name} is cut off: its {len(raw)} bytes end inside a transaction or the header."
    except _MalformedError as error:
        msg = f"{name} is damaged: {error}."
    raise SourceError(f"{msg} Fetch it again, or let the node re-index its block files.")


def _walk(raw: bytes) -> ParsedBlock:
    """Return the parts of *raw*, or raise IndexError or struct.error where it ends too soon."""
    block = ParsedBlock(raw, parse_header(raw), [], [], [], [], [], [])
    count, pos = _compact_size(raw, HEADER_BYTES)
    flags = 0
    for _ in range(count):
        pos, flags = _transaction(raw, pos, block)
    if not block.txids:
        raise _MalformedError("it has no transactions")
    # An MWEB block's last transaction carries the flag, and the hidden part follows it.
    if pos != len(raw) and not flags & _MWEB:
        raise _MalformedError(f"{len(raw) - pos} bytes follow its last transaction")
    if merkle_root(block.txids)[::-1] != block.header.merkle_root:
        raise _MalformedError("its transactions do not match the header's Merkle root")
    _drop_coinbase_inputs(block)
    return block


def _transaction(raw: bytes, start: int, block: ParsedBlock) -> tuple[int, int]:
    """Add the transaction at *start* to *block*; return where it ends, and its flags."""
    if raw[start + 4]:
        pos = _outputs(raw, _inputs(raw, start + 4, block), block)
        end = pos + 4
        hashed, flags = raw[start:end], 0
    else:
        # A transaction without inputs has no place in a block: zero marks the extended form.
        flags, body = raw[start + 5], start + 6
        pos = _outputs(raw, _inputs(raw, body, block), block)
        rest = _skip_extension(raw, pos, block.input_counts[-1], flags)
        end = rest + 4
        hashed = b"".join((raw[start : start + 4], raw[body:pos], raw[rest:end]))
    if end > len(raw):
        raise IndexError
    block.txids.append(sha256d(hashed))
    return end, flags


def _inputs(raw: bytes, pos: int, block: ParsedBlock) -> int:
    """Note where the inputs at *pos* start; return where they end."""
    count, pos = _compact_size(raw, pos)
    found = block.input_offsets
    for _ in range(count):
        found.append(pos)
        size = raw[pos + 36]
        if size < 0xFD:
            pos += 41 + size
        else:
            size, pos = _compact_size(raw, pos + 36)
            pos += size + 4
    block.input_counts.append(count)
    return pos


def _outputs(raw: bytes, pos: int, block: ParsedBlock) -> int:
    """Note where the outputs at *pos* start and end; return where they end."""
    count, pos = _compact_size(raw, pos)
    found, ends = block.output_offsets, block.script_ends
    for _ in range(count):
        found.append(pos)
        size = raw[pos + 8]
        if size < 0xFD:
            pos += 9 + size
        else:
            size, pos = _compact_size(raw, pos + 8)
            pos += size
        ends.append(pos)
    block.output_counts.append(count)
    return pos


def _skip_extension(raw: bytes, pos: int, inputs: int, flags: int) -> int:
    """Return where the witnesses and the MWEB mark at *pos* end."""
    if flags & ~(_WITNESS | _MWEB) or not flags:
        raise _MalformedError(f"a transaction has the unknown flags 0x{flags:02x}")
    if flags & _WITNESS:
        for _ in range(inputs):
            items, pos = _compact_size(raw, pos)
            for _ in range(items):
                size = raw[pos]
                if size < 0xFD:
                    pos += 1 + size
                else:
                    size, pos = _compact_size(raw, pos)
                    pos += size
    if flags & _MWEB:
        # In a block only the integrating transaction has the flag, with an empty MWEB part.
        if raw[pos]:
            raise _MalformedError("a transaction carries MWEB data outside the MWEB part")
        pos += 1
    return pos


def _compact_size(raw: bytes, pos: int) -> tuple[int, int]:
    """Return the variable-length integer at *pos*, and where it ends."""
    first = raw[pos]
    if first < 0xFD:
        return first, pos + 1
    if first == 0xFD:
        return _U16.unpack_from(raw, pos + 1)[0], pos + 3
    if first == 0xFE:
        return _U32.unpack_from(raw, pos + 1)[0], pos + 5
    return _U64.unpack_from(raw, pos + 1)[0], pos + 9


def _drop_coinbase_inputs(block: ParsedBlock) -> None:
    """Leave out the inputs of the first transaction: they spend nothing."""
    del block.input_offsets[: block.input_counts[0]]
    block.input_counts[0] = 0
