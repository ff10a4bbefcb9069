"""Output scripts to addresses, a whole column at a time.

An address is one byte of kind and the hash or program it commits to, so it is the same on every
network: 0x00 + hash160 of a public key (P2PKH, and P2PK as the P2PKH of its key), 0x05 + hash160
of a script (P2SH), 0x10 + version and the witness program. `bitcoin_address` writes it as text.
"""

from collections.abc import Callable
from hashlib import new as new_hash
from hashlib import sha256
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

PUBKEY_HASH = 0x00
SCRIPT_HASH = 0x05
WITNESS = 0x10

# Nodes never accept a longer script, so its output can never be spent.
LONGEST_SCRIPT = 10_000

_OP_RETURN = 0x6A
_OP_1 = 0x51
_NONE = -1

Offsets = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]


def windows(buffer: bytes | bytearray, dtype: str) -> npt.NDArray[Any]:
    """Return a view whose item *i* is the *dtype* that starts at byte *i* of *buffer*."""
    width = np.dtype(dtype).itemsize
    return np.ndarray((max(len(buffer) - width + 1, 0),), dtype, buffer, 0, (1,))


def hash160(data: bytes) -> bytes:
    """Return RIPEMD-160 of SHA-256 of *data*: 20 bytes."""
    return _ripemd160(sha256(data).digest())


def unspendable(raw: bytes, starts: Offsets, ends: Offsets) -> npt.NDArray[np.bool_]:
    """Return which of the scripts ``raw[start:end]`` no input can ever satisfy."""
    sizes = ends - starts
    first = np.frombuffer(raw, np.uint8)[starts]
    returns: npt.NDArray[np.bool_] = (sizes > 0) & (first == _OP_RETURN)
    return returns | (sizes > LONGEST_SCRIPT)


def address_column(raw: bytes, starts: Offsets, ends: Offsets) -> pa.Array:
    """Return the address of each script ``raw[start:end]``; null where it has none.

    Bare multisig and scripts of no known form have no address. Four bytes must follow the last
    script, as the lock time does.
    """
    data = np.frombuffer(raw, np.uint8)
    sizes = ends - starts
    kinds = np.full(len(starts), _NONE, np.int16)
    payloads = starts.copy()
    widths = np.zeros(len(starts), np.int64)
    for find in (_pay_to_pubkey_hash, _pay_to_script_hash, _pay_to_witness):
        rows, kind, skipped, width = find(data, starts, sizes)
        kinds[rows], widths[rows] = kind, width
        payloads[rows] += skipped
    keys, hashes = _pay_to_pubkey(raw, data, starts, sizes)
    kinds[keys], widths[keys] = PUBKEY_HASH, 20
    payloads[keys] = len(raw) + 20 * np.arange(len(keys))
    return _joined(raw + hashes, kinds, payloads, widths)


_Found = tuple[Offsets, Bytes | int, int, Offsets | int]
"""Rows, their kind, the script bytes before the payload, and the payload's length."""


def _pay_to_pubkey_hash(data: Bytes, starts: Offsets, sizes: Offsets) -> _Found:
    """Find DUP HASH160 <20> EQUALVERIFY CHECKSIG."""
    rows = np.flatnonzero(sizes == 25)
    return _where(data, rows, starts, {0: 0x76, 1: 0xA9, 2: 20, 23: 0x88, 24: 0xAC}), 0, 3, 20


def _pay_to_script_hash(data: Bytes, starts: Offsets, sizes: Offsets) -> _Found:
    """Find HASH160 <20> EQUAL."""
    rows = np.flatnonzero(sizes == 23)
    return _where(data, rows, starts, {0: 0xA9, 1: 20, 22: 0x87}), SCRIPT_HASH, 2, 20


def _pay_to_witness(data: Bytes, starts: Offsets, sizes: Offsets) -> _Found:
    """Find OP_0 to OP_16 and one push of 2 to 40 bytes."""
    rows = np.flatnonzero((sizes >= 4) & (sizes <= 42))
    rows = rows[data[starts[rows] + 1] == sizes[rows] - 2]
    opcodes = data[starts[rows]]
    # Version 0 knows programs of 20 and 32 bytes only; another length has no address.
    version_0 = (opcodes == 0) & np.isin(sizes[rows], (22, 34))
    known = version_0 | ((opcodes >= _OP_1) & (opcodes < _OP_1 + 16))
    rows, opcodes = rows[known], opcodes[known]
    kinds = WITNESS + np.where(opcodes == 0, 0, opcodes - (_OP_1 - 1))
    return rows, kinds, 2, sizes[rows] - 2


def _pay_to_pubkey(
    raw: bytes, data: Bytes, starts: Offsets, sizes: Offsets
) -> tuple[Offsets, bytes]:
    """Find <key> CHECKSIG; return the rows and the joined hash160 of their keys."""
    found = []
    for key_size, prefixes in ((33, (2, 3)), (65, (4, 6, 7))):
        rows = np.flatnonzero(sizes == key_size + 2)
        rows = _where(data, rows, starts, {0: key_size, key_size + 1: 0xAC})
        found.append(rows[np.isin(data[starts[rows] + 1], prefixes)])
    keys = np.concatenate(found)
    bounds = zip(starts[keys].tolist(), sizes[keys].tolist(), strict=True)
    return keys, b"".join(hash160(raw[at + 1 : at + size - 1]) for at, size in bounds)


def _where(data: Bytes, rows: Offsets, starts: Offsets, expected: dict[int, int]) -> Offsets:
    """Return the *rows* whose script has each *expected* byte at its position."""
    for position, byte in expected.items():
        rows = rows[data[starts[rows] + position] == byte]
    return rows


def _joined(
    data: bytes, kinds: npt.NDArray[np.int16], payloads: Offsets, widths: Offsets
) -> pa.Array:
    """Return a binary column of each kind and the *width* bytes of *data* at its payload."""
    known = kinds != _NONE
    offsets = np.zeros(len(kinds) + 1, np.int64)
    np.cumsum(np.where(known, widths + 1, 0), out=offsets[1:])
    joined = bytearray(int(offsets[-1]))
    np.frombuffer(joined, np.uint8)[offsets[:-1][known]] = kinds[known]
    for width in np.unique(widths[known]).tolist():
        rows = np.flatnonzero(known & (widths == width))
        item = f"V{width}"
        windows(joined, item)[offsets[rows] + 1] = windows(data, item)[payloads[rows]]
    validity = np.packbits(known, bitorder="little")
    buffers = [pa.py_buffer(validity), pa.py_buffer(offsets.astype(np.int32)), pa.py_buffer(joined)]
    return pa.Array.from_buffers(pa.binary(), len(kinds), buffers)


def _openssl_ripemd160(data: bytes) -> bytes:
    return new_hash("ripemd160", data).digest()


def _pycryptodome_ripemd160(data: bytes) -> bytes:
    from Crypto.Hash import RIPEMD160  # noqa: PLC0415 - a tenth of a second, needed on few hosts

    return RIPEMD160.new(data).digest()


def _ripemd160_maker() -> Callable[[bytes], bytes]:
    # OpenSSL 3 offers RIPEMD-160 only where its legacy provider is enabled.
    try:
        _openssl_ripemd160(b"")
    except ValueError:
        return _pycryptodome_ripemd160
    return _openssl_ripemd160


_ripemd160 = _ripemd160_maker()
