"""Puts what the heavy path computed in the place of a chain's running state.

The computation reads a snapshot and holds no lock. The result is then written under the chain's
lock, and blocks that were applied meanwhile are added to it as they always are.
"""

from collections.abc import Sequence
from dataclasses import replace

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Engine,
    MetaData,
    Numeric,
    Table,
    delete,
    select,
    text,
)
from sqlalchemy.schema import CreateTable, DropTable

from onchain_agg.chains import Chain, UtxoChain
from onchain_agg.errors import SourceError
from onchain_agg.warehouse.apply import span_of, tip_of
from onchain_agg.warehouse.archive import days_left
from onchain_agg.warehouse.load import append
from onchain_agg.warehouse.locks import lock_chain
from onchain_agg.warehouse.parquet_store import ParquetStore
from onchain_agg.warehouse.rebuild.balances import collect_changes
from onchain_agg.warehouse.rebuild.collections import collect_fundings, collect_owners
from onchain_agg.warehouse.rebuild.facts import Facts, Pinned, pin
from onchain_agg.warehouse.rebuild.matrix import collect_coins
from onchain_agg.warehouse.rebuild.scratch import Limits, batches_of, scratch
from onchain_agg.warehouse.rebuild.state_tables import BALANCES, COINS, FUNDINGS, OWNERS, StateTable
from onchain_agg.warehouse.state_balance import change_balances, forget_balances
from onchain_agg.warehouse.state_nft import change_fundings, change_owners, forget_owners
from onchain_agg.warehouse.state_utxo import forget_spent, spend_and_create
from onchain_agg.warehouse.table_rows import UINT256, arrow_type, unhexed
from onchain_agg.warehouse.tables.chain import BLOCK
from onchain_agg.warehouse.tables.ops import ASSET
from onchain_agg.warehouse.tables.state import TIP
from onchain_agg.warehouse.types import UINT256 as NUMERIC

_HIGH = "_high"
_BIASED = 2**15  # what the first four digits of a wide number are ahead


def has_left(connection: Connection, chain: Chain) -> bool:
    """Return whether facts of *chain* left the fact tables; only the heavy path sees them all."""
    return connection.execute(days_left(chain.name).limit(1)).first() is not None


def rebuild_balances(
    engine: Engine, chain: Chain, store: ParquetStore | None, limits: Limits | None = None
) -> dict[str, int]:
    """Make balances and daily changes of *chain* anew from all its facts; return rows by table.

    Raises:
        ConfigError: No block was applied, days left and there is no *store*, or the limits do not
            suffice.
        DataSetError: The archive lacks a file, or it is damaged.
        SourceError: The archive does not answer, or a reorganisation came in between.
    """
    return _rebuild(engine, chain, store, limits, BALANCES)


def rebuild_matrix(
    engine: Engine, chain: UtxoChain, store: ParquetStore | None, limits: Limits | None = None
) -> dict[str, int]:
    """Make the UTXO set and the spent and created outputs by day and month anew; return rows.

    `state.spent_output`, which undoes blocks, is a fact of its days and stays as it is.

    Raises:
        ConfigError: As for `rebuild_balances`, or an input spends what no block created.
        DataSetError: The archive lacks a file, or it is damaged.
        SourceError: The archive does not answer, or a reorganisation came in between.
    """
    return _rebuild(engine, chain, store, limits, COINS)


def rebuild_all(
    engine: Engine, chain: Chain, store: ParquetStore | None, limits: Limits | None = None
) -> dict[str, int]:
    """Make the whole running state of *chain* anew; return rows by table.

    Raises:
        ConfigError: As for `rebuild_matrix`.
        DataSetError: The archive lacks a file, or it is damaged.
        SourceError: The archive does not answer, or a reorganisation came in between.
    """
    further = COINS if isinstance(chain, UtxoChain) else (*OWNERS, *FUNDINGS)
    return _rebuild(engine, chain, store, limits, (*further, *BALANCES))


def add_asset(
    connection: Connection,
    chain: Chain,
    store: ParquetStore | None,
    asset_id: int,
    limits: Limits | None = None,
) -> None:
    """Add the balances or owners of an asset that has none yet.

    The caller holds the chain's lock.

    Raises:
        ConfigError: Days left and there is no *store*, or the limits do not suffice.
        DataSetError: The archive lacks a file, or it is damaged.
        SourceError: The archive does not answer.
    """
    with scratch(limits or Limits()) as duck:
        pinned = pin(connection, chain)
        only = replace(pinned, assets={asset_id: pinned.assets[asset_id]})
        states = OWNERS if only.collections() else BALANCES
        _collect(duck, Facts(connection, only, store), states)
        for state in states:
            _write(connection, duck, state, chain)


def _rebuild(
    engine: Engine,
    chain: Chain,
    store: ParquetStore | None,
    limits: Limits | None,
    states: Sequence[StateTable],
) -> dict[str, int]:
    snapshot = engine.execution_options(isolation_level="REPEATABLE READ")
    with scratch(limits or Limits()) as duck:
        with snapshot.begin() as connection:
            facts = Facts(connection, pin(connection, chain), store)
            _collect(duck, facts, states)
        with engine.begin() as connection:
            lock_chain(connection, chain.name)
            _check_still(connection, facts.pinned)
            _forget(connection, chain, states)
            rows = {one.table.fullname: _write(connection, duck, one, chain) for one in states}
            _add_later(connection, facts.pinned, states)
    return rows


