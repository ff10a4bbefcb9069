"""Owners of NFT collections and first fundings from all transfers, in DuckDB.

The definitions are those of `state_nft`. Days are read oldest first, and blocks of an account chain
are in the order of their times, so the first funding that is met is the first.
"""

from datetime import date

import duckdb

from onchain_agg.warehouse.duckdb_stream import STREAM, streamed
from onchain_agg.warehouse.rebuild.facts import Facts, schema_for
from onchain_agg.warehouse.rebuild.scratch import (
    WORDS,
    carried,
    in_words,
    is_zero,
    wide_text,
    words_schema,
)
from onchain_agg.warehouse.tables.chain import BLOCK, NATIVE_TRANSFER, TOKEN_TRANSFER

_TOKEN = (
    "height",
    "log_index",
    "item_index",
    "standard",
    "token",
    "sender",
    "recipient",
    "token_id",
    "amount",
)
_NATIVE = ("height", "seq", "kind", "sender", "recipient", "amount")
_BLOCK = ("height", "block_at")
_WORDS = ", ".join(WORDS)

_TABLES = """
CREATE TABLE collection (asset_id INTEGER, standard SMALLINT, address BLOB);
CREATE TABLE block_time (height BIGINT, received_at TIMESTAMPTZ);
CREATE TABLE owner (asset_id INTEGER, token_id BLOB, day DATE, owner BLOB, height BIGINT,
    log_index INTEGER);
CREATE TABLE amount_change (asset_id INTEGER, token_id BLOB, address BLOB, day DATE, h INTEGER,
    w3 UBIGINT, w2 UBIGINT, w1 UBIGINT, w0 UBIGINT)
"""
_PIECES = f"""
CREATE OR REPLACE TABLE piece AS
SELECT asset_id, s.standard, height, log_index, item_index, sender, recipient, token_id, {_WORDS}
FROM {STREAM} s JOIN collection c ON c.address = s.token AND c.standard = s.standard
"""
_OWNERS = """
INSERT INTO owner
SELECT asset_id, token_id, DATE '{day}', last.recipient, last.height, last.log_index FROM (
    SELECT asset_id, token_id, max(struct_pack(height := height, log_index := log_index,
        item_index := item_index, recipient := recipient)) AS last
    FROM piece WHERE standard = 721 GROUP BY ALL)
"""
_SUMS = ", ".join(f"sum(sign * {word}::HUGEINT) AS s{word[1]}" for word in WORDS)
_AMOUNTS = f"""
SELECT asset_id, token_id, address, 0::HUGEINT AS s4, {_SUMS} FROM (
    SELECT asset_id, token_id, recipient AS address, 1 AS sign, {_WORDS} FROM piece
    WHERE standard = 1155
    UNION ALL
    SELECT asset_id, token_id, sender, -1, {_WORDS} FROM piece WHERE standard = 1155
) WHERE address <> unhex(repeat('00', 20)) GROUP BY ALL
"""
_FUNDINGS = f"""
INSERT INTO funding
SELECT recipient, DATE '{{day}}', first.height, first.seq, first.sender FROM (
    SELECT recipient, min(struct_pack(height := height, seq := seq, sender := sender)) AS first
    FROM {STREAM} s
    WHERE kind IN ('value', 'internal') AND sender <> recipient
      AND amount <> unhex(repeat('00', 32))
      AND NOT EXISTS (FROM funding f WHERE f.address = s.recipient)
    GROUP BY ALL)
"""

OWNER_ROWS = """
SELECT asset_id, '8000' || lower(hex(token_id)) AS token_id, day, owner, height, log_index,
    received_at
FROM owner JOIN block_time USING (height)
"""
AMOUNT_ROWS = (
    "SELECT asset_id, '8000' || lower(hex(token_id)) AS token_id, address, day,"
    f" {wide_text()} AS delta FROM amount_change"
)
FUNDING_ROWS = "SELECT address, day, height, seq, funder FROM funding"


def collect_owners(duck: duckdb.DuckDBPyConnection, facts: Facts) -> None:
    """Fill the tables that `OWNER_ROWS` and `AMOUNT_ROWS` read; nothing is read for no collection.

    Raises:
        ConfigError: Days left, and there is no archive to read them from.
        DataSetError: The archive lacks a file, or it is damaged.
        SourceError: The archive does not answer.
    """
    duck.execute(_TABLES)
    for row in facts.pinned.collections():
        duck.execute("INSERT INTO collection VALUES (?, ?, ?)", row)
    if not facts.pinned.collections():
        return
    with streamed(duck, schema_for(BLOCK, _BLOCK), facts.of_blocks(_BLOCK)):
        duck.execute(f"INSERT INTO block_time SELECT * FROM {STREAM}")
    fields = [field for field in schema_for(TOKEN_TRANSFER, _TOKEN) if field.name != "amount"]
    for day in facts.pinned.days:
        batches = (in_words(one, "amount") for one in facts.of_day(TOKEN_TRANSFER, _TOKEN, day))
        with streamed(duck, words_schema(fields), batches):
            duck.execute(_PIECES)
        duck.execute(_OWNERS.format(day=day))
        duck.execute(_amounts_of(day))


def collect_fundings(duck: duckdb.DuckDBPyConnection, facts: Facts) -> None:
    """Fill the table that `FUNDING_ROWS` reads.

    Raises:
        ConfigError: Days left, and there is no archive to read them from.
        DataSetError: The archive lacks a file, or it is damaged.
        SourceError: The archive does not answer.
    """
    duck.execute(
        "CREATE TABLE funding (address BLOB, day DATE, height BIGINT, seq INTEGER, funder BLOB)"
    )
    for day in facts.pinned.days:
        batches = facts.of_day(NATIVE_TRANSFER, _NATIVE, day)
        with streamed(duck, schema_for(NATIVE_TRANSFER, _NATIVE), batches):
            duck.execute(_FUNDINGS.format(day=day))


def _amounts_of(day: date) -> str:
    return (
        f"INSERT INTO amount_change SELECT asset_id, token_id, address, DATE '{day}', h, {_WORDS}"
        f" FROM ({carried(f'({_AMOUNTS})', 'asset_id, token_id, address')}) WHERE NOT ({is_zero()})"
    )
