"""Blocks made to order; the serialiser shares no code with the package's parser."""

import struct
from dataclasses import dataclass, field, replace
from hashlib import sha256

from onchain_agg.chains import chain_named
from onchain_agg.sources.bitcoin import BlockFileSource

REGTEST_BITS = 0x207FFFFF
REGTEST_MAGIC = bytes.fromhex("fabfb5da")


@dataclass(frozen=True)
class TxIn:
    txid: bytes  # as explorers print it
    vout: int
    script: bytes = b""
    witness: tuple[bytes, ...] = ()


@dataclass(frozen=True)
class TxOut:
    value: int
    script: bytes


@dataclass(frozen=True)
class Tx:
    inputs: tuple[TxIn, ...]
    outputs: tuple[TxOut, ...]
    lock_time: int = 0
    is_hogex: bool = False

    @property
    def txid(self):
        """The txid as explorers print it."""
        return sha256d(self._head() + struct.pack("<I", self.lock_time))[::-1]

    def serialize(self):
        segwit = any(i.witness for i in self.inputs)
        flags = segwit | self.is_hogex << 3
        if not flags:
            return self._head() + struct.pack("<I", self.lock_time)
        head = self._head()
        witness = b"".join(
            compact(len(i.witness)) + b"".join(compact(len(w)) + w for w in i.witness)
            for i in self.inputs
        )
        body = head[:4] + bytes([0, flags]) + head[4:] + (witness if segwit else b"")
        return body + (b"\0" if self.is_hogex else b"") + struct.pack("<I", self.lock_time)

    def _head(self):
        inputs = b"".join(
            i.txid[::-1]
            + struct.pack("<I", i.vout)
            + compact(len(i.script))
            + i.script
            + b"\xff" * 4
            for i in self.inputs
        )
        outputs = b"".join(
            struct.pack("<q", o.value) + compact(len(o.script)) + o.script for o in self.outputs
        )
        counts = compact(len(self.inputs)), compact(len(self.outputs))
        return struct.pack("<i", 2) + counts[0] + inputs + counts[1] + outputs


@dataclass(frozen=True)
class Block:
    parent: bytes  # as explorers print it
    time: int
    txs: tuple[Tx, ...]
    bits: int = REGTEST_BITS
    tail: bytes = b""

    @property
    def hash(self):
        """The block hash as explorers print it."""
        return sha256d(self.serialize()[:80])[::-1]

    def serialize(self):
        header = struct.pack("<i", 4) + self.parent[::-1] + merkle([t.txid[::-1] for t in self.txs])
        header += struct.pack("<III", self.time, self.bits, 0)
        body = b"".join(tx.serialize() for tx in self.txs)
        return header + compact(len(self.txs)) + body + self.tail


@dataclass(frozen=True)
class MadeChain:
    """Blocks from a genesis block up, and the chain definition that they belong to."""

    blocks: list[Block] = field(default_factory=list)

    @property
    def chain(self):
        made = chain_named("regtest")
        return replace(made, name="made", genesis_hash=self.blocks[0].hash.hex())

    def grow(self, count, start=0, bits=REGTEST_BITS):
        """A chain of these blocks and *count* more; *start* tells branches apart."""
        blocks = list(self.blocks)
        for _ in range(count):
            parent = blocks[-1].hash if blocks else bytes(32)
            height = len(blocks)
            blocks.append(
                Block(parent, 1_600_000_000 + 600 * height, (coinbase(start + height),), bits)
            )
        return MadeChain(blocks)

    def fork(self, height, count, start=1_000_000, bits=REGTEST_BITS):
        """The chain up to *height*, and *count* other blocks on top."""
        return MadeChain(self.blocks[: height + 1]).grow(count, start, bits)


def sha256d(data):
    return sha256(sha256(data).digest()).digest()


def compact(number):
    if number < 0xFD:
        return bytes([number])
    if number < 1 << 16:
        return b"\xfd" + struct.pack("<H", number)
    return b"\xfe" + struct.pack("<I", number)


def merkle(hashes):
    if len(hashes) == 1:
        return hashes[0]
    pairs = [hashes[i : i + 2] for i in range(0, len(hashes), 2)]
    return merkle([sha256d(pair[0] + pair[-1]) for pair in pairs])


def coinbase(tag, script=b"\x51"):
    """A transaction that makes 50 coins; *tag* sets its txid apart."""
    return Tx((TxIn(bytes(32), 0xFFFFFFFF, struct.pack("<q", tag)),), (TxOut(50 * 10**8, script),))


def framed(blocks, magic=REGTEST_MAGIC):
    """The *blocks* as they lie in a block file."""
    raw = [block if isinstance(block, bytes) else block.serialize() for block in blocks]
    return b"".join(magic + struct.pack("<I", len(one)) + one for one in raw)


def file_source(folder, *files, made):
    """A source over *files*, written to *folder* in their order."""
    for number, data in enumerate(files):
        (folder / f"blk{number:05}.dat").write_bytes(data)
    return BlockFileSource(made.chain, folder)


def hashes_read(blocks):
    """The hashes of every block from genesis to the tip, in the order they are read."""
    batches = blocks.read(0, blocks.tip().height)
    return [h for batch in batches for h in batch.tables["block"].column("block_hash").to_pylist()]


def hashes_of(made):
    return [block.hash for block in made.blocks]
