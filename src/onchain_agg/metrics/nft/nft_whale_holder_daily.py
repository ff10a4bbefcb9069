"""The largest holders of each tracked NFT collection, at the end of each UTC day.

The 100 largest holders are kept; of equal holdings at the end of them the lower addresses are. Who
has at least 1 % of the tokens that are held is always among them, and ``is_percent`` says so.
Beside them are all holdings of the chain's 100 wallets that have most by value, ``is_top_value``,
however few tokens they have of the collection. Readers' view adds the rank: a holder's place by
tokens among the collection's rows, largest first, equal ones by address. Up to 100 that is its
place among all holders; above 100 the row is there for the wallet's value alone.

``share`` is the address's tokens over those of all holders, labelled contracts and 0x0…dead
included, the zero address not. Holders, wrapped collections and completeness are those of
`nft_holder_distribution_daily`.

* ``floor_value`` = ``tokens`` times ``floor_ffill`` of `nft_collection_daily` (without wash trades,
  in the native coin), that floor rounded down to whole wei. It is NULL without a floor in the last
  365 days: nothing was sold by itself, or in other currencies alone. It is stored, where a rank or
  a share of supply is not, because it says by which floors wallets were chosen: a floor that is
  corrected later rewrites the collection's rows up to its next floor, and no other day is computed
  again.
* ``is_top_value``: the address is among the chain's 100 largest by the sum of its ``floor_value``
  over all collections; of equal sums the lower address is. Vaults and burn addresses are not
  counted, nor is who has nothing of any collection with a floor. Of such a wallet every holding
  has a row, so the sum can be made from the rows.

``is_contract_vault`` says that a label of the day names the address as one that keeps tokens of
others (``staking``, ``escrow``, ``vault`` or ``bridge``), ``is_burn`` that nobody can move what it
has (a label ``burn``, or 0x0…dead).

A day is computed when it is over.
Known gaps: addresses are not people. A vault without a label looks like a whale. A floor is what
the cheapest tokens sell for: rare ones are worth more, and of an ERC-1155 collection all pieces
count as much as those of its cheapest numbers.
Edge cases: with 100 holders or fewer each of them is a row.
"""

from datetime import date
from typing import Any

