"""Brings the database in line with the definitions: chains, tracked assets and data sets.

What changed makes days dirty in the same transaction. When nothing changed, nothing is written.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields
from datetime import date

from sqlalchemy import Connection, Engine, delete, select, text
from sqlalchemy.dialects.postgresql import insert

from onchain_agg.chains import Asset, Chain, UtxoChain, all_chains
from onchain_agg.errors import ConfigError
from onchain_agg.metrics.dataset import DataSet
from onchain_agg.metrics.inputs import definition_hash
from onchain_agg.metrics.registry import all_datasets
from onchain_agg.metrics.scopes import scopes_of
from onchain_agg.metrics.todo import applied_days, days_of
from onchain_agg.metrics.wiring import Reader, readers_of
from onchain_agg.warehouse import dirty, versions
from onchain_agg.warehouse.apply import tip_of
from onchain_agg.warehouse.locks import lock_chain, lock_definitions
from onchain_agg.warehouse.parquet_store import ParquetStore
from onchain_agg.warehouse.rebuild.replacing import add_asset, has_left
from onchain_agg.warehouse.state_balance import Span, change_balances, forget_balances
from onchain_agg.warehouse.state_nft import change_owners, forget_owners
from onchain_agg.warehouse.tables.chain import BLOCK
from onchain_agg.warehouse.tables.ops import ADDRESS_FORMAT, ASSET, DATASET, DIRTY, READER
from onchain_agg.warehouse.tokens import quarantined

ExtraAssets = Mapping[str, Iterable[Asset]]

_ADDRESS_BYTES = 20
_BEGINNING = date(1970, 1, 1)


def sync(
    engine: Engine,
    extra_assets: ExtraAssets | None = None,
    *,
    archive: ParquetStore | None = None,
) -> list[str]:
    """Make ``ops``, ``serving`` and ``history`` follow the definitions; return what changed.

    A new asset gets its balances, or a collection its owners, from the facts; a data set that is
    new or computes something else, and every data set of a chain whose assets changed, gets the
    chain's days dirty.

    Args:
        engine: A migrated warehouse.
        extra_assets: Assets by chain name that a deployment adds to those of the chain files.
        archive: Where a new asset's transfers are read on days that left the fact tables.

    Raises:
        ConfigError: Two definitions of one asset, an address that is none, or a new asset of a
            chain with days in an archive that was not given.
    """
    changes: list[str] = []
    with engine.begin() as connection:
        lock_definitions(connection)
        _forget_undefined(connection)
        for chain in all_chains().values():
            if isinstance(chain, UtxoChain):
                _sync_format(connection, chain)
            extra = (extra_assets or {}).get(chain.name, ())
            assets = [*chain.tracked_assets, *extra]
            changes += _sync_assets(connection, chain, assets, archive)
        if changes:
            # Planned as if there were one asset, a join with a thousand takes a minute.
            connection.execute(text("ANALYZE ops.asset"))
        # Last, because readers of a view wait from when it is made anew until the commit.
        for dataset in all_datasets().values():
            changes += _sync_dataset(connection, dataset)
    return changes


def _forget_undefined(connection: Connection) -> None:
    """Delete what would wake data sets and chains that have no definition any more."""
    names = list(all_datasets())
    chain_sets = [d.name for d in all_datasets().values() if d.scope == "chain"]
    gone_chain = DIRTY.c.dataset.in_(chain_sets) & DIRTY.c.scope.not_in(list(all_chains()))
    connection.execute(delete(DIRTY).where(DIRTY.c.dataset.not_in(names) | gone_chain))
    connection.execute(delete(READER).where(READER.c.dataset.not_in(names)))
    connection.execute(delete(DATASET).where(DATASET.c.name.not_in(names)))


def _sync_dataset(connection: Connection, dataset: DataSet) -> list[str]:
    readers = set(readers_of(dataset))
    known = {
        Reader(*row)
        for row in connection.execute(
            select(*(READER.c[field.name] for field in fields(Reader))).where(
                READER.c.dataset == dataset.name
            )
        )
    }
    definition = definition_hash(dataset)
    before = connection.scalar(select(DATASET.c.definition).where(DATASET.c.name == dataset.name))
    if before == definition and known == readers:
        return []
    scopes = scopes_of(connection, dataset)
    if dataset.scope == "chain":
        for chain in scopes:
            # Blocks that are being applied must be seen here, or see the data set.
            lock_chain(connection, chain)
    versions.create_tables(connection, dataset.table)
    versions.create_view(
        connection, dataset.name, dataset.table, dataset.derived, dataset.scope_column
    )
    statement = insert(DATASET).values(name=dataset.name, definition=definition)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=[DATASET.c.name], set_={"definition": definition}
        )
    )
    connection.execute(delete(READER).where(READER.c.dataset == dataset.name))
    connection.execute(READER.insert(), [asdict(reader) for reader in readers])
    for scope in scopes:
        dirty.mark(connection, dataset.name, scope, days_of(connection, dataset, scope))
    return [f"data set {dataset.name}: {'new' if before is None else 'edited'}"]


def _sync_format(connection: Connection, chain: UtxoChain) -> None:
    values = {
        "pubkey_prefix": chain.pubkey_prefix,
        "script_prefix": chain.script_prefix,
        "bech32_hrp": chain.bech32_hrp,
    }
    row = connection.execute(
        select(*(ADDRESS_FORMAT.c[name] for name in values)).where(
            ADDRESS_FORMAT.c.chain == chain.name
        )
    ).first()
    if row is None or tuple(row) != tuple(values.values()):
        statement = insert(ADDRESS_FORMAT).values(chain=chain.name, **values)
        connection.execute(
            statement.on_conflict_do_update(index_elements=[ADDRESS_FORMAT.c.chain], set_=values)
        )


def _sync_assets(
    connection: Connection, chain: Chain, assets: list[Asset], archive: ParquetStore | None
) -> list[str]:
    wanted = _by_address(chain, assets)
    changes = _without_quarantined(connection, chain, wanted)
    stored = {
        row.address: row
        for row in connection.execute(select(ASSET).where(ASSET.c.chain == chain.name))
    }
    dirty_from: list[int] = []
    for address, asset in wanted.items():
        values = _values(asset, chain)
        row = stored.get(address)
        if row is not None and all(getattr(row, name) == v for name, v in values.items()):
            continue
        # What has owners now may have had balances.
        is_new = row is None or not row.tracked or row.standard != asset.standard
        if is_new:
            lock_chain(connection, chain.name)
        asset_id = _upsert(connection, chain, address, values)
        if is_new:
            _forget_state(connection, asset_id)
            _add_state(connection, chain, asset_id, archive)
        # A first block that moved changes what is complete between the old place and the new.
        dirty_from.append(min(asset.start_block, row.start_block if row else asset.start_block))
        changes.append(f"asset {asset.symbol} of {chain.name}: {'edited' if row else 'new'}")
    for address, row in stored.items():
        if row.tracked and address not in wanted:
            lock_chain(connection, chain.name)
            _forget_state(connection, row.asset_id)
            connection.execute(
                ASSET.update().where(ASSET.c.asset_id == row.asset_id).values(tracked=False)
            )
            dirty_from.append(row.start_block)
            changes.append(f"asset {row.symbol} of {chain.name}: no longer tracked")
    if dirty_from:
        _mark_readers(connection, chain, min(dirty_from))
    return changes


def _forget_state(connection: Connection, asset_id: int) -> None:
    forget_owners(connection, [asset_id])
    forget_balances(connection, [asset_id])


def _without_quarantined(
    connection: Connection, chain: Chain, wanted: dict[bytes, Asset]
) -> list[str]:
    """Take the tokens in quarantine out of *wanted*; return what each is and why it is there."""
    told: list[str] = []
    for address, token in quarantined(connection, chain.name).items():
        asset = wanted.pop(address, None)
        if asset is not None:
            told.append(
                f"asset {asset.symbol} of {chain.name}: in quarantine, not tracked: {token.reason}"
            )
    return told


def _by_address(chain: Chain, assets: list[Asset]) -> dict[bytes, Asset]:
    wanted: dict[bytes, Asset] = {}
    for asset in assets:
        address = b"" if asset.address is None else _address(asset, chain, asset.address)
        if address in wanted:
            raise ConfigError(
                f"Asset {asset.symbol} of {chain.name} is defined twice:"
                f" {asset.address or 'native'} is already {wanted[address].symbol}. Remove one."
            )
        wanted[address] = asset
    return wanted


def _address(asset: Asset, chain: Chain, written: str) -> bytes:
    try:
        address = bytes.fromhex(written.removeprefix("0x"))
    except ValueError:
        address = b"?"
    if len(address) != _ADDRESS_BYTES:
        raise ConfigError(
            f"Asset {asset.symbol} of {chain.name}: {written!r} is not an address."
            " Give 0x and 40 hexadecimal digits."
        )
    return address


def _values(asset: Asset, chain: Chain) -> dict[str, object]:
    return {
        "symbol": asset.symbol,
        "decimals": asset.decimals,
        "start_block": asset.start_block,
        "whale_threshold": asset.whale_threshold,
        "noncompliant": asset.noncompliant,
        "standard": asset.standard,
        "wraps": None if asset.wraps is None else _address(asset, chain, asset.wraps),
        "bluechip": asset.bluechip,
        "tracked": True,
    }


def _upsert(
    connection: Connection, chain: Chain, address: bytes, values: Mapping[str, object]
) -> int:
    statement = insert(ASSET).values(chain=chain.name, address=address, **values)
    asset_id: int = connection.scalars(
        statement.on_conflict_do_update(
            index_elements=[ASSET.c.chain, ASSET.c.address], set_=dict(values)
        ).returning(ASSET.c.asset_id)
    ).one()
    return asset_id


def _add_state(
    connection: Connection, chain: Chain, asset_id: int, archive: ParquetStore | None
) -> None:
    tip = tip_of(connection, chain.name)
    if tip is not None and has_left(connection, chain):
        add_asset(connection, chain, archive, asset_id)
    elif tip is not None:
        days = applied_days(connection, chain.name, _BEGINNING)
        span = Span(chain.name, tip.from_height, tip.height, days[0], days[-1], 1)
        change_balances(connection, span, utxo=isinstance(chain, UtxoChain), asset_id=asset_id)
        change_owners(connection, span, asset_id=asset_id)


def _mark_readers(connection: Connection, chain: Chain, from_height: int) -> None:
    """Mark the days from block *from_height* on dirty in the data sets that read assets."""
    since = connection.scalar(
        select(BLOCK.c.day)
        .where(BLOCK.c.chain == chain.name, BLOCK.c.height >= from_height)
        .order_by(BLOCK.c.height)
        .limit(1)
    )
    if since is None:
        return
    days = applied_days(connection, chain.name, since)
    for dataset in all_datasets().values():
        if dataset.covers(chain) and ASSET in dataset.reads:
            dirty.mark(connection, dataset.name, chain.name, days)
