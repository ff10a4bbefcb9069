"""The UTXO set and the spend-day by creation-day matrix from all outputs and inputs, in DuckDB.

One join of every input with the output that it names. The definitions are those of `state_utxo`.
"""

import duckdb

from onchain_agg.errors import ConfigError
from onchain_agg.warehouse.duckdb_stream import STREAM, streamed
from onchain_agg.warehouse.rebuild.facts import Facts, schema_for
from onchain_agg.warehouse.rebuild.scratch import wide_sum
from onchain_agg.warehouse.tables.chain import BLOCK, UTXO_INPUT, UTXO_OUTPUT

_OUTPUT = ("day", "height", "tx_index", "vout", "txid", "value", "address", "spendable")
_INPUT = ("day", "height", "prev_txid", "prev_vout")
_BLOCK = ("height", "block_at")

# Times are microseconds since 1970 in here, and a created day is the UTC day of one.
_BLOCKS = f"CREATE TABLE block AS SELECT height, epoch_us(block_at) AS at FROM {STREAM}"
_OUTPUTS = f"""
CREATE TABLE output AS
SELECT s.txid, s.vout, s.value, s.address, s.height, s.day, s.tx_index = 0 AS coinbase,
    b.at AS created_at
FROM {STREAM} s JOIN block b ON b.height = s.height WHERE s.spendable
"""
_INPUTS = f"CREATE TABLE input AS SELECT * FROM {STREAM}"
# BIP 30: a coinbase may repeat the id of an older one, and then the older output is lost unless it
# was spent before. Only coinbases can, so only they are looked at.
_REPEATED = """
CREATE TABLE repeated AS SELECT * FROM (
    SELECT txid, vout, height,
        lead(height) OVER (PARTITION BY txid, vout ORDER BY height) AS next_height
    FROM output WHERE coinbase
) WHERE next_height IS NOT NULL
"""
_SPENT = """
CREATE TABLE spent AS
SELECT i.day AS spend_day, i.height AS spend_height, b.at AS spent_at, o.txid, o.vout, o.value,
    o.address, o.height, o.coinbase, o.created_at, false AS overwritten
FROM input i
JOIN output o ON o.txid = i.prev_txid AND o.vout = i.prev_vout AND o.height <= i.height
JOIN block b ON b.height = i.height
LEFT JOIN repeated r ON r.txid = o.txid AND r.vout = o.vout AND r.height = o.height
WHERE r.next_height IS NULL OR i.height < r.next_height
"""
_OVERWRITTEN = """
INSERT INTO spent
SELECT n.day, n.height, n.created_at, o.txid, o.vout, o.value, o.address, o.height, o.coinbase,
    o.created_at, true
FROM repeated r
JOIN output o ON o.txid = r.txid AND o.vout = r.vout AND o.height = r.height
JOIN output n ON n.txid = r.txid AND n.vout = r.vout AND n.height = r.next_height
WHERE NOT EXISTS (SELECT 1 FROM spent s
    WHERE s.txid = r.txid AND s.vout = r.vout AND s.height = r.height)
"""
_UNKNOWN = """
SELECT i.height, lower(hex(i.prev_txid)), i.prev_vout FROM input i
WHERE NOT EXISTS (SELECT 1 FROM output o WHERE o.txid = i.prev_txid AND o.vout = i.prev_vout
    AND o.height <= i.height)
ORDER BY ALL LIMIT 1
"""
_DAILY = """
CREATE TABLE daily AS
SELECT spend_day, make_timestamp(created_at)::DATE AS created_day, coinbase, overwritten,
    sum(value) AS value, count(*) AS outputs,
    sum(value::HUGEINT * ((spent_at - created_at) // 1000000)) AS coin_seconds,
    coalesce(sum(value) FILTER (WHERE spent_at - created_at < 3600000000), 0) AS value_under_1h
FROM spent GROUP BY ALL
"""
_MONTHLY = """
CREATE TABLE monthly AS
SELECT date_trunc('month', spend_day)::DATE AS spend_month, created_day, sum(value) AS value,
    sum(outputs)::BIGINT AS outputs,
    coalesce(sum(coin_seconds) FILTER (WHERE NOT overwritten), 0)::HUGEINT AS coin_seconds,
    sum(value * (spend_day - DATE '1970-01-01')) AS value_days
FROM daily GROUP BY ALL
"""

UTXO_ROWS = """
SELECT o.txid, o.vout, o.value, o.address, o.height AS created_height,
    make_timestamp(o.created_at) AS created_at, o.coinbase
FROM output o WHERE NOT EXISTS (SELECT 1 FROM spent s
    WHERE s.txid = o.txid AND s.vout = o.vout AND s.height = o.height)
"""
CREATED_DAILY_ROWS = f"""
SELECT day, coinbase, {wide_sum("value")} AS value, outputs FROM (
    SELECT day, coinbase, sum(value) AS value, count(*) AS outputs FROM output GROUP BY ALL)
"""
SPENT_DAILY_ROWS = f"""
SELECT spend_day, created_day, coinbase, overwritten, {wide_sum("value")} AS value, outputs,
    {wide_sum("coin_seconds")} AS coin_seconds, {wide_sum("value_under_1h")} AS value_under_1h
FROM daily
"""
SPENT_MONTHLY_ROWS = f"""
SELECT spend_month, created_day, {wide_sum("value")} AS value, outputs,
    {wide_sum("coin_seconds")} AS coin_seconds, {wide_sum("value_days")} AS value_days
FROM monthly
"""


def collect_coins(duck: duckdb.DuckDBPyConnection, facts: Facts) -> None:
    """Fill the tables `output` and `spent` and the sums that the ``…_ROWS`` queries read.

    Raises:
        ConfigError: An input spends an output that no earlier block created.
    """
    with streamed(duck, schema_for(BLOCK, _BLOCK), facts.of_blocks(_BLOCK)):
        duck.execute(_BLOCKS)
    outputs = facts.of_all_days(UTXO_OUTPUT, _OUTPUT)
    with streamed(duck, schema_for(UTXO_OUTPUT, _OUTPUT), outputs):
        duck.execute(_OUTPUTS)
    with streamed(duck, schema_for(UTXO_INPUT, _INPUT), facts.of_all_days(UTXO_INPUT, _INPUT)):
        duck.execute(_INPUTS)
    duck.execute(_REPEATED)
    duck.execute(_SPENT)
    _check_known(duck, facts.pinned.chain.name)
    duck.execute(_OVERWRITTEN)
    duck.execute(_DAILY)
    duck.execute(_MONTHLY)


def _check_known(duck: duckdb.DuckDBPyConnection, chain: str) -> None:
    counts = duck.execute("SELECT (SELECT count(*) FROM input), (SELECT count(*) FROM spent)")
    ((inputs, spent),) = counts.fetchall()
    if inputs == spent:
        return
    unknown = duck.execute(_UNKNOWN).fetchone()
    what = "an output is spent twice"
    if unknown is not None:
        height, txid, vout = unknown
        what = f"block {height} spends output {txid}:{vout}, which no earlier block created"
    raise ConfigError(
        f"{chain}: {inputs} inputs spend {spent} outputs: {what}. The stored or archived facts are"
        f" damaged: run `onchain-agg archive verify {chain}`."
    )
