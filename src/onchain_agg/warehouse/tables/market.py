"""Schema ``market``: canonical facts that no block carries, as exchanges and files tell them.

A fact may come late or be corrected. Each table has a twin ``…_history`` with the rows that were
corrected and the span of time in which they were believed; `warehouse.facts` writes both, and
marks dirty what read the day.
"""

from typing import Any

from sqlalchemy import BigInteger, Column, Index, Numeric, SmallInteger, Table, Text

from onchain_agg.warehouse.tables.registry import METADATA
from onchain_agg.warehouse.types import DAY, NAME, TIME


def _facts(name: str, *columns: Column[Any], by_venue: bool, by_day: bool = False) -> Table:
    """Return a fact table, and put its twin for corrected rows beside it.

    *by_day* makes a day be found without the columns that the key begins with.
    """
    known = Column("known_from", TIME, nullable=False, comment="Believed since then.")
    days = [Index(f"ix_{name}_day", "day")] if by_day else []
    info = {"facts": True, "venue": by_venue}
    table = Table(name, METADATA, *columns, known, *days, schema="market", info=info)
    Table(
        f"{name}_history",
        METADATA,
        *(Column(c.name, c.type, primary_key=c.primary_key, nullable=c.nullable) for c in columns),
        Column("known_from", TIME, primary_key=True, comment="Believed since then."),
        Column("known_to", TIME, nullable=False, comment="Believed until then."),
        schema="market",
    )
    return table


def is_fact(table: Table) -> bool:
    """Return whether `warehouse.facts` writes *table*."""
    return bool(table.info.get("facts"))


def is_by_venue(table: Table) -> bool:
    """Return whether the rows of a fact *table* belong to a venue, else to ``global``."""
    return bool(table.info.get("venue"))


TRADE = _facts(
    "trade",
    Column("venue", NAME, primary_key=True, comment="The exchange, by its id in ccxt."),
    Column("day", DAY, primary_key=True, comment="UTC day of traded_at."),
    Column("market", NAME, primary_key=True, comment="BASE/QUOTE, or BASE/QUOTE:SETTLE."),
    Column("trade_id", Text, primary_key=True, comment="As the venue numbers it."),
    Column("traded_at", TIME, nullable=False),
    Column("price", Numeric, nullable=False, comment="Quote for one base."),
    Column("amount", Numeric, nullable=False, comment="Base."),
    Column("side", Text, comment="Of the taker: buy or sell; NULL: not told."),
    by_venue=True,
)

CANDLE = _facts(
    "candle",
    Column("venue", NAME, primary_key=True),
    Column("day", DAY, primary_key=True, comment="UTC day of open_at."),
    Column("market", NAME, primary_key=True),
    Column("span", Text, primary_key=True, comment="1m, 1h or 1d."),
    Column("open_at", TIME, primary_key=True, comment="First instant."),
    Column("open", Numeric, nullable=False),
    Column("high", Numeric, nullable=False),
    Column("low", Numeric, nullable=False),
    Column("close", Numeric, nullable=False),
    Column("volume", Numeric, nullable=False, comment="Base."),
    Column("quote_volume", Numeric, comment="Quote; NULL: not told."),
    Column("trades", BigInteger, comment="NULL: not told."),
    by_venue=True,
)

FUNDING_RATE = _facts(
    "funding_rate",
    Column("venue", NAME, primary_key=True),
    Column("day", DAY, primary_key=True, comment="UTC day of funded_at."),
    Column("market", NAME, primary_key=True, comment="BASE/QUOTE:SETTLE of the perpetual."),
    Column("funded_at", TIME, primary_key=True),
    Column("rate", Numeric, nullable=False, comment="Of the interval, as a fraction."),
    Column("interval_hours", SmallInteger, nullable=False),
    Column("open_interest_usd", Numeric, comment="NULL: not told."),
    by_venue=True,
    by_day=True,
)

FX_RATE = _facts(
    "fx_rate",
    Column("source", NAME, primary_key=True, comment="Who told it."),
    Column("day", DAY, primary_key=True),
    Column("base", NAME, primary_key=True, comment="Currency that is priced, such as USD."),
    Column("quote", NAME, primary_key=True, comment="Currency of the price, such as KRW."),
    Column("rate", Numeric, nullable=False, comment="Quote for one base."),
    by_venue=False,
    by_day=True,
)

REFERENCE_PRICE = _facts(
    "reference_price",
    Column("source", NAME, primary_key=True, comment="Who told it."),
    Column("day", DAY, primary_key=True, comment="UTC day of priced_at."),
    Column("asset", NAME, primary_key=True, comment="Symbol."),
    Column("priced_at", TIME, primary_key=True, comment="Start of the interval it holds for."),
    Column("price_usd", Numeric, nullable=False, comment="US dollar for one whole unit."),
    by_venue=False,
    by_day=True,
)

ASSET_DAILY = _facts(
    "asset_daily",
    # Facts about assets whose chain is not followed here.
    Column("source", NAME, primary_key=True, comment="Who told it."),
    Column("day", DAY, primary_key=True),
    Column("asset", NAME, primary_key=True, comment="Symbol."),
    Column("supply", Numeric, comment="Whole units at the day's end; NULL: not told."),
    Column("transfer_value", Numeric, comment="Adjusted, whole units; NULL: not told."),
    Column("realized_cap_usd", Numeric, comment="US dollar; NULL: not told."),
    by_venue=False,
    by_day=True,
)
