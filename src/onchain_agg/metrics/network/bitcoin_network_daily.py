"""The daily pulse of a Bitcoin-family chain: blocks, use, fees, issuance, supply and hash rate.

A block belongs to the UTC day of its median-time-past, the median of its own and the ten earlier
header times. Amounts are in the smallest unit (satoshi, litoshi). Definitions, with Coin Metrics'
names where theirs was followed:

* ``blocks`` BlkCnt, ``size_bytes`` BlkSizeByte: whole blocks, witnesses included.
* ``transactions`` TxCnt: without coinbases.
* ``active_addresses`` AdrActCnt: different addresses in an input or output, coinbases included.
* ``transfers`` TxTfrCnt, ``transfer_value`` TxTfrValNtv: outputs of non-coinbase transactions with
  a value above zero whose address is not among the addresses of the transaction's inputs.
* ``addresses_with_balance`` AdrBalCnt: after the day's last block.
* ``fees_total`` FeeTotNtv: inputs minus outputs of non-coinbase transactions; ``fee_mean`` and
  ``fee_median`` are per such transaction (the median of an even number is the middle of two).
* ``issuance`` IssTotNtv: outputs of coinbases minus the fees.
* ``supply`` SplyCur: what is unspent and can be spent after the day's last block.
* ``hash_rate_ths`` HashRate: Σ difficulty · 2^32 / 86,400 s / 10^12, difficulty being the target of
  ``bits`` 0x1d00ffff over the block's own.

P2PK and P2PKH of one key are one address. The genesis block's output never entered the ledger: its
block is counted, its address, issuance and supply are not. Provably unspendable outputs (OP_RETURN)
are in no supply. Coinbases lost to a repeated transaction (BIP 30) leave the supply on that day.

Known gaps: a script without an address (bare multisig) is in no address count; what it receives
is a transfer. Amounts inside Litecoin's MWEB are hidden. The day's hash rate divides by a whole
day while the day is still open. Computed only when the chain was read from block 0.
Edge cases: a day without a block has no row; a day without transactions but coinbases has NULL
``fee_mean`` and ``fee_median``.
"""

from typing import Any

from sqlalchemy import (
    CTE,
    BigInteger,
    Column,
    ColumnElement,
    Double,
    Numeric,
    ScalarSelect,
    Select,
    Subquery,
    Table,
    case,
    cast,
    func,
    literal,
    not_,
    select,
    true,
)

from onchain_agg.metrics import balance_gates, balances, bitcoin_gates
from onchain_agg.metrics.dataset import ALL_LATER, SERVING, DataSet, Window
from onchain_agg.warehouse.tables.chain import BLOCK, UTXO_OUTPUT
from onchain_agg.warehouse.tables.state import (
    CREATED_OUTPUT_DAILY,
    SPENT_OUTPUT,
    SPENT_OUTPUT_DAILY,
    SPENT_OUTPUT_MONTHLY,
    UTXO,
)
from onchain_agg.warehouse.types import BIG, DAY, NAME

TABLE = Table(
    "bitcoin_network_daily_v1",
    SERVING,
    Column("chain", NAME, primary_key=True, comment="Name of the chain."),
    Column("day", DAY, primary_key=True, comment="UTC day of the median-time-past."),
    Column("blocks", BigInteger, nullable=False, comment="Blocks."),
    Column("size_bytes", BigInteger, nullable=False, comment="Bytes of the blocks."),
    Column("transactions", BigInteger, nullable=False, comment="Without coinbases."),
    Column("active_addresses", BigInteger, nullable=False, comment="Addresses that took part."),
    Column("transfers", BigInteger, nullable=False, comment="Outputs paid to somebody else."),
    Column("transfer_value", BIG, nullable=False, comment="Value of the transfers, smallest unit."),
    Column(
        "addresses_with_balance",
        BigInteger,
        comment="Addresses with a balance above 0 at the day's end; NULL: coin not tracked.",
    ),
    Column("fees_total", BIG, nullable=False, comment="Smallest unit."),
    Column("fee_mean", Double, comment="Smallest unit a transaction; NULL without transactions."),
    Column("fee_median", Double, comment="Smallest unit a transaction; NULL without transactions."),
    Column("issuance", BIG, nullable=False, comment="New coins, smallest unit."),
    Column("supply", BIG, nullable=False, comment="At the day's end, smallest unit."),
    Column("hash_rate_ths", Double, nullable=False, comment="10^12 hashes a second."),
)

# Mantissa of the target at difficulty 1; its exponent is 29 (bits 0x1d00ffff).
_DIFFICULTY_1 = 0xFFFF
_HASHES_AT_DIFFICULTY_1 = 2**32
_DAY_SECONDS = 86_400
_TERA = 10**12


def rows(window: Window) -> Select[Any]:
    """Return the one row of the window's day."""
    made, spent = _made(window), _spent(window)
    blocks, fees = _blocks(window), _fees(made, spent)
    transfers, minted = _transfers(made, spent), _minted(made)
    block, fee = blocks.c, fees.c
    return (
        select(
            *window.labels(),
            block.blocks,
            block.size_bytes,
            block.transactions,
            _active_addresses(made, spent).label("active_addresses"),
            transfers.c.transfers,
            transfers.c.transfer_value,
            _addresses_with_balance(window).label("addresses_with_balance"),
            fee.fees_total,
            cast(fee.fees_total / func.nullif(block.transactions, 0), Double).label("fee_mean"),
            fee.fee_median,
            (minted - fee.fees_total).label("issuance"),
            balance_gates.unspent(window).label("supply"),
            _hash_rate(window).label("hash_rate_ths"),
        )
        .select_from(blocks.join(fees, true()).join(transfers, true()))
        .where(block.blocks > 0, literal(window.from_height) == 0)
    )


