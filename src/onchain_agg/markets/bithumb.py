"""Bithumb: prices in Korean won, also of Tether. It hands out its newest 200 candles only."""

from onchain_agg.markets.definition import Venue

VENUE = Venue(
    name="bithumb",
    exchange="bithumb",
    conn_id="onchain_bithumb",
    trade_paging="backward",
    trade_page=500,
    candle_page=200,
    trades=("BTC/KRW", "USDT/KRW"),
    candles=(("BTC/KRW", "1d"), ("USDT/KRW", "1d")),
)
