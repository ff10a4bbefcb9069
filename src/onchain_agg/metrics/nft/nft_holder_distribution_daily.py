"""How the tokens of each tracked NFT collection are spread over their holders, each UTC day.

A holder is an address that has at least one token after the day's last block. ERC-721: the owner is
the recipient of the token's last transfer, by block and log. ERC-1155: an address has of each token
what it got less what it sent; all pieces of all numbers count alike. With *n* holders of *x* tokens
and *S* their sum:

* ``supply`` is *S*. ERC-721: ``minted`` counts the tokens that ever were, each once, ``burned``
  those of them that the zero address has, so a token that was burned and minted again is minted and
  not burned, and all holders together have ``minted`` - ``burned``.
* ``holders_X``: holders of that many tokens; every holder is in one band.
* ``top_k_share``: the k largest holdings / *S*; with fewer than k holders it is 1.
* ``gini``: 2·Σ(i·x_i) / (n·S) - (n + 1) / n with x ascending; 0 is equality.
* ``unique_ratio``: *n* / *S*.
* ``held_by_X``: tokens of addresses that a label of the day puts into that category, contracts that
  keep what belongs to others: ``staking``, ``escrow``, ``vault``, ``bridge``; and ``burn``, with
  0x0…dead. An address in two categories counts in both.

``variant`` says whose tokens count: ``all`` addresses, or ``wallets``: those that are in none of
these categories. ``minted``, ``burned`` and ``gap_tokens`` are the collection's in both.

A collection that wraps another is part of it: a token that the wrapping contract holds belongs to
whoever has the wrapped token of the same number, and only the wrapped-up base has rows.

``gap_tokens`` above zero marks the day: of that many tokens the transfers do not fit together.
ERC-721: tokens in `nft_ownership_gap` on this day, those of wrapping collections included.
ERC-1155: tokens of which an address sent more than it had, up to this day.

Sums are exact; only the last division of a ratio is a double, and it is NULL where nobody holds.

A collection appears when its history is complete: every block since its ``start_block`` was
applied. A day is computed when it is over.
Known gaps: tokens that were given out without an event (in a constructor) are unknown until they
move. Addresses are not people. What an ERC-1155 collection minted and burned is not told apart:
``minted`` and ``burned`` are NULL.
Edge cases: a collection that destroyed itself keeps its last holders; 0x0…dead is a holder in
``all``; a collection without holders is a row of zeros with NULL ratios.
"""

from functools import reduce
from operator import add
from typing import Any

from sqlalchemy import (
    CTE,
    BigInteger,
    Column,
    ColumnElement,
    Double,
    Integer,
    Select,
    SmallInteger,
    Subquery,
    Table,
    Text,
    and_,
    case,
    column,
    distinct,
    func,
    not_,
    null,
    or_,
    select,
    tuple_,
    values,
)

from onchain_agg.chains import ERC721
from onchain_agg.metrics import nft_owners
from onchain_agg.metrics.dataset import ALL_LATER, SERVING, DataSet, Invariant, Window
from onchain_agg.metrics.formulas import exact_ratio, or_zero
from onchain_agg.metrics.nft.nft_ownership_gap import TABLE as GAPS
from onchain_agg.metrics.nft_owners import VAULTS
from onchain_agg.metrics.rendering import ZERO, address_text
from onchain_agg.warehouse.tables.chain import LABEL
from onchain_agg.warehouse.types import BIG, DAY, NAME

# Smallest and largest number of tokens of each band; None is without end.
_BANDS: dict[str, tuple[int, int | None]] = {
    "1": (1, 1),
    "2_3": (2, 3),
    "4_10": (4, 10),
    "11_25": (11, 25),
    "26_100": (26, 100),
    "ge_101": (101, None),
}
_TOP_COUNTS = (1, 10, 100)
_ALL, _WALLETS = "all", "wallets"


def _meaning(band: tuple[int, int | None]) -> str:
    low, high = band
    if high is None:
        return f"{low} tokens or more"
    return f"{low} token" if low == high else f"{low} to {high} tokens"


