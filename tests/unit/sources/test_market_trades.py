"""Trades come whole: each once, in order, exact, over every way in which exchanges page."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onchain_agg.errors import ConfigError, SourceError
from onchain_agg.markets import venue_named
from onchain_agg.sources.market import exchange_errors
from onchain_agg.sources.market_trades import Position, Trade, trade_pages
from tests.fakes.exchange_server import DAY_MS, Deal, Exchange, asking

NOW = 1_700_000_000_000
_MARKETS = {
    "binance": "XRP/ETH",
    "kraken": "BTC/USD",
    "coinbase": "BTC/USD",
    "upbit": "BTC/KRW",
    "bithumb": "BTC/KRW",
}


def _pull(name, exchange, start, *, most_pages=500, page=10, market=None):
    """Return the pages of trades and the paths that were asked for them."""
    venue = replace(venue_named(name), trade_page=page)
    exchange.page = page
    with (
        asking(name, exchange, NOW) as (client, served),
        exchange_errors(f"Exchange {name}", lambda text: text.replace(served.url, "URL")),
    ):
        market = market or _MARKETS[name]
        pages = list(trade_pages(client, venue, market, start, most_pages=most_pages))
        return pages, served.paths


def _numbers(pages):
    return sorted({int(trade.trade_id) for page in pages for trade in page})


def _steady(count, every_ms):
    """Return *count* trades, each two at the same millisecond, up to now."""
    first = NOW - (count // 2) * every_ms
    return [Deal(1000 + i, first + i // 2 * every_ms) for i in range(count)]


@pytest.mark.parametrize("name", _MARKETS)
def test_every_trade_comes_over_many_pages(name):
    deals = _steady(101, 90_000)

    pages, _ = _pull(name, Exchange(deals), Position(deals[0].at_ms))

    assert _numbers(pages) == [deal.number for deal in deals]
    assert [p[-1].at_ms for p in pages] == sorted(p[-1].at_ms for p in pages)


@pytest.mark.parametrize("name", _MARKETS)
def test_a_read_goes_on_after_the_last_known_trade(name):
    deals = _steady(40, 90_000)
    known = deals[24]  # the first of two at one millisecond

    pages, _ = _pull(name, Exchange(deals), Position(known.at_ms, str(known.number)))

    assert {deal.number for deal in deals[25:]} <= {*_numbers(pages)}


@pytest.mark.parametrize("name", _MARKETS)
def test_a_last_known_trade_that_is_not_handed_out_any_more_is_a_gap(name):
    deals = _steady(40, 90_000)
    start = Position(deals[0].at_ms - 1_000, "7")

    with pytest.raises(SourceError) as caught:
        _pull(name, Exchange(deals), start)

    assert str(caught.value) == (
        f"{name} {_MARKETS[name]}: trade 7 of 2023-11-14T21:43:19.000Z, the last one known, is not "
        "in the answer: what followed it is not handed out any more. Import the missing trades "
        "from a file, and begin anew after them with `onchain-agg market pull --since`."
    )


@pytest.mark.parametrize("name", ["binance", "coinbase"])
def test_quiet_hours_do_not_end_a_read(name):
    deals = [Deal(1, NOW - 9 * 3_600_000), Deal(2, NOW - 1_000)]

    pages, _ = _pull(name, Exchange(deals), Position(NOW - DAY_MS))

    assert _numbers(pages) == [1, 2]


def test_a_day_that_an_answer_ends_with_does_not_end_a_read_backward():
    deals = [Deal(i, NOW - DAY_MS * (4 - i) + i) for i in range(1, 5)]

    pages, paths = _pull("upbit", Exchange(deals), Position(NOW - 3 * DAY_MS))

    assert _numbers(pages) == [1, 2, 3, 4]
    assert "daysAgo=3" in paths[-1]


@given(steps=st.lists(st.sampled_from([0, 0, 0, 1, 999, 70_000]), min_size=1, max_size=25))
def test_trades_of_one_instant_are_not_lost_between_pages(steps):
    moments = [NOW - 5_000_000]
    for step in steps:
        moments.append(moments[-1] + step)
    deals = [Deal(i + 1, at) for i, at in enumerate(moments)]

    pages, _ = _pull("binance", Exchange(deals), Position(moments[0]), page=4)

    assert _numbers(pages) == [deal.number for deal in deals]


def test_a_page_of_one_millisecond_is_an_error_where_it_cannot_be_passed():
    deals = [Deal(i, NOW - 60_000) for i in range(30)]

    with pytest.raises(SourceError) as caught:
        _pull("kraken", Exchange(deals), Position(NOW - 60_000))

    assert str(caught.value) == (
        "kraken BTC/USD: all 10 trades of an answer are of 2023-11-14T22:12:20.000Z, and the "
        "exchange cannot be asked for the rest of that millisecond. Import that day's trades from "
        "a file, and begin anew after them with `onchain-agg market pull --since`."
    )


def test_a_page_of_one_second_is_an_error_where_seconds_are_asked_for():
    deals = [Deal(i, NOW - 60_000 + i) for i in range(30)]

    with pytest.raises(SourceError) as caught:
        _pull("coinbase", Exchange(deals), Position(NOW - 60_000))

    assert str(caught.value).startswith(
        "coinbase BTC/USD: 10 trades or more are of the second from 2023-11-14T22:12:20.000Z, and "
        "the exchange hands out no more at once. "
    )


def test_trades_that_are_too_many_to_go_back_are_an_error():
    deals = _steady(100, 10_000)

    with pytest.raises(SourceError) as caught:
        _pull("upbit", Exchange(deals), Position(deals[0].at_ms), most_pages=3)

    assert str(caught.value) == (
        "upbit BTC/KRW: 3 answers reach back to 2023-11-14T22:10:50.000Z, not to "
        "2023-11-14T22:05:00.000Z. Pull more often, or once with `onchain-agg market pull --pages` "
        "of more."
    )


@pytest.mark.parametrize("name", ["binance", "kraken", "coinbase"])
def test_a_read_ends_after_as_many_answers_as_were_allowed(name):
    deals = _steady(101, 90_000)

    pages, paths = _pull(name, Exchange(deals), Position(deals[0].at_ms), most_pages=3)

    asked = [p for p in paths if "rades" in p or "ticker" in p]
    assert len(asked) == 3
    numbers = _numbers(pages)
    assert numbers == [deal.number for deal in deals[: len(numbers)]]


def test_prices_and_amounts_are_exact():
    deal = Deal(5, NOW - 1_000, "0.00000000000000000123", "12345678901234567890.10", "sell")

    pages, _ = _pull("kraken", Exchange([deal]), Position(NOW - 2_000))

    assert pages == [
        [Trade(NOW - 1_000, "5", "0.00000000000000000123", "12345678901234567890.1", "sell")]
    ]


def test_fractions_that_come_as_numbers_are_exact_too():
    answer = (
        b'[{"market": "KRW-BTC", "timestamp": %d, "trade_price": 94201000.10000000001,'
        b' "trade_volume": 0.1000000000000000055, "ask_bid": "ASK", "sequential_id": 3}]'
    ) % (NOW - 1_000)
    exchange = Exchange([Deal(3, NOW)], instead=[(200, answer)])

    pages, _ = _pull("upbit", exchange, Position(NOW - 2_000))

    assert pages[0][0][2:4] == ("94201000.10000000001", "0.1000000000000000055")


_NONSENSE = [
    pytest.param(
        Deal(8, NOW - 1_000, price="-5"),
        "trade 8 has the price -5, but it must be above 0",
        id="price below 0",
    ),
    pytest.param(
        Deal(8, NOW - 1_000, price="0"),
        "trade 8 has the price 0, but it must be above 0",
        id="price of 0",
    ),
    pytest.param(
        Deal(8, NOW - 1_000, amount="-1"),
        "trade 8 has the amount -1, but it must be 0 or more",
        id="amount below 0",
    ),
    pytest.param(
        Deal(8, NOW - 1_000, price=""),
        "trade 8 has the price None, which is no number of up to 38 digits",
        id="no number",
    ),
    pytest.param(
        Deal(8, NOW + DAY_MS),
        "trade 8 has the time 2023-11-15T22:13:20.000Z, which is in the future",
        id="in the future",
    ),
]


@pytest.mark.parametrize(("deal", "what"), _NONSENSE)
def test_an_answer_that_cannot_be_is_one_error(deal, what):
    exchange = Exchange([Deal(7, NOW - 2_000), deal])

    with pytest.raises(SourceError) as caught:
        _pull("kraken", exchange, Position(NOW - 3_000))

    assert str(caught.value) == (
        f"kraken BTC/USD: {what}. Nothing of this answer was kept; try again, and ask the exchange "
        "if it stays so."
    )


def test_a_trade_that_is_older_than_the_one_before_it_is_an_error():
    deals = [Deal(7, NOW - 2_000), Deal(8, NOW - DAY_MS)]

    with pytest.raises(SourceError, match=r"XRP/ETH: a trade after 7 is older than it\. Nothing"):
        _pull("binance", Exchange(deals), Position(NOW - 2_000, "7"))


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        pytest.param(
            (429, b"{}"),
            "Exchange kraken: RateLimitExceeded: kraken GET URL/0/public/Trades?pair=XXBTZUSD&"
            "since=1699999998999999999&count=10 429 Too Many Requests {}. Lower "
            "`calls_per_second`.",
            id="rate limit",
        ),
        pytest.param(
            (500, b"{}"),
            "Exchange kraken: ExchangeNotAvailable: kraken GET URL/0/public/Trades?pair=XXBTZUSD&"
            "since=1699999998999999999&count=10 500 Internal Server Error {}. Try again; check "
            "the network and the extra `url`.",
            id="down",
        ),
        pytest.param(
            (200, b'{"error": [], "result": {"XXBTZUSD": [5]}}'),
            "Exchange kraken: BadResponse: kraken answered in another form (AttributeError: 'int' "
            "object has no attribute 'append'). Check what stands between it and here.",
            id="another form",
        ),
    ],
)
def test_an_exchange_that_does_not_serve_is_told_with_the_cure(answer, told):
    exchange = Exchange([Deal(1, NOW - 500)], instead=[answer])

    with pytest.raises(SourceError) as caught:
        _pull("kraken", exchange, Position(NOW - 1_000))

    assert str(caught.value) == told


def test_an_unknown_market_is_told_with_the_nearest():
    with pytest.raises(ConfigError) as caught:
        _pull("kraken", Exchange(), Position(NOW - 1_000), market="BTC/USDD")

    assert str(caught.value) == (
        "kraken lists no market 'BTC/USDD'. Did you mean 'BTC/USD'? Name one that it lists."
    )


def test_a_page_ends_the_read_where_the_next_one_fails():
    deals = _steady(30, 90_000)
    exchange = Exchange(deals, page=10, instead=[None, (500, b"{}")])
    venue = replace(venue_named("kraken"), trade_page=10)
    found = []

    with asking("kraken", exchange, NOW) as (client, _):
        pages = trade_pages(client, venue, "BTC/USD", Position(deals[0].at_ms), most_pages=9)
        with pytest.raises(Exception, match="500 Internal Server Error"):
            found.extend(pages)

    assert _numbers(found) == [deal.number for deal in deals[:10]]


def test_an_answer_of_another_kind_is_an_error():
    body = json.dumps({"error": ["EGeneral:Internal error"]}).encode()
    exchange = Exchange([Deal(1, NOW)], instead=[(200, body)])

    with pytest.raises(SourceError, match=r"^Exchange kraken: Exchange"):
        _pull("kraken", exchange, Position(NOW - 1_000))
