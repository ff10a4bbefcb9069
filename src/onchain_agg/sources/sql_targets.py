"""What a row of somebody else's table can become: the fact tables, and what each column holds.

The columns are those of the schema ``market`` without what is known otherwise: ``known_from``,
and ``day`` where a time tells it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Literal

from onchain_agg.markets import all_venues

TargetName = Literal["trades", "candles", "funding", "fx", "prices", "assets"]


class Kind(Enum):
    """What the values of a column are; the text is how a person says it."""

    TEXT = "text"
    TIME = "a time"
    DAY = "a day"
    NUMBER = "a number"
    WHOLE = "a whole number"
    SMALL = "a whole number of 16 bits"


@dataclass(frozen=True)
class Field:
    """One column of a fact table.

    Attributes:
        kind: What its values are.
        required: Whether every row has a value.
        choices: The only texts there are; empty where any text will do.
    """

    kind: Kind
    required: bool = True
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Target:
    """One fact table.

    Attributes:
        table: Its name, with its schema.
        fields: Its columns, the scope's first.
        scope: The column that says whose rows they are; None where that is nobody.
    """

    table: str
    fields: Mapping[str, Field]
    scope: str | None


_TEXT, _NUMBER = Field(Kind.TEXT), Field(Kind.NUMBER)
_TIME, _DAY = Field(Kind.TIME), Field(Kind.DAY)
_VENUE = Field(Kind.TEXT, choices=tuple(all_venues()))
_NUMBER_OR_NULL = Field(Kind.NUMBER, required=False)

_TRADES = {
    "venue": _VENUE,
    "market": _TEXT,
    "trade_id": _TEXT,
    "traded_at": _TIME,
    "price": _NUMBER,
    "amount": _NUMBER,
    "side": Field(Kind.TEXT, required=False, choices=("buy", "sell")),
}
_CANDLES = {
    "venue": _VENUE,
    "market": _TEXT,
    "span": Field(Kind.TEXT, choices=("1m", "1h", "1d")),
    "open_at": _TIME,
    "open": _NUMBER,
    "high": _NUMBER,
    "low": _NUMBER,
    "close": _NUMBER,
    "volume": _NUMBER,
    "quote_volume": _NUMBER_OR_NULL,
    "trades": Field(Kind.WHOLE, required=False),
}
_FUNDING = {
    "venue": _VENUE,
    "market": _TEXT,
    "funded_at": _TIME,
    "rate": _NUMBER,
    "interval_hours": Field(Kind.SMALL),
    "open_interest_usd": _NUMBER_OR_NULL,
}
_FX = {"source": _TEXT, "day": _DAY, "base": _TEXT, "quote": _TEXT, "rate": _NUMBER}
_PRICES = {"source": _TEXT, "asset": _TEXT, "priced_at": _TIME, "price_usd": _NUMBER}
_ASSETS = {
    "source": _TEXT,
    "day": _DAY,
    "asset": _TEXT,
    "supply": _NUMBER_OR_NULL,
    "transfer_value": _NUMBER_OR_NULL,
    "realized_cap_usd": _NUMBER_OR_NULL,
}

TARGETS: Mapping[str, Target] = MappingProxyType(
    {
        "trades": Target("market.trade", _TRADES, "venue"),
        "candles": Target("market.candle", _CANDLES, "venue"),
        "funding": Target("market.funding_rate", _FUNDING, "venue"),
        "fx": Target("market.fx_rate", _FX, None),
        "prices": Target("market.reference_price", _PRICES, None),
        "assets": Target("market.asset_daily", _ASSETS, None),
    }
)
