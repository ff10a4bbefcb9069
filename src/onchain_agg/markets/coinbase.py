"""Coinbase: US dollar prices."""

from onchain_agg.markets.definition import Venue

VENUE = Venue(
    name="coinbase",
    exchange="coinbase",
    conn_id="onchain_coinbase",
    trade_paging="window",
    trade_page=1000,
    candle_page=300,
    trades=("BTC/USD", "ETH/USD"),
    candles=(("BTC/USD", "1d"), ("ETH/USD", "1d")),
)
