"""The daily pulse of an EVM chain: transactions, who took part, gas, fees burned and fees kept.

A block belongs to the UTC day of its time. Amounts are in wei.

* ``transactions``: of the day's blocks, failed ones included; ``failed_transactions`` reverted.
* ``contract_creations``: transactions without a recipient that succeeded.
* ``active_senders``: different senders of transactions. ``active_addresses``: different senders,
  recipients and created contracts of transactions, failed ones included.
  ``active_addresses_with_tokens``: these, and who sent or received a token (ERC-20, 721, 1155);
  the zero address of a mint or burn is nobody.
* ``gas_used``: of the blocks. ``gas_price_mean`` = Σ gas price / transactions, each counting
  once; ``gas_price_median`` of the same, the middle of two where their number is even.
* ``fees_total`` = Σ gas used · effective gas price. ``fee_mean`` = fees / transactions;
  ``fee_median`` per transaction.
* ``burned`` = Σ base fee · gas used (EIP-1559); ``tips`` = fees - burned: what producers keep.
  Like ``gas_used``, both are NULL where a block does not tell its gas.
* ``native_transfers``, ``native_transfer_value``: movements of the coin above zero that paid
  somebody else: by transactions, by contracts and by self-destruction. Fees, rewards, withdrawals
  and the genesis allocation are not transfers. ``untraced_blocks`` of the day told no more than
  the transactions' own values.
* ``token_transfers``: transfer events of ERC-20, 721 and 1155 contracts, each item of a batch one;
  by standard in ``erc20_transfers``, ``erc721_transfers`` and ``erc1155_transfers``.

Known gaps: fees for blobs (EIP-4844) and a rollup's fee for the data it posts are in no column.
Contracts that contracts create are not counted. An address that only an internal call touched is
not active. Where the chain is read without transactions (only its logs), what is made from them
is NULL.
Edge cases: before the base fee (London) ``burned`` and ``tips`` are NULL; on the day it begins,
blocks without one burn nothing. A day without transactions has 0 fees and NULL means. A day
without a block has no row.
"""

from typing import Any

from sqlalchemy import (
    CTE,
    BigInteger,
    Column,
    ColumnElement,
    Double,
    LargeBinary,
    Numeric,
    ScalarSelect,
    Select,
    Subquery,
    Table,
    and_,
    case,
    cast,
    func,
    literal,
    not_,
    select,
    true,
)

from onchain_agg.chains import ERC20, ERC721, ERC1155
from onchain_agg.metrics.dataset import SAME_DAY, SERVING, DataSet, Invariant, Window
from onchain_agg.metrics.formulas import ratio
from onchain_agg.metrics.rendering import ZERO
from onchain_agg.warehouse.tables.chain import (
    BLOCK,
    EVM_TRANSACTION,
    NATIVE_TRANSFER,
    TOKEN_TRANSFER,
)
from onchain_agg.warehouse.types import BIG, DAY, NAME

_PAYMENTS = ("value", "internal", "selfdestruct")
_STANDARDS = (ERC20, ERC721, ERC1155)

