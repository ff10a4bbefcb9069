"""The JSON-RPC client against scripted endpoints: order, failover, quotas, limits and secrets."""

import json
from collections import defaultdict

import pytest
import urllib3

from onchain_agg.errors import ConfigError, SourceError
from onchain_agg.sources.masking import masked
from onchain_agg.sources.rpc import (
    HttpAnswer,
    RefusedError,
    Rpc,
    RpcLimits,
    TooLargeError,
    UnsupportedError,
    decoder_of,
)

TEXT = decoder_of(str)
A, B = "http://a:1", "http://b:1"


class Endpoints:
    """Answers from a script by URL, on a clock that only sleeping moves."""

    def __init__(self, **scripts):
        self.scripts = {f"http://{name}:1": list(answers) for name, answers in scripts.items()}
        self.calls = defaultdict(list)
        self.sent_at = []
        self.now = 100.0

    def send(self, url, body):
        requests = json.loads(body)
        self.calls[url].append(requests)
        self.sent_at.append(self.now)
        script = self.scripts[url]
        answer = script.pop(0) if len(script) > 1 else script[0]
        if isinstance(answer, Exception):
            raise answer
        return answer(requests) if callable(answer) else answer

    def sleep(self, seconds):
        self.now += seconds

    def rpc(self, *urls, **limits):
        return Rpc(
            urls or list(self.scripts),
            RpcLimits(**limits),
            send=self.send,
            clock=lambda: self.now,
            sleep=self.sleep,
        )


def ok(requests):
    many = requests if isinstance(requests, list) else [requests]
    replies = [{"id": r["id"], "result": f"{r['method']}{r['params']}"} for r in many]
    # A node may answer a batch in any order.
    body = replies[::-1] if isinstance(requests, list) else replies[0]
    return HttpAnswer(200, json.dumps(body).encode())


def error(code, message, status=200):
    body = {"jsonrpc": "2.0", "id": None, "error": {"code": code, "message": message}}
    return HttpAnswer(status, json.dumps(body).encode())


def calls(count):
    return [("m", (n,)) for n in range(count)]


def test_answers_come_back_in_the_order_of_their_calls():
    node = Endpoints(a=[ok])

    answers = node.rpc().ask(calls(3), TEXT)

    assert answers.results == ["m[0]", "m[1]", "m[2]"]


def test_nothing_is_sent_for_no_calls():
    node = Endpoints(a=[ok])

    assert node.rpc().ask([], TEXT).results == []
    assert node.calls == {}


def test_long_lists_are_cut_into_batches_and_a_single_call_goes_bare():
    node = Endpoints(a=[ok])

    answers = node.rpc(batch_calls=2).ask(calls(5), TEXT)

    assert answers.results == [f"m[{n}]" for n in range(5)]
    sizes = [len(sent) if isinstance(sent, list) else "bare" for sent in node.calls[A]]
    assert sizes == [2, 2, "bare"]


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(ConnectionRefusedError("nobody there"), id="refused"),
        pytest.param(urllib3.exceptions.ReadTimeoutError(None, None, "slow"), id="timeout"),
        pytest.param(HttpAnswer(502, b"<html>bad gateway</html>"), id="bad gateway"),
        pytest.param(HttpAnswer(200, b"<html>welcome</html>"), id="not JSON"),
        pytest.param(HttpAnswer(200, b'{"id":0,"result":{"a":1}}'), id="another form"),
        pytest.param(HttpAnswer(200, b'{"id":0,"result":null}'), id="null"),
        pytest.param(error(-32000, "internal"), id="an error of its own"),
    ],
)
def test_a_failing_endpoint_hands_over_to_the_next(broken):
    node = Endpoints(a=[broken], b=[ok])

    assert node.rpc().ask(calls(1), TEXT).results == ["m[0]"]
    assert len(node.calls[A]) == 1


def test_an_endpoint_that_failed_rests_while_another_answers():
    node = Endpoints(a=[ConnectionRefusedError("nobody there"), ok], b=[ok])
    rpc = node.rpc()

    for _ in range(3):
        rpc.ask(calls(1), TEXT)
    node.now += 15
    rpc.ask(calls(1), TEXT)

    assert (len(node.calls[A]), len(node.calls[B])) == (2, 3)
    assert node.now == 115.0


