"""Funding rates come once each, with the hours they hold for and the open interest if told."""

import pytest

from onchain_agg.errors import SourceError
from onchain_agg.markets import venue_named
from onchain_agg.sources import market_funding
from onchain_agg.sources.market_funding import Funding, Known, funding_pages
from tests.fakes.exchange_server import DAY_MS, Exchange, asking

NOW = 1_700_003_000_000
HOUR = 3_600_000
# 16:00 on 14 November 2023.
LAST = 1_699_977_600_000


def _pull(exchange, start, **options):
    with asking("binance", exchange, NOW) as (client, _):
        options = {"most_pages": 20, **options}
        return list(
            funding_pages(client, venue_named("binance"), "BTC/USDT:USDT", start, **options)
        )


def _every_8_hours(count):
    # Exchanges fund some milliseconds late.
    return [(LAST - i * 8 * HOUR + i % 3, f"0.000{i + 1}") for i in reversed(range(count))]


def test_a_first_read_leaves_out_the_rate_whose_hours_nothing_tells():
    pages = _pull(Exchange(rates=_every_8_hours(3)), Known(LAST - 3 * DAY_MS))

    assert pages == [
        [Funding(LAST - 8 * HOUR + 1, "0.0002", 8, None), Funding(LAST, "0.0001", 8, None)]
    ]


def test_a_later_read_has_every_rate_after_the_last_known_one():
    rates = _every_8_hours(3)

    pages = _pull(Exchange(rates=rates), Known(rates[0][0], 8))

    assert [rate.at_ms for page in pages for rate in page] == [at for at, _ in rates[1:]]


def test_rates_come_over_many_pages(monkeypatch):
    monkeypatch.setattr(market_funding, "_PAGE", 4)
    rates = _every_8_hours(15)

    pages = _pull(Exchange(rates=rates), Known(rates[0][0], 8))

    assert [rate.at_ms for page in pages for rate in page] == [at for at, _ in rates[1:]]
    assert len(pages) == 5


def test_a_shorter_interval_is_that_of_the_time_between():
    rates = [(LAST - 8 * HOUR, "0.1"), (LAST - 4 * HOUR, "-0.2"), (LAST, "0")]

    (page,) = _pull(Exchange(rates=rates), Known(LAST - 8 * HOUR, 8))

    assert page == [
        Funding(LAST - 4 * HOUR, "-0.2", 4, None),
        Funding(LAST, "0", 4, None),
    ]


def test_a_rate_after_a_missing_one_keeps_the_usual_hours():
    rates = [(LAST - 16 * HOUR, "0.1"), (LAST, "0.3")]

    (page,) = _pull(Exchange(rates=rates), Known(LAST - 16 * HOUR, 8))

    assert page == [Funding(LAST, "0.3", 8, None)]


def test_the_open_interest_is_that_of_the_same_hour():
    rates = [(LAST - 8 * HOUR, "0.1"), (LAST + 3, "0.3")]
    interest = [(LAST - HOUR, "5"), (LAST, "3248828883.71251440"), (LAST + HOUR, "7")]

    (page,) = _pull(Exchange(rates=rates, interest=interest), Known(LAST - 8 * HOUR, 8))

    assert page == [Funding(LAST + 3, "0.3", 8, "3248828883.7125144")]


def test_a_last_known_rate_that_is_not_handed_out_any_more_is_a_gap():
    with pytest.raises(SourceError) as caught:
        _pull(Exchange(rates=_every_8_hours(2)), Known(LAST - 2 * DAY_MS, 8))

    assert str(caught.value) == (
        "binance BTC/USDT:USDT: the funding of 2023-11-12T16:00:00.000Z, the last one known, is "
        "not in the answer: what followed it is not handed out any more. Import the missing rates "
        "from a file, and begin anew after them with `onchain-agg market pull --since`."
    )


def test_a_rate_that_is_no_number_is_an_error():
    rates = [(LAST - 8 * HOUR, "0.1"), (LAST, "much")]

    with pytest.raises(SourceError, match="has the rate 'much', which is no number of up to 38"):
        _pull(Exchange(rates=rates), Known(LAST - 8 * HOUR, 8))
