"""The quarantine: tokens whose metadata cannot be relied on, so nothing is computed with them."""

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, delete, func, select, tuple_
from sqlalchemy.dialects.postgresql import insert

from onchain_agg.warehouse.tables.ops import QUARANTINED_TOKEN


@dataclass(frozen=True)
class Quarantined:
    """A token in quarantine: its address, its symbol as far as it could be read, and why."""

    address: bytes
    symbol: str | None
    reason: str


def quarantine(
    engine: Engine, chain: str, rows: Iterable[Quarantined], *, released: Iterable[bytes] = ()
) -> None:
    """Put the tokens in *rows* into quarantine and take those of *released* out.

    One that is in it already keeps the time at which that was noticed, with its reason of now.
    """
    table = QUARANTINED_TOKEN
    values = [
        {"chain": chain, "address": r.address, "symbol": r.symbol, "reason": r.reason} for r in rows
    ]
    with engine.begin() as connection:
        if free := list(released):
            connection.execute(
                delete(table).where(table.c.chain == chain, table.c.address.in_(free))
            )
        if not values:
            return
        statement = insert(table).values([{**v, "noticed_at": func.now()} for v in values])
        new = statement.excluded
        connection.execute(
            statement.on_conflict_do_update(
                index_elements=[table.c.chain, table.c.address],
                set_={"symbol": new.symbol, "reason": new.reason},
                where=tuple_(table.c.symbol, table.c.reason).is_distinct_from(
                    tuple_(new.symbol, new.reason)
                ),
            )
        )


def quarantined(connection: Connection, chain: str) -> dict[bytes, Quarantined]:
    """Return the tokens of *chain* in quarantine, by address."""
    table = QUARANTINED_TOKEN
    rows = connection.execute(
        select(table.c.address, table.c.symbol, table.c.reason)
        .where(table.c.chain == chain)
        .order_by(table.c.address)
    )
    return {row.address: Quarantined(*row) for row in rows}
