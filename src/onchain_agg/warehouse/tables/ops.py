"""Schema ``ops``: what was computed from what, and what is to be computed again."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Identity,
    Index,
    Integer,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from onchain_agg.warehouse.tables.registry import METADATA
from onchain_agg.warehouse.types import ADDRESS, DAY, HEIGHT, NAME, TIME, UINT256

ASSET = Table(
    "asset",
    METADATA,
    Column("asset_id", Integer, Identity(), primary_key=True),
    Column("chain", NAME, nullable=False),
    Column("address", ADDRESS, nullable=False, comment="Empty for the native coin."),
    Column("symbol", Text, nullable=False),
    Column("decimals", SmallInteger, nullable=False),
    Column("start_block", HEIGHT, nullable=False),
    Column("whale_threshold", UINT256, nullable=False, comment="Smallest unit."),
    Column(
        "noncompliant",
        Boolean,
        nullable=False,
        comment="Balances may move without a transfer, so one below zero is no error.",
    ),
    Column("tracked", Boolean, nullable=False, comment="False: no longer in the definitions."),
    Column(
        "standard",
        SmallInteger,
        CheckConstraint("standard IN (20, 721, 1155)", name="ck_asset_standard"),
        nullable=False,
        server_default=text("20"),
        comment="20: it has balances; 721 or 1155: an NFT collection, it has owners.",
    ),
    Column("wraps", ADDRESS, comment="Collection whose tokens lie in this one's contract."),
    Column(
        "bluechip",
        Boolean,
        nullable=False,
        server_default=text("false"),
        comment="One of the collections whose owners are compared.",
    ),
    UniqueConstraint("chain", "address"),
    schema="ops",
)

ADDRESS_FORMAT = Table(
    "address_format",
    METADATA,
    Column("chain", NAME, primary_key=True),
    Column("pubkey_prefix", SmallInteger, nullable=False),
    Column("script_prefix", SmallInteger, nullable=False),
    Column("bech32_hrp", Text, nullable=False),
    schema="ops",
)

DATASET = Table(
    "dataset",
    METADATA,
    Column("name", NAME, primary_key=True),
    Column("definition", Text, nullable=False, comment="Hash of the table and its query."),
    schema="ops",
)

READER = Table(
    "reader",
    METADATA,
    # Whose days become dirty when a day of an input changes; NULL stands for every scope.
    Column("dataset", NAME, nullable=False),
    Column("scope", NAME, comment="Scope that becomes dirty; NULL: the one that changed."),
    Column("input", NAME, nullable=False, comment="blocks, a fact table or serving.<data set>."),
    Column("input_scope", NAME, comment="Scope that changed; NULL: any."),
    Index("ix_reader_input", "input", "input_scope"),
    UniqueConstraint(
        "dataset", "scope", "input", "input_scope", postgresql_nulls_not_distinct=True
    ),
    schema="ops",
)

FACT_DAY = Table(
    "fact_day",
    METADATA,
    # Days that have facts outside of blocks, and how often each changed.
    Column("input", NAME, primary_key=True, comment="The fact table, with its schema."),
    Column("scope", NAME, primary_key=True, comment="Chain, venue or 'global'."),
    Column("day", DAY, primary_key=True),
    Column("version", BigInteger, nullable=False),
    schema="ops",
)

PULL = Table(
    "pull",
    METADATA,
    # How far an incremental read of something outside came; in its facts' transaction.
    Column("name", NAME, primary_key=True),
    Column("scope", NAME, primary_key=True, comment="What is read of it: a market, a table."),
    Column("watermark", JSONB, nullable=False),
    Column("pulled_at", TIME, nullable=False),
    schema="ops",
)

QUARANTINED_TOKEN = Table(
    "quarantined_token",
    METADATA,
    # Tokens whose metadata cannot be relied on; nothing is computed with them.
    Column("chain", NAME, primary_key=True),
    Column("address", ADDRESS, primary_key=True),
    Column("symbol", Text, comment="As far as it could be read."),
    Column("reason", Text, nullable=False),
    Column("noticed_at", TIME, nullable=False),
    schema="ops",
)

DIRTY = Table(
    "dirty",
    METADATA,
    Column("seq", BigInteger, Identity(), primary_key=True),
    Column("dataset", NAME, nullable=False),
    Column("scope", NAME, nullable=False, comment="Chain, venue or 'global'."),
    Column("day", DAY, nullable=False),
    Index("ix_dirty_dataset", "dataset", "scope", "day"),
    schema="ops",
)

WINDOW = Table(
    "window",
    METADATA,
    Column("dataset", NAME, primary_key=True),
    Column("scope", NAME, primary_key=True),
    Column("day", DAY, primary_key=True),
    Column("grain", Text, nullable=False, comment="Of the rows: day, hour or event."),
    Column("rows", BigInteger, nullable=False),
    Column("checksum", Text, nullable=False, comment="Of the rows, in key order."),
    Column("status", Text, nullable=False),
    Column("inputs", JSONB, nullable=False, comment="What the rows were made from."),
    Column("changed_at", TIME, nullable=False, comment="Publish clock of the rows' last change."),
    Column("computed_at", TIME, nullable=False, comment="Publish clock of the last computation."),
    CheckConstraint("status IN ('provisional', 'final')", name="ck_window_status"),
    schema="ops",
)

PUBLISH_CLOCK = Table(
    "publish_clock",
    METADATA,
    # Never goes back, also where the machine's clock does or a window vanishes.
    Column("dataset", NAME, primary_key=True),
    Column("scope", NAME, primary_key=True),
    Column("at", TIME, nullable=False),
    schema="ops",
)

INGEST_START = Table(
    "ingest_start",
    METADATA,
    # Set by the first plan: what is missing from here on is loaded, whatever came first.
    Column("chain", NAME, primary_key=True),
    Column("height", HEIGHT, nullable=False),
    schema="ops",
)

ARCHIVED_DAY = Table(
    "archived_day",
    METADATA,
    # Days of a partitioned table that are in the archive; readers ask here before they read one.
    Column("table_name", NAME, primary_key=True),
    Column("chain", NAME, primary_key=True),
    Column("day", DAY, primary_key=True),
    Column("version", Integer, nullable=False, comment="Of the file that holds the day now."),
    Column("location", Text, nullable=False, comment="Of that file, below the archive's root."),
    Column("rows", BigInteger, nullable=False),
    Column("checksum", Text, nullable=False, comment="Of the rows, in any order."),
    Column("bytes", BigInteger, nullable=False, comment="Size of the file."),
    Column("dropped", Boolean, nullable=False, comment="The rows left the table."),
    schema="ops",
)
