"""Balances at the tip, their daily changes, and how often each address sent on a day.

Every change is an addition, so blocks may be added at either end and taken away again, and a row
whose amounts become zero is deleted: state is a function of the facts that it contains.
"""

from dataclasses import dataclass
from datetime import date

from sqlalchemy import Connection, text


@dataclass(frozen=True)
class Span:
    """Applied or dropped blocks *first* to *last* of *chain*, on days *first_day* to *last_day*.

    Attributes:
        sign: 1 adds the blocks' facts, -1 takes them away.
    """

    chain: str
    first: int
    last: int
    first_day: date
    last_day: date
    sign: int

    def parameters(self) -> dict[str, object]:
        """Return the bind values of a statement over the span."""
        return {
            "chain": self.chain,
            "first": self.first,
            "last": self.last,
            "first_day": self.first_day,
            "last_day": self.last_day,
            "sign": self.sign,
        }


# What a fact table's rows must satisfy to lie in a span; the day prunes partitions.
IN_SPAN = (
    "{0}.chain = :chain AND {0}.day BETWEEN :first_day AND :last_day"
    " AND {0}.height BETWEEN :first AND :last"
)
# The same for a span that is small beside its days: the primary key begins with chain, day and
# block hash, so the hashes spare reading whole days. A planner without statistics needs no hint.
IN_BLOCKS = (
    f"{IN_SPAN} AND {{0}}.block_hash = ANY(ARRAY(SELECT listed.block_hash FROM chain.block listed"
    " WHERE listed.chain = :chain AND listed.height BETWEEN :first AND :last))"
)
MAX_LISTED = 5000  # blocks; a longer list of hashes costs more than it spares

# The zero address holds nothing: what is sent there was burned, what comes from it was minted.
# Who pays for a block or moves nothing to another address has not sent: that is no debit.
_EVM_CHANGES = """
CREATE TEMP TABLE balance_change ON COMMIT DROP AS
WITH moved AS (
    SELECT asset.asset_id, t.day, side.address, side.amount, side.debits
    FROM chain.token_transfer t
    JOIN ops.asset ON asset.chain = t.chain AND asset.address = t.token AND asset.tracked
        AND asset.standard = 20
    CROSS JOIN LATERAL (
        VALUES (t.recipient, t.amount, 0),
               (t.sender, -t.amount, (t.sender <> t.recipient AND t.amount > 0)::integer)
    ) side(address, amount, debits)
    WHERE {in_token} AND t.standard = 20
      AND (CAST(:asset_id AS integer) IS NULL OR asset.asset_id = :asset_id)
      AND side.address <> decode(repeat('00', 20), 'hex')
    UNION ALL
    SELECT asset.asset_id, t.day, side.address, side.amount, side.debits
    FROM chain.native_transfer t
    JOIN ops.asset ON asset.chain = t.chain AND asset.address = '' AND asset.tracked
    CROSS JOIN LATERAL (
        VALUES (t.recipient, t.amount, 0),
               (t.sender, -t.amount, (t.sender IS DISTINCT FROM t.recipient AND t.amount > 0
                                      AND t.kind NOT IN ('fee', 'tip'))::integer)
    ) side(address, amount, debits)
    WHERE {in_native} AND side.address IS NOT NULL
      AND (CAST(:asset_id AS integer) IS NULL OR asset.asset_id = :asset_id)
), change AS MATERIALIZED (
    SELECT asset_id, day, address, :sign * sum(amount) AS delta, :sign * sum(debits) AS debits
    FROM moved GROUP BY asset_id, day, address HAVING sum(amount) <> 0 OR sum(debits) <> 0
)
SELECT asset_id, day, address, delta, debits FROM change ORDER BY asset_id, day, address
"""

