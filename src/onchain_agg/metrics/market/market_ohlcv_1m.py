"""Candles of one minute, counted from every trade: open, high, low, close, volumes, VWAP.

A row is one market of one venue in one UTC minute, which includes its first instant and not the
next minute's.

* ``open`` and ``close`` are the first and the last price. Trades of one instant are in the order of
  their ids, so 9 comes before 10.
* ``volume`` = sum of the amounts in base; ``quote_volume`` = sum of price times amount in quote;
  both exact.
* ``vwap`` = quote_volume / volume.

A market that has no trades of the day at all gets the venue's own candles of one minute instead,
with ``from_candle``; ``quote_volume``, ``trades`` and ``vwap`` are NULL as far as the venue does
not tell them. A day has one or the other, never both in one market.

Known gaps: a day whose trades were read in part only is as incomplete as they are; prices in the
venue's candles of such a day are not used. Binance's trades are its aggregated ones, so ``trades``
counts those.
Edge cases: a minute without a trade has no row, and neither has a venue's candle without volume,
because venues repeat the last price in it; ``vwap`` is NULL where trades moved nothing at all.
"""

from typing import Any

from sqlalchemy import Select, select, union_all

from onchain_agg.metrics.candles import (
    WHOLE_CANDLES,
    begin_of,
    candle_table,
    open_at,
    told_by_venue,
    traded,
)
from onchain_agg.metrics.dataset import SAME_DAY, DataSet, Window
from onchain_agg.warehouse.tables.market import CANDLE, TRADE

TABLE = candle_table("market_ohlcv_1m_v1", open_at("minute"))


def rows(window: Window) -> Select[Any]:
    """Return the venue's candles of the day."""
    minute = begin_of("minute", TRADE.c.traded_at).label("open_at")
    counted = traded(window, minute)
    told = told_by_venue(window, "1m", (CANDLE.c.open_at,), TRADE)
    both = union_all(counted, told).subquery("candle")
    return select(*both.c)


DATASET = DataSet(
    name="market_ohlcv_1m",
    table=TABLE,
    family="market",
    scope="venue",
    reads=(TRADE, CANDLE),
    reach=SAME_DAY,
    invariants=(WHOLE_CANDLES,),
    grain="minute",
    workload="market_worker",
    rows=rows,
    highlights=("quote_volume", "market", "close"),
)
