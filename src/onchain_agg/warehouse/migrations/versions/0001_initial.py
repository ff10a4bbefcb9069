"""The first tables, and the functions that print addresses."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from onchain_agg.warehouse.address_sql import STATEMENTS

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create everything."""
    for create in (
        _create_block,
        _create_evm_transaction,
        _create_flash_loan,
        _create_label,
        _create_malformed_log,
        _create_native_transfer,
        _create_nft_bid,
        _create_nft_trade,
        _create_token_transfer,
        _create_utxo_input,
        _create_utxo_output,
        _create_asset_daily,
        _create_asset_daily_history,
        _create_candle,
        _create_candle_history,
        _create_funding_rate,
        _create_funding_rate_history,
        _create_fx_rate,
        _create_fx_rate_history,
        _create_reference_price,
        _create_reference_price_history,
        _create_trade,
        _create_trade_history,
        _create_address_format,
        _create_archived_day,
        _create_asset,
        _create_dataset,
        _create_dirty,
        _create_fact_day,
        _create_ingest_start,
        _create_publish_clock,
        _create_pull,
        _create_quarantined_token,
        _create_reader,
        _create_window,
        _create_balance,
        _create_balance_delta,
        _create_created_output_daily,
        _create_first_funding,
        _create_nft_amount_delta,
        _create_nft_owner_day,
        _create_spent_output,
        _create_spent_output_daily,
        _create_spent_output_monthly,
        _create_tip,
        _create_utxo,
    ):
        create()
    for statement in STATEMENTS:
        op.execute(statement)


