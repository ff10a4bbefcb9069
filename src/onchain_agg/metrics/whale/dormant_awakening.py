"""Coins that moved after a year or more of rest.

``age_class`` is the largest of 1, 2, 3, 5, 7 and 10 years, each of 365 days, that the rest lasted;
exactly so long counts. What rests differs by the kind of chain:

* On a UTXO chain an output rests from its creation until it is spent. One row is one transaction,
  address and age class: ``value`` is the sum of the outputs that the transaction spent of that
  address and class, ``outputs`` their number, ``dormant_since`` the day on which the oldest of them
  was created and ``age_days`` its age in whole days between the two blocks' times. Coinbases'
  outputs are included. (Coin Metrics SplyRvv, CryptoQuant Spent Output Age Bands: as events.)
* On an account chain an address rests in an asset from the last day on which it sent the asset to
  somebody else; one that never did, from the day on which it first had any. One row is one asset
  and address that sent again on the day: ``dormant_since`` is that earlier day, ``age_days`` the
  difference of the two, ``value`` the balance at the end of the day before, whatever part of it
  moved, ``sends`` the day's transfers and ``net_sent`` what the day took off the balance: below
  zero where more came in than went out.

Rows below one whole unit of the asset are left out: dust that is swept up, and tokens sent around
to catch the eye, would be most of the rows and none of the value.

Known gaps: fees and tips are no transfer, so an address that only pays them in the chain's coin
lets its coins rest. An account asset appears when its history is complete, as
``holder_distribution_daily`` says; a UTXO chain's coin always, because such a chain is read from
block 0. Coinbases lost to a repeated transaction (BIP 30) were not spent. Nobody knows whether
who moves its coins to an address of its own has sold.
Edge cases: a transaction that spends several ages of one address is a row for each; a UTXO script
without an address (bare multisig) has the ``address`` none; who received, sent and rested on one
day only has no row.
"""

from typing import Any

from sqlalchemy import (
    CTE,
    BigInteger,
    Column,
    ColumnElement,
    Integer,
    LargeBinary,
    Numeric,
    Select,
    SmallInteger,
    Subquery,
    Table,
    Text,
    and_,
    cast,
    func,
    literal,
    not_,
    null,
    select,
)
from sqlalchemy.dialects.postgresql import array

from onchain_agg.chains import EvmChain, chain_named
from onchain_agg.metrics import balances
from onchain_agg.metrics.dataset import ALL_LATER, SERVING, DataSet, Window
from onchain_agg.metrics.rendering import NATIVE, address_text, asset_text, hash_text
from onchain_agg.warehouse.tables.chain import BLOCK, UTXO_OUTPUT
from onchain_agg.warehouse.tables.ops import ASSET
from onchain_agg.warehouse.tables.state import BALANCE, BALANCE_DELTA, SPENT_OUTPUT
from onchain_agg.warehouse.types import DAY, NAME, UINT256

_YEARS = (1, 2, 3, 5, 7, 10)
_YEAR = 365  # days
_DAY = 86_400  # seconds

TABLE = Table(
    "dormant_awakening_v1",
    SERVING,
    Column("chain", NAME, primary_key=True, comment="Name of the chain."),
    Column("day", DAY, primary_key=True, comment="UTC day on which the coins moved."),
    Column("asset", NAME, primary_key=True, comment="0x… of the token, or native."),
    Column(
        "address",
        NAME,
        primary_key=True,
        comment="Whose coins rested, as wallets show it; none: a script without one.",
    ),
    Column(
        "tx_hash",
        Text,
        primary_key=True,
        comment="As explorers print it; day on an account chain: all transfers of the day.",
    ),
    Column("age_class", SmallInteger, primary_key=True, comment="Years: 1, 2, 3, 5, 7 or 10."),
    Column("symbol", Text, nullable=False, comment="For people; the asset is the identity."),
    Column("value", UINT256, nullable=False, comment="What had rested, smallest unit."),
    Column("dormant_since", DAY, nullable=False, comment="UTC day on which the rest began."),
    Column("age_days", Integer, nullable=False, comment="Whole days of rest, of the oldest coin."),
    Column("outputs", BigInteger, comment="Spent outputs; NULL on an account chain."),
    Column("sends", BigInteger, comment="Transfers of the day; NULL on a UTXO chain."),
    Column(
        "net_sent", UINT256, comment="What the day took off, smallest unit; NULL on a UTXO chain."
    ),
)


def rows(window: Window) -> Select[Any]:
    """Return what the window's blocks moved after a year of rest or more."""
    if isinstance(chain_named(window.scope), EvmChain):
        return _accounts(window)
    return _outputs(window)