# Outputs without an address belong to nobody that a holder table could name. A debit is an input;
# an overwritten output was lost, not sent.
_UTXO_CHANGES = """
CREATE TEMP TABLE balance_change ON COMMIT DROP AS
WITH moved AS (
    SELECT o.day, o.address, o.value AS amount, 0 AS debits
    FROM chain.utxo_output o
    WHERE {in_output} AND o.spendable AND o.address IS NOT NULL
    UNION ALL
    SELECT s.day, s.address, -s.value, (NOT s.overwritten)::integer
    FROM state.spent_output s
    WHERE {in_spent} AND s.address IS NOT NULL
), change AS MATERIALIZED (
    SELECT asset.asset_id, day, moved.address, :sign * sum(amount) AS delta,
           :sign * sum(debits) AS debits
    FROM moved
    JOIN ops.asset ON asset.chain = :chain AND asset.address = '' AND asset.tracked
    WHERE CAST(:asset_id AS integer) IS NULL OR asset.asset_id = :asset_id
    GROUP BY asset.asset_id, day, moved.address HAVING sum(amount) <> 0 OR sum(debits) <> 0
)
SELECT asset_id, day, address, delta, debits FROM change ORDER BY asset_id, day, address
"""

_MERGE_DELTA = """
MERGE INTO state.balance_delta target USING balance_change change
ON target.asset_id = change.asset_id AND target.day = change.day
   AND target.address = change.address
WHEN MATCHED AND target.delta + change.delta = 0 AND target.debits + change.debits = 0 THEN DELETE
WHEN MATCHED THEN UPDATE SET delta = target.delta + change.delta,
    debits = target.debits + change.debits
WHEN NOT MATCHED THEN INSERT (asset_id, day, address, delta, debits)
    VALUES (change.asset_id, change.day, change.address, change.delta, change.debits)
"""

_MERGE_BALANCE = """
MERGE INTO state.balance target USING (
    SELECT asset_id, address, sum(delta) AS delta FROM balance_change
    GROUP BY asset_id, address HAVING sum(delta) <> 0
    ORDER BY asset_id, address
) change
ON target.asset_id = change.asset_id AND target.address = change.address
WHEN MATCHED AND target.balance + change.delta = 0 THEN DELETE
WHEN MATCHED THEN UPDATE SET balance = target.balance + change.delta
WHEN NOT MATCHED THEN INSERT (asset_id, address, balance)
    VALUES (change.asset_id, change.address, change.delta)
"""


def change_balances(
    connection: Connection, span: Span, *, utxo: bool, asset_id: int | None = None
) -> None:
    """Add the span's transfers to the balances and their daily changes, or take them away.

    What an address received and sent on adds up to no change, but it sent: such a row of
    `state.balance_delta` has a `delta` of 0 and its `debits`.

    On a UTXO chain the span's `state.spent_output` rows must be there.

    Args:
        connection: Inside the transaction that applies or drops the span's blocks.
        span: The blocks.
        utxo: Whether the chain counts outputs instead of transfers.
        asset_id: Only this asset; None for every tracked one.
    """
    _collect_changes(connection, span, _UTXO_CHANGES if utxo else _EVM_CHANGES, asset_id)
    # Without statistics the planner takes the temporary table for tiny and loops.
    connection.execute(text("ANALYZE balance_change"))
    connection.execute(text(_MERGE_DELTA))
    connection.execute(text(_MERGE_BALANCE))
    connection.execute(text("DROP TABLE balance_change"))


def _collect_changes(
    connection: Connection, span: Span, statement: str, asset_id: int | None
) -> None:
    """Make the temporary table `balance_change`, in the order of the keys that it is merged by."""
    where = IN_BLOCKS if span.last - span.first < MAX_LISTED else IN_SPAN
    named = {"in_token": "t", "in_native": "t", "in_output": "o", "in_spent": "s"}
    conditions = {name: where.format(alias) for name, alias in named.items()}
    # A partition that was just loaded has no statistics. The planner takes it for a handful of
    # rows, would look the asset up for each of them and sort them all: three times the work. What
    # is materialised is planned on its own, so the last sort, of sums only, does not bring it back.
    for method in ("nestloop", "sort"):
        connection.execute(text(f"SET LOCAL enable_{method} = off"))
    connection.execute(
        text(statement.format(**conditions)), {**span.parameters(), "asset_id": asset_id}
    )
    for method in ("nestloop", "sort"):
        connection.execute(text(f"SET LOCAL enable_{method} TO DEFAULT"))


def forget_balances(connection: Connection, asset_ids: list[int]) -> None:
    """Delete every balance of these assets."""
    for table in ("balance", "balance_delta"):
        connection.execute(
            text(f"DELETE FROM state.{table} WHERE asset_id = ANY(:ids)"),
            {"ids": asset_ids},
        )