def _create_block() -> None:
    op.create_table(
        "block",
        sa.Column("chain", sa.Text(), nullable=False),
        sa.Column("height", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("block_hash", sa.LargeBinary(), nullable=False),
        sa.Column("parent_hash", sa.LargeBinary(), nullable=False),
        sa.Column(
            "header_at", sa.DateTime(timezone=True), nullable=False, comment="Time in the header."
        ),
        sa.Column(
            "block_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="Median-time-past on UTXO chains.",
        ),
        sa.Column(
            "tx_count", sa.Integer(), nullable=False, comment="Transactions, coinbase included."
        ),
        sa.Column("size_bytes", sa.BigInteger(), nullable=True),
        sa.Column("bits", sa.BigInteger(), nullable=True, comment="UTXO: compact target."),
        sa.Column("gas_used", sa.BigInteger(), nullable=True),
        sa.Column(
            "base_fee_per_gas", sa.BigInteger(), nullable=True, comment="Wei; NULL before London."
        ),
        sa.Column("miner", sa.LargeBinary(), nullable=True),
        sa.Column(
            "traced", sa.Boolean(), nullable=False, comment="Internal native transfers are known."
        ),
        sa.PrimaryKeyConstraint("chain", "height"),
        schema="chain",
    )
    op.create_index(
        "ix_block_day", "block", ["chain", "day", "height"], unique=False, schema="chain"
    )
    op.create_index(
        "ix_block_untraced",
        "block",
        ["chain", "height"],
        unique=False,
        schema="chain",
        postgresql_where=sa.text("NOT traced"),
    )


def _create_evm_transaction() -> None:
    op.create_table(
        "evm_transaction",
        sa.Column("chain", sa.Text(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False, comment="UTC day of the block's block_at."),
        sa.Column("height", sa.BigInteger(), nullable=False),
        sa.Column("block_hash", sa.LargeBinary(), nullable=False),
        sa.Column("tx_index", sa.Integer(), nullable=False),
        sa.Column("tx_hash", sa.LargeBinary(), nullable=False),
        sa.Column("sender", sa.LargeBinary(), nullable=False),
        sa.Column("recipient", sa.LargeBinary(), nullable=True, comment="NULL: contract creation."),
        sa.Column("created_contract", sa.LargeBinary(), nullable=True),
        sa.Column("value", sa.Numeric(precision=78, scale=0), nullable=False, comment="Wei."),
        sa.Column("gas_used", sa.BigInteger(), nullable=False),
        sa.Column(
            "gas_price",
            sa.Numeric(precision=78, scale=0),
            nullable=False,
            comment="Effective price, wei.",
        ),
        sa.Column("succeeded", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("chain", "day", "block_hash", "tx_index"),
        schema="chain",
        info={"by_day": True},
        postgresql_partition_by="RANGE (day)",
    )


def _create_flash_loan() -> None:
    op.create_table(
        "flash_loan",
        sa.Column("chain", sa.Text(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False, comment="UTC day of the block's block_at."),
        sa.Column("height", sa.BigInteger(), nullable=False),
        sa.Column("block_hash", sa.LargeBinary(), nullable=False),
        sa.Column("tx_index", sa.Integer(), nullable=False),
        sa.Column("tx_hash", sa.LargeBinary(), nullable=False),
        sa.Column("log_index", sa.Integer(), nullable=False),
        sa.Column(
            "lender", sa.LargeBinary(), nullable=False, comment="Contract that logged the loan."
        ),
        sa.Column(
            "protocol", sa.Text(), nullable=False, comment="Whose event it is, such as balancer_v2."
        ),
        sa.PrimaryKeyConstraint("chain", "day", "block_hash", "log_index"),
        schema="chain",
        info={"by_day": True},
        postgresql_partition_by="RANGE (day)",
    )


def _create_label() -> None:
    op.create_table(
        "label",
        sa.Column("label_id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("chain", sa.Text(), nullable=False),
        sa.Column("address", sa.LargeBinary(), nullable=False),
        sa.Column(
            "category", sa.Text(), nullable=False, comment="exchange, miner, bridge, contract, …"
        ),
        sa.Column(
            "entity", sa.Text(), nullable=False, comment="Who it belongs to, such as kraken."
        ),
        sa.Column("valid_from", sa.Date(), nullable=False, comment="First UTC day."),
        sa.Column(
            "valid_to", sa.Date(), nullable=True, comment="First UTC day after; NULL: still so."
        ),
        sa.Column(
            "known_from", sa.DateTime(timezone=True), nullable=False, comment="Believed since then."
        ),
        sa.Column(
            "known_to",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="Believed until then; NULL: still believed.",
        ),
        sa.Column("source", sa.Text(), nullable=False, comment="Who told it."),
        sa.CheckConstraint("valid_to > valid_from", name="ck_label_valid"),
        sa.PrimaryKeyConstraint("label_id"),
        schema="chain",
    )
    op.create_index(
        "ix_label_address",
        "label",
        ["chain", "address"],
        unique=False,
        schema="chain",
        postgresql_where=sa.text("known_to IS NULL"),
    )


def _create_malformed_log() -> None:
    op.create_table(
        "malformed_log",
        sa.Column("chain", sa.Text(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False, comment="UTC day of the block's block_at."),
        sa.Column("height", sa.BigInteger(), nullable=False),
        sa.Column("block_hash", sa.LargeBinary(), nullable=False),
        sa.Column("tx_index", sa.Integer(), nullable=False),
        sa.Column("tx_hash", sa.LargeBinary(), nullable=False),
        sa.Column("log_index", sa.Integer(), nullable=False),
        sa.Column("token", sa.LargeBinary(), nullable=False, comment="Contract of the log."),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("topics", sa.LargeBinary(), nullable=False, comment="The topics, joined."),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("chain", "day", "block_hash", "log_index"),
        schema="chain",
        info={"by_day": True},
        postgresql_partition_by="RANGE (day)",
    )


def _create_native_transfer() -> None:
    op.create_table(
        "native_transfer",
        sa.Column("chain", sa.Text(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False, comment="UTC day of the block's block_at."),
        sa.Column("height", sa.BigInteger(), nullable=False),
        sa.Column("block_hash", sa.LargeBinary(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False, comment="Position in the block."),
        sa.Column("tx_index", sa.Integer(), nullable=True),
        sa.Column(
            "kind",
            sa.Text(),
            nullable=False,
            comment="value, internal, fee, tip, reward, withdrawal, genesis or selfdestruct.",
        ),
        sa.Column(
            "sender", sa.LargeBinary(), nullable=True, comment="NULL: the coin comes into being."
        ),
        sa.Column(
            "recipient", sa.LargeBinary(), nullable=True, comment="NULL: the coin is burned."
        ),
        sa.Column("amount", sa.Numeric(precision=78, scale=0), nullable=False, comment="Wei."),
        sa.PrimaryKeyConstraint("chain", "day", "block_hash", "seq"),
        schema="chain",
        info={"by_day": True},
        postgresql_partition_by="RANGE (day)",
    )


def _create_nft_bid() -> None:
    op.create_table(
        "nft_bid",
        sa.Column("chain", sa.Text(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False, comment="UTC day of the block's block_at."),
        sa.Column("height", sa.BigInteger(), nullable=False),
        sa.Column("block_hash", sa.LargeBinary(), nullable=False),
        sa.Column("tx_hash", sa.LargeBinary(), nullable=False),
        sa.Column("log_index", sa.Integer(), nullable=False),
        sa.Column(
            "market", sa.Text(), nullable=False, comment="As its file in sources/nft_markets."
        ),
        sa.Column("collection", sa.LargeBinary(), nullable=False),
        sa.Column("token_id", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("bidder", sa.LargeBinary(), nullable=False),
        sa.Column(
            "price",
            sa.Numeric(precision=78, scale=0),
            nullable=False,
            comment="Offered or given back; smallest unit of the sale's currency, most often wei.",
        ),
        sa.Column("withdrawn", sa.Boolean(), nullable=False, comment="The bid was taken back."),
        sa.PrimaryKeyConstraint("chain", "day", "block_hash", "log_index"),
        schema="chain",
    )
    op.create_index(
        "ix_nft_bid_token",
        "nft_bid",
        ["chain", "collection", "token_id", "height", "log_index"],
        unique=False,
        schema="chain",
    )


def _create_nft_trade() -> None:
    op.create_table(
        "nft_trade",
        sa.Column("chain", sa.Text(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False, comment="UTC day of the block's block_at."),
        sa.Column("height", sa.BigInteger(), nullable=False),
        sa.Column("block_hash", sa.LargeBinary(), nullable=False),
        sa.Column("tx_index", sa.Integer(), nullable=False),
        sa.Column("tx_hash", sa.LargeBinary(), nullable=False),
        sa.Column("log_index", sa.Integer(), nullable=False),
        sa.Column(
            "item_index", sa.Integer(), nullable=False, comment="Position in a bundle; else 0."
        ),
        sa.Column(
            "market", sa.Text(), nullable=False, comment="As its file in sources/nft_markets."
        ),
        sa.Column("version", sa.Text(), nullable=False, comment="Of the market's contract."),
        sa.Column(
            "contract",
            sa.LargeBinary(),
            nullable=False,
            comment="The market's, which logged the trade.",
        ),
        sa.Column(
            "side", sa.Text(), nullable=False, comment="What was taken: a listing or an offer."
        ),
        sa.Column(
            "standard",
            sa.SmallInteger(),
            nullable=True,
            comment="721 or 1155; NULL: neither, as CryptoPunks.",
        ),
        sa.Column("collection", sa.LargeBinary(), nullable=False),
        sa.Column("token_id", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column(
            "quantity",
            sa.Numeric(precision=78, scale=0),
            nullable=False,
            comment="1 unless ERC-1155.",
        ),
        sa.Column(
            "bundle_size",
            sa.Integer(),
            nullable=False,
            comment="Items that the price was split over.",
        ),
        sa.Column("seller", sa.LargeBinary(), nullable=False),
        sa.Column("buyer", sa.LargeBinary(), nullable=False),
        sa.Column(
            "currency",
            sa.LargeBinary(),
            nullable=True,
            comment="Zero: native coin; NULL: several, or not in the log.",
        ),
        sa.Column(
            "price",
            sa.Numeric(precision=78, scale=0),
            nullable=True,
            comment="Of the item, with fees, smallest unit; NULL: unpriced.",
        ),
        sa.Column(
            "platform_fee",
            sa.Numeric(precision=78, scale=0),
            nullable=True,
            comment="In the price; NULL: not in the logs.",
        ),
        sa.Column(
            "royalty",
            sa.Numeric(precision=78, scale=0),
            nullable=True,
            comment="In the price; NULL: not in the logs.",
        ),
        sa.Column(
            "unpriced",
            sa.Text(),
            nullable=True,
            comment="Why there is no price; NULL: there is one.",
        ),
        sa.PrimaryKeyConstraint("chain", "day", "block_hash", "log_index", "item_index"),
        schema="chain",
        info={"by_day": True},
        postgresql_partition_by="RANGE (day)",
    )


def _create_token_transfer() -> None:
    op.create_table(
        "token_transfer",
        sa.Column("chain", sa.Text(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False, comment="UTC day of the block's block_at."),
        sa.Column("height", sa.BigInteger(), nullable=False),
        sa.Column("block_hash", sa.LargeBinary(), nullable=False),
        sa.Column("tx_index", sa.Integer(), nullable=False),
        sa.Column("tx_hash", sa.LargeBinary(), nullable=False),
        sa.Column("log_index", sa.Integer(), nullable=False),
        sa.Column(
            "item_index", sa.Integer(), nullable=False, comment="Position in an ERC-1155 batch."
        ),
        sa.Column("standard", sa.SmallInteger(), nullable=False, comment="20, 721 or 1155."),
        sa.Column("token", sa.LargeBinary(), nullable=False),
        sa.Column("sender", sa.LargeBinary(), nullable=False),
        sa.Column("recipient", sa.LargeBinary(), nullable=False),
        sa.Column(
            "token_id", sa.Numeric(precision=78, scale=0), nullable=True, comment="NULL for ERC-20."
        ),
        sa.Column(
            "amount",
            sa.Numeric(precision=78, scale=0),
            nullable=False,
            comment="Smallest unit; 1 for ERC-721.",
        ),
        sa.PrimaryKeyConstraint("chain", "day", "block_hash", "log_index", "item_index"),
        schema="chain",
        info={"by_day": True},
        postgresql_partition_by="RANGE (day)",
    )


def _create_utxo_input() -> None:
    op.create_table(
        "utxo_input",
        sa.Column("chain", sa.Text(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False, comment="UTC day of the block's block_at."),
        sa.Column("height", sa.BigInteger(), nullable=False),
        sa.Column("block_hash", sa.LargeBinary(), nullable=False),
        sa.Column("tx_index", sa.Integer(), nullable=False),
        sa.Column("input_index", sa.Integer(), nullable=False),
        sa.Column("prev_txid", sa.LargeBinary(), nullable=False),
        sa.Column("prev_vout", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("chain", "day", "block_hash", "tx_index", "input_index"),
        schema="chain",
        info={"by_day": True},
        postgresql_partition_by="RANGE (day)",
    )


def _create_utxo_output() -> None:
    op.create_table(
        "utxo_output",
        sa.Column("chain", sa.Text(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False, comment="UTC day of the block's block_at."),
        sa.Column("height", sa.BigInteger(), nullable=False),
        sa.Column("block_hash", sa.LargeBinary(), nullable=False),
        sa.Column("tx_index", sa.Integer(), nullable=False),
        sa.Column("vout", sa.Integer(), nullable=False),
        sa.Column("txid", sa.LargeBinary(), nullable=False, comment="As explorers print it."),
        sa.Column("value", sa.BigInteger(), nullable=False, comment="Smallest unit."),
        sa.Column(
            "address",
            sa.LargeBinary(),
            nullable=True,
            comment="Kind byte and hash; NULL where the script has none.",
        ),
        sa.Column("spendable", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("chain", "day", "block_hash", "tx_index", "vout"),
        schema="chain",
        info={"by_day": True},
        postgresql_partition_by="RANGE (day)",
    )


def _create_asset_daily() -> None:
    op.create_table(
        "asset_daily",
        sa.Column("source", sa.Text(), nullable=False, comment="Who told it."),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("asset", sa.Text(), nullable=False, comment="Symbol."),
        sa.Column(
            "supply",
            sa.Numeric(),
            nullable=True,
            comment="Whole units at the day's end; NULL: not told.",
        ),
        sa.Column(
            "transfer_value",
            sa.Numeric(),
            nullable=True,
            comment="Adjusted, whole units; NULL: not told.",
        ),
        sa.Column(
            "realized_cap_usd", sa.Numeric(), nullable=True, comment="US dollar; NULL: not told."
        ),
        sa.Column(
            "known_from", sa.DateTime(timezone=True), nullable=False, comment="Believed since then."
        ),
        sa.PrimaryKeyConstraint("source", "day", "asset"),
        schema="market",
        info={"facts": True, "venue": False},
    )
    op.create_index("ix_asset_daily_day", "asset_daily", ["day"], unique=False, schema="market")


def _create_asset_daily_history() -> None:
    op.create_table(
        "asset_daily_history",
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("asset", sa.Text(), nullable=False),
        sa.Column("supply", sa.Numeric(), nullable=True),
        sa.Column("transfer_value", sa.Numeric(), nullable=True),
        sa.Column("realized_cap_usd", sa.Numeric(), nullable=True),
        sa.Column(
            "known_from", sa.DateTime(timezone=True), nullable=False, comment="Believed since then."
        ),
        sa.Column(
            "known_to", sa.DateTime(timezone=True), nullable=False, comment="Believed until then."
        ),
        sa.PrimaryKeyConstraint("source", "day", "asset", "known_from"),
        schema="market",
    )


def _create_candle() -> None:
    op.create_table(
        "candle",
        sa.Column("venue", sa.Text(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False, comment="UTC day of open_at."),
        sa.Column("market", sa.Text(), nullable=False),
        sa.Column("span", sa.Text(), nullable=False, comment="1m, 1h or 1d."),
        sa.Column("open_at", sa.DateTime(timezone=True), nullable=False, comment="First instant."),
        sa.Column("open", sa.Numeric(), nullable=False),
        sa.Column("high", sa.Numeric(), nullable=False),
        sa.Column("low", sa.Numeric(), nullable=False),
        sa.Column("close", sa.Numeric(), nullable=False),
        sa.Column("volume", sa.Numeric(), nullable=False, comment="Base."),
        sa.Column("quote_volume", sa.Numeric(), nullable=True, comment="Quote; NULL: not told."),
        sa.Column("trades", sa.BigInteger(), nullable=True, comment="NULL: not told."),
        sa.Column(
            "known_from", sa.DateTime(timezone=True), nullable=False, comment="Believed since then."
        ),
        sa.PrimaryKeyConstraint("venue", "day", "market", "span", "open_at"),
        schema="market",
        info={"facts": True, "venue": True},
    )


def _create_candle_history() -> None:
    op.create_table(
        "candle_history",
        sa.Column("venue", sa.Text(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("market", sa.Text(), nullable=False),
        sa.Column("span", sa.Text(), nullable=False),
        sa.Column("open_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("open", sa.Numeric(), nullable=False),
        sa.Column("high", sa.Numeric(), nullable=False),
        sa.Column("low", sa.Numeric(), nullable=False),
        sa.Column("close", sa.Numeric(), nullable=False),
        sa.Column("volume", sa.Numeric(), nullable=False),
        sa.Column("quote_volume", sa.Numeric(), nullable=True),
        sa.Column("trades", sa.BigInteger(), nullable=True),
        sa.Column(
            "known_from", sa.DateTime(timezone=True), nullable=False, comment="Believed since then."
        ),
        sa.Column(
            "known_to", sa.DateTime(timezone=True), nullable=False, comment="Believed until then."
        ),
        sa.PrimaryKeyConstraint("venue", "day", "market", "span", "open_at", "known_from"),
        schema="market",
    )


def _create_funding_rate() -> None:
    op.create_table(
        "funding_rate",
        sa.Column("venue", sa.Text(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False, comment="UTC day of funded_at."),
        sa.Column(
            "market", sa.Text(), nullable=False, comment="BASE/QUOTE:SETTLE of the perpetual."
        ),
        sa.Column("funded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("rate", sa.Numeric(), nullable=False, comment="Of the interval, as a fraction."),
        sa.Column("interval_hours", sa.SmallInteger(), nullable=False),
        sa.Column("open_interest_usd", sa.Numeric(), nullable=True, comment="NULL: not told."),
        sa.Column(
            "known_from", sa.DateTime(timezone=True), nullable=False, comment="Believed since then."
        ),
        sa.PrimaryKeyConstraint("venue", "day", "market", "funded_at"),
        schema="market",
        info={"facts": True, "venue": True},
    )
    op.create_index("ix_funding_rate_day", "funding_rate", ["day"], unique=False, schema="market")


def _create_funding_rate_history() -> None:
    op.create_table(
        "funding_rate_history",
        sa.Column("venue", sa.Text(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("market", sa.Text(), nullable=False),
        sa.Column("funded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("rate", sa.Numeric(), nullable=False),
        sa.Column("interval_hours", sa.SmallInteger(), nullable=False),
        sa.Column("open_interest_usd", sa.Numeric(), nullable=True),
        sa.Column(
            "known_from", sa.DateTime(timezone=True), nullable=False, comment="Believed since then."
        ),
        sa.Column(
            "known_to", sa.DateTime(timezone=True), nullable=False, comment="Believed until then."
        ),
        sa.PrimaryKeyConstraint("venue", "day", "market", "funded_at", "known_from"),
        schema="market",
    )


def _create_fx_rate() -> None:
    op.create_table(
        "fx_rate",
        sa.Column("source", sa.Text(), nullable=False, comment="Who told it."),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column(
            "base", sa.Text(), nullable=False, comment="Currency that is priced, such as USD."
        ),
        sa.Column(
            "quote", sa.Text(), nullable=False, comment="Currency of the price, such as KRW."
        ),
        sa.Column("rate", sa.Numeric(), nullable=False, comment="Quote for one base."),
        sa.Column(
            "known_from", sa.DateTime(timezone=True), nullable=False, comment="Believed since then."
        ),
        sa.PrimaryKeyConstraint("source", "day", "base", "quote"),
        schema="market",
        info={"facts": True, "venue": False},
    )
    op.create_index("ix_fx_rate_day", "fx_rate", ["day"], unique=False, schema="market")


def _create_fx_rate_history() -> None:
    op.create_table(
        "fx_rate_history",
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("base", sa.Text(), nullable=False),
        sa.Column("quote", sa.Text(), nullable=False),
        sa.Column("rate", sa.Numeric(), nullable=False),
        sa.Column(
            "known_from", sa.DateTime(timezone=True), nullable=False, comment="Believed since then."
        ),
        sa.Column(
            "known_to", sa.DateTime(timezone=True), nullable=False, comment="Believed until then."
        ),
        sa.PrimaryKeyConstraint("source", "day", "base", "quote", "known_from"),
        schema="market",
    )


def _create_reference_price() -> None:
    op.create_table(
        "reference_price",
        sa.Column("source", sa.Text(), nullable=False, comment="Who told it."),
        sa.Column("day", sa.Date(), nullable=False, comment="UTC day of priced_at."),
        sa.Column("asset", sa.Text(), nullable=False, comment="Symbol."),
        sa.Column(
            "priced_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="Start of the interval it holds for.",
        ),
        sa.Column(
            "price_usd", sa.Numeric(), nullable=False, comment="US dollar for one whole unit."
        ),
        sa.Column(
            "known_from", sa.DateTime(timezone=True), nullable=False, comment="Believed since then."
        ),
        sa.PrimaryKeyConstraint("source", "day", "asset", "priced_at"),
        schema="market",
        info={"facts": True, "venue": False},
    )
    op.create_index(
        "ix_reference_price_day", "reference_price", ["day"], unique=False, schema="market"
    )


def _create_reference_price_history() -> None:
    op.create_table(
        "reference_price_history",
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("asset", sa.Text(), nullable=False),
        sa.Column("priced_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("price_usd", sa.Numeric(), nullable=False),
        sa.Column(
            "known_from", sa.DateTime(timezone=True), nullable=False, comment="Believed since then."
        ),
        sa.Column(
            "known_to", sa.DateTime(timezone=True), nullable=False, comment="Believed until then."
        ),
        sa.PrimaryKeyConstraint("source", "day", "asset", "priced_at", "known_from"),
        schema="market",
    )


def _create_trade() -> None:
    op.create_table(
        "trade",
        sa.Column("venue", sa.Text(), nullable=False, comment="The exchange, by its id in ccxt."),
        sa.Column("day", sa.Date(), nullable=False, comment="UTC day of traded_at."),
        sa.Column("market", sa.Text(), nullable=False, comment="BASE/QUOTE, or BASE/QUOTE:SETTLE."),
        sa.Column("trade_id", sa.Text(), nullable=False, comment="As the venue numbers it."),
        sa.Column("traded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("price", sa.Numeric(), nullable=False, comment="Quote for one base."),
        sa.Column("amount", sa.Numeric(), nullable=False, comment="Base."),
        sa.Column(
            "side", sa.Text(), nullable=True, comment="Of the taker: buy or sell; NULL: not told."
        ),
        sa.Column(
            "known_from", sa.DateTime(timezone=True), nullable=False, comment="Believed since then."
        ),
        sa.PrimaryKeyConstraint("venue", "day", "market", "trade_id"),
        schema="market",
        info={"facts": True, "venue": True},
    )


def _create_trade_history() -> None:
    op.create_table(
        "trade_history",
        sa.Column("venue", sa.Text(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("market", sa.Text(), nullable=False),
        sa.Column("trade_id", sa.Text(), nullable=False),
        sa.Column("traded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("price", sa.Numeric(), nullable=False),
        sa.Column("amount", sa.Numeric(), nullable=False),
        sa.Column("side", sa.Text(), nullable=True),
        sa.Column(
            "known_from", sa.DateTime(timezone=True), nullable=False, comment="Believed since then."
        ),
        sa.Column(
            "known_to", sa.DateTime(timezone=True), nullable=False, comment="Believed until then."
        ),
        sa.PrimaryKeyConstraint("venue", "day", "market", "trade_id", "known_from"),
        schema="market",
    )


def _create_address_format() -> None:
    op.create_table(
        "address_format",
        sa.Column("chain", sa.Text(), nullable=False),
        sa.Column("pubkey_prefix", sa.SmallInteger(), nullable=False),
        sa.Column("script_prefix", sa.SmallInteger(), nullable=False),
        sa.Column("bech32_hrp", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("chain"),
        schema="ops",
    )


def _create_archived_day() -> None:
    op.create_table(
        "archived_day",
        sa.Column("table_name", sa.Text(), nullable=False),
        sa.Column("chain", sa.Text(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column(
            "version", sa.Integer(), nullable=False, comment="Of the file that holds the day now."
        ),
        sa.Column(
            "location", sa.Text(), nullable=False, comment="Of that file, below the archive's root."
        ),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("checksum", sa.Text(), nullable=False, comment="Of the rows, in any order."),
        sa.Column("bytes", sa.BigInteger(), nullable=False, comment="Size of the file."),
        sa.Column("dropped", sa.Boolean(), nullable=False, comment="The rows left the table."),
        sa.PrimaryKeyConstraint("table_name", "chain", "day"),
        schema="ops",
    )


def _create_asset() -> None:
    op.create_table(
        "asset",
        sa.Column("asset_id", sa.Integer(), sa.Identity(always=False), nullable=False),
        sa.Column("chain", sa.Text(), nullable=False),
        sa.Column(
            "address", sa.LargeBinary(), nullable=False, comment="Empty for the native coin."
        ),
        sa.Column("symbol", sa.Text(), nullable=False),
        sa.Column("decimals", sa.SmallInteger(), nullable=False),
        sa.Column("start_block", sa.BigInteger(), nullable=False),
        sa.Column(
            "whale_threshold",
            sa.Numeric(precision=78, scale=0),
            nullable=False,
            comment="Smallest unit.",
        ),
        sa.Column(
            "noncompliant",
            sa.Boolean(),
            nullable=False,
            comment="Balances may move without a transfer, so one below zero is no error.",
        ),
        sa.Column(
            "tracked", sa.Boolean(), nullable=False, comment="False: no longer in the definitions."
        ),
        sa.Column(
            "standard",
            sa.SmallInteger(),
            server_default=sa.text("20"),
            nullable=False,
            comment="20: it has balances; 721 or 1155: an NFT collection, it has owners.",
        ),
        sa.Column(
            "wraps",
            sa.LargeBinary(),
            nullable=True,
            comment="Collection whose tokens lie in this one's contract.",
        ),
        sa.Column(
            "bluechip",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
            comment="One of the collections whose owners are compared.",
        ),
        sa.PrimaryKeyConstraint("asset_id"),
        sa.UniqueConstraint("chain", "address"),
        schema="ops",
    )


def _create_dataset() -> None:
    op.create_table(
        "dataset",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column(
            "definition", sa.Text(), nullable=False, comment="Hash of the table and its query."
        ),
        sa.PrimaryKeyConstraint("name"),
        schema="ops",
    )


def _create_dirty() -> None:
    op.create_table(
        "dirty",
        sa.Column("seq", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("dataset", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False, comment="Chain, venue or 'global'."),
        sa.Column("day", sa.Date(), nullable=False),
        sa.PrimaryKeyConstraint("seq"),
        schema="ops",
    )
    op.create_index(
        "ix_dirty_dataset", "dirty", ["dataset", "scope", "day"], unique=False, schema="ops"
    )


def _create_fact_day() -> None:
    op.create_table(
        "fact_day",
        sa.Column("input", sa.Text(), nullable=False, comment="The fact table, with its schema."),
        sa.Column("scope", sa.Text(), nullable=False, comment="Chain, venue or 'global'."),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("input", "scope", "day"),
        schema="ops",
    )


def _create_ingest_start() -> None:
    op.create_table(
        "ingest_start",
        sa.Column("chain", sa.Text(), nullable=False),
        sa.Column("height", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("chain"),
        schema="ops",
    )


def _create_publish_clock() -> None:
    op.create_table(
        "publish_clock",
        sa.Column("dataset", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("dataset", "scope"),
        schema="ops",
    )


def _create_pull() -> None:
    op.create_table(
        "pull",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column(
            "scope", sa.Text(), nullable=False, comment="What is read of it: a market, a table."
        ),
        sa.Column("watermark", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("pulled_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", "scope"),
        schema="ops",
    )


def _create_quarantined_token() -> None:
    op.create_table(
        "quarantined_token",
        sa.Column("chain", sa.Text(), nullable=False),
        sa.Column("address", sa.LargeBinary(), nullable=False),
        sa.Column("symbol", sa.Text(), nullable=True, comment="As far as it could be read."),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("noticed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("chain", "address"),
        schema="ops",
    )


def _create_reader() -> None:
    op.create_table(
        "reader",
        sa.Column("dataset", sa.Text(), nullable=False),
        sa.Column(
            "scope",
            sa.Text(),
            nullable=True,
            comment="Scope that becomes dirty; NULL: the one that changed.",
        ),
        sa.Column(
            "input",
            sa.Text(),
            nullable=False,
            comment="blocks, a fact table or serving.<data set>.",
        ),
        sa.Column(
            "input_scope", sa.Text(), nullable=True, comment="Scope that changed; NULL: any."
        ),
        sa.UniqueConstraint(
            "dataset", "scope", "input", "input_scope", postgresql_nulls_not_distinct=True
        ),
        schema="ops",
    )
    op.create_index(
        "ix_reader_input", "reader", ["input", "input_scope"], unique=False, schema="ops"
    )


def _create_window() -> None:
    op.create_table(
        "window",
        sa.Column("dataset", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("grain", sa.Text(), nullable=False, comment="Of the rows: day, hour or event."),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("checksum", sa.Text(), nullable=False, comment="Of the rows, in key order."),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column(
            "inputs",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="What the rows were made from.",
        ),
        sa.Column(
            "changed_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="Publish clock of the rows' last change.",
        ),
        sa.Column(
            "computed_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="Publish clock of the last computation.",
        ),
        sa.CheckConstraint("status IN ('provisional', 'final')", name="ck_window_status"),
        sa.PrimaryKeyConstraint("dataset", "scope", "day"),
        schema="ops",
    )


def _create_balance() -> None:
    op.create_table(
        "balance",
        sa.Column("asset_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("address", sa.LargeBinary(), nullable=False),
        sa.Column(
            "balance",
            sa.Numeric(precision=78, scale=0),
            nullable=False,
            comment="Smallest unit, at the tip.",
        ),
        sa.PrimaryKeyConstraint("asset_id", "address"),
        schema="state",
    )


def _create_balance_delta() -> None:
    op.create_table(
        "balance_delta",
        sa.Column("asset_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("address", sa.LargeBinary(), nullable=False),
        sa.Column(
            "delta",
            sa.Numeric(precision=78, scale=0),
            nullable=False,
            comment="Smallest unit; what the day changed.",
        ),
        sa.Column(
            "debits", sa.BigInteger(), nullable=False, comment="Transfers that the address sent."
        ),
        sa.PrimaryKeyConstraint("asset_id", "day", "address"),
        schema="state",
    )
    op.create_index(
        "ix_balance_delta_address",
        "balance_delta",
        ["asset_id", "address", "day"],
        unique=False,
        schema="state",
    )


def _create_created_output_daily() -> None:
    op.create_table(
        "created_output_daily",
        sa.Column("chain", sa.Text(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("coinbase", sa.Boolean(), nullable=False),
        sa.Column("value", sa.Numeric(), nullable=False),
        sa.Column("outputs", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("chain", "day", "coinbase"),
        schema="state",
    )


def _create_first_funding() -> None:
    op.create_table(
        "first_funding",
        sa.Column("chain", sa.Text(), nullable=False),
        sa.Column("address", sa.LargeBinary(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("height", sa.BigInteger(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False, comment="As in chain.native_transfer."),
        sa.Column("funder", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("chain", "address"),
        schema="state",
    )
    op.create_index(
        "ix_first_funding_height",
        "first_funding",
        ["chain", "height"],
        unique=False,
        schema="state",
    )


def _create_nft_amount_delta() -> None:
    op.create_table(
        "nft_amount_delta",
        sa.Column("asset_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("token_id", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("address", sa.LargeBinary(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("delta", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.PrimaryKeyConstraint("asset_id", "token_id", "address", "day"),
        schema="state",
    )


def _create_nft_owner_day() -> None:
    op.create_table(
        "nft_owner_day",
        sa.Column("asset_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("token_id", sa.Numeric(precision=78, scale=0), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column(
            "owner",
            sa.LargeBinary(),
            nullable=False,
            comment="Recipient of the day's last transfer.",
        ),
        sa.Column("height", sa.BigInteger(), nullable=False, comment="Of that transfer."),
        sa.Column("log_index", sa.Integer(), nullable=False, comment="Of that transfer."),
        sa.Column(
            "received_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="block_at of that transfer.",
        ),
        sa.PrimaryKeyConstraint("asset_id", "token_id", "day"),
        schema="state",
    )
    op.create_index(
        "ix_nft_owner_day_owner",
        "nft_owner_day",
        ["asset_id", "owner", "day"],
        unique=False,
        schema="state",
    )


def _create_spent_output() -> None:
    op.create_table(
        "spent_output",
        sa.Column("chain", sa.Text(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False, comment="Day of the spending block."),
        sa.Column("height", sa.BigInteger(), nullable=False),
        sa.Column("block_hash", sa.LargeBinary(), nullable=False),
        sa.Column("tx_index", sa.Integer(), nullable=False),
        sa.Column(
            "input_index",
            sa.Integer(),
            nullable=False,
            comment="Of an overwritten output: its vout.",
        ),
        sa.Column("prev_txid", sa.LargeBinary(), nullable=False),
        sa.Column("prev_vout", sa.Integer(), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.Column("address", sa.LargeBinary(), nullable=True),
        sa.Column("created_height", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("coinbase", sa.Boolean(), nullable=False, comment="Created by a coinbase."),
        sa.Column(
            "overwritten",
            sa.Boolean(),
            nullable=False,
            comment="Lost to a duplicate coinbase (BIP 30), not spent.",
        ),
        sa.PrimaryKeyConstraint("chain", "day", "block_hash", "tx_index", "input_index"),
        schema="state",
        info={"by_day": True},
        postgresql_partition_by="RANGE (day)",
    )


def _create_spent_output_daily() -> None:
    op.create_table(
        "spent_output_daily",
        sa.Column("chain", sa.Text(), nullable=False),
        sa.Column("spend_day", sa.Date(), nullable=False),
        sa.Column("created_day", sa.Date(), nullable=False),
        sa.Column("coinbase", sa.Boolean(), nullable=False),
        sa.Column("overwritten", sa.Boolean(), nullable=False),
        sa.Column("value", sa.Numeric(), nullable=False),
        sa.Column("outputs", sa.BigInteger(), nullable=False),
        sa.Column(
            "coin_seconds",
            sa.Numeric(),
            nullable=False,
            comment="Sum of value times age in seconds.",
        ),
        sa.Column(
            "value_under_1h", sa.Numeric(), nullable=False, comment="Value spent within an hour."
        ),
        sa.PrimaryKeyConstraint("chain", "spend_day", "created_day", "coinbase", "overwritten"),
        schema="state",
    )


def _create_spent_output_monthly() -> None:
    op.create_table(
        "spent_output_monthly",
        sa.Column("chain", sa.Text(), nullable=False),
        sa.Column("spend_month", sa.Date(), nullable=False, comment="First day of the month."),
        sa.Column("created_day", sa.Date(), nullable=False),
        sa.Column("value", sa.Numeric(), nullable=False),
        sa.Column("outputs", sa.BigInteger(), nullable=False),
        sa.Column(
            "coin_seconds", sa.Numeric(), nullable=False, comment="Without overwritten outputs."
        ),
        sa.Column(
            "value_days",
            sa.Numeric(),
            nullable=False,
            comment="Sum of value times days from 1970-01-01 to the spending day.",
        ),
        sa.PrimaryKeyConstraint("chain", "spend_month", "created_day"),
        schema="state",
    )


def _create_tip() -> None:
    op.create_table(
        "tip",
        sa.Column("chain", sa.Text(), nullable=False),
        sa.Column("from_height", sa.BigInteger(), nullable=False, comment="First applied block."),
        sa.Column("height", sa.BigInteger(), nullable=False, comment="Last applied block."),
        sa.Column("block_hash", sa.LargeBinary(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False, comment="Day of the last applied block."),
        sa.Column(
            "final_height",
            sa.BigInteger(),
            nullable=False,
            comment="Highest final block; -1: none.",
        ),
        sa.Column(
            "undo_from", sa.BigInteger(), nullable=False, comment="Lowest block that can be undone."
        ),
        sa.PrimaryKeyConstraint("chain"),
        schema="state",
    )


def _create_utxo() -> None:
    op.create_table(
        "utxo",
        sa.Column("chain", sa.Text(), nullable=False),
        sa.Column("txid", sa.LargeBinary(), nullable=False),
        sa.Column("vout", sa.Integer(), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.Column("address", sa.LargeBinary(), nullable=True),
        sa.Column("created_height", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("coinbase", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("chain", "txid", "vout"),
        schema="state",
    )
    op.create_index(
        "ix_utxo_created_height", "utxo", ["chain", "created_height"], unique=False, schema="state"
    )
