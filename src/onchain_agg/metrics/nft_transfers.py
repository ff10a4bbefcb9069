"""Transfers of NFTs, for the data sets that look at how tokens of collections move."""

from sqlalchemy import CTE, LargeBinary, and_, func, select

from onchain_agg.chains import ERC721, ERC1155
from onchain_agg.metrics.dataset import Window
from onchain_agg.warehouse.tables.chain import TOKEN_TRANSFER
from onchain_agg.warehouse.tables.ops import ASSET

READS = (ASSET, TOKEN_TRANSFER)
# Standards whose tokens have an id.


def collection_transfers(window: Window) -> CTE:
    """Return the window's transfers of ERC-721 and ERC-1155 tokens, tracked or not.

    Columns: ``block_hash``, ``height``, ``tx_index``, ``tx_hash``, ``log_index``, ``item_index``,
    ``standard``, ``token``, ``wraps`` (the collection that a tracked wrapping one stands for, else
    NULL), ``collection`` (that one, else the token's own), ``sender``, ``recipient``, ``token_id``,
    ``quantity``.
    """
    transfer, asset = TOKEN_TRANSFER.c, ASSET.c
    wrapping = and_(asset.chain == window.scope, asset.tracked, asset.address == transfer.token)
    return (
        select(
            transfer.block_hash,
            transfer.height,
            transfer.tx_index,
            transfer.tx_hash,
            transfer.log_index,
            transfer.item_index,
            transfer.standard,
            transfer.token,
            asset.wraps,
            func.coalesce(asset.wraps, transfer.token, type_=LargeBinary).label("collection"),
            transfer.sender,
            transfer.recipient,
            transfer.token_id,
            transfer.amount.label("quantity"),
        )
        .outerjoin_from(TOKEN_TRANSFER, ASSET, wrapping)
        .where(window.of(TOKEN_TRANSFER), transfer.standard.in_((ERC721, ERC1155)))
        .cte("transfer")
    )