TABLE = Table(
    "evm_network_daily_v1",
    SERVING,
    Column("chain", NAME, primary_key=True, comment="Name of the chain."),
    Column("day", DAY, primary_key=True, comment="UTC day of the blocks."),
    Column("blocks", BigInteger, nullable=False, comment="Blocks."),
    Column("transactions", BigInteger, nullable=False, comment="Failed ones included."),
    Column("failed_transactions", BigInteger, comment="Reverted; NULL: not read."),
    Column("contract_creations", BigInteger, comment="By transactions; NULL: not read."),
    Column("active_senders", BigInteger, comment="Addresses that sent one; NULL: not read."),
    Column("active_addresses", BigInteger, comment="Addresses in transactions; NULL: not read."),
    Column(
        "active_addresses_with_tokens",
        BigInteger,
        comment="Addresses in transactions or token transfers; NULL: transactions not read.",
    ),
    Column("gas_used", BIG, comment="Gas of the blocks; NULL: a block does not tell."),
    Column("gas_price_mean", Double, comment="Wei a gas; NULL without transactions."),
    Column("gas_price_median", Double, comment="Wei a gas; NULL without transactions."),
    Column("fees_total", BIG, comment="Wei; NULL: transactions not read."),
    Column("fee_mean", Double, comment="Wei a transaction; NULL without transactions."),
    Column("fee_median", Double, comment="Wei a transaction; NULL without transactions."),
    Column("burned", BIG, comment="Base fees, wei; NULL: no base fee yet, or gas unknown."),
    Column("tips", BIG, comment="Fees that were not burned, wei; NULL as the columns it is from."),
    Column("native_transfers", BigInteger, comment="Movements of the coin; NULL: not read."),
    Column("native_transfer_value", BIG, comment="Of these movements, wei; NULL: not read."),
    Column("untraced_blocks", BigInteger, nullable=False, comment="Without internal transfers."),
    Column("token_transfers", BigInteger, nullable=False, comment="Of all standards."),
    *(
        Column(
            f"erc{standard}_transfers",
            BigInteger,
            nullable=False,
            comment=f"Transfer events of ERC-{standard} contracts.",
        )
        for standard in _STANDARDS
    ),
)


def rows(window: Window) -> Select[Any]:
    """Return the one row of the window's day."""
    sent = _sent(window)
    blocks, used = _blocks(window), _used(sent)
    native, tokens = _native(window), _tokens(window)
    block, use = blocks.c, used.c
    is_read = use.transactions == block.transactions

    def read(value: ColumnElement[Any]) -> ColumnElement[Any]:
        return case((is_read, value))

    return (
        select(
            *window.labels(),
            block.blocks,
            block.transactions,
            read(use.failed).label("failed_transactions"),
            read(use.creations).label("contract_creations"),
            read(use.senders).label("active_senders"),
            read(_active(sent)).label("active_addresses"),
            read(_active(sent, window)).label("active_addresses_with_tokens"),
            block.gas_used,
            read(ratio(use.gas_prices, use.transactions)).label("gas_price_mean"),
            read(use.gas_price_median).label("gas_price_median"),
            read(use.fees).label("fees_total"),
            read(ratio(use.fees, use.transactions)).label("fee_mean"),
            read(use.fee_median).label("fee_median"),
            block.burned,
            read(use.fees - block.burned).label("tips"),
            read(native.c.transfers).label("native_transfers"),
            read(native.c.value).label("native_transfer_value"),
            block.untraced_blocks,
            *tokens.c,
        )
        .select_from(blocks.join(used, true()).join(native, true()).join(tokens, true()))
        .where(block.blocks > 0)
    )


def _blocks(window: Window) -> Subquery:
    block = BLOCK.c
    gas = cast(block.gas_used, Numeric)
    is_told = func.count() == func.count(block.gas_used)
    return (
        select(
            func.count().label("blocks"),
            func.coalesce(func.sum(block.tx_count), 0).label("transactions"),
            case((is_told, func.sum(gas))).label("gas_used"),
            case((is_told, func.sum(block.base_fee_per_gas * gas))).label("burned"),
            func.count().filter(not_(block.traced)).label("untraced_blocks"),
        )
        .where(window.of(BLOCK))
        .subquery("blocks")
    )


def _sent(window: Window) -> CTE:
    """Return the day's transactions, which several sums look at."""
    transaction = EVM_TRANSACTION.c
    return (
        select(
            transaction.sender,
            transaction.recipient,
            transaction.created_contract,
            transaction.succeeded,
            transaction.gas_price,
            (transaction.gas_used * transaction.gas_price).label("fee"),
        )
        .where(window.of(EVM_TRANSACTION))
        .cte("sent")
    )