TABLE = Table(
    "nft_holder_distribution_daily_v1",
    SERVING,
    Column("chain", NAME, primary_key=True, comment="Name of the chain."),
    Column("day", DAY, primary_key=True, comment="UTC day; holders after its last block."),
    Column("collection", NAME, primary_key=True, comment="0x… of the collection's contract."),
    Column("variant", NAME, primary_key=True, comment="Whose tokens count: all or wallets."),
    Column("symbol", Text, nullable=False, comment="For people; the collection is the identity."),
    Column("standard", SmallInteger, nullable=False, comment="721 or 1155."),
    Column("minted", BigInteger, comment="Tokens that ever were; NULL: ERC-1155."),
    Column("burned", BigInteger, comment="Tokens of those that are burned; NULL: ERC-1155."),
    Column("holders", BigInteger, nullable=False, comment="Addresses with a token."),
    Column("supply", BIG, nullable=False, comment="Tokens that the holders have."),
    *(
        Column(
            f"holders_{name}", BigInteger, nullable=False, comment=f"Holders of {_meaning(band)}."
        )
        for name, band in _BANDS.items()
    ),
    *(
        Column(
            f"held_by_{name}",
            BIG,
            nullable=False,
            comment=f"Tokens of addresses with a label of category {name} on the day.",
        )
        for name in VAULTS
    ),
    *(
        Column(
            f"top_{k}_share", Double, comment=f"Share of the {k} largest holders, 0..1; or NULL."
        )
        for k in _TOP_COUNTS
    ),
    Column("gini", Double, comment="Gini coefficient of the holdings, 0..1; NULL: no holder."),
    Column("unique_ratio", Double, comment="Holders over tokens, 0..1; NULL: no holder."),
    Column("gap_tokens", Integer, nullable=False, comment="Tokens whose transfers do not fit."),
)


def rows(window: Window) -> Select[Any]:
    """Return two rows, one a variant, for each collection that is no part of another."""
    collections = nft_owners.complete_collections(window)
    owners = nft_owners.last_owners(window, collections)
    amounts = nft_owners.amounts(window, collections)
    variants = values(column("variant", Text), name="variant").data([(_ALL,), (_WALLETS,)])
    holder = _summed(window, nft_owners.holders(collections, owners, amounts), variants)
    tokens, collection = _counted(owners), collections.c
    is_single = collection.standard == ERC721
    summed = holder.c
    return (
        select(
            *window.labels(),
            address_text(window, collection.address).label("collection"),
            variants.c.variant,
            collection.symbol,
            collection.standard,
            case((is_single, or_zero(tokens.c.minted)), else_=null()).label("minted"),
            case((is_single, or_zero(tokens.c.burned)), else_=null()).label("burned"),
            *(or_zero(summed[name]).label(name) for name in _totals()),
            *(
                exact_ratio(summed[f"top_{k}"], summed.supply).label(f"top_{k}_share")
                for k in _TOP_COUNTS
            ),
            # Ranks descend where the formula's i ascends: i = n + 1 - rank.
            exact_ratio(
                (summed.holders + 1) * summed.supply - 2 * summed.ranked,
                summed.holders * summed.supply,
            ).label("gini"),
            exact_ratio(summed.holders, summed.supply).label("unique_ratio"),
            (_gaps(window, collections) + _debts(collections, amounts)).label("gap_tokens"),
        )
        .select_from(collections.join(variants, collection.wraps.is_(None)))
        .outerjoin(tokens, tokens.c.asset_id == collection.asset_id)
        .outerjoin(
            holder,
            and_(summed.asset_id == collection.asset_id, summed.variant == variants.c.variant),
        )
    )


def _totals() -> list[str]:
    return [
        "holders",
        "supply",
        *(f"holders_{name}" for name in _BANDS),
        *(f"held_by_{name}" for name in VAULTS),
    ]


def _counted(owners: CTE) -> Subquery:
    """Return how many tokens of each collection there ever were and how many are burned."""
    return (
        select(
            owners.c.asset_id,
            func.count().label("minted"),
            func.count().filter(owners.c.owner == ZERO).label("burned"),
        )
        .group_by(owners.c.asset_id)
        .subquery("counted")
    )


