"""Owners of tracked NFT collections, and who first sent the native coin to an address.

State is a function of the applied facts, so blocks may be added at either end and taken away again:
of a day's transfers of a token the last one counts, ERC-1155 amounts are sums, and of the transfers
to an address the first one counts.
"""

from sqlalchemy import Connection, text

from onchain_agg.warehouse.state_balance import IN_BLOCKS, IN_SPAN, MAX_LISTED, Span

# The tracked collections of a standard. A deployment may have none, and then nothing is read.
_STANDARDS = (
    "SELECT DISTINCT standard FROM ops.asset WHERE chain = :chain AND tracked AND standard <> 20"
    " AND (CAST(:asset_id AS integer) IS NULL OR asset_id = :asset_id)"
)
_COLLECTION = (
    "ops.asset ON asset.chain = t.chain AND asset.address = t.token AND asset.tracked"
    " AND asset.standard = t.standard"
    " AND (CAST(:asset_id AS integer) IS NULL OR asset.asset_id = :asset_id)"
)

# Block by block, as transfers stand in the log; a token that moves back on the same day stays.
_OWNERS = f"""
INSERT INTO state.nft_owner_day AS stored
    (asset_id, token_id, day, owner, height, log_index, received_at)
SELECT last.asset_id, last.token_id, last.day, last.recipient, last.height, last.log_index,
       block.block_at
FROM (
    SELECT DISTINCT ON (asset.asset_id, t.token_id, t.day)
           asset.asset_id, t.token_id, t.day, t.recipient, t.height, t.log_index
    FROM chain.token_transfer t JOIN {_COLLECTION}
    WHERE {{in_token}} AND t.standard = 721 {{only}}
    ORDER BY asset.asset_id, t.token_id, t.day, t.height DESC, t.log_index DESC, t.item_index DESC
) last
JOIN chain.block ON block.chain = :chain AND block.height = last.height
ON CONFLICT (asset_id, token_id, day) DO UPDATE
SET owner = excluded.owner, height = excluded.height, log_index = excluded.log_index,
    received_at = excluded.received_at
WHERE (excluded.height, excluded.log_index) > (stored.height, stored.log_index)
"""
# Blocks are only taken away at the top. What was the day's last transfer before follows from the
# blocks of the day that stay applied.
_TOUCHED = f"""
CREATE TEMP TABLE unowned ON COMMIT DROP AS
SELECT DISTINCT asset.asset_id, t.token_id, t.day
FROM chain.token_transfer t JOIN {_COLLECTION}
WHERE {{in_token}} AND t.standard = 721
"""
_FORGET_OWNERS = """
DELETE FROM state.nft_owner_day stored USING unowned
WHERE stored.asset_id = unowned.asset_id AND stored.token_id = unowned.token_id
  AND stored.day = unowned.day
"""
_STAYS = (
    "t.chain = :chain AND t.day BETWEEN :first_day AND :last_day AND t.height < :first"
    " AND t.height >= (SELECT from_height FROM state.tip WHERE chain = :chain)"
)
_UNOWNED = (
    "AND (asset.asset_id, t.token_id, t.day) IN (SELECT asset_id, token_id, day FROM unowned)"
)

# The zero address holds nothing: what is sent there was burned, what comes from it was minted.
_AMOUNTS = f"""
MERGE INTO state.nft_amount_delta target USING (
    SELECT asset.asset_id, t.token_id, side.address, t.day, :sign * sum(side.amount) AS delta
    FROM chain.token_transfer t JOIN {_COLLECTION}
    CROSS JOIN LATERAL (VALUES (t.recipient, t.amount), (t.sender, -t.amount)) side(address, amount)
    WHERE {{in_token}} AND t.standard = 1155 AND side.address <> decode(repeat('00', 20), 'hex')
    GROUP BY asset.asset_id, t.token_id, side.address, t.day HAVING sum(side.amount) <> 0
    ORDER BY asset.asset_id, t.token_id, side.address, t.day
) change
ON target.asset_id = change.asset_id AND target.token_id = change.token_id
   AND target.address = change.address AND target.day = change.day
WHEN MATCHED AND target.delta + change.delta = 0 THEN DELETE
WHEN MATCHED THEN UPDATE SET delta = target.delta + change.delta
WHEN NOT MATCHED THEN INSERT (asset_id, token_id, address, day, delta)
    VALUES (change.asset_id, change.token_id, change.address, change.day, change.delta)
"""

