"""Blocks in height order to batches: links checked, median-time-past told, memory bounded."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from onchain_agg.errors import ForkError
from onchain_agg.sources.batch import Batch
from onchain_agg.sources.bitcoin_columns import PlacedBlock, block_tables
from onchain_agg.sources.bitcoin_parse import Header, ParsedBlock

# A batch closes at either bound; its columns take a few times the raw bytes.
BATCH_BYTES = 8_000_000
BATCH_BLOCKS = 2_000

# Median-time-past looks at a block's own time and those of this many blocks before it.
EARLIER_TIMES = 10


@dataclass(frozen=True)
class Before:
    """What a range of blocks stands on.

    Attributes:
        parent_hash: Hash of the block below the range; None where the range starts at height 0.
        times: Header times of the up to ten blocks below it, in height order.
    """

    parent_hash: bytes | None
    times: Sequence[int]


def median_time_past(times: Sequence[int]) -> int:
    """Return the median of a block's header time and those before it; the later of two middles."""
    return sorted(times)[len(times) // 2]


def batches(
    chain: str, first: int, before: Before, blocks: Iterable[ParsedBlock]
) -> Iterator[Batch]:
    """Yield *blocks*, which start at height *first*, as batches.

    Raises:
        ForkError: A block's parent is not the block before it.
        SourceError: A block holds a number that no valid block holds.
    """
    pending: list[PlacedBlock] = []
    pending_bytes = 0
    for placed in _placed(chain, first, before, blocks):
        pending.append(placed)
        pending_bytes += len(placed.block.raw)
        if pending_bytes >= BATCH_BYTES or len(pending) >= BATCH_BLOCKS:
            yield _batch(chain, pending)
            pending, pending_bytes = [], 0
    if pending:
        yield _batch(chain, pending)


def check_link(chain: str, height: int, parent_hash: bytes | None, header: Header) -> None:
    """Raise ForkError unless the block at *height* follows *parent_hash* (None: any)."""
    if parent_hash is not None and header.parent_hash != parent_hash:
        raise ForkError(
            f"Block {height} of {chain} follows {header.parent_hash.hex()}, but the block below "
            f"it is {parent_hash.hex()}: the chain was reorganised during the read. Read again."
        )


def _placed(
    chain: str, first: int, before: Before, blocks: Iterable[ParsedBlock]
) -> Iterator[PlacedBlock]:
    times = deque(before.times, maxlen=EARLIER_TIMES + 1)
    parent_hash = before.parent_hash
    for height, block in enumerate(blocks, first):
        check_link(chain, height, parent_hash, block.header)
        parent_hash = block.header.block_hash
        times.append(block.header.time)
        yield PlacedBlock(block, height, median_time_past(times))


def _batch(chain: str, blocks: Sequence[PlacedBlock]) -> Batch:
    return Batch(chain, blocks[0].height, blocks[-1].height, block_tables(blocks))
