"""Airflow connections become sources with their credentials in place."""

import json
from contextvars import ContextVar
from functools import partial
from threading import Event

import pytest
from airflow.sdk import BaseHook, Connection
from hypothesis import given
from hypothesis import strategies as st

from onchain_agg.chains import chain_named
from onchain_agg.errors import ConfigError, SourceError
from onchain_agg.hooks import BitcoinHook, EvmHook, MarketHook, hook_for
from onchain_agg.hooks.asking import asked
from onchain_agg.hooks.sql_url import sql_url
from onchain_agg.sources.masking import scrubbed
from tests.fakes.http_server import serving

pytestmark = pytest.mark.airflow


@pytest.fixture
def connection(monkeypatch):
    def define(conn_id, **fields):
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(fields))

    return define


def _endpoints(hook):
    return hook.endpoints(hook.get_connection(hook.conn_id))


@pytest.mark.parametrize(
    ("host", "endpoints"),
    [
        pytest.param("https://a.example/v2", ["https://a.example/v2/key"], id="after the path"),
        pytest.param("https://a.example/v2/", ["https://a.example/v2/key"], id="one slash"),
        pytest.param(
            "https://a.example/{api_key}/rpc, https://b.example",
            ["https://a.example/key/rpc", "https://b.example"],
            id="only where it belongs",
        ),
    ],
)
def test_the_api_key_goes_into_the_url(connection, host, endpoints):
    connection("onchain_ethereum", conn_type="onchain_evm", host=host, password="key")  # noqa: S106 - no secret

    assert _endpoints(EvmHook("onchain_ethereum")) == endpoints


def test_an_api_key_is_one_part_of_the_url_and_no_error_holds_it(connection):
    with serving(lambda *_: (500, b"")) as node:
        connection(
            "onchain_ethereum",
            conn_type="onchain_evm",
            host=f"{node.url}/{{api_key}}/rpc",
            password="k/%e y?1",  # noqa: S106 - no secret
        )
        source = EvmHook("onchain_ethereum").source(chain_named("ethereum"))
        with pytest.raises(SourceError) as caught:
            source.check_chain()

    assert node.paths == ["/k%2F%25e%20y%3F1/rpc"]
    assert f"{node.url}/***/rpc" in str(caught.value)
    assert "k/%e" not in str(caught.value)


@pytest.mark.parametrize(
    ("host", "which"),
    [
        pytest.param("https://user:pa/ss@127.0.0.1:1/x", "its host", id="a slash in a password"),
        pytest.param("http://[bad", "its host", id="no address"),
        pytest.param("http://node:99999/k", "its host", id="no port"),
        pytest.param("node:8545", "its host", id="no scheme"),
        pytest.param("http://a.example,http://u:p@[::1", "URL 2 in its host", id="the second"),
    ],
)
@pytest.mark.parametrize(
    ("hook", "conn_type"), [(EvmHook, "onchain_evm"), (BitcoinHook, "onchain_bitcoin")]
)
def test_a_url_that_is_none_is_told_without_its_text(connection, hook, conn_type, host, which):
    connection("node", conn_type=conn_type, host=host, login="me")

    with pytest.raises(ConfigError) as caught:
        _endpoints(hook("node"))

    assert str(caught.value) == (
        f"Connection 'node': {which} is not an http:// or https:// URL. Correct it. In a user or "
        "password, write / as %2F, @ as %40 and a comma as %2C."
    )


@pytest.mark.parametrize("extra", ['["key"]', "{key", '"key"', "5"])
@pytest.mark.parametrize("hook", [EvmHook, BitcoinHook, MarketHook])
def test_an_extra_that_is_no_object_is_told_without_its_text(monkeypatch, hook, extra):
    found = Connection(conn_id="node", conn_type=hook.conn_type, host="kraken", extra=extra)
    monkeypatch.setattr(BaseHook, "get_connection", lambda *_: found)

    assert hook("node").test_connection() == (
        False,
        'This connection: its extra is no JSON object. Write it as {"name": "value"}.',
    )


def test_a_database_with_an_extra_that_is_no_object_is_told():
    found = Connection(conn_id="src", conn_type="postgres", host="db", extra='["key"]')

    with pytest.raises(ConfigError) as caught:
        sql_url(found, found.extra_dejson)

    assert str(caught.value) == (
        'Connection \'src\': its extra is no JSON object. Write it as {"name": "value"}.'
    )