from sqlalchemy import (
    CTE,
    Boolean,
    Column,
    Double,
    Select,
    SmallInteger,
    Subquery,
    Table,
    Text,
    and_,
    cast,
    func,
    not_,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import distinct_on

from onchain_agg.metrics import nft_owners
from onchain_agg.metrics.dataset import ALL_LATER, SERVING, DataSet, Window
from onchain_agg.metrics.nft import nft_collection_daily
from onchain_agg.metrics.nft.nft_collection_daily import TABLE as COLLECTION
from onchain_agg.metrics.nft_owners import VAULTS
from onchain_agg.metrics.rendering import address_text
from onchain_agg.warehouse.tables.chain import LABEL
from onchain_agg.warehouse.tables.ops import ASSET
from onchain_agg.warehouse.types import BIG, DAY, NAME

_TOP = 100
_PARTS = 100  # a hundredth of the supply is 1 %
_KEEPERS = tuple(name for name in VAULTS if name != "burn")
# As readers see it, of the row of `COLLECTION` that it is selected with; in whole wei.
_FLOOR = func.trunc(
    next(one.element for one in nft_collection_daily.DATASET.derived if one.name == "floor_ffill"),
    type_=BIG,
)

TABLE = Table(
    "nft_whale_holder_daily_v1",
    SERVING,
    Column("chain", NAME, primary_key=True, comment="Name of the chain."),
    Column("day", DAY, primary_key=True, comment="UTC day; holders after its last block."),
    Column("collection", NAME, primary_key=True, comment="0x… of the collection's contract."),
    Column("address", Text, primary_key=True, comment="The holder, 0x…."),
    Column("symbol", Text, nullable=False, comment="For people; the collection is the identity."),
    Column("standard", SmallInteger, nullable=False, comment="721 or 1155."),
    Column("tokens", BIG, nullable=False, comment="Tokens that it has; ERC-1155: pieces."),
    Column("share", Double, nullable=False, comment="Of the tokens that are held, 0..1."),
    Column("is_percent", Boolean, nullable=False, comment="Has at least 1 % of the tokens."),
    Column("floor_value", BIG, comment="Tokens at the last floor, wei; NULL: no floor."),
    Column(
        "is_top_value",
        Boolean,
        nullable=False,
        comment="Of the chain's 100 wallets with the largest sums of floor_value.",
    ),
    Column(
        "is_contract_vault",
        Boolean,
        nullable=False,
        comment="A label says on the day that it keeps tokens of others.",
    ),
    Column("is_burn", Boolean, nullable=False, comment="Nobody can move what it has."),
)


def rows(window: Window) -> Select[Any]:
    """Return the `_TOP` largest holders of each collection, and what the `_TOP` richest have."""
    collections = nft_owners.complete_collections(window)
    told, collection = nft_owners.vaults_on(window), collections.c
    valued = _valued(window, collections)
    ranked, richest = _ranked(valued).c, _richest(valued, told).c
    keeps = or_(*(func.coalesce(told.c[name], False) for name in _KEEPERS))
    is_top_value = richest.address.is_not(None)
    return (
        select(
            *window.labels(),
            address_text(window, collection.address).label("collection"),
            address_text(window, ranked.address).label("address"),
            collection.symbol,
            collection.standard,
            ranked.tokens,
            cast(ranked.tokens / ranked.supply, Double).label("share"),
            (ranked.tokens * _PARTS >= ranked.supply).label("is_percent"),
            ranked.floor_value,
            is_top_value.label("is_top_value"),
            keeps.label("is_contract_vault"),
            nft_owners.is_burn(ranked.address, told.c.burn).label("is_burn"),
        )
        .join_from(collections, ranked.tokens.table, ranked.asset_id == collection.asset_id)
        .outerjoin(told, told.c.address == ranked.address)
        .outerjoin(richest.address.table, richest.address == ranked.address)
        .where(or_(ranked.place <= _TOP, is_top_value))
    )


def elsewhere(window: Window) -> Select[Any]:
    """Return the later days, up to each collection's next floor, served with another floor.

    A change of `nft_collection_daily` computes its own day again, which is most often enough.
    """
    row, next_floor = TABLE.c, COLLECTION.alias("next_floor").c
    collection = (
        select(address_text(window, ASSET.c.address).label("address"))
        .where(ASSET.c.chain == window.scope, ASSET.c.tracked)
        .subquery("tracked")
        .c.address
    )
    until = (
        select(func.min(next_floor.day))
        .where(
            next_floor.chain == window.scope,
            next_floor.collection == collection,
            next_floor.day > window.day,
            next_floor.floor_p5.is_not(None),
        )
        .scalar_subquery()
    )
    # One row tells the floor of all.
    served = (
        select(row.chain, row.day, row.collection, row.tokens, row.floor_value)
        .ext(distinct_on(row.collection, row.day))
        .join_from(collection.table, TABLE, row.collection == collection)
        .where(row.chain == window.scope, row.day > window.day)
        .where(row.day < func.coalesce(until, date.max))
        .order_by(row.collection, row.day)
        .subquery("served")
    )
    names = ("chain", "day", "collection")
    same = and_(*(COLLECTION.c[name] == served.c[name] for name in names))
    is_other = served.c.floor_value.is_distinct_from(served.c.tokens * _FLOOR)
    return select(served.c.day).distinct().outerjoin_from(served, COLLECTION, same).where(is_other)


def _valued(window: Window, collections: CTE) -> CTE:
    """Return every holder of each collection, with what its tokens are worth at the floor.

    Columns: ``asset_id``, ``address``, ``tokens``, ``floor_value``.
    """
    holders = nft_owners.holders(
        collections,
        nft_owners.last_owners(window, collections),
        nft_owners.amounts(window, collections),
    ).c
    of_day = and_(
        COLLECTION.c.chain == window.scope,
        COLLECTION.c.day == window.day,
        COLLECTION.c.collection == address_text(window, collections.c.address),
    )
    floors = (
        select(collections.c.asset_id, _FLOOR.label("floor"))
        .join_from(collections, COLLECTION, of_day)
        .cte("floor")
    )
    return (
        select(
            holders.asset_id,
            holders.address,
            holders.tokens,
            (holders.tokens * floors.c.floor).label("floor_value"),
        )
        .outerjoin_from(holders.tokens.table, floors, floors.c.asset_id == holders.asset_id)
        .cte("valued")
    )


def _ranked(valued: CTE) -> Subquery:
    """Return every holder with its place in its collection, and the collection's supply."""
    holder = valued.c
    of_collection = holder.asset_id
    return (
        select(
            *holder,
            func.sum(holder.tokens).over(partition_by=of_collection).label("supply"),
            func.row_number()
            .over(partition_by=of_collection, order_by=(holder.tokens.desc(), holder.address))
            .label("place"),
        )
    ).subquery("ranked")


def _richest(valued: CTE, told: CTE) -> Subquery:
    """Return the ``address`` of each of the `_TOP` wallets with most by value."""
    holder = valued.c
    return (
        select(holder.address)
        .outerjoin_from(valued, told, told.c.address == holder.address)
        .where(holder.floor_value.is_not(None), not_(nft_owners.is_vault(holder.address, told)))
        .group_by(holder.address)
        .order_by(func.sum(holder.floor_value).desc(), holder.address)
        .limit(_TOP)
        .subquery("richest")
    )


DATASET = DataSet(
    name="nft_whale_holder_daily",
    table=TABLE,
    family="nft",
    chain_families=("evm",),
    reads=(*nft_owners.READS, LABEL, COLLECTION),
    reach=ALL_LATER,
    # Of other days' floors `elsewhere` looks.
    same_day=(LABEL, COLLECTION),
    at_close=True,
    grain="day",
    workload="nft_worker",
    rows=rows,
    elsewhere=elsewhere,
    highlights=("tokens", "symbol", "address"),
    derived=(
        func.row_number()
        .over(
            partition_by=(TABLE.c.chain, TABLE.c.day, TABLE.c.collection),
            order_by=(TABLE.c.tokens.desc(), TABLE.c.address),
        )
        .label("rank"),
    ),
)
