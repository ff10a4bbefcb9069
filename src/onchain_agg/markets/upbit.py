"""Upbit: prices in Korean won, also of Tether. It hands out trades of the last seven days only."""

from onchain_agg.markets.definition import Venue

VENUE = Venue(
    name="upbit",
    exchange="upbit",
    conn_id="onchain_upbit",
    trade_paging="backward",
    trade_page=500,
    candle_page=200,
    trades=("BTC/KRW", "ETH/KRW", "USDT/KRW"),
    candles=(("BTC/KRW", "1d"), ("ETH/KRW", "1d"), ("USDT/KRW", "1d")),
)
