"""The fields that are read of a node's answers, as msgspec structs; everything else is skipped.

Quantities and bytes stay the hex text that came over the wire until a whole column is converted.
"""

import msgspec

from onchain_agg.sources.rpc import decoder_of


class Log(msgspec.Struct, rename="camel", gc=False):
    """One event."""

    address: str
    topics: tuple[str, ...]
    data: str
    block_hash: str
    transaction_hash: str
    transaction_index: str
    log_index: str


class Receipt(msgspec.Struct, rename="camel", gc=False):
    """What a transaction did; *status* is absent before Byzantium (October 2017)."""

    transaction_hash: str
    block_hash: str
    gas_used: str
    logs: list[Log]
    status: str | None = None
    effective_gas_price: str | None = None
    contract_address: str | None = None
    blob_gas_used: str | None = None
    blob_gas_price: str | None = None


class Transaction(msgspec.Struct, rename="camel", gc=False):
    """One transaction of a block; *to* is None where it creates a contract."""

    hash: str
    value: str
    sender: str = msgspec.field(name="from")
    to: str | None = None
    gas_price: str | None = None


class Withdrawal(msgspec.Struct, gc=False):
    """A validator's withdrawal; *amount* in gwei."""

    address: str
    amount: str


class Header(msgspec.Struct, rename="camel", gc=False):
    """What a block says of itself; its transactions are hashes."""

    number: str
    hash: str
    parent_hash: str
    timestamp: str
    size: str
    gas_used: str
    miner: str
    transactions: list[str]
    base_fee_per_gas: str | None = None
    difficulty: str | None = None
    parent_beacon_block_root: str | None = None
    withdrawals: list[Withdrawal] | None = None


class Block(Header, rename="camel", gc=False):
    """A block with its transactions in full."""

    transactions: list[Transaction]  # type: ignore[assignment]  # the same field, asked for in full


class Action(msgspec.Struct, rename="camel", gc=False):
    """What a trace did; which fields are there depends on its type."""

    sender: str | None = msgspec.field(name="from", default=None)
    to: str | None = None
    value: str | None = None
    call_type: str | None = None
    address: str | None = None
    balance: str | None = None
    refund_address: str | None = None
    author: str | None = None


class Outcome(msgspec.Struct, gc=False):
    """The result of a trace; *address* of a contract that it created."""

    address: str | None = None


class Trace(msgspec.Struct, rename="camel", gc=False):
    """One entry of ``trace_block``, in the order of execution."""

    action: Action
    type: str
    block_hash: str
    trace_address: tuple[int, ...]
    transaction_position: int | None = None
    error: str | None = None
    result: Outcome | None = None


class Frame(msgspec.Struct, gc=False):
    """One call of the ``callTracer``, with the calls that it made."""

    type: str
    sender: str = msgspec.field(name="from")
    to: str | None = None
    value: str | None = None
    error: str | None = None
    calls: "list[Frame]" = []


class TracedTransaction(msgspec.Struct, gc=False):
    """One entry of ``debug_traceBlockByHash``."""

    result: Frame


TEXT = decoder_of(str)
HEADER = decoder_of(Header)
BLOCK = decoder_of(Block)
LOGS = decoder_of(list[Log])
RECEIPT = decoder_of(Receipt)
RECEIPTS = decoder_of(list[Receipt])
TRACES = decoder_of(list[Trace])
FRAMES = decoder_of(list[TracedTransaction])
