"""From a source to the fact tables: which blocks are missing, and loading them.

A block's facts are written in one transaction with its `chain.block` row, and that row is the
guard: a block that is there already is left alone, so a load may be repeated, overlap another one
or be killed at any point.
"""

import logging
from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa
from sqlalchemy import Connection, Engine, bindparam, cast, func, literal, select, text
from sqlalchemy.dialects.postgresql import ARRAY, insert

from onchain_agg.chains import Chain, UtxoChain
from onchain_agg.errors import ConfigError, ForkError, NodeBehindError, ReorgTooDeepError
from onchain_agg.sources.batch import Batch, BlockSource
from onchain_agg.warehouse.apply import tip_of
from onchain_agg.warehouse.load import append
from onchain_agg.warehouse.partitions import ensure_partitions
from onchain_agg.warehouse.reorg import resolve_fork
from onchain_agg.warehouse.tables import METADATA, is_partitioned
from onchain_agg.warehouse.tables.chain import BLOCK
from onchain_agg.warehouse.tables.ops import ASSET, INGEST_START
from onchain_agg.warehouse.tables.state import SPENT_OUTPUT

_log = logging.getLogger(__name__)

# Ranges that one DAG run maps over; the next run takes the rest.
MAX_RANGES = 200

Progress = Callable[[int], None]

_MISSING = text(
    "SELECT height + 1 AS first, next - 1 AS last FROM ("
    " SELECT height, lead(height, 1, :last + 1) OVER (ORDER BY height) AS next FROM ("
    "  SELECT height FROM chain.block WHERE chain = :chain AND height BETWEEN :first AND :last"
    "  UNION ALL SELECT :first - 1) stored"
    ") runs WHERE next > height + 1 ORDER BY height"
)


def plan(
    engine: Engine,
    chain: Chain,
    source: BlockSource,
    *,
    first: int | None = None,
    last: int | None = None,
) -> list[tuple[int, int]]:
    """Drop orphaned blocks, then return the ranges that are still to be loaded.

    Args:
        engine: The warehouse.
        chain: The chain.
        source: The node or files to read.
        first: Lowest block wanted; by default where the first plan began. That is the first block
            that it was asked for, else the first one of the tracked assets.
        last: Highest block wanted; by default the source's tip.

    Returns:
        Ranges with both ends included, of at most `chain.batch_blocks` blocks each, lowest first;
        at most 200 of them, so a long backfill takes several runs.

    Raises:
        ConfigError: *first* lies above *last*, or below the source's first block.
        NodeBehindError: The source does not reach *last*, or *first* where no *last* is given.
        WrongChainError: The source serves another chain.
    """
    source.check_chain()
    try:
        resolve_fork(engine, chain, source)
    except ReorgTooDeepError as error:
        _log.error("%s Rebuilding now.", error)
        resolve_fork(engine, chain, source, rebuild=True)
    check_range(chain, source, first, last)
    highest = source.tip().height if last is None else last
    with engine.begin() as connection:
        start = _start(connection, chain, source, first)
        missing = _missing(connection, chain, start if first is None else first, highest)
        if missing:
            _check_start(connection, chain, source, missing[0][0])
    return list(_split(missing, chain.batch_blocks))


def _missing(connection: Connection, chain: Chain, first: int, last: int) -> list[tuple[int, int]]:
    """Return the ranges between *first* and *last* that are not stored."""
    tip = tip_of(connection, chain.name)
    if tip is not None and tip.from_height <= first <= tip.height:
        # What was applied is contiguous; it need not be looked at again.
        first = tip.height + 1
    rows = connection.execute(_MISSING, {"chain": chain.name, "first": first, "last": last})
    return [(row.first, row.last) for row in rows]


def _check_start(connection: Connection, chain: Chain, source: BlockSource, first: int) -> None:
    """Refuse a first read that could never be served or applied."""
    lowest = source.first_height()
    if first < lowest:
        raise ConfigError(
            f"{chain.name}: block {first} is needed, but the source starts at {lowest}."
            " Use a node or files that keep the blocks before."
        )
    if first > 0 and isinstance(chain, UtxoChain):
        has_start = select(BLOCK.c.height).where(BLOCK.c.chain == chain.name, BLOCK.c.height == 0)
        if connection.scalar(has_start) is None:
            raise ConfigError(
                f"{chain.name}: an input may spend any earlier output, so the first run starts at"
                f" block 0, not at {first}. Leave FROM out."
            )


def check_range(chain: Chain, source: BlockSource, first: int | None, last: int | None) -> None:
    """Return where *source* has the blocks *first* to *last*; None is where it begins or ends.

    Raises:
        ConfigError: *first* lies above *last*, or below the source's first block.
        NodeBehindError: The source ends before *last*, or before *first* where no *last* is given.
    """
    if first is not None and last is not None and first > last:
        raise ConfigError(
            f"{chain.name}: the range {first} to {last} is empty. FROM must not exceed TO."
        )
    highest = first if last is None else last
    if highest is None:
        return
    lowest, tip = source.first_height(), source.tip().height
    if first is not None and first < lowest:
        raise ConfigError(
            f"{chain.name}: block {first} was asked for, but the source starts at {lowest}."
        )
    if highest > tip:
        raise NodeBehindError(
            f"{chain.name}: block {highest} was asked for, but the source ends at {tip}."
            f" Wait for the node, or ask for {tip} at most."
        )