def _collect(duck: duckdb.DuckDBPyConnection, facts: Facts, states: Sequence[StateTable]) -> None:
    if isinstance(facts.pinned.chain, UtxoChain):
        collect_coins(duck, facts)
    if BALANCES[0] in states:
        collect_changes(duck, facts)
    if OWNERS[0] in states:
        collect_owners(duck, facts)
    if FUNDINGS[0] in states:
        collect_fundings(duck, facts)


def _check_still(connection: Connection, pinned: Pinned) -> None:
    """Raise unless what was pinned is still applied and tracked."""
    name, then = pinned.chain.name, pinned.tip
    now = tip_of(connection, name)
    block_hash = connection.scalar(
        select(BLOCK.c.block_hash).where(BLOCK.c.chain == name, BLOCK.c.height == then.height)
    )
    tracked = select(ASSET.c.asset_id).where(ASSET.c.chain == name, ASSET.c.tracked)
    if (
        now is None
        or now.height < then.height
        or now.from_height != then.from_height
        or block_hash != then.block_hash
        or set(connection.scalars(tracked)) != set(pinned.assets)
    ):
        raise SourceError(
            f"{name} was reorganised or got older blocks or other assets while its state was"
            " computed. Nothing was written; run it again."
        )


def _forget(connection: Connection, chain: Chain, states: Sequence[StateTable]) -> None:
    for state in states:
        if "chain" in state.table.c:
            connection.execute(delete(state.table).where(state.table.c.chain == chain.name))
    ids = list(connection.scalars(select(ASSET.c.asset_id).where(ASSET.c.chain == chain.name)))
    if BALANCES[0] in states:
        forget_balances(connection, ids)
    if OWNERS[0] in states:
        forget_owners(connection, ids)


def _add_later(connection: Connection, pinned: Pinned, states: Sequence[StateTable]) -> None:
    """Add the blocks that were applied after the snapshot."""
    query = (
        select(BLOCK)
        .join(TIP, TIP.c.chain == BLOCK.c.chain)
        .where(
            BLOCK.c.chain == pinned.chain.name,
            BLOCK.c.height > pinned.tip.height,
            BLOCK.c.height <= TIP.c.height,
        )
        .order_by(BLOCK.c.height)
    )
    later = connection.execute(query).all()
    if not later:
        return
    span = span_of(pinned.chain, later, 1)
    if COINS[0] in states:
        forget_spent(connection, span)
        spend_and_create(connection, span)
    if BALANCES[0] in states:
        change_balances(connection, span, utxo=isinstance(pinned.chain, UtxoChain))
    if OWNERS[0] in states:
        change_owners(connection, span)
    if FUNDINGS[0] in states:
        change_fundings(connection, span)


def _write(
    connection: Connection, duck: duckdb.DuckDBPyConnection, state: StateTable, chain: Chain
) -> int:
    """Add the computed rows of a table; return how many.

    Numbers from 0 to 2**256 - 1 go straight into the table, other ones by way of a temporary
    table that holds the multiple of 2**256 beside them.
    """
    table = state.table
    numeric = [c.name for c in table.columns if isinstance(c.type, Numeric)]
    stage = _stage(table, numeric)
    connection.execute(CreateTable(stage))
    constants = {"chain": chain.name} if "chain" in table.c else {}
    rows = 0
    for batch in batches_of(duck, state.rows):
        parts, is_wide = _numbers(batch, table, numeric)
        narrow = parts.select(state.names).filter(pc.invert(is_wide))
        append(connection, table, narrow, constants)
        append(connection, stage, parts.filter(is_wide), constants)
        rows += batch.num_rows
    names = [column.name for column in table.columns]
    sums = ", ".join(f"{n} + {n}{_HIGH} * {2**256}" if n in numeric else n for n in names)
    connection.execute(
        text(f"INSERT INTO {table.fullname} ({', '.join(names)}) SELECT {sums} FROM {stage.name}")
    )
    connection.execute(DropTable(stage))
    return rows


def _stage(table: Table, numeric: Sequence[str]) -> Table:
    columns = [Column(c.name, NUMERIC if c.name in numeric else c.type) for c in table.columns]
    high = [Column(f"{name}{_HIGH}", BigInteger) for name in numeric]
    return Table(f"wide_{table.name}", MetaData(), *columns, *high, prefixes=["TEMPORARY"])


def _numbers(
    batch: pa.RecordBatch, table: Table, numeric: Sequence[str]
) -> tuple[pa.RecordBatch, pa.Array]:
    """Return *batch* with each wide number as 32 bytes and a multiple, and which rows have one."""
    columns: dict[str, pa.Array] = {}
    is_wide = np.zeros(batch.num_rows, np.bool_)
    for name in batch.schema.names:
        values = batch.column(name)
        if name in numeric:
            # Two bytes of the multiple of 2**256, then the number.
            raw = np.frombuffer(unhexed(values).buffers()[2], np.uint8).reshape(-1, 34)
            high = np.ascontiguousarray(raw[:, :2]).view(">u2")[:, 0].astype(np.int64) - _BIASED
            low = pa.py_buffer(np.ascontiguousarray(raw[:, 2:]))
            columns[name] = pa.Array.from_buffers(UINT256, len(values), [None, low])
            columns[f"{name}{_HIGH}"] = pa.array(high)
            is_wide |= high != 0
        else:
            columns[name] = values.cast(arrow_type(table.c[name].type))
    return pa.RecordBatch.from_pydict(columns), pa.array(is_wide)