def test_a_question_is_asked_in_the_context_of_its_asker():
    variable = ContextVar("variable", default="nobody")
    variable.set("the asker")

    assert asked(variable.get).result(5) == "the asker"


def test_a_question_that_nobody_waits_for_any_more_ends_quietly():
    may_end = Event()

    future = asked(partial(may_end.wait, 5))

    assert not future.cancel()
    may_end.set()
    assert future.result(5) is True


def test_an_api_key_is_not_shown_to_a_second_provider(connection):
    connection(
        "onchain_ethereum",
        conn_type="onchain_evm",
        host="https://a.example,https://b.example",
        password="key",  # noqa: S106 - no secret
    )

    with pytest.raises(ConfigError, match=r"2 URLs\. Write \{api_key\} into each URL"):
        _endpoints(EvmHook("onchain_ethereum"))


def test_the_rpc_user_goes_into_the_urls_that_name_none(connection):
    connection(
        "onchain_bitcoin",
        conn_type="onchain_bitcoin",
        host="http://a.example:8332,http://you:word@b.example:8332",
        login="me",
        password="p@ss/word",  # noqa: S106 - no secret
    )

    assert _endpoints(BitcoinHook("onchain_bitcoin")) == [
        "http://me:p%40ss%2Fword@a.example:8332",
        "http://you:word@b.example:8332",
    ]


def test_block_files_are_a_source_of_their_own(connection, tmp_path):
    connection(
        "onchain_bitcoin", conn_type="onchain_bitcoin", extra={"blocks": str(tmp_path / "blocks")}
    )
    hook = hook_for(chain_named("bitcoin"))

    with pytest.raises(ConfigError, match=r"'blocks' is '.*/blocks', which does not exist"):
        hook.source(chain_named("bitcoin"))


def test_limits_reach_the_client_and_unknown_extras_do_not(connection):
    connection(
        "onchain_ethereum",
        conn_type="onchain_evm",
        host="http://127.0.0.1:1",
        extra={"timeout_s": "2.5", "calls_per_second": 7, "quota_tries": 99, "traces": "never"},
    )

    limits = EvmHook("onchain_ethereum")._limits(
        EvmHook.get_connection("onchain_ethereum").extra_dejson
    )

    assert (limits.timeout_s, limits.calls_per_second, limits.quota_tries) == (2.5, 7.0, 6)


@pytest.mark.parametrize("value", [0, -1, "often", "nan", "inf"])
def test_a_limit_that_cannot_be_is_refused(connection, value):
    connection(
        "onchain_ethereum",
        conn_type="onchain_evm",
        host="http://127.0.0.1:1",
        extra={"calls_per_second": value},
    )

    with pytest.raises(ConfigError, match=r"'calls_per_second' is .*Give a number above 0"):
        EvmHook("onchain_ethereum").source(chain_named("ethereum"))


def test_a_missing_connection_is_named_with_its_cure(monkeypatch):
    monkeypatch.delenv("AIRFLOW_CONN_ONCHAIN_BASE", raising=False)
    hook = hook_for(chain_named("base"))

    assert not hook.is_configured()
    with pytest.raises(
        ConfigError, match="airflow connections add onchain_base --conn-type onchain_evm"
    ):
        hook.source(chain_named("base"))


def test_a_short_key_is_in_no_error_of_a_task(connection):
    with serving(lambda *_: (500, b"")) as node:
        connection("onchain_ethereum", conn_type="onchain_evm", host=node.url, password="abc")  # noqa: S106 - no secret
        source = EvmHook("onchain_ethereum").source(chain_named("ethereum"))
        with pytest.raises(SourceError) as caught:
            source.check_chain()

    assert node.paths == ["/abc"]
    assert "abc" not in str(caught.value)
    assert f"{node.url}/***" in str(caught.value)


@given(
    secrets=st.lists(st.text("abXY09/+", min_size=8, max_size=20), min_size=1, max_size=3),
    words=st.lists(st.text("abXY09/+ ", max_size=8), min_size=4, max_size=4),
)
def test_no_secret_is_left_in_a_text(secrets, words):
    text = words[0] + "".join(
        secret + word for secret, word in zip(secrets, words[1:], strict=False)
    )

    left = scrubbed(text, secrets)

    assert [secret for secret in secrets if secret in left] == []


def test_a_short_secret_is_masked_where_it_stands_alone():
    assert scrubbed("/v2/key?key=key is no keyword", ["key", ""]) == "/v2/***?***=*** is no keyword"
