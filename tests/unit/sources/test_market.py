"""Exchange clients: what they are given, where they ask, and what their errors become."""

import json
import subprocess
import sys
import threading

import pytest

from onchain_agg.errors import ConfigError, SourceError, UnknownNameError
from onchain_agg.sources.market import (
    ExchangeAccess,
    exchange_errors,
    open_exchange,
    sign_of_life,
)
from tests.fakes.http_server import serving

_TIME = json.dumps({"error": [], "result": {"unixtime": 1_591_502_873}}).encode()


def _kraken(served, **access):
    return open_exchange(ExchangeAccess(exchange="kraken", url=served.url, **access))


def _error_of(answer, **access):
    """Return the error of asking kraken's time where *answer* is what comes back."""
    with serving(lambda *_: answer) as served:
        kraken = _kraken(served, **access)
        with (
            pytest.raises((ConfigError, SourceError)) as caught,
            exchange_errors("Exchange kraken", lambda text: text),
        ):
            sign_of_life(kraken)
        return type(caught.value), str(caught.value).replace(served.url, "URL")


def test_an_exchange_tells_its_time_over_http():
    with serving(lambda *_: (200, _TIME)) as served:
        assert sign_of_life(_kraken(served)) == "its clock says 2020-06-07T04:07:53.000Z"

    assert served.paths == ["/0/public/Time"]


def test_an_exchange_without_a_clock_counts_its_markets():
    answers = {
        "GetValidPrimaryCurrencyCodes": ["Xbt", "Eth"],
        "GetValidSecondaryCurrencyCodes": ["Aud"],
        "GetOrderMinimumVolumes": {"Xbt": 0.0001, "Eth": 0.001},
    }

    def answer(path, _body):
        return 200, json.dumps(answers[path.rpartition("/")[2]]).encode()

    with serving(answer) as served:
        exchange = open_exchange(
            ExchangeAccess(
                exchange="independentreserve", url=f"{served.url}/ir/", calls_per_second=1000
            )
        )

        assert sign_of_life(exchange) == "markets listed: 2"
    assert served.paths[0] == "/ir/Public/GetValidPrimaryCurrencyCodes"


def test_an_exchange_without_markets_is_no_sign_of_life():
    with serving(lambda *_: (200, b"[]")) as served:
        exchange = open_exchange(
            ExchangeAccess(exchange="independentreserve", url=served.url, calls_per_second=1000)
        )

        with (
            pytest.raises(SourceError) as caught,
            exchange_errors("Exchange", lambda text: text),
        ):
            sign_of_life(exchange)

    assert str(caught.value) == (
        "Exchange: BadResponse: independentreserve answered without its time or any market. Check "
        "what stands between it and here."
    )


def test_options_reach_the_client():
    exchange = open_exchange(
        ExchangeAccess(
            exchange="kraken",
            api_key="key",
            secret="word",  # noqa: S106 - no secret
            timeout_s=2.5,
            calls_per_second=4,
        )
    )

    assert exchange.enableRateLimit is True
    assert (exchange.apiKey, exchange.secret) == ("key", "word")
    assert (exchange.timeout, exchange.rateLimit) == (2500, 250)


def test_without_options_the_client_keeps_to_what_ccxt_knows():
    exchange = open_exchange(ExchangeAccess(exchange="kraken"))

    assert (exchange.timeout, exchange.rateLimit, exchange.enableRateLimit) == (10_000, 1000, True)
    assert not exchange.apiKey
    assert exchange.urls["api"]["public"] == "https://api.kraken.com"


def test_calls_keep_to_the_rate_limit():
    with serving(lambda *_: (200, _TIME)) as served:
        kraken = _kraken(served, calls_per_second=5)
        waits = []
        kraken.throttle = lambda cost: waits.append(kraken.rateLimit * cost)
        sign_of_life(kraken)
        sign_of_life(kraken)

    assert waits == [200.0, 200.0]


@pytest.mark.parametrize("exchange", ["kraken", "binance", "bybit", "bitso"])
def test_a_proxy_takes_every_call_and_keeps_its_path(exchange):
    plain = open_exchange(ExchangeAccess(exchange=exchange)).urls["api"]
    moved = open_exchange(ExchangeAccess(exchange=exchange, url="http://proxy:81/in")).urls["api"]

    assert set(moved) == set(plain)
    for name, url in plain.items():
        path = url.split("//")[1].partition("/")[2]
        assert moved[name] == f"http://proxy:81/in{'/' if path else ''}{path}"


def test_the_test_system_has_hosts_of_its_own():
    exchange = open_exchange(ExchangeAccess(exchange="binance", sandbox=True))

    assert exchange.urls["api"]["public"] == "https://testnet.binance.vision/api/v3"


def test_an_exchange_without_a_test_system_says_so():
    with pytest.raises(ConfigError) as caught:
        open_exchange(ExchangeAccess(exchange="kraken", sandbox=True))

    assert str(caught.value) == "kraken has no test system. Leave `sandbox` out."


def test_an_unknown_exchange_is_named_with_what_was_meant():
    with pytest.raises(UnknownNameError, match=r"^No exchange is named 'krakn'\. Did you mean 'kr"):
        open_exchange(ExchangeAccess(exchange="krakn"))