# Most recipients were funded long ago: to take those for conflicts would lock each of their rows.
# Blocks that arrive below everything tell of earlier fundings.
_FUNDINGS = """
INSERT INTO state.first_funding AS stored (chain, address, day, height, seq, funder)
SELECT :chain, first.recipient, first.day, first.height, first.seq, first.sender
FROM (
    SELECT DISTINCT ON (t.recipient) t.recipient, t.day, t.height, t.seq, t.sender
    FROM chain.native_transfer t
    WHERE {in_native} AND t.kind IN ('value', 'internal') AND t.amount > 0
      AND t.sender <> t.recipient
    ORDER BY t.recipient, t.height, t.seq
) first
WHERE NOT EXISTS (
    SELECT FROM state.first_funding known
    WHERE known.chain = :chain AND known.address = first.recipient AND known.height < :first)
ON CONFLICT (chain, address) DO UPDATE
SET day = excluded.day, height = excluded.height, seq = excluded.seq, funder = excluded.funder
WHERE (excluded.height, excluded.seq) < (stored.height, stored.seq)
"""
_FORGET_FUNDINGS = (
    "DELETE FROM state.first_funding WHERE chain = :chain AND height BETWEEN :first AND :last"
)


def change_owners(connection: Connection, span: Span, *, asset_id: int | None = None) -> None:
    """Add the span's transfers of tracked collections to the state, or take them away.

    Args:
        connection: Inside the transaction that applies or drops the span's blocks.
        span: The blocks; those to take away are the last applied ones, and still stored.
        asset_id: Only this collection; None for every tracked one.
    """
    values = {**span.parameters(), "asset_id": asset_id}
    standards = set(connection.scalars(text(_STANDARDS), values))
    in_token = _blocks_of(span, "t")
    if 721 in standards and span.sign > 0:
        connection.execute(text(_OWNERS.format(in_token=in_token, only="")), values)
    elif 721 in standards:
        _take_away_owners(connection, in_token, values)
    if 1155 in standards:
        connection.execute(text(_AMOUNTS.format(in_token=in_token)), values)


def change_fundings(connection: Connection, span: Span) -> None:
    """Add the addresses that the span's blocks funded first, or take them away.

    Counted are payments of the native coin above zero from another address, by a transaction or a
    contract's call; without traces only the former are known.
    """
    if span.sign > 0:
        statement = _FUNDINGS.format(in_native=_blocks_of(span, "t"))
    else:
        # Where the first funding goes, there is none below it.
        statement = _FORGET_FUNDINGS
    connection.execute(text(statement), span.parameters())


def forget_owners(connection: Connection, asset_ids: list[int]) -> None:
    """Delete all that is known of the owners of these collections."""
    for table in ("nft_owner_day", "nft_amount_delta"):
        connection.execute(
            text(f"DELETE FROM state.{table} WHERE asset_id = ANY(:ids)"), {"ids": asset_ids}
        )


def _take_away_owners(connection: Connection, in_token: str, values: dict[str, object]) -> None:
    connection.execute(text(_TOUCHED.format(in_token=in_token)), values)
    connection.execute(text("ANALYZE unowned"))
    connection.execute(text(_FORGET_OWNERS))
    # The facts have no index by token. A planner without their statistics takes a day for a handful
    # of rows, and would compare each of them with every touched token.
    connection.execute(text("SET LOCAL enable_nestloop = off"))
    connection.execute(text(_OWNERS.format(in_token=_STAYS, only=_UNOWNED)), values)
    connection.execute(text("SET LOCAL enable_nestloop TO DEFAULT"))
    connection.execute(text("DROP TABLE unowned"))


def _blocks_of(span: Span, alias: str) -> str:
    where = IN_BLOCKS if span.last - span.first < MAX_LISTED else IN_SPAN
    return where.format(alias)
