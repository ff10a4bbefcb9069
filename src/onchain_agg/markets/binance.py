"""Binance: Tether prices and a perpetual's funding.

Trades are its aggregated ones: what one order took at one price is one trade with a number of
its own, so prices and volumes are those of the single trades, and their count is not.
"""

from onchain_agg.markets.definition import Venue

VENUE = Venue(
    name="binance",
    exchange="binance",
    conn_id="onchain_binance",
    trade_paging="id",
    trade_page=1000,
    candle_page=1000,
    trades=("BTC/USDT", "ETH/USDT", "XRP/ETH"),
    candles=(("BTC/USDT", "1d"), ("ETH/USDT", "1d"), ("XRP/ETH", "1d")),
    funding=("BTC/USDT:USDT",),
)
