"""The UTXO set, the spent outputs that undo it, and the spend-day by creation-day matrix.

The matrix is kept by spending day and by spending month; both are sums of the same changes.
"""

from sqlalchemy import Connection, text

from onchain_agg.errors import ConfigError
from onchain_agg.warehouse.state_balance import IN_BLOCKS, Span

_CREATED = f"""
CREATE TEMP TABLE created ON COMMIT DROP AS
SELECT o.txid, o.vout, o.value, o.address, o.height, b.block_at, o.tx_index = 0 AS coinbase
FROM chain.utxo_output o
JOIN chain.block b ON b.chain = o.chain AND b.height = o.height
WHERE {IN_BLOCKS.format("o")} AND o.spendable
"""

# An output created and spent inside the span never reaches state.utxo.
_SPENT = f"""
CREATE TEMP TABLE spent ON COMMIT DROP AS
SELECT i.day, i.height, i.block_hash, i.tx_index, i.input_index, i.prev_txid, i.prev_vout,
       coalesce(c.value, u.value) AS value,
       CASE WHEN c.txid IS NULL THEN u.address ELSE c.address END AS address,
       coalesce(c.height, u.created_height) AS created_height,
       coalesce(c.block_at, u.created_at) AS created_at,
       coalesce(c.coinbase, u.coinbase) AS coinbase,
       c.txid IS NOT NULL AS in_span
FROM chain.utxo_input i
LEFT JOIN created c ON c.txid = i.prev_txid AND c.vout = i.prev_vout
LEFT JOIN state.utxo u ON u.chain = i.chain AND u.txid = i.prev_txid AND u.vout = i.prev_vout
WHERE {IN_BLOCKS.format("i")}
"""

_UNKNOWN = """
SELECT height, encode(prev_txid, 'hex') AS txid, prev_vout FROM spent
WHERE value IS NULL ORDER BY height, tx_index, input_index LIMIT 1
"""

_RECORD_SPENT = """
INSERT INTO state.spent_output (chain, day, height, block_hash, tx_index, input_index, prev_txid,
    prev_vout, value, address, created_height, created_at, coinbase, overwritten)
SELECT :chain, day, height, block_hash, tx_index, input_index, prev_txid, prev_vout, value,
       address, created_height, created_at, coinbase, false
FROM spent
"""

# BIP 30: two coinbases of 2010 repeat an older txid, and the older output was lost. A coinbase
# has no inputs, so its vout is free to stand as the input index.
_RECORD_OVERWRITTEN = f"""
INSERT INTO state.spent_output (chain, day, height, block_hash, tx_index, input_index, prev_txid,
    prev_vout, value, address, created_height, created_at, coinbase, overwritten)
SELECT o.chain, o.day, o.height, o.block_hash, 0, o.vout, u.txid, u.vout, u.value, u.address,
       u.created_height, u.created_at, u.coinbase, true
FROM chain.utxo_output o
JOIN state.utxo u ON u.chain = o.chain AND u.txid = o.txid AND u.vout = o.vout
WHERE {IN_BLOCKS.format("o")} AND o.tx_index = 0 AND o.spendable
"""

# Not from state.spent_output: a partition that was just loaded has no statistics, and the planner
# would compare every unspent output with every spent one.
_REMOVE = f"""
DELETE FROM state.utxo u USING (
    SELECT prev_txid, prev_vout FROM spent WHERE NOT in_span
    UNION ALL
    SELECT o.txid, o.vout FROM chain.utxo_output o
    WHERE {IN_BLOCKS.format("o")} AND o.tx_index = 0 AND o.spendable
) s
WHERE u.chain = :chain AND u.txid = s.prev_txid AND u.vout = s.prev_vout
"""

_INSERT = """
INSERT INTO state.utxo (chain, txid, vout, value, address, created_height, created_at, coinbase)
SELECT :chain, c.txid, c.vout, c.value, c.address, c.height, c.block_at, c.coinbase
FROM created c
WHERE NOT EXISTS (SELECT 1 FROM spent s
                  WHERE s.in_span AND s.prev_txid = c.txid AND s.prev_vout = c.vout)
"""