def _summed(window: Window, holders: CTE, variants: Any) -> Subquery:
    """Return what the rows tell of holders, by collection and variant, in one look at each."""
    ranked = _ranked(window, holders, variants)
    tokens = ranked.c.tokens
    return (
        select(
            ranked.c.asset_id,
            ranked.c.variant,
            func.count().label("holders"),
            func.sum(tokens).label("supply"),
            func.sum(ranked.c.rank * tokens).label("ranked"),
            *(
                func.count().filter(_is_in(tokens, band)).label(f"holders_{name}")
                for name, band in _BANDS.items()
            ),
            *(func.sum(tokens).filter(ranked.c[name]).label(f"held_by_{name}") for name in VAULTS),
            *(func.sum(tokens).filter(ranked.c.rank <= k).label(f"top_{k}") for k in _TOP_COUNTS),
        )
        .group_by(ranked.c.asset_id, ranked.c.variant)
        .subquery("summed")
    )


def _ranked(window: Window, holders: CTE, variants: Any) -> Subquery:
    """Return each holder's place in each variant, and which kinds of contract it is."""
    told = nft_owners.vaults_on(window)
    is_wallet = not_(nft_owners.is_vault(holders.c.address, told))
    kinds = {
        **{name: func.coalesce(told.c[name], False) for name in VAULTS},
        "burn": nft_owners.is_burn(holders.c.address, told.c.burn),
    }
    variant = variants.c.variant
    return (
        select(
            holders.c.asset_id,
            variant,
            holders.c.tokens,
            func.row_number()
            .over(partition_by=(holders.c.asset_id, variant), order_by=holders.c.tokens.desc())
            .label("rank"),
            *(is_kind.label(name) for name, is_kind in kinds.items()),
        )
        .select_from(holders.outerjoin(told, told.c.address == holders.c.address))
        .join(variants, or_(variant == _ALL, is_wallet))
        .subquery("ranked")
    )


def _is_in(tokens: ColumnElement[Any], band: tuple[int, int | None]) -> ColumnElement[bool]:
    low, high = band
    return tokens >= low if high is None else tokens.between(low, high)


def _gaps(window: Window, collections: CTE) -> ColumnElement[int]:
    """Return the day's tokens whose sender was not the owner, of all contracts of a collection."""
    gap, contract = GAPS.c, collections.alias("contract").c
    of_collection = or_(
        contract.asset_id == collections.c.asset_id, contract.wraps == collections.c.address
    )
    return (
        select(func.count(distinct(tuple_(gap.collection, gap.token_id))))
        .where(gap.chain == window.scope, gap.day == window.day)
        .where(gap.collection == address_text(window, contract.address), of_collection)
        .correlate(collections)
        .scalar_subquery()
    )


def _debts(collections: CTE, amounts: CTE) -> ColumnElement[int]:
    amount = amounts.c
    return (
        select(func.count(distinct(amount.token_id)))
        .where(amount.asset_id == collections.c.asset_id, amount.tokens < 0)
        .correlate(collections)
        .scalar_subquery()
    )


def _differing_bands(stage: Table, window: Window) -> Select[Any]:
    del window
    row = stage.c
    in_bands = reduce(add, (row[f"holders_{name}"] for name in _BANDS))
    return select(row.collection, row.variant, row.holders, in_bands.label("in_bands")).where(
        row.holders != in_bands
    )


def _differing_supply(stage: Table, window: Window) -> Select[Any]:
    """Return the rows whose holders do not have what was minted and not burned."""
    row, collections = stage.c, nft_owners.complete_collections(window)
    amounts = nft_owners.amounts(window, collections)
    of_many = (
        select(func.coalesce(func.sum(amounts.c.tokens), 0))
        .where(amounts.c.asset_id == collections.c.asset_id, amounts.c.tokens > 0)
        .correlate(collections)
        .scalar_subquery()
    )
    expected = case((row.standard == ERC721, row.minted - row.burned), else_=of_many)
    return (
        select(row.collection, row.supply, expected.label("expected"))
        .join_from(
            stage, collections, address_text(window, collections.c.address) == row.collection
        )
        .where(row.variant == _ALL, row.supply != expected)
    )


DATASET = DataSet(
    name="nft_holder_distribution_daily",
    table=TABLE,
    family="nft",
    chain_families=("evm",),
    reads=(*nft_owners.READS, GAPS, LABEL),
    reach=ALL_LATER,
    same_day=(GAPS, LABEL),
    at_close=True,
    grain="day",
    workload="nft_worker",
    rows=rows,
    invariants=(
        Invariant("every holder is in one band", _differing_bands),
        Invariant("supply = minted - burned", _differing_supply),
    ),
    highlights=("holders", "symbol", "supply", "gini"),
)
