"""Who has the tokens of the tracked NFT collections at the end of a day.

ERC-721: the owner is the recipient of a token's last transfer. ERC-1155: what an address got of a
token less what it sent. The zero address has nothing: what is there was burned.

A collection that wraps a tracked one is part of it: what the wrapping contract holds belongs to
whoever has the wrapped token of that number, and the wrapping collection is none of its own.
"""

from typing import Any

from sqlalchemy import (
    CTE,
    ColumnElement,
    Numeric,
    and_,
    cast,
    func,
    literal,
    or_,
    select,
    union_all,
)
from sqlalchemy.dialects.postgresql import distinct_on

from onchain_agg.chains import ERC721, ERC1155
from onchain_agg.metrics import labels
from onchain_agg.metrics.dataset import Window
from onchain_agg.metrics.rendering import DEAD, ZERO
from onchain_agg.warehouse.tables.ops import ASSET
from onchain_agg.warehouse.tables.state import NFT_AMOUNT_DELTA, NFT_OWNER_DAY

READS = (ASSET, NFT_OWNER_DAY, NFT_AMOUNT_DELTA)
# Categories of labels whose addresses keep tokens of others, or of nobody.
VAULTS = ("staking", "escrow", "vault", "bridge", "burn")


def complete_collections(window: Window) -> CTE:
    """Return the tracked collections of which every block since their first was applied.

    Columns: ``asset_id``, ``address``, ``symbol``, ``standard``, ``bluechip``, and ``wraps``: the
    address of the collection that this one is part of, which is complete too, else NULL.
    """
    asset, base = ASSET.c, ASSET.alias("base").c
    part_of = (
        select(base.address)
        .where(base.chain == window.scope, base.address == asset.wraps, _is_complete(base, window))
        .where(base.standard == ERC721, asset.standard == ERC721)
        .scalar_subquery()
    )
    return (
        select(
            asset.asset_id,
            asset.address,
            asset.symbol,
            asset.standard,
            asset.bluechip,
            part_of.label("wraps"),
        )
        .where(asset.chain == window.scope, _is_complete(asset, window))
        .cte("collection")
    )


def last_owners(window: Window, collections: CTE) -> CTE:
    """Return every ERC-721 token that ever was, with its owner at the end of the window's day.

    Columns: ``asset_id``, ``token_id``, ``owner`` (the zero address: burned).
    """
    owner = NFT_OWNER_DAY.c
    return (
        select(owner.asset_id, owner.token_id, owner.owner)
        .ext(distinct_on(owner.asset_id, owner.token_id))
        .where(owner.asset_id.in_(select(collections.c.asset_id)), owner.day <= window.day)
        .order_by(owner.asset_id, owner.token_id, owner.day.desc())
        .cte("last_owner")
    )


def amounts(window: Window, collections: CTE) -> CTE:
    """Return how much each address has of each ERC-1155 token at the end of the window's day.

    Columns: ``asset_id``, ``token_id``, ``address``, ``tokens`` (below zero where an address sent
    more than it got, never zero).
    """
    change = NFT_AMOUNT_DELTA.c
    tokens = func.sum(change.delta)
    return (
        select(change.asset_id, change.token_id, change.address, tokens.label("tokens"))
        .where(change.asset_id.in_(select(collections.c.asset_id)), change.day <= window.day)
        .group_by(change.asset_id, change.token_id, change.address)
        .having(tokens != 0)
        .cte("amount")
    )


def holders(collections: CTE, owners: CTE, held_amounts: CTE) -> CTE:
    """Return how many tokens each holder has of each collection that is no part of another.

    Args:
        collections: As `complete_collections` returns them.
        owners: As `last_owners` returns them.
        held_amounts: As `amounts` returns them.

    Columns: ``asset_id``, ``address``, ``tokens`` above zero, exact.
    """
    wrapping = (
        select(collections.c.asset_id, collections.c.address, collections.c.wraps)
        .where(collections.c.wraps.is_not(None))
        .cte("wrapping")
    )
    inner = owners.alias("inner_owner")
    wrapped = and_(wrapping.c.wraps == collections.c.address, wrapping.c.address == owners.c.owner)
    of_wrapped = and_(
        inner.c.asset_id == wrapping.c.asset_id,
        inner.c.token_id == owners.c.token_id,
        inner.c.owner != ZERO,
    )
    whole = collections.c.wraps.is_(None)
    single = (
        select(
            owners.c.asset_id,
            func.coalesce(inner.c.owner, owners.c.owner).label("address"),
            literal(1, Numeric).label("tokens"),
        )
        .join_from(owners, collections, collections.c.asset_id == owners.c.asset_id)
        .outerjoin(wrapping, wrapped)
        .outerjoin(inner, of_wrapped)
        .where(whole, owners.c.owner != ZERO)
    )
    many = select(
        held_amounts.c.asset_id, held_amounts.c.address, cast(held_amounts.c.tokens, Numeric)
    ).where(held_amounts.c.tokens > 0)
    both = union_all(single, many).subquery("owned")
    return (
        select(both.c.asset_id, both.c.address, func.sum(both.c.tokens).label("tokens"))
        .group_by(both.c.asset_id, both.c.address)
        .cte("holder")
    )


def vaults_on(window: Window) -> CTE:
    """Return the labelled addresses that keep what belongs to others, or to nobody.

    Columns: ``address``, and for each of `VAULTS` whether it is one.
    """
    return labels.categories_on(window, VAULTS)


def is_burn(address: ColumnElement[bytes], labelled: ColumnElement[bool]) -> ColumnElement[bool]:
    """Return the condition that what *address* has is lost: it is labelled so, or is 0x…dead."""
    return or_(func.coalesce(labelled, False), address == DEAD)


def is_vault(address: ColumnElement[bytes], vaults: CTE) -> ColumnElement[bool]:
    """Return the condition that *address*, outer-joined with *vaults*, is one of them."""
    return or_(vaults.c.address.is_not(None), address == DEAD)


def _is_complete(asset: Any, window: Window) -> ColumnElement[bool]:
    return and_(
        asset.tracked,
        asset.standard.in_((ERC721, ERC1155)),
        asset.start_block.between(window.from_height, window.last_height),
    )
