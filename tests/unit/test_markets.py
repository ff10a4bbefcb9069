"""Every venue's file says what its exchange can be asked for."""

import re

import pytest
from click.testing import CliRunner

from onchain_agg.cli import main
from onchain_agg.errors import UnknownNameError
from onchain_agg.markets import all_venues, venue_named
from onchain_agg.sources.market import ExchangeAccess, open_exchange

_SPOT, _PERPETUAL = r"[A-Z]+/[A-Z]+", r"[A-Z]+/[A-Z]+:[A-Z]+"


def test_the_venues_are_those_of_the_files():
    assert list(all_venues()) == ["binance", "bithumb", "coinbase", "kraken", "upbit"]
    assert [venue.name for venue in all_venues().values()] == list(all_venues())


@pytest.mark.parametrize("venue", all_venues().values(), ids=lambda venue: venue.name)
def test_an_exchange_offers_what_is_pulled_from_it(venue):
    exchange = open_exchange(ExchangeAccess(exchange=venue.exchange))

    assert venue.conn_id == f"onchain_{venue.name}"
    assert exchange.has["fetchTrades"] is True
    assert exchange.has["fetchOHLCV"] is True
    assert not venue.funding or exchange.has["fetchFundingRateHistory"] is True
    assert all(re.fullmatch(_SPOT, name) for name in venue.trades)
    assert all(re.fullmatch(_SPOT, name) for name, _ in venue.candles)
    assert all(re.fullmatch(_PERPETUAL, name) for name in venue.funding)


@pytest.mark.parametrize("name", ["bithumb", "upbit"])
def test_a_venue_in_won_is_asked_for_the_price_of_tether(name):
    venue = venue_named(name)
    exchange = open_exchange(ExchangeAccess(exchange=venue.exchange))
    market = "/".join(exchange.safe_currency_code(code) for code in ("USDT", "KRW"))

    assert market in venue.trades
    assert (market, "1d") in venue.candles


def test_an_unknown_venue_is_told_with_the_nearest():
    with pytest.raises(UnknownNameError) as caught:
        venue_named("binanse")

    assert str(caught.value) == (
        "No venue is named 'binanse'. Did you mean 'binance'? Defined: binance, bithumb, coinbase, "
        "kraken, upbit."
    )


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        *(
            (
                "--url",
                url,
                (
                    "it is not an http:// or https:// URL without a query. Write it as "
                    "https://host:port/path."
                ),
            )
            for url in ("notaurl", "ftp://host", "http://", "https://host/?key=secret")
        ),
        *(
            (
                "--calls-per-second",
                number,
                f"{number} is not a number above 0. Leave it out, or correct it.",
            )
            for number in ("-1", "0", "nan", "inf")
        ),
    ],
)
def test_a_pull_is_refused_where_an_option_cannot_be(option, value, told):
    done = CliRunner().invoke(main, ["market", "pull", "kraken", option, value])

    assert done.exit_code == 2
    assert done.output.splitlines()[-1] == f"Error: Invalid value for '{option}': {told}"
    assert "secret" not in done.output
