"""What counts as a transfer, for every data set that looks at who paid whom.

A transfer moves an amount above zero of a tracked asset between two different addresses (Coin
Metrics' TxTfr):

* ``token``: a Transfer event of an ERC-20 token, mints and burns included.
* ``value``, ``internal``, ``withdrawal``, ``genesis``, ``reward``, ``selfdestruct``: a movement
  of an EVM chain's own coin. Fees and tips pay for the block itself.
* ``output``: an output of a UTXO transaction, not of a coinbase, whose address is not among the
  addresses of the transaction's inputs.
"""

from typing import Any

from sqlalchemy import (
    CTE,
    ColumnElement,
    LargeBinary,
    Numeric,
    ScalarSelect,
    Select,
    Table,
    Text,
    and_,
    case,
    cast,
    false,
    func,
    literal,
    not_,
    select,
    union_all,
)

from onchain_agg.chains import ERC20, EvmChain, chain_named
from onchain_agg.metrics.dataset import Window
from onchain_agg.metrics.rendering import NATIVE
from onchain_agg.warehouse.tables.chain import (
    BLOCK,
    EVM_TRANSACTION,
    NATIVE_TRANSFER,
    TOKEN_TRANSFER,
    UTXO_OUTPUT,
)
from onchain_agg.warehouse.tables.ops import ASSET
from onchain_agg.warehouse.tables.state import SPENT_OUTPUT
from onchain_agg.warehouse.types import UINT256

READS = (
    ASSET,
    BLOCK,
    EVM_TRANSACTION,
    NATIVE_TRANSFER,
    SPENT_OUTPUT,
    TOKEN_TRANSFER,
    UTXO_OUTPUT,
)
# Movements of the native coin that pay somebody.
NATIVE_KINDS = ("value", "internal", "withdrawal", "genesis", "reward", "selfdestruct")
# The columns that say which transfer it is, beside chain and day.
KEY = ("block_hash", "kind", "position", "item")


def tracked_assets(window: Window, least: ColumnElement[Any] | None = None) -> CTE:
    """Return the tracked coins and ERC-20 tokens, each with the *least* amount looked at.

    Columns: ``asset_id``, ``address`` (empty for the native coin), ``symbol``, ``unit`` (the
    smallest one in whole ones, exact), ``whale_threshold`` and ``least`` in the smallest unit,
    ``least`` by default 1.
    """
    asset = ASSET.c
    return (
        select(
            asset.asset_id,
            asset.address,
            asset.symbol,
            cast(literal("1e-", Text) + cast(asset.decimals, Text), Numeric).label("unit"),
            asset.whale_threshold,
            (literal(1) if least is None else least).label("least"),
        )
        .where(asset.chain == window.scope, asset.tracked, asset.standard == ERC20)
        .cte()
    )


def transfers(window: Window, assets: CTE) -> Select[Any]:
    """Return the transfers of the window's blocks from the least amount of their asset on.

    Args:
        window: The day.
        assets: As `tracked_assets` returns them.

    Columns: those of `KEY`, ``height``, ``block_at``, ``tx_index`` and ``tx_hash`` (NULL outside
    of a transaction), ``asset_id``, ``sender`` (NULL: the coin comes into being, or inputs of
    several addresses), ``recipient`` (NULL: burned, or an output without one), ``amount`` in the
    smallest unit, ``top_level_only`` (internal transfers of the block are not known).
    """
    if not isinstance(chain_named(window.scope), EvmChain):
        return _outputs(window, assets)
    both = union_all(_token_transfers(window, assets), _native_transfers(window, assets))
    return select(*both.subquery("transfer").c)


def _token_transfers(window: Window, assets: CTE) -> Select[Any]:
    transfer = TOKEN_TRANSFER.c
    return (
        select(
            transfer.block_hash,
            literal("token", Text).label("kind"),
            transfer.log_index.label("position"),
            transfer.item_index.label("item"),
            transfer.height,
            BLOCK.c.block_at,
            transfer.tx_index,
            transfer.tx_hash,
            assets.c.asset_id,
            transfer.sender,
            transfer.recipient,
            transfer.amount,
            false().label("top_level_only"),
        )
        .join_from(TOKEN_TRANSFER, assets, transfer.token == assets.c.address)
        .join(BLOCK, _is_block_of(TOKEN_TRANSFER))
        .where(
            window.of(TOKEN_TRANSFER),
            transfer.standard == ERC20,
            transfer.sender != transfer.recipient,
            *_is_enough(transfer.amount, assets),
        )
    )


