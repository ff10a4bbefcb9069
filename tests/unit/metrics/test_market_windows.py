"""The data sets of the market look at the half-open day of their window."""

from datetime import date, timedelta

from onchain_agg.metrics.dataset import Window
from onchain_agg.metrics.market import market_price_1m


def test_the_minutes_of_a_day_end_before_the_next_day():
    window = Window("global", date(2026, 3, 1))

    moments = market_price_1m.rows(window).compile().params.values()

    assert window.end - timedelta(minutes=1) in moments
    assert window.end not in moments
