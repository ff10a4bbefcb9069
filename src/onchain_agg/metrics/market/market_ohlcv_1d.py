"""Candles of one UTC day, of every market of a venue.

Folded from `market_ohlcv_1m`, exact: first open, highest high, lowest low, last close; volumes and
numbers of trades are sums, NULL where one of the minutes does not tell; ``vwap`` = quote volume /
volume. A market without a minute of the day gets the venue's own candle of the day instead.
``from_candle`` is true where the venue's candles, of either span, are in it.

Known gaps: a day whose trades were read in part only is as incomplete as they are.
Edge cases: a day without a trade has no row, and neither has a venue's candle without volume.
"""

from typing import Any

from sqlalchemy import Select, select, union_all

from onchain_agg.metrics.candles import WHOLE_CANDLES, candle_table, folded, told_by_venue
from onchain_agg.metrics.dataset import SAME_DAY, DataSet, Window
from onchain_agg.metrics.market import market_ohlcv_1m
from onchain_agg.warehouse.tables.market import CANDLE

TABLE = candle_table("market_ohlcv_1d_v1")


def rows(window: Window) -> Select[Any]:
    """Return the venue's candle of each market."""
    minutes = market_ohlcv_1m.TABLE
    both = union_all(folded(window, minutes), told_by_venue(window, "1d", (), minutes))
    return select(*both.subquery("candle").c)


DATASET = DataSet(
    name="market_ohlcv_1d",
    table=TABLE,
    family="market",
    scope="venue",
    reads=(market_ohlcv_1m.TABLE, CANDLE),
    reach=SAME_DAY,
    invariants=(WHOLE_CANDLES,),
    grain="day",
    workload="market_worker",
    rows=rows,
    highlights=("quote_volume", "market", "close"),
)
