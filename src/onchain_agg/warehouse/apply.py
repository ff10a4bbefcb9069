"""Applies loaded blocks to the running state, contiguously and in height order.

Loading may happen in any order and in parallel; this is the one step per chain that turns blocks
into state. It works under the chain's lock, in transactions of a bounded number of blocks, and
marks the days that it changed dirty in the same transaction.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import Connection, Engine, Row, func, select, text
from sqlalchemy.dialects.postgresql import insert

from onchain_agg.chains import Chain, UtxoChain
from onchain_agg.warehouse import dirty, state_utxo
from onchain_agg.warehouse.archive import refuse_archived
from onchain_agg.warehouse.locks import lock_chain
from onchain_agg.warehouse.state_balance import Span, change_balances, forget_balances
from onchain_agg.warehouse.state_nft import change_fundings, change_owners, forget_owners
from onchain_agg.warehouse.tables.chain import BLOCK
from onchain_agg.warehouse.tables.ops import ASSET, INGEST_START
from onchain_agg.warehouse.tables.state import TIP

# One transaction's work: temporary tables stay in memory, and a kill loses little.
_MAX_BLOCKS = 2000
_MAX_BYTES = 32_000_000
_BYTES_A_TRANSACTION = 400  # where a chain's blocks carry no size

Progress = Callable[[int], None]


@dataclass(frozen=True)
class Applied:
    """What a call of `apply_blocks` did.

    Attributes:
        days: Days whose facts or state changed, in order.
        height: Last applied block; -1 when none ever was.
        waiting: Loaded blocks that are not applied: above a gap, or on a fork.
    """

    days: tuple[date, ...]
    height: int
    waiting: int


def apply_blocks(
    engine: Engine, chain: Chain, *, final_height: int, progress: Progress | None = None
) -> Applied:
    """Apply every loaded block that links up with the tip, or with the first applied block.

    A UTXO chain starts at block 0, because an input names any earlier output. An account chain
    may start anywhere and grow downwards too: balances are sums.

    Args:
        engine: The warehouse.
        chain: The chain.
        final_height: Highest final block of the node; -1 for none.
        progress: Called with the number of blocks after each transaction.
    """
    days: set[date] = set()
    while True:
        with engine.begin() as connection:
            lock_chain(connection, chain.name)
            blocks = _next_blocks(connection, chain)
            if not blocks:
                _set_final(connection, chain, final_height)
                tip = tip_of(connection, chain.name)
                return Applied(
                    tuple(sorted(days)), tip.height if tip else -1, _waiting(connection, chain.name)
                )
            changed = _apply(connection, chain, blocks)
            dirty.mark_chain(connection, chain.name, changed)
        days.update(changed)
        if progress is not None:
            progress(len(blocks))


def rebuild_state(engine: Engine, chain: Chain, *, progress: Progress | None = None) -> Applied:
    """Forget the state of *chain* and apply all its loaded blocks again; what is final stays so."""
    with engine.begin() as connection:
        tip = tip_of(connection, chain.name)
        reset_state(connection, chain)
    final_height = -1 if tip is None else tip.final_height
    return apply_blocks(engine, chain, final_height=final_height, progress=progress)


def tip_of(connection: Connection, chain: str) -> Row[Any] | None:
    """Return the chain's row of `state.tip`, or None before the first block was applied."""
    return connection.execute(select(TIP).where(TIP.c.chain == chain)).first()


def reset_state(connection: Connection, chain: Chain) -> None:
    """Forget the state of *chain*; the facts stay, and applying them builds it again.

    Raises:
        ConfigError: Some of the facts are archived.
    """
    lock_chain(connection, chain.name)
    refuse_archived(connection, chain.name, "Building the state again")
    for table in (
        "state.utxo",
        "state.spent_output",
        "state.spent_output_daily",
        "state.spent_output_monthly",
        "state.created_output_daily",
        "state.first_funding",
        "state.tip",
    ):
        connection.execute(
            text(f"DELETE FROM {table} WHERE chain = :chain"),
            {"chain": chain.name},
        )
    ids = connection.scalars(select(ASSET.c.asset_id).where(ASSET.c.chain == chain.name)).all()
    forget_balances(connection, list(ids))
    forget_owners(connection, list(ids))


def _next_blocks(connection: Connection, chain: Chain) -> Sequence[Row[Any]]:
    tip = tip_of(connection, chain.name)
    if tip is None:
        lowest = _lowest(connection, chain)
        if lowest is None:
            return []
        return _linked(_blocks(connection, chain, lowest), None)
    above = _linked(_blocks(connection, chain, tip.height + 1), tip.block_hash)
    if above or isinstance(chain, UtxoChain):
        return above
    return _blocks_below(connection, chain, tip.from_height)


