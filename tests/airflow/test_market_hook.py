"""An Airflow connection becomes an exchange's client, and its errors this package's."""

import json
import time

import pytest

from onchain_agg.errors import ConfigError, SourceError, UnknownNameError
from onchain_agg.hooks import MarketHook
from tests.airflow.connections import asked_of_a_worker, asked_of_the_api_server
from tests.fakes.http_server import serving

pytestmark = pytest.mark.airflow

_TIME = json.dumps({"error": [], "result": {"unixtime": 1_591_502_873}}).encode()


@pytest.fixture
def hook(monkeypatch):
    def define(**fields):
        written = {"conn_type": "onchain_market", "host": "kraken", **fields}
        monkeypatch.setenv("AIRFLOW_CONN_ONCHAIN_KRAKEN", json.dumps(written))
        return MarketHook("onchain_kraken")

    return define


@pytest.fixture(params=[asked_of_the_api_server, asked_of_a_worker])
def tested(request):
    """Return Airflow's test of a connection, once by each process that may run it."""
    return request.param


def test_a_connection_is_an_exchanges_client(hook):
    extra = {"timeout_s": "2.5", "calls_per_second": 4, "url": "http://127.0.0.1:81"}

    client = hook(login="key", password="word", extra=extra).client()  # noqa: S106 - no secret

    assert (client.id, client.apiKey, client.secret) == ("kraken", "key", "word")
    assert (client.timeout, client.rateLimit, client.enableRateLimit) == (2500, 250, True)
    assert client.urls["api"]["public"] == "http://127.0.0.1:81"


def test_a_connection_needs_an_exchange_alone(hook):
    client = hook().client()

    assert (client.timeout, client.rateLimit) == (10_000, 1000)
    assert not client.apiKey
    assert client.urls["api"]["public"] == "https://api.kraken.com"


def test_unknown_extras_do_not_reach_the_client(hook):
    extra = {
        "verify": False,
        "verbose": True,
        "httpsProxy": "http://thief.example",
        "urls": {"api": {"public": "http://thief.example"}},
        "hostname": "thief.example",
        "options": {"adjustForTimeDifference": True},
        "enableRateLimit": False,
        "headers": {"X-From": "here"},
    }
    plain, client = hook().client(), hook(extra=extra).client()

    assert client.describe() == plain.describe()
    for name in ("verify", "verbose", "httpsProxy", "urls", "hostname", "options", "headers"):
        assert getattr(client, name) == getattr(plain, name)
    assert client.enableRateLimit is True


@pytest.mark.parametrize(
    ("sandbox", "host"),
    [(True, "testnet.binance.vision"), ("true", "testnet.binance.vision")]
    + [(off, "api.binance.com") for off in (False, "False", "", None)],
)
def test_the_sandbox_is_on_or_off(hook, sandbox, host):
    client = hook(host="binance", extra={"sandbox": sandbox}).client()

    assert client.urls["api"]["public"] == f"https://{host}/api/v3"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        pytest.param(
            {"host": ""},
            "Connection 'onchain_kraken' names no exchange. Give the exchange's id in ccxt, such "
            "as kraken, as its host.",
            id="no exchange",
        ),
        pytest.param(
            {"extra": {"timeout_s": 0}},
            "Connection 'onchain_kraken': extra 'timeout_s' is 0. Give a number above 0.",
            id="no time",
        ),
        pytest.param(
            {"extra": {"sandbox": "maybe"}},
            "Connection 'onchain_kraken': extra 'sandbox' is 'maybe'. Give true or false.",
            id="no truth",
        ),
        *(
            pytest.param(
                {"extra": {"url": url}},
                "Connection 'onchain_kraken': extra 'url' is not an http:// or https:// URL without"
                " a query. Correct it.",
                id=f"url {url}",
            )
            for url in (
                "proxy.example",
                "ftp://proxy.example",
                "http://",
                "http://a/?k=v",
                "http://[x",
                "http://h:99999999/secret",
                5,
            )
        ),
        pytest.param(
            {"extra": {"sandbox": True}},
            "kraken has no test system. Leave `sandbox` out.",
            id="no test system",
        ),
    ],
)
def test_a_value_that_cannot_be_is_refused(hook, fields, message):
    with pytest.raises(ConfigError) as caught:
        hook(**fields).client()

    assert str(caught.value) == message


def test_an_unknown_exchange_is_named_with_what_was_meant(hook):
    with pytest.raises(UnknownNameError, match=r"named 'krakken'\. Did you mean 'kraken'\? Defin"):
        hook(host="krakken").client()


