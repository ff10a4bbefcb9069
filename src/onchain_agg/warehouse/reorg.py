"""Reorganisations: finds the fork point and takes the orphaned blocks out again.

Only hashes are compared, from the tip down, so the cost follows the fork's depth.
"""

from collections.abc import Sequence
from datetime import date
from typing import Any

from sqlalchemy import Connection, Engine, Row, any_, cast, delete, select, text
from sqlalchemy.dialects.postgresql import ARRAY

from onchain_agg.chains import Chain, UtxoChain
from onchain_agg.errors import NodeBehindError, ReorgTooDeepError
from onchain_agg.sources.batch import EVM_TABLES, UTXO_TABLES, BlockSource
from onchain_agg.warehouse import dirty, ledger, state_utxo
from onchain_agg.warehouse.apply import reset_state, span_of, tip_of
from onchain_agg.warehouse.archive import refuse_archived
from onchain_agg.warehouse.locks import lock_chain
from onchain_agg.warehouse.state_balance import change_balances
from onchain_agg.warehouse.state_nft import change_fundings, change_owners
from onchain_agg.warehouse.tables import METADATA
from onchain_agg.warehouse.tables.chain import BLOCK
from onchain_agg.warehouse.tables.state import TIP
from onchain_agg.warehouse.types import HASH, HEIGHT

# One bind value however deep the fork is.
HEIGHTS, HASHES = ARRAY(HEIGHT), ARRAY(HASH)

# Blocks above the tip hang together in runs; only each run's top must be asked for.
# The applied blocks are one run, so of those only the tip is looked at.
_RUN_TOPS = text(
    "SELECT b.height FROM chain.block b WHERE b.chain = :chain"
    " AND (b.height >= :tip OR b.height < :from_height) AND NOT EXISTS ("
    " SELECT 1 FROM chain.block next WHERE next.chain = b.chain"
    " AND next.height = b.height + 1 AND next.parent_hash = b.block_hash)"
    " ORDER BY b.height DESC"
)


_NOTHING_APPLIED = {"tip": 0, "from_height": 0}


def resolve_fork(
    engine: Engine, chain: Chain, source: BlockSource, *, rebuild: bool = False
) -> tuple[date, ...]:
    """Drop every stored block that the node no longer has; return the days that it changed.

    Args:
        engine: The warehouse.
        chain: The chain.
        source: The node's view, which wins.
        rebuild: On a fork below the undo rows, forget the chain's state instead of raising; the
            next `apply_blocks` builds it again from the facts.

    Raises:
        NodeBehindError: The node is further behind the warehouse than a lagging endpoint is.
        ReorgTooDeepError: The fork goes below the undo rows. Nothing was changed.
    """
    node_height = source.tip().height
    with engine.begin() as connection:
        lock_chain(connection, chain.name)
        orphans = _orphans(connection, chain, source, node_height)
        if not orphans:
            _refuse_lag(connection, chain, node_height)
            return ()
        days = _drop(connection, chain, orphans, rebuild=rebuild)
        dirty.mark_chain(connection, chain.name, days)
    return tuple(sorted(days))


def _orphans(
    connection: Connection, chain: Chain, source: BlockSource, node_height: int
) -> list[int]:
    """Return the heights whose stored block the node does not have."""
    orphans: set[int] = set()
    tip = tip_of(connection, chain.name)
    applied = {"tip": tip.height, "from_height": tip.from_height} if tip else _NOTHING_APPLIED
    for top in connection.scalars(_RUN_TOPS, {"chain": chain.name, **applied}).all():
        shared = min(top, node_height)
        height = shared
        while height >= 0 and _contradicts(connection, chain, source, height):
            height -= 1
        if height < shared:
            # What hangs above an orphan is an orphan, also beyond the node's own tip.
            orphans.update(range(height + 1, top + 1))
    return sorted(orphans)


def _contradicts(connection: Connection, chain: Chain, source: BlockSource, height: int) -> bool:
    """Return whether another block than the node's is stored at *height*."""
    stored = connection.scalar(
        select(BLOCK.c.block_hash).where(BLOCK.c.chain == chain.name, BLOCK.c.height == height)
    )
    return stored is not None and stored != source.block_at(height).block_hash


def _refuse_lag(connection: Connection, chain: Chain, node_height: int) -> None:
    tip = tip_of(connection, chain.name)
    if tip is not None and node_height < tip.height - chain.confirmations:
        raise NodeBehindError(
            f"{chain.name}: the node is at block {node_height}, the warehouse at {tip.height}."
            f" Let the node of connection {chain.conn_id!r} catch up, or point it at another."
        )


def _drop(connection: Connection, chain: Chain, orphans: list[int], *, rebuild: bool) -> set[date]:
    tip = tip_of(connection, chain.name)
    blocks = connection.execute(
        select(BLOCK)
        .where(BLOCK.c.chain == chain.name, BLOCK.c.height == any_(cast(orphans, HEIGHTS)))
        .order_by(BLOCK.c.height)
    ).all()
    days = {block.day for block in blocks}
    hashes = [block.block_hash for block in blocks]
    ledger.reopen(connection, chain.name, min(days))
    applied = [b for b in blocks if tip is not None and tip.from_height <= b.height <= tip.height]
    if applied and tip is not None:
        if applied[0].height >= tip.undo_from:
            refuse_archived(connection, chain.name, "Undoing a fork", days)
            _undo(connection, chain, applied)
        elif rebuild:
            reset_state(connection, chain)
        else:
            raise ReorgTooDeepError(
                f"{chain.name}: the node dropped block {applied[0].height}, but only blocks from"
                f" {tip.undo_from} on can be undone. Run `onchain-agg rebuild --chain"
                f" {chain.name}`; ingest DAGs do so by themselves."
            )
    tables = UTXO_TABLES if isinstance(chain, UtxoChain) else EVM_TABLES
    for name in tables:
        table = METADATA.tables[f"chain.{name}"]
        connection.execute(
            delete(table).where(
                table.c.chain == chain.name,
                table.c.day.between(min(days), max(days)),
                table.c.block_hash == any_(cast(hashes, HASHES)),
            )
        )
    return days


def _undo(connection: Connection, chain: Chain, blocks: Sequence[Row[Any]]) -> None:
    span = span_of(chain, blocks, -1)
    utxo = isinstance(chain, UtxoChain)
    change_balances(connection, span, utxo=utxo)
    if utxo:
        state_utxo.undo_spend_and_create(connection, span)
    else:
        change_owners(connection, span)
        change_fundings(connection, span)
    parent = connection.execute(
        select(BLOCK).where(BLOCK.c.chain == chain.name, BLOCK.c.height == span.first - 1)
    ).first()
    tip = tip_of(connection, chain.name)
    if parent is None or tip is None or parent.height < tip.from_height:
        connection.execute(delete(TIP).where(TIP.c.chain == chain.name))
        return
    connection.execute(
        TIP.update()
        .where(TIP.c.chain == chain.name)
        .values(
            height=parent.height,
            block_hash=parent.block_hash,
            day=parent.day,
            final_height=min(tip.final_height, parent.height),
        )
    )