def test_the_error_names_every_endpoint_the_range_and_the_reason():
    node = Endpoints(a=[ConnectionRefusedError("nobody there")], b=[HttpAnswer(502, b"oops")])

    with pytest.raises(SourceError) as caught:
        node.rpc().ask(calls(1), TEXT, "Blocks 5-9")

    assert str(caught.value) == (
        "Blocks 5-9: m at http://a:1: no answer (ConnectionRefusedError: nobody there). "
        "Blocks 5-9: m at http://b:1: HTTP 502."
    )


def test_an_answer_that_is_missing_from_a_batch_is_an_error_and_not_a_shift():
    def forgetful(requests):
        return HttpAnswer(200, json.dumps([{"id": 1, "result": "one"}]).encode())

    with pytest.raises(SourceError, match="answered null"):
        Endpoints(a=[forgetful]).rpc().ask(calls(2), TEXT)


def test_a_refused_size_is_left_to_the_caller_and_no_other_endpoint_is_asked():
    node = Endpoints(a=[error(-32005, "query returned more than 10000 results")], b=[ok])

    with pytest.raises(TooLargeError, match="more than 10000"):
        node.rpc().ask(calls(1), TEXT)
    assert node.calls[B] == []


def test_a_method_that_no_endpoint_offers_is_told_apart_from_a_refusal():
    missing = error(-32601, "the method m does not exist")

    with pytest.raises(UnsupportedError):
        Endpoints(a=[missing], b=[missing]).rpc().ask(calls(1), TEXT)
    with pytest.raises(RefusedError) as refused:
        Endpoints(a=[missing], b=[error(-32000, "no")]).rpc().ask(calls(1), TEXT)
    with pytest.raises(SourceError) as unreachable:
        Endpoints(a=[missing], b=[OSError()]).rpc().ask(calls(1), TEXT)

    assert type(refused.value) is RefusedError
    assert type(unreachable.value) is SourceError


def test_pruned_history_says_what_to_do():
    node = Endpoints(a=[error(-32000, "missing trie node 1234")])

    with pytest.raises(SourceError) as caught:
        node.rpc().ask(calls(1), TEXT, "Blocks 1-2")

    assert str(caught.value) == (
        "Blocks 1-2: m at http://a:1: error -32000: missing trie node 1234. Point the connection "
        "at a node that keeps this history (an archive node)."
    )


def test_answers_nested_deeper_than_can_be_decoded_are_one_clear_error():
    deep = b'{"id":0,"result":' + b"[" * 5000 + b"]" * 5000 + b"}"

    with pytest.raises(SourceError, match="calls nested too deeply to decode"):
        Endpoints(a=[HttpAnswer(200, deep)]).rpc().ask(calls(1), decoder_of(list[object]))


@pytest.mark.parametrize(
    ("quota", "waited"),
    [
        pytest.param(HttpAnswer(429, b"", retry_after="7"), 7.0, id="seconds"),
        pytest.param(
            HttpAnswer(
                503,
                b"",
                retry_after="Wed, 21 Oct 2026 07:28:30 GMT",
                date="Wed, 21 Oct 2026 07:28:00 GMT",
            ),
            30.0,
            id="a date",
        ),
        pytest.param(HttpAnswer(429, b"", retry_after="soon"), 2.0, id="nonsense"),
        pytest.param(error(-32005, "daily request count exceeded"), 2.0, id="in JSON-RPC"),
        pytest.param(error(429, "slow down", status=429), 2.0, id="in both"),
    ],
)
def test_a_quota_answer_is_waited_out(quota, waited):
    node = Endpoints(a=[quota, ok])

    assert node.rpc().ask(calls(1), TEXT).results == ["m[0]"]
    assert node.now == 100.0 + waited


def test_only_the_calls_that_hit_the_quota_are_asked_again():
    def half(requests):
        limited = {"code": -32005, "message": "rate limit"}
        replies = [
            {"id": r["id"], "error": limited} if r["params"][0] % 2 else ok(r) for r in requests
        ]
        bodies = [json.loads(r.body) if isinstance(r, HttpAnswer) else r for r in replies]
        return HttpAnswer(200, json.dumps(bodies).encode())

    node = Endpoints(a=[half, ok])

    assert node.rpc().ask(calls(4), TEXT).results == ["m[0]", "m[1]", "m[2]", "m[3]"]
    assert [request["params"] for request in node.calls[A][1]] == [[1], [3]]