def _made(window: Window) -> CTE:
    """Return the outputs of the window's blocks; heights tell applied blocks apart."""
    output = UTXO_OUTPUT.c
    return (
        select(output.height, output.tx_index, output.address, output.value, output.spendable)
        .where(window.of(UTXO_OUTPUT))
        .cte("made")
    )


def _spent(window: Window) -> CTE:
    """Return the inputs of the window's blocks, by the outputs that they spend."""
    spent = SPENT_OUTPUT.c
    return (
        select(spent.height, spent.tx_index, spent.address, spent.value)
        .where(window.of(SPENT_OUTPUT), not_(spent.overwritten))
        .cte("spent")
    )


def _blocks(window: Window) -> Subquery:
    block = BLOCK.c
    return (
        select(
            func.count().label("blocks"),
            func.coalesce(func.sum(block.size_bytes), 0).label("size_bytes"),
            # One coinbase a block.
            func.coalesce(func.sum(block.tx_count - 1), 0).label("transactions"),
        )
        .where(window.of(BLOCK))
        .subquery("blocks")
    )


def _fees(made: CTE, spent: CTE) -> Subquery:
    """Return the sum and the median of the fees of all non-coinbase transactions."""
    paid = _value_by_transaction(spent, "paid")
    received = _value_by_transaction(made, "received")
    same = (paid.c.height == received.c.height) & (paid.c.tx_index == received.c.tx_index)
    fee = paid.c.value - received.c.value
    # A double holds every fee exactly: all the coins there can be are below 2^53.
    median = func.percentile_cont(0.5).within_group(cast(fee, Double))
    return (
        select(
            func.coalesce(func.sum(fee), 0).label("fees_total"),
            median.label("fee_median"),
        )
        .select_from(paid.join(received, same))
        .subquery("fees")
    )


def _value_by_transaction(side: CTE, name: str) -> Subquery:
    return (
        select(side.c.height, side.c.tx_index, func.sum(side.c.value).label("value"))
        .where(side.c.tx_index > 0)
        .group_by(side.c.height, side.c.tx_index)
        .subquery(name)
    )


def _transfers(made: CTE, spent: CTE) -> Subquery:
    returns_to_sender = (
        select(spent.c.address)
        .where(
            spent.c.height == made.c.height,
            spent.c.tx_index == made.c.tx_index,
            spent.c.address == made.c.address,
        )
        .correlate(made)
        .exists()
    )
    return (
        select(
            func.count().label("transfers"),
            func.coalesce(func.sum(made.c.value), 0).label("transfer_value"),
        )
        .where(made.c.tx_index > 0, made.c.value > 0, not_(returns_to_sender))
        .subquery("transfers")
    )


def _minted(made: CTE) -> ScalarSelect[Any]:
    """Return what coinbases paid out; the genesis block's was never money."""
    return (
        select(func.coalesce(func.sum(made.c.value), 0))
        .where(made.c.tx_index == 0, made.c.height > 0)
        .scalar_subquery()
    )


def _active_addresses(made: CTE, spent: CTE) -> ScalarSelect[Any]:
    received = select(made.c.address).where(made.c.spendable, made.c.address.is_not(None))
    paid = select(spent.c.address).where(spent.c.address.is_not(None))
    either = received.union(paid).subquery("active")
    return select(func.count()).select_from(either).scalar_subquery()


def _addresses_with_balance(window: Window) -> ColumnElement[Any]:
    assets = balances.covered_assets(window)
    # A UTXO chain has no asset but its coin.
    coin = select(assets.c.asset_id).scalar_subquery()
    return case((select(assets.c.asset_id).exists(), balances.holders_at_day_end(window, coin)))


def _hash_rate(window: Window) -> ScalarSelect[Any]:
    """Return the hash rate; blocks of one target are one division, so no rounding adds up."""
    by_target = (
        select(BLOCK.c.bits, func.count().label("blocks"))
        .where(window.of(BLOCK))
        .group_by(BLOCK.c.bits)
        .subquery("by_target")
    )
    # The first byte is the exponent, the other three the mantissa, whose sign bit is not used.
    exponent = by_target.c.bits // 2**24
    mantissa = by_target.c.bits % 2**23
    difficulty_times_blocks = (
        by_target.c.blocks
        * _DIFFICULTY_1
        * _power_of_256(29 - exponent)
        / (mantissa * _power_of_256(exponent - 29))
    )
    hashes = func.sum(difficulty_times_blocks) * _HASHES_AT_DIFFICULTY_1
    rate = hashes / cast(_DAY_SECONDS * _TERA, Numeric)
    return select(cast(func.coalesce(rate, 0), Double)).scalar_subquery()


def _power_of_256(exponent: ColumnElement[int]) -> ColumnElement[Any]:
    """Return 256 to the power of *exponent*, or 1 where it is negative; exact."""
    return func.power(cast(256, Numeric), func.greatest(exponent, 0), type_=Numeric)


DATASET = DataSet(
    name="bitcoin_network_daily",
    table=TABLE,
    family="network",
    chain_families=("utxo",),
    reads=(
        *balances.READS,
        UTXO_OUTPUT,
        UTXO,
        SPENT_OUTPUT,
        CREATED_OUTPUT_DAILY,
        SPENT_OUTPUT_DAILY,
        SPENT_OUTPUT_MONTHLY,
    ),
    reach=ALL_LATER,
    grain="day",
    workload="default",
    rows=rows,
    invariants=(bitcoin_gates.COINBASE, bitcoin_gates.GROWTH, bitcoin_gates.UTXO_SET),
    highlights=("transactions", "active_addresses", "supply"),
)