def _lowest(connection: Connection, chain: Chain) -> int | None:
    """Return the block to begin with: where ingest began, or the lowest one stored above it."""
    lowest = select(func.min(BLOCK.c.height)).where(BLOCK.c.chain == chain.name)
    if isinstance(chain, UtxoChain):
        lowest = lowest.where(BLOCK.c.height == 0)
    start = select(INGEST_START.c.height).where(INGEST_START.c.chain == chain.name)
    above: int | None = connection.scalar(
        lowest.where(BLOCK.c.height >= func.coalesce(start.scalar_subquery(), 0))
    )
    return connection.scalar(lowest) if above is None else above


def _blocks(connection: Connection, chain: Chain, first: int) -> Sequence[Row[Any]]:
    query = (
        select(BLOCK)
        .where(BLOCK.c.chain == chain.name, BLOCK.c.height >= first)
        .order_by(BLOCK.c.height)
        .limit(_MAX_BLOCKS)
    )
    blocks = connection.execute(query).all()
    return blocks if blocks and blocks[0].height == first else []


def _linked(blocks: Sequence[Row[Any]], parent: bytes | None) -> Sequence[Row[Any]]:
    """Return the blocks up to the first one whose parent is another block, and a bounded size."""
    size, expected = 0, None
    for position, block in enumerate(blocks):
        unlinked = parent is not None and block.parent_hash != parent
        gap = expected is not None and block.height != expected
        size += block.size_bytes or block.tx_count * _BYTES_A_TRANSACTION
        if unlinked or gap or (position and size > _MAX_BYTES):
            return blocks[:position]
        parent, expected = block.block_hash, block.height + 1
    return blocks


def _blocks_below(connection: Connection, chain: Chain, from_height: int) -> Sequence[Row[Any]]:
    query = (
        select(BLOCK)
        .where(BLOCK.c.chain == chain.name, BLOCK.c.height <= from_height)
        .order_by(BLOCK.c.height.desc())
        .limit(_MAX_BLOCKS)
    )
    found = connection.execute(query).all()
    run = 1
    while run < len(found) and (
        found[run].height == found[run - 1].height - 1
        and found[run].block_hash == found[run - 1].parent_hash
    ):
        run += 1
    return found[1:run][::-1]


def span_of(chain: Chain, blocks: Sequence[Row[Any]], sign: int) -> Span:
    """Return the span of *blocks*, which are in height order."""
    days = [block.day for block in blocks]
    return Span(chain.name, blocks[0].height, blocks[-1].height, min(days), max(days), sign)


def _apply(connection: Connection, chain: Chain, blocks: Sequence[Row[Any]]) -> set[date]:
    span = span_of(chain, blocks, 1)
    utxo = isinstance(chain, UtxoChain)
    if utxo:
        repeated = state_utxo.repeated_coinbase(connection, span)
        if repeated is not None:
            blocks = [block for block in blocks if block.height < repeated]
            span = span_of(chain, blocks, 1)
        state_utxo.spend_and_create(connection, span)
    change_balances(connection, span, utxo=utxo)
    if not utxo:
        change_owners(connection, span)
        change_fundings(connection, span)
    _move_tip(connection, chain, blocks)
    return {block.day for block in blocks}


def _move_tip(connection: Connection, chain: Chain, blocks: Sequence[Row[Any]]) -> None:
    last, depth = blocks[-1], chain.undo_blocks if isinstance(chain, UtxoChain) else None
    old = tip_of(connection, chain.name)
    if old is not None and last.height < old.height:
        values = {"from_height": blocks[0].height}
        if depth is None:
            values["undo_from"] = blocks[0].height
        connection.execute(TIP.update().where(TIP.c.chain == chain.name).values(values))
        return
    first = blocks[0].height if old is None else old.from_height
    undo_from = first if depth is None else max(first, last.height - depth + 1)
    values = {
        "chain": chain.name,
        "from_height": first,
        "height": last.height,
        "block_hash": last.block_hash,
        "day": last.day,
        "final_height": -1 if old is None else old.final_height,
        "undo_from": undo_from if old is None else max(undo_from, old.undo_from),
    }
    statement = insert(TIP).values(values)
    connection.execute(
        statement.on_conflict_do_update(index_elements=[TIP.c.chain], set_=statement.excluded)
    )


def _set_final(connection: Connection, chain: Chain, final_height: int) -> None:
    connection.execute(
        TIP.update()
        .where(TIP.c.chain == chain.name, TIP.c.final_height < final_height)
        .values(final_height=func.least(TIP.c.height, final_height))
    )


def _waiting(connection: Connection, chain: str) -> int:
    tip = tip_of(connection, chain)
    query = select(func.count()).where(BLOCK.c.chain == chain)
    if tip is not None:
        query = query.where(~BLOCK.c.height.between(tip.from_height, tip.height))
    return connection.scalar(query) or 0
