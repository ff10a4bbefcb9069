"""Schema ``state``: running state after the applied blocks, a pure function of the facts.

A row whose amounts are zero does not exist, so state that went forth and back equals state that
was built once.
"""

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, Table

from onchain_agg.warehouse.tables.registry import METADATA, by_day
from onchain_agg.warehouse.types import ADDRESS, BIG, DAY, HASH, HEIGHT, NAME, TIME, UINT256

TIP = Table(
    "tip",
    METADATA,
    Column("chain", NAME, primary_key=True),
    Column("from_height", HEIGHT, nullable=False, comment="First applied block."),
    Column("height", HEIGHT, nullable=False, comment="Last applied block."),
    Column("block_hash", HASH, nullable=False),
    Column("day", DAY, nullable=False, comment="Day of the last applied block."),
    Column("final_height", HEIGHT, nullable=False, comment="Highest final block; -1: none."),
    Column("undo_from", HEIGHT, nullable=False, comment="Lowest block that can be undone."),
    schema="state",
)

BALANCE = Table(
    "balance",
    METADATA,
    Column("asset_id", Integer, primary_key=True, autoincrement=False),
    Column("address", ADDRESS, primary_key=True),
    Column("balance", UINT256, nullable=False, comment="Smallest unit, at the tip."),
    schema="state",
)

BALANCE_DELTA = Table(
    "balance_delta",
    METADATA,
    Column("asset_id", Integer, primary_key=True, autoincrement=False),
    Column("day", DAY, primary_key=True),
    Column("address", ADDRESS, primary_key=True),
    Column("delta", UINT256, nullable=False, comment="Smallest unit; what the day changed."),
    Column("debits", BigInteger, nullable=False, comment="Transfers that the address sent."),
    # When did an address last send?
    Index("ix_balance_delta_address", "asset_id", "address", "day"),
    schema="state",
)

NFT_OWNER_DAY = Table(
    "nft_owner_day",
    METADATA,
    # ERC-721: who had a token after a day on which it moved; its owner on any other day is that of
    # the last such day before. The zero address: burned.
    Column("asset_id", Integer, primary_key=True, autoincrement=False),
    Column("token_id", UINT256, primary_key=True),
    Column("day", DAY, primary_key=True),
    Column("owner", ADDRESS, nullable=False, comment="Recipient of the day's last transfer."),
    Column("height", HEIGHT, nullable=False, comment="Of that transfer."),
    Column("log_index", Integer, nullable=False, comment="Of that transfer."),
    Column("received_at", TIME, nullable=False, comment="block_at of that transfer."),
    # Who has what after a day?
    Index("ix_nft_owner_day_owner", "asset_id", "owner", "day"),
    schema="state",
)

NFT_AMOUNT_DELTA = Table(
    "nft_amount_delta",
    METADATA,
    # ERC-1155: what a day changed; amounts may be below zero where transfers are missing.
    Column("asset_id", Integer, primary_key=True, autoincrement=False),
    Column("token_id", UINT256, primary_key=True),
    Column("address", ADDRESS, primary_key=True),
    Column("day", DAY, primary_key=True),
    Column("delta", UINT256, nullable=False),
    schema="state",
)

FIRST_FUNDING = Table(
    "first_funding",
    METADATA,
    # The first transfer of the native coin to an address from another one.
    Column("chain", NAME, primary_key=True),
    Column("address", ADDRESS, primary_key=True),
    Column("day", DAY, nullable=False),
    Column("height", HEIGHT, nullable=False),
    Column("seq", Integer, nullable=False, comment="As in chain.native_transfer."),
    Column("funder", ADDRESS, nullable=False),
    # Undo deletes what a block funded first.
    Index("ix_first_funding_height", "chain", "height"),
    schema="state",
)

UTXO = Table(
    "utxo",
    METADATA,
    Column("chain", NAME, primary_key=True),
    Column("txid", HASH, primary_key=True),
    Column("vout", Integer, primary_key=True),
    Column("value", BigInteger, nullable=False),
    Column("address", ADDRESS),
    Column("created_height", HEIGHT, nullable=False),
    Column("created_at", TIME, nullable=False),
    Column("coinbase", Boolean, nullable=False),
    # Undo deletes what a block created.
    Index("ix_utxo_created_height", "chain", "created_height"),
    schema="state",
)

SPENT_OUTPUT = Table(
    "spent_output",
    METADATA,
    Column("chain", NAME, primary_key=True),
    Column("day", DAY, primary_key=True, comment="Day of the spending block."),
    Column("height", HEIGHT, nullable=False),
    Column("block_hash", HASH, primary_key=True),
    Column("tx_index", Integer, primary_key=True),
    Column("input_index", Integer, primary_key=True, comment="Of an overwritten output: its vout."),
    Column("prev_txid", HASH, nullable=False),
    Column("prev_vout", Integer, nullable=False),
    Column("value", BigInteger, nullable=False),
    Column("address", ADDRESS),
    Column("created_height", HEIGHT, nullable=False),
    Column("created_at", TIME, nullable=False),
    Column("coinbase", Boolean, nullable=False, comment="Created by a coinbase."),
    Column(
        "overwritten",
        Boolean,
        nullable=False,
        comment="Lost to a duplicate coinbase (BIP 30), not spent.",
    ),
    schema="state",
    **by_day(),
)

CREATED_OUTPUT_DAILY = Table(
    "created_output_daily",
    METADATA,
    Column("chain", NAME, primary_key=True),
    Column("day", DAY, primary_key=True),
    Column("coinbase", Boolean, primary_key=True),
    Column("value", BIG, nullable=False),
    Column("outputs", BigInteger, nullable=False),
    schema="state",
)

SPENT_OUTPUT_DAILY = Table(
    "spent_output_daily",
    METADATA,
    Column("chain", NAME, primary_key=True),
    Column("spend_day", DAY, primary_key=True),
    Column("created_day", DAY, primary_key=True),
    Column("coinbase", Boolean, primary_key=True),
    Column("overwritten", Boolean, primary_key=True),
    Column("value", BIG, nullable=False),
    Column("outputs", BigInteger, nullable=False),
    Column("coin_seconds", BIG, nullable=False, comment="Sum of value times age in seconds."),
    Column("value_under_1h", BIG, nullable=False, comment="Value spent within an hour."),
    schema="state",
)

SPENT_OUTPUT_MONTHLY = Table(
    "spent_output_monthly",
    METADATA,
    # The same by month, so that what is unspent on any day is a sum over months and 31 days.
    Column("chain", NAME, primary_key=True),
    Column("spend_month", DAY, primary_key=True, comment="First day of the month."),
    Column("created_day", DAY, primary_key=True),
    Column("value", BIG, nullable=False),
    Column("outputs", BigInteger, nullable=False),
    Column("coin_seconds", BIG, nullable=False, comment="Without overwritten outputs."),
    Column(
        "value_days",
        BIG,
        nullable=False,
        comment="Sum of value times days from 1970-01-01 to the spending day.",
    ),
    schema="state",
)