def load(
    engine: Engine,
    chain: Chain,
    source: BlockSource,
    first: int,
    last: int,
    *,
    progress: Progress | None = None,
) -> int:
    """Load blocks *first* to *last*, both included; return the rows written.

    Blocks that are stored already are skipped. A block that contradicts a stored one resolves
    the fork and is read again.

    Raises:
        ForkError: The chain was reorganised twice during the read; a retry reads it again.
        NodeBehindError: The source does not reach *last*.
    """
    try:
        return _load(engine, chain, source, first, last, progress)
    except ForkError as error:
        _log.warning("%s Resolving the fork and reading blocks %d-%d again.", error, first, last)
    plan(engine, chain, source, first=first, last=last)
    return _load(engine, chain, source, first, last, progress)


def _load(
    engine: Engine,
    chain: Chain,
    source: BlockSource,
    first: int,
    last: int,
    progress: Progress | None,
) -> int:
    rows = 0
    with engine.connect() as connection:
        missing = _missing(connection, chain, first, last)
    for lowest, highest in missing:
        for batch in source.read(lowest, highest):
            rows += store(engine, chain, batch)
            if progress is not None:
                progress(batch.last - batch.first + 1)
    return rows


def store(engine: Engine, chain: Chain, batch: Batch) -> int:
    """Write one batch in one transaction; return the rows written.

    Raises:
        ForkError: Another block is stored at one of the heights. Nothing was written.
    """
    days = set(batch.tables["block"].column("day").to_pylist())
    for name, rows in batch.tables.items():
        table = METADATA.tables[f"chain.{name}"]
        if rows.num_rows and is_partitioned(table):
            ensure_partitions(engine, table, days)
    if isinstance(chain, UtxoChain):
        ensure_partitions(engine, SPENT_OUTPUT, days)
    with engine.begin() as connection:
        new = _insert_blocks(connection, chain, batch.tables["block"])
        written = len(new)
        for name, rows in batch.tables.items():
            if name != "block" and rows.num_rows:
                table = METADATA.tables[f"chain.{name}"]
                kept = _of_heights(rows, new, batch)
                written += append(connection, table, kept, {"chain": chain.name})
    return written


def _insert_blocks(connection: Connection, chain: Chain, blocks: pa.RecordBatch) -> set[int]:
    # One statement for the whole batch: thousands of rows at most, for which staging costs more.
    names = blocks.schema.names
    arrays = [
        cast(bindparam(name, blocks.column(name).to_pylist()), ARRAY(BLOCK.c[name].type))
        for name in names
    ]
    rows = func.unnest(*arrays).table_valued(*names).render_derived()
    statement = insert(BLOCK).from_select(["chain", *names], select(literal(chain.name), *rows.c))
    new = set(connection.scalars(statement.on_conflict_do_nothing().returning(BLOCK.c.height)))
    hashes = zip(
        blocks.column("height").to_pylist(), blocks.column("block_hash").to_pylist(), strict=True
    )
    known = {height: block_hash for height, block_hash in hashes if height not in new}
    if known:
        stored = connection.execute(
            select(BLOCK.c.height, BLOCK.c.block_hash).where(
                BLOCK.c.chain == chain.name, BLOCK.c.height.in_(known)
            )
        )
        for height, block_hash in stored:
            if block_hash != known[height]:
                raise ForkError(
                    f"{chain.name}: block {height} is stored as {block_hash.hex()}, but the source"
                    f" says {known[height].hex()}."
                )
    return new


def _of_heights(rows: pa.RecordBatch, heights: set[int], batch: Batch) -> pa.RecordBatch:
    if len(heights) == batch.last - batch.first + 1:
        return rows
    kept = np.isin(rows.column("height").to_numpy(), np.fromiter(heights, dtype=np.int64))
    return rows.filter(pa.array(kept))


def _start(connection: Connection, chain: Chain, source: BlockSource, first: int | None) -> int:
    """Return the height from which the chain is kept complete; the first plan sets it.

    It is not the lowest stored block: a first range may fail while later ones arrive, and a range
    of the past may be loaded by hand.
    """
    known: int | None = connection.scalar(
        select(INGEST_START.c.height).where(INGEST_START.c.chain == chain.name)
    )
    if known is not None:
        return known
    start = 0
    if first is not None and not isinstance(chain, UtxoChain):
        start = first
    elif not isinstance(chain, UtxoChain):
        lowest = select(func.min(ASSET.c.start_block)).where(
            ASSET.c.chain == chain.name, ASSET.c.tracked
        )
        start = max(source.first_height(), connection.scalar(lowest) or 0)
    new = insert(INGEST_START).values(chain=chain.name, height=start)
    connection.execute(new.on_conflict_do_nothing())
    return start


def _split(ranges: list[tuple[int, int]], size: int) -> Iterator[tuple[int, int]]:
    count = 0
    for first, last in ranges:
        for start in range(first, last + 1, size):
            if count == MAX_RANGES:
                return
            count += 1
            yield start, min(start + size - 1, last)
