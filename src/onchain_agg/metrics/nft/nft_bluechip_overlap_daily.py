"""How many wallets hold two of the configured NFT collections at once, each UTC day.

The list is the tracked assets with ``bluechip`` in their definition. A row is a pair of them, each
pair once (``collection`` is the lower address), and each collection with itself, which tells its
wallets:

* ``wallets`` and ``other_wallets``: wallets with at least one token of the first and of the second.
* ``wallets_of_both``: wallets with at least one of each. ``jaccard``: those over the wallets with
  at least one of either; NULL where there are none.
* ``listed_wallets``: wallets with at least one token of any collection of the list, the same in
  every row of the day.

A wallet is a holder that no label of the day puts into ``staking``, ``escrow``, ``vault``,
``bridge`` or ``burn``, and that is not 0x0…dead. Holders, wrapped collections (one with their base)
and completeness are those of `nft_holder_distribution_daily`. A day is computed when it is over.

Known gaps: addresses are not people. A collection whose history is not complete is left out, and so
are its wallets in ``listed_wallets``.
Edge cases: a list of one collection is one row; a collection without wallets has rows of zeros.
"""

from typing import Any

from sqlalchemy import (
    CTE,
    BigInteger,
    Column,
    Double,
    Select,
    Subquery,
    Table,
    Text,
    and_,
    cast,
    func,
    not_,
    select,
    true,
)

from onchain_agg.metrics import nft_owners
from onchain_agg.metrics.dataset import ALL_LATER, SERVING, DataSet, Invariant, Window
from onchain_agg.metrics.rendering import address_text
from onchain_agg.warehouse.tables.chain import LABEL
from onchain_agg.warehouse.types import BIG, DAY, NAME

TABLE = Table(
    "nft_bluechip_overlap_daily_v1",
    SERVING,
    Column("chain", NAME, primary_key=True, comment="Name of the chain."),
    Column("day", DAY, primary_key=True, comment="UTC day; holders after its last block."),
    Column("collection", NAME, primary_key=True, comment="0x… of the first contract."),
    Column("other", NAME, primary_key=True, comment="0x… of the second; not below the first."),
    Column("symbol", Text, nullable=False, comment="Of the first, for people."),
    Column("other_symbol", Text, nullable=False, comment="Of the second, for people."),
    Column("wallets", BigInteger, nullable=False, comment="Wallets with a token of the first."),
    Column(
        "other_wallets", BigInteger, nullable=False, comment="Wallets with a token of the second."
    ),
    Column("wallets_of_both", BigInteger, nullable=False, comment="Wallets with a token of each."),
    Column("jaccard", Double, comment="Wallets with both over those with either, 0..1; or NULL."),
    Column(
        "listed_wallets",
        BigInteger,
        nullable=False,
        comment="Wallets with a token of any listed collection.",
    ),
)


def rows(window: Window) -> Select[Any]:
    """Return one row a pair of listed collections."""
    collections = nft_owners.complete_collections(window)
    first, second = collections.alias("first"), collections.alias("second")
    wallet = _wallets(window, collections)
    counted = (
        select(wallet.c.asset_id, func.count().label("wallets"))
        .group_by(wallet.c.asset_id)
        .cte("counted")
    )
    own, others = counted.alias("own"), counted.alias("others")
    shared = _shared(wallet)
    both, one = func.coalesce(shared.c.wallets, 0), func.coalesce(own.c.wallets, 0)
    two = func.coalesce(others.c.wallets, 0)
    either = func.nullif(one + two - both, 0)
    listed = select(func.count(wallet.c.address.distinct())).scalar_subquery()
    return (
        select(
            *window.labels(),
            address_text(window, first.c.address).label("collection"),
            address_text(window, second.c.address).label("other"),
            first.c.symbol,
            second.c.symbol.label("other_symbol"),
            one.label("wallets"),
            two.label("other_wallets"),
            both.label("wallets_of_both"),
            cast(cast(both, BIG) / either, Double).label("jaccard"),
            listed.label("listed_wallets"),
        )
        .join_from(first, second, first.c.address <= second.c.address)
        .outerjoin(own, own.c.asset_id == first.c.asset_id)
        .outerjoin(others, others.c.asset_id == second.c.asset_id)
        .outerjoin(
            shared,
            and_(shared.c.one == first.c.asset_id, shared.c.two == second.c.asset_id),
        )
        .where(_is_listed(first.c), _is_listed(second.c))
    )


def _shared(wallet: CTE) -> Subquery:
    """Return how many wallets each two collections share: ``one``, ``two``, ``wallets``.

    A wallet's list of collections is crossed with itself, which no planner can take for a join of
    all wallets with all.
    """
    listed = (
        select(func.array_agg(wallet.c.asset_id).label("ids"))
        .group_by(wallet.c.address)
        .subquery("listed")
    )
    first = func.unnest(listed.c.ids).table_valued("one").render_derived("first_of")
    second = func.unnest(listed.c.ids).table_valued("two").render_derived("second_of")
    one, two = first.c.one, second.c.two
    return (
        select(one, two, func.count().label("wallets"))
        .select_from(listed.join(first, true()).join(second, true()))
        .group_by(one, two)
        .subquery("shared")
    )


def _wallets(window: Window, collections: CTE) -> CTE:
    """Return each wallet of each listed collection: ``asset_id``, ``address``."""
    holders = nft_owners.holders(
        collections,
        nft_owners.last_owners(window, collections),
        nft_owners.amounts(window, collections),
    )
    told = nft_owners.vaults_on(window)
    return (
        select(holders.c.asset_id, holders.c.address)
        .join_from(holders, collections, collections.c.asset_id == holders.c.asset_id)
        .outerjoin(told, told.c.address == holders.c.address)
        .where(_is_listed(collections.c), not_(nft_owners.is_vault(holders.c.address, told)))
        .cte("wallet")
    )


def _is_listed(collection: Any) -> Any:
    return and_(collection.bluechip, collection.wraps.is_(None))


def _impossible(stage: Table, window: Window) -> Select[Any]:
    del window
    row = stage.c
    columns = (row.collection, row.other, row.wallets, row.other_wallets, row.wallets_of_both)
    return select(*columns).where(row.wallets_of_both > func.least(row.wallets, row.other_wallets))


DATASET = DataSet(
    name="nft_bluechip_overlap_daily",
    table=TABLE,
    family="nft",
    chain_families=("evm",),
    reads=(*nft_owners.READS, LABEL),
    reach=ALL_LATER,
    same_day=(LABEL,),
    at_close=True,
    grain="day",
    workload="nft_worker",
    rows=rows,
    invariants=(Invariant("wallets of both <= wallets of each", _impossible),),
    highlights=("wallets_of_both", "symbol", "other_symbol"),
)