@pytest.mark.parametrize("name", ["base", "Kraken", "async_support", "__init__", "../kraken"])
def test_only_exchanges_are_imported(name):
    with pytest.raises(UnknownNameError):
        open_exchange(ExchangeAccess(exchange=name))


@pytest.mark.parametrize(
    ("answer", "kind", "message"),
    [
        pytest.param(
            (429, b"slow\n down"),
            SourceError,
            "RateLimitExceeded: kraken GET URL/0/public/Time 429 Too Many Requests slow down. "
            "Lower `calls_per_second`.",
            id="rate limit",
        ),
        pytest.param(
            (500, b"oops"),
            SourceError,
            "ExchangeNotAvailable: kraken GET URL/0/public/Time 500 Internal Server Error oops. "
            "Try again; check the network and the extra `url`.",
            id="not available",
        ),
        pytest.param(
            (401, b"no"),
            ConfigError,
            "AuthenticationError: kraken GET URL/0/public/Time 401 Unauthorized no. Correct the "
            "API key and the secret.",
            id="credentials",
        ),
        pytest.param(
            (200, b"<html>hello</html>"),
            SourceError,
            "BadResponse: 127.0.0.1 answered with something that is not JSON "
            "(<html>hello</html>). Check what stands between it and here.",
            id="a page",
        ),
        pytest.param(
            (200, b"{"),
            SourceError,
            "BadResponse: 127.0.0.1 answered with something that is not JSON ({). Check what "
            "stands between it and here.",
            id="cut off",
        ),
        pytest.param(
            (200, b'{"result": {}}'),
            SourceError,
            "BadResponse: kraken answered without its time or any market. Check what stands "
            "between it and here.",
            id="no time",
        ),
        pytest.param(
            (200, b'{"error": 5}'),
            SourceError,
            "BadResponse: kraken answered in another form (TypeError: object of type 'int' has no "
            "len()). Check what stands between it and here.",
            id="another form",
        ),
    ],
)
def test_a_bad_answer_becomes_an_error_with_its_cure(answer, kind, message):
    assert _error_of(answer) == (kind, f"Exchange kraken: {message}")


def test_a_long_error_page_is_cut():
    _, message = _error_of((500, b"x" * 5000))

    assert len(message) < 350
    assert "xxx…. Try again" in message


def test_silence_is_a_timeout():
    over = threading.Event()

    def silent(*_):
        over.wait(5)
        return 200, b"{}"

    with serving(silent) as served:
        kraken = _kraken(served, timeout_s=0.2)
        with (
            pytest.raises(SourceError) as caught,
            exchange_errors("Exchange kraken", lambda text: text),
        ):
            sign_of_life(kraken)
        over.set()

    assert str(caught.value) == (
        f"Exchange kraken: RequestTimeout: kraken GET {served.url}/0/public/Time. Try again, or "
        "raise `timeout_s`."
    )


def test_an_unlisted_market_is_an_error_that_no_retry_helps():
    kraken = open_exchange(ExchangeAccess(exchange="kraken"))
    kraken.set_markets([])

    with pytest.raises(ConfigError) as caught, exchange_errors("Exchange kraken", lambda t: t):
        kraken.market("BTC/NONE")

    assert str(caught.value) == (
        "Exchange kraken: BadSymbol: kraken does not have market symbol BTC/NONE. Name a market "
        "that the exchange lists."
    )


def test_an_error_shows_no_key():
    kraken = open_exchange(ExchangeAccess(exchange="kraken", url="http://127.0.0.1:1/key-of-mine"))

    with (
        pytest.raises(SourceError) as caught,
        exchange_errors("Exchange kraken", lambda text: text.replace("key-of-mine", "***")),
    ):
        sign_of_life(kraken)

    assert str(caught.value) == (
        "Exchange kraken: NetworkError: kraken GET http://127.0.0.1:1/***/0/public/Time. Try again;"
        " check the network and the extra `url`."
    )
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_other_errors_pass():
    with pytest.raises(ZeroDivisionError), exchange_errors("Exchange kraken", lambda text: text):
        1 / 0  # noqa: B018 - any error of the caller's own


def test_credentials_are_in_no_representation():
    access = ExchangeAccess(
        exchange="kraken",
        api_key="mine",
        secret="word",  # noqa: S106 - no secret
        url="http://u:p@x",
    )

    assert repr(access) == (
        "ExchangeAccess(exchange='kraken', timeout_s=10.0, calls_per_second=None, sandbox=False)"
    )


def test_one_exchange_does_not_load_the_hundred_others():
    code = (
        "import sys\n"
        "from onchain_agg.sources.market import ExchangeAccess, exchange_errors, open_exchange\n"
        "print('ccxt.base' in sys.modules)\n"
        "kraken = open_exchange(ExchangeAccess(exchange='kraken'))\n"
        "print('ccxt.binance' in sys.modules)\n"
        "import ccxt\n"
        "print(isinstance(kraken, ccxt.kraken), ccxt.binance.__name__)\n"
        "print(isinstance(open_exchange(ExchangeAccess(exchange='kraken')), ccxt.Exchange))\n"
        "try:\n"
        "    with exchange_errors('here', str): raise ccxt.BadSymbol('gone')\n"
        "except Exception as error: print(type(error).__name__)\n"
    )

    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout

    assert printed.split("\n") == ["False", "False", "True binance", "True", "ConfigError", ""]
