"""Kraken: US dollar prices, and those of the stablecoins. It keeps its newest 720 candles only."""

from onchain_agg.markets.definition import Venue

VENUE = Venue(
    name="kraken",
    exchange="kraken",
    conn_id="onchain_kraken",
    trade_paging="time",
    trade_page=1000,
    candle_page=720,
    trades=("BTC/USD", "ETH/USD", "USDT/USD", "USDC/USD"),
    candles=(("BTC/USD", "1d"), ("ETH/USD", "1d"), ("USDT/USD", "1d"), ("USDC/USD", "1d")),
)