def _used(sent: CTE) -> Subquery:
    transaction = sent.c
    is_creation = and_(transaction.recipient.is_(None), transaction.succeeded)
    return select(
        func.count().label("transactions"),
        func.count().filter(not_(transaction.succeeded)).label("failed"),
        func.count().filter(is_creation).label("creations"),
        func.count(transaction.sender.distinct()).label("senders"),
        func.sum(transaction.gas_price).label("gas_prices"),
        _median(transaction.gas_price).label("gas_price_median"),
        func.coalesce(func.sum(transaction.fee), 0).label("fees"),
        _median(transaction.fee).label("fee_median"),
    ).subquery("used")


def _median(value: ColumnElement[Any]) -> ColumnElement[Any]:
    return func.percentile_cont(0.5).within_group(cast(value, Double))


def _active(sent: CTE, tokens_of: Window | None = None) -> ScalarSelect[Any]:
    """Return how many addresses transactions name; with a window, its token transfers too."""
    parties = [
        select(column.label("address")).where(column.is_not(None))
        for column in (sent.c.sender, sent.c.recipient, sent.c.created_contract)
    ]
    if tokens_of is not None:
        nobody = literal(ZERO, LargeBinary)
        parties += [
            select(column).where(tokens_of.of(TOKEN_TRANSFER), column != nobody)
            for column in (TOKEN_TRANSFER.c.sender, TOKEN_TRANSFER.c.recipient)
        ]
    first, *others = parties
    active = first.union(*others).subquery()
    return select(func.count()).select_from(active).scalar_subquery()


def _native(window: Window) -> Subquery:
    moved = NATIVE_TRANSFER.c
    return (
        select(
            func.count().label("transfers"), func.coalesce(func.sum(moved.amount), 0).label("value")
        )
        .where(
            window.of(NATIVE_TRANSFER),
            moved.kind.in_(_PAYMENTS),
            moved.amount > 0,
            moved.sender.is_distinct_from(moved.recipient),
        )
        .subquery("native")
    )


def _tokens(window: Window) -> Subquery:
    standard = TOKEN_TRANSFER.c.standard
    return (
        select(
            func.count().label("token_transfers"),
            *(
                func.count().filter(standard == one).label(f"erc{one}_transfers")
                for one in _STANDARDS
            ),
        )
        .where(window.of(TOKEN_TRANSFER))
        .subquery("tokens")
    )


def _differing_gas(stage: Table, window: Window) -> Select[Any]:
    """Return the blocks whose transactions used other gas than the block tells."""
    block, transaction = BLOCK.c, EVM_TRANSACTION.c
    by_transaction = (
        select(transaction.height, func.sum(transaction.gas_used).label("gas_used"))
        .where(window.of(EVM_TRANSACTION))
        .group_by(transaction.height)
        .subquery("by_transaction")
    )
    return (
        select(block.height, block.gas_used, by_transaction.c.gas_used.label("of_transactions"))
        .join(by_transaction, by_transaction.c.height == block.height)
        .where(window.of(BLOCK), block.gas_used != by_transaction.c.gas_used)
        .where(select(stage.c.day).where(stage.c.fees_total.is_not(None)).exists())
        .order_by(block.height)
    )


def _negative_tips(stage: Table, window: Window) -> Select[Any]:
    del window
    return select(stage.c.fees_total, stage.c.burned, stage.c.tips).where(stage.c.tips < 0)


DATASET = DataSet(
    name="evm_network_daily",
    table=TABLE,
    family="network",
    chain_families=("evm",),
    reads=(BLOCK, EVM_TRANSACTION, NATIVE_TRANSFER, TOKEN_TRANSFER),
    reach=SAME_DAY,
    grain="day",
    workload="default",
    rows=rows,
    invariants=(
        Invariant("gas of a block's transactions = gas of the block", _differing_gas),
        Invariant("burned <= fees", _negative_tips),
    ),
    highlights=("transactions", "active_addresses", "burned"),
)