_MERGE_CREATED_DAILY = f"""
MERGE INTO state.created_output_daily target USING (
    SELECT o.day, o.tx_index = 0 AS coinbase, :sign * sum(o.value) AS value,
           :sign * count(*) AS outputs
    FROM chain.utxo_output o WHERE {IN_BLOCKS.format("o")} AND o.spendable
    GROUP BY 1, 2
) change
ON target.chain = :chain AND target.day = change.day AND target.coinbase = change.coinbase
WHEN MATCHED AND target.outputs + change.outputs = 0 THEN DELETE
WHEN MATCHED THEN UPDATE SET value = target.value + change.value,
    outputs = target.outputs + change.outputs
WHEN NOT MATCHED THEN INSERT (chain, day, coinbase, value, outputs)
    VALUES (:chain, change.day, change.coinbase, change.value, change.outputs)
"""

# Day of creation is a UTC day; the session's time zone is UTC.
_SPENT_CHANGE = f"""
CREATE TEMP TABLE spent_change ON COMMIT DROP AS
SELECT day, created_day, coinbase, overwritten, :sign * sum(value) AS value,
       :sign * count(*) AS outputs, :sign * sum(value::numeric * age) AS coin_seconds,
       :sign * coalesce(sum(value) FILTER (WHERE age < 3600), 0) AS value_under_1h
FROM (
    SELECT s.day, (s.created_at AT TIME ZONE 'UTC')::date AS created_day, s.coinbase,
           s.overwritten, s.value, extract(epoch FROM b.block_at - s.created_at)::bigint AS age
    FROM state.spent_output s
    JOIN chain.block b ON b.chain = s.chain AND b.height = s.height
    WHERE {IN_BLOCKS.format("s")}
) aged
GROUP BY day, created_day, coinbase, overwritten
"""

_MERGE_SPENT_DAILY = """
MERGE INTO state.spent_output_daily target USING spent_change change
ON target.chain = :chain AND target.spend_day = change.day
   AND target.created_day = change.created_day AND target.coinbase = change.coinbase
   AND target.overwritten = change.overwritten
WHEN MATCHED AND target.outputs + change.outputs = 0 THEN DELETE
WHEN MATCHED THEN UPDATE SET value = target.value + change.value,
    outputs = target.outputs + change.outputs,
    coin_seconds = target.coin_seconds + change.coin_seconds,
    value_under_1h = target.value_under_1h + change.value_under_1h
WHEN NOT MATCHED THEN INSERT (chain, spend_day, created_day, coinbase, overwritten, value,
    outputs, coin_seconds, value_under_1h)
    VALUES (:chain, change.day, change.created_day, change.coinbase, change.overwritten,
    change.value, change.outputs, change.coin_seconds, change.value_under_1h)
"""

# An overwritten output is gone too, so created less spent is what is unspent; its age at that
# moment is nobody's, so it destroys no coin days.
_MERGE_SPENT_MONTHLY = """
MERGE INTO state.spent_output_monthly target USING (
    SELECT date_trunc('month', day::timestamp)::date AS month, created_day, sum(value) AS value,
           sum(outputs) AS outputs,
           coalesce(sum(coin_seconds) FILTER (WHERE NOT overwritten), 0) AS coin_seconds,
           sum(value * (day - DATE '1970-01-01')) AS value_days
    FROM spent_change GROUP BY 1, 2
) change
ON target.chain = :chain AND target.spend_month = change.month
   AND target.created_day = change.created_day
WHEN MATCHED AND target.outputs + change.outputs = 0 THEN DELETE
WHEN MATCHED THEN UPDATE SET value = target.value + change.value,
    outputs = target.outputs + change.outputs,
    coin_seconds = target.coin_seconds + change.coin_seconds,
    value_days = target.value_days + change.value_days
WHEN NOT MATCHED THEN INSERT (chain, spend_month, created_day, value, outputs, coin_seconds,
    value_days)
    VALUES (:chain, change.month, change.created_day, change.value, change.outputs,
    change.coin_seconds, change.value_days)
"""

