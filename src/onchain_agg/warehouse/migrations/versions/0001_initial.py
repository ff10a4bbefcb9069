"""The first tables of chain, state and ops, and the functions that print addresses."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from onchain_agg.warehouse.address_sql import STATEMENTS

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create everything."""
    _create_block()
    _create_evm_transaction()
    _create_malformed_log()
    _create_native_transfer()
    _create_token_transfer()
    _create_utxo_input()
    _create_utxo_output()
    _create_address_format()
    _create_archived_day()
    _create_asset()
    _create_dataset()
    _create_dataset_chain()
    _create_dirty()
    _create_ingest_start()
    _create_publish_clock()
    _create_window()
    _create_balance()
    _create_balance_delta()
    _create_created_output_daily()
    _create_spent_output()
    _create_spent_output_daily()
    _create_tip()
    _create_utxo()
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
        sa.Column("token", sa.LargeBinary(), nullable=False),
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
        sa.Column("location", sa.Text(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("checksum", sa.Text(), nullable=False),
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
            "tracked", sa.Boolean(), nullable=False, comment="False: no longer in the definitions."
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


def _create_dataset_chain() -> None:
    op.create_table(
        "dataset_chain",
        sa.Column("dataset", sa.Text(), nullable=False),
        sa.Column("chain", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("dataset", "chain"),
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
        sa.PrimaryKeyConstraint("asset_id", "day", "address"),
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
