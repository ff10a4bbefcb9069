"""Every transfer of a tracked asset at or above the asset's threshold, in native units.

One row is one movement between two different addresses of at least ``whale_threshold`` of the
asset's smallest unit (the chain's definition sets it; exactly the threshold counts). What counts
as a movement (Coin Metrics' transfer, TxTfr):

* ``token``: a Transfer event of an ERC-20 or ERC-721 token, mints (from the zero address) and burns
  (to it) included.
* ``value``, ``internal``, ``withdrawal``, ``genesis``, ``reward``, ``selfdestruct``: a movement
  of an EVM chain's own coin. Fees and tips are not transfers.
* ``output``: an output of a UTXO transaction, not of a coinbase, whose address is not among the
  addresses of the transaction's inputs; change that returns to a sender is left out.

``sender`` of an ``output`` is the address that all inputs share, NULL where they differ: a UTXO
transaction has no sender as such. Amounts in US dollar are another data set.

Known gaps: where ``top_level_only`` is true the block's traces were not available, so its internal
transfers are missing. Movements of balances without a Transfer event are not seen. Change to a
fresh address looks like a transfer. ERC-1155 items are not transfers of an amount, and not here.
Edge cases: a transfer to oneself is none; an output without an address counts, with a NULL
recipient; the same transaction mined again in another block is another row, of the other block.
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Integer,
    LargeBinary,
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

from onchain_agg.chains import EvmChain, chain_named
from onchain_agg.metrics.dataset import SAME_DAY, SERVING, DataSet, Window
from onchain_agg.metrics.rendering import NATIVE, address_text, asset_text, hash_text
from onchain_agg.warehouse.tables.chain import (
    BLOCK,
    EVM_TRANSACTION,
    NATIVE_TRANSFER,
    TOKEN_TRANSFER,
    UTXO_OUTPUT,
)
from onchain_agg.warehouse.tables.ops import ASSET
from onchain_agg.warehouse.tables.state import SPENT_OUTPUT
from onchain_agg.warehouse.types import DAY, NAME, TIME, UINT256

# Movements of the native coin that pay somebody; fee and tip pay for the block itself.
_NATIVE_KINDS = ("value", "internal", "withdrawal", "genesis", "reward", "selfdestruct")
# Standards whose amounts add up within one token; an ERC-1155 contract holds many.
_STANDARDS = (20, 721)

TABLE = Table(
    "whale_transfer_v1",
    SERVING,
    Column("chain", NAME, primary_key=True, comment="Name of the chain."),
    Column("day", DAY, primary_key=True, comment="UTC day of the block."),
    Column("block_hash", Text, primary_key=True, comment="As explorers print it."),
    Column("kind", Text, primary_key=True, comment="token, output, or the native coin's kinds."),
    Column(
        "position",
        Integer,
        primary_key=True,
        comment="In the block: log index of a token, place of a native transfer, transaction"
        " index of an output.",
    ),
    Column(
        "item",
        Integer,
        primary_key=True,
        comment="Output number in its transaction; else 0.",
    ),
    Column("height", BigInteger, nullable=False, comment="Height of the block."),
    Column("block_at", TIME, nullable=False, comment="UTC; median-time-past on UTXO chains."),
    Column("tx_hash", Text, comment="As explorers print it; NULL outside of a transaction."),
    Column("asset", NAME, nullable=False, comment="0x… of the token, or native."),
    Column("symbol", Text, nullable=False, comment="For people; the asset is the identity."),
    Column("sender", Text, comment="Address; NULL: none, or inputs of several addresses."),
    Column("recipient", Text, comment="Address; NULL: burned, or an output without one."),
    Column("amount", UINT256, nullable=False, comment="In the asset's smallest unit."),
    Column(
        "top_level_only",
        Boolean,
        nullable=False,
        comment="True: internal transfers of this block are not known.",
    ),
)


def rows(window: Window) -> Select[Any]:
    """Return the large transfers of the window's blocks."""
    if not isinstance(chain_named(window.scope), EvmChain):
        return _outputs(window)
    both = union_all(_token_transfers(window), _native_transfers(window)).subquery("transfer")
    return select(*both.c)


def _token_transfers(window: Window) -> Select[Any]:
    transfer = TOKEN_TRANSFER.c
    return (
        select(
            *_where_and_when(window, TOKEN_TRANSFER, literal("token", Text), transfer.log_index),
            transfer.item_index.label("item"),
            hash_text(window, transfer.tx_hash).label("tx_hash"),
            *_what_moved(window, transfer.sender, transfer.recipient, transfer.amount, false()),
        )
        .join_from(TOKEN_TRANSFER, ASSET, _is_asset(window, transfer.token))
        .join(BLOCK, _is_block_of(TOKEN_TRANSFER))
        .where(
            window.of(TOKEN_TRANSFER),
            transfer.standard.in_(_STANDARDS),
            transfer.sender != transfer.recipient,
            *_is_large(transfer.amount),
        )
    )


