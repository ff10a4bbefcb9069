"""A block file of made blocks as they are today: a megabyte and 2,500 transactions each.

Two inputs and two outputs a transaction; two in three with P2WPKH and a witness, the others with
P2PKH. Two in five inputs spend one of the newest outputs, often of the same block, the others any
output; one output in two pays an address that was paid before. Signatures are random bytes.
"""
# ruff: noqa: INP001 - run from the repository, never installed.

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random

from onchain_agg.chains import UtxoChain
from onchain_agg.chains.regtest import CHAIN as REGTEST
from tests.unit.sources.bitcoin_blocks import compact, framed, merkle, sha256d

TRANSACTIONS = 2_500
# Blocks whose coinbase alone has outputs, which the others can spend.
FUNDING_BLOCKS = 4
_FUNDED = 20_000  # outputs of each
_NEWEST = 5_000
_START, _STEP_S = 1_600_000_000, 600
_BITS = 0x207FFFFF
_Output = tuple[bytes, int]


@dataclass
class _Wallet:
    """What can be spent and who was paid, as the blocks made so far left them."""

    random: Random
    unspent: list[_Output] = field(default_factory=list)
    paid: list[bytes] = field(default_factory=list)

    def spend(self) -> _Output:
        newest = self.random.random() < 0.4
        low = max(len(self.unspent) - _NEWEST, 0) if newest else 0
        place = self.random.randrange(low, len(self.unspent))
        self.unspent[place], last = self.unspent[-1], self.unspent[place]
        self.unspent.pop()
        return last

    def recipient(self) -> bytes:
        if self.paid and self.random.random() < 0.5:
            return self.random.choice(self.paid)
        self.paid.append(self.random.randbytes(20))
        return self.paid[-1]


def write_chain(file: Path, blocks: int) -> UtxoChain:
    """Write the funding blocks and that many more to *file*; return the chain that they are."""
    wallet = _Wallet(Random(20_171_231))  # noqa: S311 - test data
    genesis_hash, parent = "", bytes(32)
    with file.open("wb") as handle:
        for height in range(FUNDING_BLOCKS + blocks):
            raw = _block(wallet, height, parent)
            parent = sha256d(raw[:80])
            genesis_hash = genesis_hash or parent[::-1].hex()
            handle.write(framed([raw], REGTEST.magic))
    return replace(REGTEST, genesis_hash=genesis_hash)


def _block(wallet: _Wallet, height: int, parent: bytes) -> bytes:
    pairs = list(_transactions(wallet, height))
    if height == 0:  # what the genesis block pays cannot be spent
        wallet.unspent.clear()
    header = struct.pack("<i", 4) + parent + merkle([txid for _, txid in pairs])
    header += struct.pack("<III", _START + _STEP_S * height, _BITS, 0)
    return header + compact(len(pairs)) + b"".join(raw for raw, _ in pairs)


def _transactions(wallet: _Wallet, height: int) -> Iterator[tuple[bytes, bytes]]:
    """Yield each transaction's bytes and txid, the coinbase first."""
    outputs = [_output(wallet, 1) for _ in range(_FUNDED if height < FUNDING_BLOCKS else 1)]
    coinbase = bytes(32) + b"\xff\xff\xff\xff" + compact(8) + struct.pack("<q", height)
    yield _transaction(wallet, [coinbase + b"\xff\xff\xff\xff"], outputs, b"")
    for number in range(TRANSACTIONS if height >= FUNDING_BLOCKS else 0):
        segwit = number % 3
        script = b"" if segwit else b"\x48" + wallet.random.randbytes(106)
        spent = (wallet.spend() for _ in range(2))
        inputs = [
            txid + struct.pack("<I", vout) + compact(len(script)) + script + b"\xfd\xff\xff\xff"
            for txid, vout in spent
        ]
        witness = b"\x02\x47" + wallet.random.randbytes(71) + b"\x21" + wallet.random.randbytes(33)
        paid = [_output(wallet, segwit) for _ in range(2)]
        yield _transaction(wallet, inputs, paid, witness * len(inputs) if segwit else b"")


def _output(wallet: _Wallet, segwit: int) -> bytes:
    to = wallet.recipient()
    script = b"\x00\x14" + to if segwit else b"\x76\xa9\x14" + to + b"\x88\xac"
    return struct.pack("<q", wallet.random.randrange(1_000, 10**8)) + compact(len(script)) + script


def _transaction(
    wallet: _Wallet, inputs: list[bytes], outputs: list[bytes], witness: bytes
) -> tuple[bytes, bytes]:
    body = compact(len(inputs)) + b"".join(inputs) + compact(len(outputs)) + b"".join(outputs)
    version, lock_time = struct.pack("<i", 2), struct.pack("<I", 0)
    txid = sha256d(version + body + lock_time)
    wallet.unspent += ((txid, vout) for vout in range(len(outputs)))
    raw = (
        version + b"\x00\x01" + body + witness + lock_time
        if witness
        else version + body + lock_time
    )
    return raw, txid
