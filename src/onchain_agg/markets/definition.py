"""What a venue is: data only. One file beside this one defines each venue as ``VENUE``."""

from dataclasses import dataclass
from typing import Literal

# The scope of what belongs to no venue, where a venue's name would stand.
GLOBAL = "global"

Span = Literal["1m", "1h", "1d"]
# How an exchange lets its old trades be asked for; `sources.market_trades` knows each way.
TradePaging = Literal["id", "time", "window", "backward"]


@dataclass(frozen=True, kw_only=True)
class Venue:
    """An exchange, and what is pulled from it.

    Markets are written as ccxt writes them: ``BASE/QUOTE``, a perpetual ``BASE/QUOTE:SETTLE``.

    Attributes:
        name: The venue in every table.
        exchange: The exchange's id in ccxt.
        conn_id: Airflow connection of type ``onchain_market``.
        trade_paging: ``id``: forward from a trade's number. ``time``: forward from a time.
            ``window``: the newest of a span of time, which is made smaller until all of it fits.
            ``backward``: from the newest trade back by a cursor.
        trade_page: Trades in one answer, at most.
        candle_page: Candles in one answer, at most.
        trades: Markets whose trades are pulled.
        candles: Market and span of the candles that are pulled.
        funding: Perpetuals whose funding rates are pulled.
    """

    name: str
    exchange: str
    conn_id: str
    trade_paging: TradePaging
    trade_page: int
    candle_page: int
    trades: tuple[str, ...] = ()
    candles: tuple[tuple[str, Span], ...] = ()
    funding: tuple[str, ...] = ()