def _native_transfers(window: Window) -> Select[Any]:
    transfer, transaction = NATIVE_TRANSFER.c, EVM_TRANSACTION.c
    same_transaction = and_(
        transaction.chain == transfer.chain,
        transaction.day == transfer.day,
        transaction.block_hash == transfer.block_hash,
        transaction.tx_index == transfer.tx_index,
    )
    return (
        select(
            *_where_and_when(window, NATIVE_TRANSFER, transfer.kind, transfer.seq),
            literal(0).label("item"),
            hash_text(window, transaction.tx_hash).label("tx_hash"),
            *_what_moved(
                window, transfer.sender, transfer.recipient, transfer.amount, not_(BLOCK.c.traced)
            ),
        )
        .join_from(NATIVE_TRANSFER, ASSET, _is_asset(window, literal(NATIVE, LargeBinary)))
        .join(BLOCK, _is_block_of(NATIVE_TRANSFER))
        .outerjoin(EVM_TRANSACTION, same_transaction)
        .where(
            window.of(NATIVE_TRANSFER),
            transfer.kind.in_(_NATIVE_KINDS),
            transfer.sender.is_distinct_from(transfer.recipient),
            *_is_large(transfer.amount),
        )
    )


def _outputs(window: Window) -> Select[Any]:
    output, spent = UTXO_OUTPUT.c, SPENT_OUTPUT.c
    inputs = and_(
        spent.chain == output.chain,
        spent.day == output.day,
        spent.block_hash == output.block_hash,
        spent.tx_index == output.tx_index,
        not_(spent.overwritten),
    )
    returns_to_sender = select(spent.address).where(inputs, spent.address == output.address)
    # An input without an address is one more, unknown, sender.
    one_sender = and_(
        func.count(spent.address.distinct()) == 1, func.count(spent.address) == func.count()
    )
    sender = (
        select(case((one_sender, func.array_agg(spent.address)[1])))
        .where(inputs)
        .correlate(UTXO_OUTPUT)
        .scalar_subquery()
    )
    return (
        select(
            *_where_and_when(window, UTXO_OUTPUT, literal("output", Text), output.tx_index),
            output.vout.label("item"),
            hash_text(window, output.txid).label("tx_hash"),
            *_what_moved(window, sender, output.address, cast(output.value, UINT256), false()),
        )
        .join_from(UTXO_OUTPUT, ASSET, _is_asset(window, literal(NATIVE, LargeBinary)))
        .join(BLOCK, _is_block_of(UTXO_OUTPUT))
        .where(
            window.of(UTXO_OUTPUT),
            output.tx_index > 0,
            not_(returns_to_sender.correlate(UTXO_OUTPUT).exists()),
            *_is_large(output.value),
        )
    )


def _where_and_when(
    window: Window, facts: Table, kind: ColumnElement[Any], position: ColumnElement[Any]
) -> tuple[ColumnElement[Any], ...]:
    """Return the columns of the key, without its last, and of the block."""
    return (
        *window.labels(),
        hash_text(window, facts.c.block_hash).label("block_hash"),
        kind.label("kind"),
        position.label("position"),
        facts.c.height,
        BLOCK.c.block_at,
    )


def _what_moved(
    window: Window,
    sender: ColumnElement[Any],
    recipient: ColumnElement[Any],
    amount: ColumnElement[Any],
    top_level_only: ColumnElement[bool],
) -> tuple[ColumnElement[Any], ...]:
    """Return the columns of the movement, after its place in the chain."""
    return (
        asset_text(ASSET.c.address).label("asset"),
        ASSET.c.symbol,
        address_text(window, sender).label("sender"),
        address_text(window, recipient).label("recipient"),
        amount.label("amount"),
        top_level_only.label("top_level_only"),
    )


def _is_asset(window: Window, address: ColumnElement[bytes]) -> ColumnElement[bool]:
    return and_(ASSET.c.chain == window.scope, ASSET.c.address == address, ASSET.c.tracked)


def _is_block_of(facts: Table) -> ColumnElement[bool]:
    block = BLOCK.c
    return and_(
        block.chain == facts.c.chain,
        block.height == facts.c.height,
        block.block_hash == facts.c.block_hash,
    )


def _is_large(amount: ColumnElement[Any]) -> tuple[ColumnElement[bool], ...]:
    # A threshold of 0 keeps every transfer that moves something.
    return amount >= ASSET.c.whale_threshold, amount > 0


DATASET = DataSet(
    name="whale_transfer",
    table=TABLE,
    family="whale",
    chain_families=("evm", "utxo"),
    reads=(
        ASSET,
        BLOCK,
        EVM_TRANSACTION,
        NATIVE_TRANSFER,
        SPENT_OUTPUT,
        TOKEN_TRANSFER,
        UTXO_OUTPUT,
    ),
    reach=SAME_DAY,
    grain="event",
    workload="whale_worker",
    rows=rows,
    highlights=("amount", "symbol", "recipient"),
)