def test_patience_with_a_quota_ends():
    node = Endpoints(a=[HttpAnswer(429, b"")])

    with pytest.raises(SourceError, match="HTTP 429"):
        node.rpc(quota_tries=3).ask(calls(1), TEXT)
    assert len(node.calls[A]) == 3
    assert node.now == 100.0 + 2 + 4


def test_a_pause_that_is_too_long_moves_on_at_once():
    node = Endpoints(a=[HttpAnswer(429, b"", retry_after="3600")], b=[ok])

    assert node.rpc(longest_wait_s=60).ask(calls(1), TEXT).results == ["m[0]"]
    assert node.now == 100.0


def test_while_one_endpoint_pauses_the_other_is_used_without_waiting():
    node = Endpoints(a=[HttpAnswer(429, b"", retry_after="50"), ok], b=[ok])

    assert node.rpc().ask(calls(1), TEXT).results == ["m[0]"]
    assert node.now == 100.0
    assert len(node.calls[B]) == 1


def test_the_rate_limit_counts_calls_and_not_requests():
    node = Endpoints(a=[ok])
    rpc = node.rpc(calls_per_second=10, batch_calls=5)

    rpc.ask(calls(15), TEXT)

    assert node.sent_at == [100.0, 100.5, 101.0]


def test_clients_of_the_same_endpoint_share_its_rate_limit():
    node = Endpoints(a=[ok])
    rpc = node.rpc(calls_per_second=2)

    for one in [*rpc.each(), rpc.only(rpc.endpoints)]:
        one.ask(calls(1), TEXT)

    assert node.sent_at == [100.0, 100.5]


KEY = "0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (f"https://mainnet.infura.io/v3/{KEY}", "https://mainnet.infura.io/v3/***"),
        (f"https://rpc.example/eth?apikey={KEY}#x", "https://rpc.example/eth"),
        (f"http://user:{KEY}@node:8545/", "http://node:8545"),
        (f"https://{KEY}@node/ext/bc/C/rpc", "https://node/ext/bc/C/rpc"),
    ],
)
def test_a_key_is_never_shown(url, shown):
    def send(_, __):
        raise urllib3.exceptions.HTTPError(f"cannot open {url} with {KEY}")

    with pytest.raises(SourceError) as caught:
        Rpc([url], send=send).ask(calls(1), TEXT)

    assert masked(url) == shown
    assert shown in str(caught.value)
    assert KEY not in str(caught.value)


def test_a_key_that_the_node_repeats_is_not_shown():
    url = f"https://node/v2/{KEY}"

    with pytest.raises(SourceError) as caught:
        Rpc([url], send=lambda _, __: error(-32000, f"no plan for {KEY}")).ask(calls(1), TEXT)

    assert str(caught.value) == "m at https://node/v2/***: error -32000: no plan for ***."


def test_a_short_user_is_masked_where_it_stands_alone():
    def send(_, __):
        raise urllib3.exceptions.HTTPError("Connection refused for u: p%2F1 is not p/1")

    with pytest.raises(SourceError) as caught:
        Rpc(["http://u:p%2F1@node"], send=send).ask(calls(1), TEXT)

    assert str(caught.value) == (
        "m at http://node: no answer (HTTPError: Connection refused for ***: *** is not ***)."
    )


@pytest.mark.parametrize(
    ("urls", "message"),
    [
        ([], "No RPC endpoint is configured. Give the connection a host."),
        (
            ["wss://node/v3/" + KEY],
            "wss://node/v3/*** is not an http:// or https:// URL. Correct the connection.",
        ),
        *(
            ([url], "An RPC endpoint is not an http:// or https:// URL. Correct the connection.")
            for url in (KEY, "https://user:pa/ss@node/x", "http://[bad", f"http://node:99999/{KEY}")
        ),
    ],
)
def test_an_endpoint_that_is_no_url_is_a_configuration_error(urls, message):
    with pytest.raises(ConfigError) as caught:
        Rpc(urls)

    assert str(caught.value) == message
