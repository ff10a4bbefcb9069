"""Bithumb: prices in Korean won. It hands out its newest 200 candles only."""

from onchain_agg.markets.definition import Venue

VENUE = Venue(
    name="bithumb",
    exchange="bithumb",
    conn_id="onchain_bithumb",
    trade_paging="backward",
    trade_page=500,
    candle_page=200,
    trades=("BTC/KRW",),
    candles=(("BTC/KRW", "1d"),),
)