def test_a_missing_connection_is_named_with_its_cure(monkeypatch):
    monkeypatch.delenv("AIRFLOW_CONN_ONCHAIN_MARKET", raising=False)

    with pytest.raises(ConfigError) as caught:
        MarketHook("onchain_market").client()

    assert str(caught.value) == (
        "Connection 'onchain_market' does not exist. Add it with `airflow connections add "
        "onchain_market --conn-type onchain_market --conn-host <id of the exchange>`."
    )


def test_a_session_asks_the_exchange(hook):
    with (
        serving(lambda *_: (200, _TIME)) as served,
        hook(extra={"url": f"{served.url}/in"}).session() as client,
    ):
        at = client.fetch_time()

    assert at == 1_591_502_873_000
    assert served.paths == ["/in/0/public/Time"]


@pytest.mark.parametrize(
    ("answer", "kind", "message"),
    [
        pytest.param(
            (429, b"my-own-key asked too much"),
            SourceError,
            "RateLimitExceeded: kraken GET URL/0/public/Time 429 Too Many Requests *** asked too "
            "much. Lower `calls_per_second`.",
            id="rate limit",
        ),
        pytest.param(
            (401, b"my-own-word is wrong"),
            ConfigError,
            "AuthenticationError: kraken GET URL/0/public/Time 401 Unauthorized *** is wrong. "
            "Correct the API key and the secret.",
            id="credentials",
        ),
    ],
)
def test_an_error_in_a_session_names_connection_and_exchange_and_no_key(
    hook, answer, kind, message
):
    with serving(lambda *_: answer) as served:
        kraken = hook(login="my-own-key", password="my-own-word", extra={"url": served.url})  # noqa: S106 - no secret
        with pytest.raises(kind) as caught, kraken.session() as client:
            client.fetch_time()

    told = str(caught.value).replace(served.url, "URL")
    assert told == f"Connection 'onchain_kraken' (exchange kraken): {message}"


def test_a_session_names_no_login_of_the_proxy(hook):
    extra = {"url": "http://some:one@127.0.0.1:1/long-key-in-the-path"}

    with pytest.raises(SourceError) as caught, hook(extra=extra).session() as client:
        client.fetch_time()

    assert str(caught.value) == (
        "Connection 'onchain_kraken' (exchange kraken): NetworkError: kraken GET "
        "http://***:***@127.0.0.1:1/***/0/public/Time. Try again; check the network and the extra "
        "`url`."
    )


def test_the_test_button_tells_the_exchanges_clock(tested):
    with serving(lambda *_: (200, _TIME)) as served:
        found = tested(conn_type="onchain_market", host="kraken", extra={"url": served.url})

    assert found == (
        True,
        f"kraken at {served.address} answers: its clock says 2020-06-07T04:07:53.000Z.",
    )


def test_the_test_button_says_that_it_tries_no_key(tested):
    with serving(lambda *_: (200, _TIME)) as served:
        works, told = tested(
            conn_type="onchain_market", host="kraken", login="k", extra={"url": served.url}
        )

    assert works
    assert told.endswith("53.000Z. The API key was not tried.")
    assert not any("API-Key" in headers for headers in served.headers)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        pytest.param(
            (429, b""),
            "RateLimitExceeded: kraken GET URL/0/public/Time 429 Too Many Requests. Lower "
            "`calls_per_second`.",
            id="rate limit",
        ),
        pytest.param(
            (500, b""),
            "ExchangeNotAvailable: kraken GET URL/0/public/Time 500 Internal Server Error. Try "
            "again; check the network and the extra `url`.",
            id="not available",
        ),
        pytest.param(
            (200, b"\xff\x00"),
            "BadResponse: 127.0.0.1 answered with something that is not JSON (\ufffd\x00). Check "
            "what stands between it and here.",
            id="garbage",
        ),
    ],
)
def test_the_test_button_tells_why_not(tested, answer, message):
    with serving(lambda *_: answer) as served:
        works, told = tested(conn_type="onchain_market", host="kraken", extra={"url": served.url})

    assert not works
    assert told.replace(served.url, "URL") == f"This connection (exchange kraken): {message}"


def test_the_test_button_ends_though_the_exchange_is_silent(monkeypatch):
    monkeypatch.setattr("onchain_agg.hooks.market.QUICK_TIMEOUT_S", 0.2)
    extra = {"timeout_s": 60}

    def slow(*_):
        time.sleep(0.6)
        return 200, _TIME

    with serving(slow) as served:
        works, told = asked_of_a_worker(
            conn_type="onchain_market", host="kraken", extra={**extra, "url": served.url}
        )

    assert not works
    assert told == (
        f"This connection (exchange kraken): RequestTimeout: kraken GET {served.url}/0/public/Time."
        " Try again, or raise `timeout_s`."
    )
