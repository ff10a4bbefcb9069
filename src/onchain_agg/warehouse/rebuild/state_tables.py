"""Which tables the heavy path makes, and from which rows in DuckDB."""

from dataclasses import dataclass

from sqlalchemy import Select, Table, select

from onchain_agg.warehouse.rebuild import balances, collections, matrix
from onchain_agg.warehouse.rebuild.facts import Pinned
from onchain_agg.warehouse.tables.ops import ASSET
from onchain_agg.warehouse.tables.state import (
    BALANCE,
    BALANCE_DELTA,
    CREATED_OUTPUT_DAILY,
    FIRST_FUNDING,
    NFT_AMOUNT_DELTA,
    NFT_OWNER_DAY,
    SPENT_OUTPUT_DAILY,
    SPENT_OUTPUT_MONTHLY,
    UTXO,
)


@dataclass(frozen=True)
class StateTable:
    """A table of the running state and the query of its rows in DuckDB.

    Attributes:
        table: The table.
        rows: The query, in the table's columns but ``chain``; NUMERIC as wide text.
    """

    table: Table
    rows: str

    @property
    def names(self) -> list[str]:
        """Return the columns that *rows* has, in the table's order."""
        return [column.name for column in self.table.columns if column.name != "chain"]

    def stored(self, pinned: Pinned) -> Select[tuple[object, ...]]:
        """Return the query of the chain's rows in the warehouse."""
        columns = [self.table.c[name] for name in self.names]
        if "chain" in self.table.c:
            return select(*columns).where(self.table.c.chain == pinned.chain.name)
        of_chain = select(ASSET.c.asset_id).where(ASSET.c.chain == pinned.chain.name)
        return select(*columns).where(self.table.c.asset_id.in_(of_chain))


BALANCES = (
    StateTable(BALANCE, balances.BALANCE_ROWS),
    StateTable(BALANCE_DELTA, balances.BALANCE_DELTA_ROWS),
)
OWNERS = (
    StateTable(NFT_OWNER_DAY, collections.OWNER_ROWS),
    StateTable(NFT_AMOUNT_DELTA, collections.AMOUNT_ROWS),
)
FUNDINGS = (StateTable(FIRST_FUNDING, collections.FUNDING_ROWS),)
SUMS = (
    StateTable(CREATED_OUTPUT_DAILY, matrix.CREATED_DAILY_ROWS),
    StateTable(SPENT_OUTPUT_DAILY, matrix.SPENT_DAILY_ROWS),
    StateTable(SPENT_OUTPUT_MONTHLY, matrix.SPENT_MONTHLY_ROWS),
)
COINS = (StateTable(UTXO, matrix.UTXO_ROWS), *SUMS)
