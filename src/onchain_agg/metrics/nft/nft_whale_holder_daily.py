"""The largest holders of each tracked NFT collection, at the end of each UTC day.

The 100 largest holders are kept; of equal holdings at the end of them the lower addresses are. Who
has at least 1 % of the tokens that are held is always among them, and ``is_percent`` says so.
Readers' view adds the rank: a holder's place by tokens, largest first, equal ones by address.

``share`` is the address's tokens over those of all holders, labelled contracts and 0x0…dead
included, the zero address not. Holders, wrapped collections and completeness are those of
`nft_holder_distribution_daily`.

``is_contract_vault`` says that a label of the day names the address as one that keeps tokens of
others (``staking``, ``escrow``, ``vault`` or ``bridge``), ``is_burn`` that nobody can move what it
has (a label ``burn``, or 0x0…dead).

A day is computed when it is over.
Known gaps: addresses are not people. A vault without a label looks like a whale. What the tokens
are worth is not told here: floors are in the collection's own data sets.
Edge cases: with 100 holders or fewer each of them is a row.
"""

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
    cast,
    func,
    or_,
    select,
)

from onchain_agg.metrics import nft_owners
from onchain_agg.metrics.dataset import ALL_LATER, SERVING, DataSet, Window
from onchain_agg.metrics.nft_owners import VAULTS
from onchain_agg.metrics.rendering import address_text
from onchain_agg.warehouse.tables.chain import LABEL
from onchain_agg.warehouse.types import BIG, DAY, NAME

_TOP = 100
_PARTS = 100  # a hundredth of the supply is 1 %
_KEEPERS = tuple(name for name in VAULTS if name != "burn")

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
    Column(
        "is_contract_vault",
        Boolean,
        nullable=False,
        comment="A label says on the day that it keeps tokens of others.",
    ),
    Column("is_burn", Boolean, nullable=False, comment="Nobody can move what it has."),
)


def rows(window: Window) -> Select[Any]:
    """Return the `_TOP` largest holders of each collection at the end of the window's day."""
    collections = nft_owners.complete_collections(window)
    ranked = _ranked(window, collections).c
    told, collection = nft_owners.vaults_on(window), collections.c
    keeps = or_(*(func.coalesce(told.c[name], False) for name in _KEEPERS))
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
            keeps.label("is_contract_vault"),
            nft_owners.is_burn(ranked.address, told.c.burn).label("is_burn"),
        )
        .join_from(collections, ranked.tokens.table, ranked.asset_id == collection.asset_id)
        .outerjoin(told, told.c.address == ranked.address)
        .where(ranked.place <= _TOP)
    )


def _ranked(window: Window, collections: CTE) -> Subquery:
    """Return every holder with its place in its collection, and the collection's supply."""
    holders = nft_owners.holders(
        collections,
        nft_owners.last_owners(window, collections),
        nft_owners.amounts(window, collections),
    ).c
    of_collection = holders.asset_id
    return (
        select(
            holders.asset_id,
            holders.address,
            holders.tokens,
            func.sum(holders.tokens).over(partition_by=of_collection).label("supply"),
            func.row_number()
            .over(partition_by=of_collection, order_by=(holders.tokens.desc(), holders.address))
            .label("place"),
        )
    ).subquery("ranked")


DATASET = DataSet(
    name="nft_whale_holder_daily",
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
