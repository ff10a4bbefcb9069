"""Balances and their daily changes from all transfers, in DuckDB.

The definitions are those of `state_balance`: the zero address holds nothing, ERC-1155 has no
balances, and who pays for a block or moves nothing to another address has not sent.
"""

from collections.abc import Iterator, Sequence
from datetime import date

import duckdb
import pyarrow as pa
from sqlalchemy import Table

from onchain_agg.chains import UtxoChain
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
from onchain_agg.warehouse.tables.chain import NATIVE_TRANSFER, TOKEN_TRANSFER

_TOKEN_COLUMNS = ("standard", "token", "sender", "recipient", "amount")
_NATIVE_COLUMNS = ("kind", "sender", "recipient", "amount")
_WORDS = ", ".join(WORDS)
_AMOUNT = "(w3 <> 0 OR w2 <> 0 OR w1 <> 0 OR w0 <> 0)"

_CHANGE = """
CREATE TABLE change (asset_id INTEGER, day DATE, address BLOB, h INTEGER, w3 UBIGINT, w2 UBIGINT,
    w1 UBIGINT, w0 UBIGINT, debits BIGINT)
"""
_TOKENS = f"""
SELECT asset_id, sender, recipient, {_WORDS}, (sender <> recipient AND {_AMOUNT})::INTEGER AS debits
FROM {STREAM} JOIN asset ON asset.address = {STREAM}.token WHERE standard = 20
"""
_NATIVE = f"""
SELECT asset_id, sender, recipient, {_WORDS},
    (sender IS DISTINCT FROM recipient AND {_AMOUNT} AND kind NOT IN ('fee', 'tip'))::INTEGER
    AS debits
FROM {STREAM} JOIN asset ON octet_length(asset.address) = 0
"""
# NULL as an address falls out of every comparison. Of native coins the zero address may hold some.
_NOT_ZERO = "address <> unhex(repeat('00', 20))"
_MOVES = (
    (TOKEN_TRANSFER, _TOKEN_COLUMNS, _TOKENS, f"WHERE {_NOT_ZERO}"),
    (NATIVE_TRANSFER, _NATIVE_COLUMNS, _NATIVE, "WHERE address IS NOT NULL"),
)
_COINS = """
SELECT asset_id, moved.day, moved.address, 0::HUGEINT AS s4, 0::HUGEINT AS s3, 0::HUGEINT AS s2,
    0::HUGEINT AS s1, sum(amount) AS s0, sum(moved.debits)::BIGINT AS debits
FROM (
    SELECT day, address, value::HUGEINT AS amount, 0 AS debits FROM output
    UNION ALL
    SELECT spend_day, address, -(value::HUGEINT), (NOT overwritten)::INTEGER FROM spent
) moved JOIN asset ON octet_length(asset.address) = 0
WHERE moved.address IS NOT NULL GROUP BY ALL
"""

BALANCE_DELTA_ROWS = f"SELECT asset_id, day, address, {wide_text()} AS delta, debits FROM change"
_TOTALS = """
SELECT asset_id, address, sum(h) AS s4, sum(w3) AS s3, sum(w2) AS s2, sum(w1) AS s1, sum(w0) AS s0
FROM change GROUP BY asset_id, address
"""
BALANCE_ROWS = (
    f"SELECT asset_id, address, {wide_text()} AS balance"
    f" FROM ({carried(f'({_TOTALS})', 'asset_id, address')}) WHERE NOT ({is_zero()})"
)


def collect_changes(duck: duckdb.DuckDBPyConnection, facts: Facts) -> None:
    """Fill the table `change`; on a UTXO chain from the tables of `matrix.collect_coins`.

    `BALANCE_DELTA_ROWS` and `BALANCE_ROWS` are then the rows of the two state tables.
    """
    duck.execute(_CHANGE)
    duck.execute("CREATE TABLE asset (asset_id INTEGER, address BLOB)")
    for row in facts.pinned.fungible():
        duck.execute("INSERT INTO asset VALUES (?, ?)", row)
    if isinstance(facts.pinned.chain, UtxoChain):
        duck.execute(_inserted(_COINS, "asset_id, day, address, debits"))
        return
    for day in facts.pinned.days:
        _add_transfers(duck, facts, day)


def _add_transfers(duck: duckdb.DuckDBPyConnection, facts: Facts, day: date) -> None:
    for table, names, moved, condition in _MOVES:
        batches = _split(facts.of_day(table, names, day))
        with streamed(duck, _split_schema(table, names), batches):
            # A stream can be read only once, and both sides need it.
            duck.execute(f"CREATE OR REPLACE TABLE moved AS {moved}")
        summed = _summed(_used(duck), condition, day)
        duck.execute(_inserted(summed, "asset_id, day, address, debits"))


def _used(duck: duckdb.DuckDBPyConnection) -> tuple[str, ...]:
    """Return the words that are not zero throughout: most days have no amount above 2**128."""
    (found,) = duck.execute("SELECT coalesce(max(w3 | w2), 0) FROM moved").fetchall()
    return WORDS if found[0] else WORDS[2:]


def _summed(used: Sequence[str], condition: str, day: date) -> str:
    """Return the query of what *day* adds to each address, where only the words *used* are."""
    added = ", ".join(f"{word}::HUGEINT AS {word}" for word in used)
    taken = ", ".join(f"-({word}::HUGEINT)" for word in used)
    sums = ", ".join(
        f"{f'sum({word})' if word in used else '0::HUGEINT'} AS s{word[1]}" for word in WORDS
    )
    return (
        f"SELECT asset_id, DATE '{day}' AS day, address, 0::HUGEINT AS s4, {sums},"
        " sum(debits)::BIGINT AS debits FROM ("
        f"SELECT asset_id, recipient AS address, {added}, 0 AS debits FROM moved"
        f" UNION ALL SELECT asset_id, sender, {taken}, debits FROM moved"
        f") {condition} GROUP BY asset_id, address"
    )


def _inserted(summed: str, keep: str) -> str:
    return (
        "INSERT INTO change SELECT asset_id, day, address, h, w3, w2, w1, w0, debits"
        f" FROM ({carried(f'({summed})', keep)}) WHERE NOT ({is_zero()}) OR debits <> 0"
    )


def _split(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        yield in_words(batch, "amount")


def _split_schema(table: Table, names: tuple[str, ...]) -> pa.Schema:
    fields = [field for field in schema_for(table, names) if field.name != "amount"]
    return words_schema(fields)
