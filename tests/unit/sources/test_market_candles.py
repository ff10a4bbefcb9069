"""Candles that are over come whole and exact; the open one never comes."""

from dataclasses import replace

import pytest

from onchain_agg.errors import SourceError
from onchain_agg.markets import venue_named
from onchain_agg.sources.market import exchange_errors
from onchain_agg.sources.market_candles import Candle, candle_pages, require_candle
from tests.fakes.exchange_server import DAY_MS, Exchange, asking

# 16 November 2023, and 02:40 on it.
TODAY = 1_700_092_800_000
NOW = TODAY + 9_600_000
_MARKETS = {"binance": "XRP/ETH", "kraken": "BTC/USD"}


def _days(count, **changes):
    """Return the candles of the last *count* days, today's open one included."""
    rows = []
    for i in range(count):
        row = {"open": "2", "high": "4", "low": "1", "close": "3.10", "volume": "7.5", **changes}
        rows.append([TODAY - (count - 1 - i) * DAY_MS, *row.values()])
    return rows


def _pull(name, exchange, since, *, page=5, most_pages=50):
    venue = replace(venue_named(name), candle_page=page)
    exchange.page = page
    with (
        asking(name, exchange, NOW) as (client, _),
        exchange_errors(f"Exchange {name}", lambda text: text),
    ):
        market = _MARKETS[name]
        return list(candle_pages(client, venue, market, "1d", since, most_pages=most_pages))


def test_closed_candles_come_over_many_pages_without_the_open_one():
    exchange = Exchange(candles=_days(13))

    pages = _pull("binance", exchange, TODAY - 12 * DAY_MS + 5)

    assert [len(page) for page in pages] == [5, 5, 2]
    assert [c.open_ms for p in pages for c in p] == [TODAY - i * DAY_MS for i in range(12, 0, -1)]
    assert pages[0][0] == Candle(TODAY - 12 * DAY_MS, "2", "4", "1", "3.1", "7.5")


def test_days_without_a_candle_do_not_end_a_read():
    candles = _days(13)

    pages = _pull("binance", Exchange(candles=[candles[0], candles[-2]]), candles[0][0])

    assert [c.open_ms for p in pages for c in p] == [candles[0][0], candles[-2][0]]


def test_an_exchange_that_keeps_its_newest_candles_only_gives_those():
    pages = _pull("kraken", Exchange(candles=_days(13)), TODAY - 12 * DAY_MS)

    assert [c.open_ms for p in pages for c in p] == [TODAY - i * DAY_MS for i in range(4, 0, -1)]


def test_a_last_known_candle_that_is_not_handed_out_any_more_is_a_gap():
    page = [Candle(TODAY, "1", "1", "1", "1", "0")]

    with pytest.raises(SourceError) as caught:
        require_candle(venue_named("kraken"), "BTC/USD", TODAY - DAY_MS, page)

    assert str(caught.value) == (
        "kraken BTC/USD: the candle of 2023-11-15T00:00:00.000Z, the last one known, is not in the "
        "answer: what followed it is not handed out any more. Import the missing candles from a "
        "file, and begin anew after them with `onchain-agg market pull --since`."
    )
    require_candle(venue_named("kraken"), "BTC/USD", TODAY, page)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"low": "-1"}, "has the low -1, but it must be above 0"),
        ({"volume": "-1"}, "has the volume -1, but it must be 0 or more"),
        ({"close": "5"}, "has the close 5, outside of low 1 to high 4"),
        ({"open": "0.5"}, "has the open 0.5, outside of low 1 to high 4"),
    ],
)
def test_a_candle_that_cannot_be_is_one_error(changes, told):
    with pytest.raises(SourceError) as caught:
        _pull("binance", Exchange(candles=_days(2, **changes)), TODAY - DAY_MS)

    assert str(caught.value) == (
        f"binance XRP/ETH: the 1d candle of 2023-11-15T00:00:00.000Z {told}. Nothing of this answer"
        " was kept; try again, and ask the exchange if it stays so."
    )


def test_a_candle_of_another_days_clock_is_refused():
    candles = [[TODAY - DAY_MS + 9 * 3_600_000, "1", "1", "1", "1", "1"]]

    with pytest.raises(SourceError, match="does not open on a whole 1d in UTC"):
        _pull("binance", Exchange(candles=candles), TODAY - DAY_MS)