def _native_transfers(window: Window, assets: CTE) -> Select[Any]:
    transfer, transaction = NATIVE_TRANSFER.c, EVM_TRANSACTION.c
    same_transaction = and_(
        transaction.chain == transfer.chain,
        transaction.day == transfer.day,
        transaction.block_hash == transfer.block_hash,
        transaction.tx_index == transfer.tx_index,
    )
    return (
        select(
            transfer.block_hash,
            transfer.kind,
            transfer.seq.label("position"),
            literal(0).label("item"),
            transfer.height,
            BLOCK.c.block_at,
            transfer.tx_index,
            transaction.tx_hash,
            assets.c.asset_id,
            transfer.sender,
            transfer.recipient,
            transfer.amount,
            not_(BLOCK.c.traced).label("top_level_only"),
        )
        .join_from(NATIVE_TRANSFER, assets, assets.c.address == literal(NATIVE, LargeBinary))
        .join(BLOCK, _is_block_of(NATIVE_TRANSFER))
        .outerjoin(EVM_TRANSACTION, same_transaction)
        .where(
            window.of(NATIVE_TRANSFER),
            transfer.kind.in_(NATIVE_KINDS),
            transfer.sender.is_distinct_from(transfer.recipient),
            *_is_enough(transfer.amount, assets),
        )
    )


def _outputs(window: Window, assets: CTE) -> Select[Any]:
    output, spent = UTXO_OUTPUT.c, SPENT_OUTPUT.c
    inputs = and_(
        # Constants, so that one day's partition is looked into.
        spent.chain == window.scope,
        spent.day == window.day,
        spent.block_hash == output.block_hash,
        spent.tx_index == output.tx_index,
        not_(spent.overwritten),
    )
    returns_to_sender = select(spent.address).where(inputs, spent.address == output.address)
    return (
        select(
            output.block_hash,
            literal("output", Text).label("kind"),
            output.tx_index.label("position"),
            output.vout.label("item"),
            output.height,
            BLOCK.c.block_at,
            output.tx_index,
            output.txid.label("tx_hash"),
            assets.c.asset_id,
            _only_address(inputs).label("sender"),
            output.address.label("recipient"),
            cast(output.value, UINT256).label("amount"),
            false().label("top_level_only"),
        )
        .join_from(UTXO_OUTPUT, assets, assets.c.address == literal(NATIVE, LargeBinary))
        .join(BLOCK, _is_block_of(UTXO_OUTPUT))
        .where(
            window.of(UTXO_OUTPUT),
            output.tx_index > 0,
            not_(returns_to_sender.correlate(UTXO_OUTPUT).exists()),
            *_is_enough(output.value, assets),
        )
    )


def _only_address(inputs: ColumnElement[bool]) -> ScalarSelect[Any]:
    """Return the address that all *inputs* of an output's transaction share, else NULL."""
    address = SPENT_OUTPUT.c.address
    # An input without an address is one more, unknown, sender.
    one_sender = and_(func.count(address.distinct()) == 1, func.count(address) == func.count())
    return (
        select(case((one_sender, func.array_agg(address)[1])))
        .where(inputs)
        .correlate(UTXO_OUTPUT)
        .scalar_subquery()
    )


def _is_block_of(facts: Table) -> ColumnElement[bool]:
    # Heights tell applied blocks apart. With the hash as well, PostgreSQL would expect a handful of
    # transfers, and compare each of them with each row that they are joined to.
    return and_(BLOCK.c.chain == facts.c.chain, BLOCK.c.height == facts.c.height)


def _is_enough(amount: ColumnElement[Any], assets: CTE) -> tuple[ColumnElement[bool], ...]:
    # A threshold of 0 keeps every transfer that moves something.
    return amount >= assets.c.least, amount > 0