_DROP_CREATED = "DELETE FROM state.utxo WHERE chain = :chain AND created_height >= :first"

_RESTORE_SPENT = f"""
INSERT INTO state.utxo (chain, txid, vout, value, address, created_height, created_at, coinbase)
SELECT s.chain, s.prev_txid, s.prev_vout, s.value, s.address, s.created_height, s.created_at,
       s.coinbase
FROM state.spent_output s WHERE {IN_BLOCKS.format("s")} AND s.created_height < :first
"""

_FORGET_SPENT = f"DELETE FROM state.spent_output s WHERE {IN_BLOCKS.format('s')}"

_REPEATED_COINBASE = f"""
SELECT min(height) FROM (
    SELECT o.height, row_number() OVER (PARTITION BY o.txid, o.vout ORDER BY o.height) AS turn
    FROM chain.utxo_output o WHERE {IN_BLOCKS.format("o")} AND o.tx_index = 0
) coinbases WHERE turn > 1
"""


def repeated_coinbase(connection: Connection, span: Span) -> int | None:
    """Return the height at which a coinbase of the span repeats another one of it, or None."""
    height: int | None = connection.execute(text(_REPEATED_COINBASE), span.parameters()).scalar()
    return height


def spend_and_create(connection: Connection, span: Span) -> None:
    """Apply the span's inputs and outputs to the UTXO set.

    The span must not hold a repeated coinbase together with the one that it repeats.

    Raises:
        ConfigError: An input spends an output that no applied block created.
    """
    values = span.parameters()
    connection.execute(text(_CREATED), values)
    connection.execute(text("CREATE INDEX ON created (txid, vout)"))
    connection.execute(text("ANALYZE created"))
    connection.execute(text(_SPENT), values)
    connection.execute(text("ANALYZE spent"))
    unknown = connection.execute(text(_UNKNOWN)).first()
    if unknown is not None:
        raise ConfigError(
            f"{span.chain}: block {unknown.height} spends output {unknown.txid}:"
            f"{unknown.prev_vout}, which no earlier block created. The stored facts are damaged:"
            f" delete chain {span.chain!r} from the tables of chain and state, and load it again."
        )
    connection.execute(text(_RECORD_OVERWRITTEN), values)
    connection.execute(text(_RECORD_SPENT), values)
    connection.execute(text(_REMOVE), values)
    connection.execute(text(_INSERT), values)
    _change_matrix(connection, span)
    connection.execute(text("DROP TABLE created, spent"))


def undo_spend_and_create(connection: Connection, span: Span) -> None:
    """Take the span's inputs and outputs out of the UTXO set; the span ends at the tip.

    Balances must have been undone before, because they read the rows that this forgets.
    """
    values = span.parameters()
    _change_matrix(connection, span)
    connection.execute(text(_DROP_CREATED), values)
    connection.execute(text(_RESTORE_SPENT), values)
    connection.execute(text(_FORGET_SPENT), values)


def forget_spent(connection: Connection, span: Span) -> None:
    """Delete what the span's blocks spent, so that they can be applied again."""
    connection.execute(text(_FORGET_SPENT), span.parameters())


def _change_matrix(connection: Connection, span: Span) -> None:
    """Add what the span created and spent to the daily and monthly sums, or take it away."""
    values = span.parameters()
    connection.execute(text(_MERGE_CREATED_DAILY), values)
    connection.execute(text(_SPENT_CHANGE), values)
    connection.execute(text("ANALYZE spent_change"))
    for merge in (_MERGE_SPENT_DAILY, _MERGE_SPENT_MONTHLY):
        connection.execute(text(merge), {"chain": span.chain})
    connection.execute(text("DROP TABLE spent_change"))
