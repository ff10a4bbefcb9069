"""Every mint of an NFT: who got it, and what was paid for it in the native coin.

One row is one ERC-721 token, or one item of an ERC-1155 transfer, that came from the zero address.
A mint of nothing (an ERC-1155 amount of 0) is none.

* ``recipient`` is whom the event names. ``minter`` is who had the token when the transaction was
  over: a contract that mints to itself and forwards in the same transaction is not the minter. An
  ERC-721 token is followed through every transfer of the transaction but one that burns it; an
  ERC-1155 item through one: whom the recipient of the mint sent the same id last.
* ``paid`` = value of the transaction * ``quantity`` / quantity of all mints in the transaction,
  rounded down to a wei (as Dune's nft.mints divides). 0 is a free mint; NULL where the transaction
  is not known.

Known gaps: what a transaction pays for other things, or gets back, is taken for the price of its
mints; a mint that is paid in a token, or by another transaction, counts as free.
Edge cases: a token of a wrapping collection comes into being when it wraps, which is no mint;
a token that is minted, burned and minted again is minted twice.
"""

from typing import Any

from sqlalchemy import (
    CTE,
    BigInteger,
    Column,
    FromClause,
    Integer,
    LargeBinary,
    Numeric,
    Select,
    SmallInteger,
    Table,
    Text,
    and_,
    case,
    func,
    literal,
    select,
)
from sqlalchemy.dialects.postgresql import distinct_on

from onchain_agg.chains import ERC1155
from onchain_agg.metrics.dataset import SAME_DAY, SERVING, DataSet, Invariant, Window
from onchain_agg.metrics.nft_transfers import (
    READS,
    collection_transfers,
)
from onchain_agg.metrics.rendering import ZERO, address_text, hash_text
from onchain_agg.warehouse.tables.chain import EVM_TRANSACTION
from onchain_agg.warehouse.types import BIG, DAY, NAME, UINT256

_IN_TRANSACTION = ("block_hash", "tx_index")

TABLE = Table(
    "nft_mint_v1",
    SERVING,
    Column("chain", NAME, primary_key=True, comment="Name of the chain."),
    Column("day", DAY, primary_key=True, comment="UTC day of the block."),
    Column("block_hash", Text, primary_key=True, comment="0x…."),
    Column("log_index", Integer, primary_key=True, comment="Of the transfer, in the block."),
    Column("item_index", Integer, primary_key=True, comment="Position in an ERC-1155 batch."),
    Column("height", BigInteger, nullable=False, comment="Height of the block."),
    Column("tx_index", Integer, nullable=False, comment="In the block."),
    Column("tx_hash", Text, nullable=False, comment="0x…."),
    Column("collection", NAME, nullable=False, comment="0x… of the contract, in lower case."),
    Column("standard", SmallInteger, nullable=False, comment="721 or 1155."),
    Column("token_id", UINT256, nullable=False, comment="In the collection."),
    Column("quantity", UINT256, nullable=False, comment="1 unless ERC-1155."),
    Column("recipient", Text, nullable=False, comment="Whom the event names, 0x…."),
    Column("minter", Text, nullable=False, comment="Who had it after the transaction, 0x…."),
    Column("paid", BIG, comment="Wei for the quantity; 0: free; NULL: transaction not known."),
    # What was paid for a token.
    info={"indexes": {"token": ("chain", "collection", "token_id")}},
)


def rows(window: Window) -> Select[Any]:
    """Return the mints of the window's blocks."""
    transfer = collection_transfers(window)
    mint = _mints(transfer)
    row, last = mint.c, _forwards(transfer)
    transaction = EVM_TRANSACTION.c
    paid = func.div(transaction.value * row.quantity, row.minted, type_=Numeric)
    of_transaction = and_(
        window.of(EVM_TRANSACTION),
        transaction.block_hash == row.block_hash,
        transaction.tx_index == row.tx_index,
    )
    forwarded = and_(
        *(last.c[n] == row[n] for n in (*_IN_TRANSACTION, "token", "token_id")),
        last.c.sender == _sender_of_forward(row.standard, row.recipient),
    )
    return (
        select(
            *window.labels(),
            hash_text(window, row.block_hash).label("block_hash"),
            row.log_index,
            row.item_index,
            row.height,
            row.tx_index,
            hash_text(window, row.tx_hash).label("tx_hash"),
            address_text(window, row.token).label("collection"),
            row.standard,
            row.token_id,
            row.quantity,
            address_text(window, row.recipient).label("recipient"),
            address_text(window, func.coalesce(last.c.recipient, row.recipient)).label("minter"),
            paid.label("paid"),
        )
        .select_from(mint)
        .outerjoin(EVM_TRANSACTION, of_transaction)
        .outerjoin(last, forwarded)
    )


def _mints(transfer: CTE) -> FromClause:
    """Return the mints, each with the quantity that its transaction mints in all."""
    row = transfer.c
    together = func.sum(row.quantity).over(partition_by=[row[n] for n in _IN_TRANSACTION])
    return (
        select(*row, together.label("minted"))
        .where(row.sender == ZERO, row.recipient != ZERO, row.wraps.is_(None), row.quantity > 0)
        .cte("mint")
    )


def _forwards(transfer: CTE) -> FromClause:
    """Return who got a token last in each transaction, of whom where that matters."""
    row = transfer.c
    sender = _sender_of_forward(row.standard, row.sender)
    key = (*(row[n] for n in (*_IN_TRANSACTION, "token", "token_id")), sender)
    return (
        select(*key[:-1], sender.label("sender"), row.recipient)
        .ext(distinct_on(*key))
        .where(row.sender != ZERO, row.recipient != ZERO)
        .order_by(*key, row.log_index.desc(), row.item_index.desc())
        .subquery("forward")
    )


def _sender_of_forward(standard: Any, address: Any) -> Any:
    """Return the address that a forward of an ERC-1155 item must come from; any for ERC-721."""
    return case((standard == ERC1155, address), else_=literal(b"", LargeBinary))


def _paid_too_much(stage: Table, window: Window) -> Select[Any]:
    """Return the transactions whose mints cost more than they paid."""
    row, transaction = stage.c, EVM_TRANSACTION.c
    spent = select(row.tx_hash, func.sum(row.paid).label("paid")).group_by(row.tx_hash).subquery().c
    value = func.max(transaction.value)
    return (
        select(spent.tx_hash, spent.paid, value.label("value"))
        .join(EVM_TRANSACTION, hash_text(window, transaction.tx_hash) == spent.tx_hash)
        .where(window.of(EVM_TRANSACTION))
        .group_by(spent.tx_hash, spent.paid)
        .having(spent.paid > value)
    )


DATASET = DataSet(
    name="nft_mint",
    table=TABLE,
    family="nft",
    chain_families=("evm",),
    reads=(*READS, EVM_TRANSACTION),
    reach=SAME_DAY,
    grain="event",
    workload="nft_worker",
    rows=rows,
    invariants=(Invariant("mints cost no more than their transaction paid", _paid_too_much),),
    highlights=("quantity", "collection", "minter"),
)