def _outputs(window: Window) -> Select[Any]:
    aged = _aged(window)
    transaction = UTXO_OUTPUT.alias("transaction")
    old, value = aged.c, func.sum(aged.c.value)
    # Every transaction has an output 0.
    of_transaction = and_(
        transaction.c.chain == window.scope,
        transaction.c.day == window.day,
        transaction.c.block_hash == old.block_hash,
        transaction.c.tx_index == old.tx_index,
        transaction.c.vout == 0,
    )
    is_coin = and_(
        ASSET.c.chain == window.scope,
        ASSET.c.address == literal(NATIVE, LargeBinary),
        ASSET.c.tracked,
    )
    age_class = _age_class(old.age_days)
    return (
        select(
            *window.labels(),
            literal("native", Text).label("asset"),
            func.coalesce(address_text(window, old.address), "none").label("address"),
            hash_text(window, transaction.c.txid).label("tx_hash"),
            age_class.label("age_class"),
            ASSET.c.symbol,
            value.label("value"),
            cast(func.min(old.created_at), DAY).label("dormant_since"),
            func.max(old.age_days).label("age_days"),
            func.count().label("outputs"),
            cast(null(), BigInteger).label("sends"),
            cast(null(), UINT256).label("net_sent"),
        )
        .join_from(aged, ASSET, is_coin)
        .join(transaction, of_transaction)
        .where(old.age_days >= _YEAR)
        .group_by(old.address, transaction.c.txid, age_class, ASSET.c.symbol, ASSET.c.decimals)
        .having(value >= _whole_unit(ASSET.c.decimals))
    )


def _aged(window: Window) -> Subquery:
    """Return the window's spent outputs with their age in whole days."""
    spent = SPENT_OUTPUT.c
    age = func.floor(func.extract("epoch", BLOCK.c.block_at - spent.created_at) / _DAY)
    return (
        select(
            spent.block_hash,
            spent.tx_index,
            spent.address,
            spent.value,
            spent.created_at,
            cast(age, Integer).label("age_days"),
        )
        .join(
            BLOCK,
            and_(
                BLOCK.c.chain == spent.chain,
                BLOCK.c.height == spent.height,
                BLOCK.c.block_hash == spent.block_hash,
            ),
        )
        .where(window.of(SPENT_OUTPUT), not_(spent.overwritten))
        .subquery("aged")
    )


def _accounts(window: Window) -> Select[Any]:
    assets = balances.covered_assets(window)
    awake = _awake(window, assets)
    woken, asset = awake.c, assets.c
    age_days = cast(literal(window.day, DAY) - woken.since, Integer)
    value = _balance_before(window, woken.asset_id, woken.address)
    columns: tuple[ColumnElement[Any], ...] = (
        asset_text(asset.address).label("asset"),
        address_text(window, woken.address).label("address"),
        literal("day", Text).label("tx_hash"),
        _age_class(age_days).label("age_class"),
        asset.symbol,
        value.label("value"),
        woken.since.label("dormant_since"),
        age_days.label("age_days"),
        cast(null(), BigInteger).label("outputs"),
        woken.debits.label("sends"),
        (-woken.delta).label("net_sent"),
    )
    return (
        select(*window.labels(), *columns)
        .join_from(awake, assets, asset.asset_id == woken.asset_id)
        .where(age_days >= _YEAR, value >= _whole_unit(asset.decimals))
    )


def _awake(window: Window, assets: CTE) -> CTE:
    """Return who sent on the window's day, and since when it had not; NULL: it had nothing."""
    sent = BALANCE_DELTA.alias("sent").c
    before = BALANCE_DELTA.alias("before").c
    earlier = and_(
        before.asset_id == sent.asset_id, before.address == sent.address, before.day < window.day
    )
    # The second is looked up only where the first finds nothing.
    last_sent = select(func.max(before.day)).where(earlier, before.debits > 0).scalar_subquery()
    first_had = select(func.min(before.day)).where(earlier).scalar_subquery()
    return (
        select(
            sent.asset_id,
            sent.address,
            sent.delta,
            sent.debits,
            func.coalesce(last_sent, first_had).label("since"),
        )
        .where(
            sent.asset_id.in_(select(assets.c.asset_id)),
            sent.day == window.day,
            sent.debits > 0,
        )
        # Kept apart, so that each look-up is done once.
        .cte("awake")
        .prefix_with("MATERIALIZED", dialect="postgresql")
    )


def _balance_before(
    window: Window, asset_id: ColumnElement[int], address: ColumnElement[bytes]
) -> ColumnElement[Any]:
    """Return an address's balance at the end of the day before the window's."""
    tip, change = BALANCE.c, BALANCE_DELTA.alias("since_then").c
    now = select(tip.balance).where(tip.asset_id == asset_id, tip.address == address)
    since = select(func.sum(change.delta)).where(
        change.asset_id == asset_id, change.address == address, change.day >= window.day
    )
    return func.coalesce(now.scalar_subquery(), 0) - func.coalesce(since.scalar_subquery(), 0)


def _age_class(age_days: ColumnElement[int]) -> ColumnElement[int]:
    """Return the class of an age of at least a year."""
    bounds = array([years * _YEAR for years in _YEARS])
    years: ColumnElement[int] = array(_YEARS)[func.width_bucket(age_days, bounds)]
    return cast(years, SmallInteger)


def _whole_unit(decimals: ColumnElement[int]) -> ColumnElement[Any]:
    return cast(func.concat("1e", decimals), Numeric)


DATASET = DataSet(
    name="dormant_awakening",
    table=TABLE,
    family="whale",
    chain_families=("evm", "utxo"),
    reads=(*balances.READS, SPENT_OUTPUT, UTXO_OUTPUT),
    # How long an address rested follows from every day before, and a changed one may be the last on
    # which it sent. A new block changes the newest day only, which has no later ones.
    reach=ALL_LATER,
    grain="event",
    workload="whale_worker",
    rows=rows,
    highlights=("value", "symbol", "address", "age_days"),
)
