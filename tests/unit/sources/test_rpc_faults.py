"""Refusals as providers word them."""

import pytest

from onchain_agg.sources.rpc_faults import FaultKind, fault_of_error, fault_of_status, wait_of


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (-32005, "query returned more than 10000 results"),
        (-32602, "Log response size exceeded. You can make requests with up to a 2K block range"),
        (-32614, "eth_getLogs is limited to a 10,000 range"),
        (-32000, "block range is too wide"),
        (-32000, "exceed maximum block range: 5000"),
        (-32602, "query exceeds max block range 100000"),
        (-32602, "query exceeds max results 20000, retry with the range 1-2"),
        (35, "ranges over 10000 blocks are not supported on freetier"),
        (-32000, "requested too many blocks from 1 to 9000, maximum is set to 2048"),
        (-32008, "Response is too big"),
        (-32000, "logs matched by query exceeds limit of 10000"),
        (-32600, "batch size too large: 1000"),
        (-32602, "query timeout exceeded. Consider reducing your block range."),
    ],
)
def test_too_large_is_recognised(code, message):
    assert fault_of_error(code, message).kind is FaultKind.TOO_LARGE


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (-32005, "daily request count exceeded, request rate limited"),
        (-32005, "limit exceeded"),
        (429, "Your app has exceeded its compute units per second capacity"),
        (-32007, "50/second request limit reached"),
        (-32000, "Too Many Requests"),
    ],
)
def test_a_quota_is_recognised(code, message):
    assert fault_of_error(code, message).kind is FaultKind.QUOTA


@pytest.mark.parametrize(
    "message",
    [
        "missing trie node 5d3b (path ) state 0x5d3b is not available",
        "pruned history unavailable",
        "required historical state unavailable (reexec=128)",
        "history has been pruned for this block",
    ],
)
def test_pruned_history_is_recognised(message):
    assert fault_of_error(-32000, message).kind is FaultKind.PRUNED


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (-32601, "anything"),
        (-32004, "anything"),
        (-32000, "the method trace_block does not exist/is not available"),
        (-32600, "Unsupported method: debug_traceBlockByHash on this plan"),
        (-32000, "tracer not found"),
    ],
)
def test_a_missing_method_is_recognised(code, message):
    assert fault_of_error(code, message).kind is FaultKind.UNSUPPORTED


@pytest.mark.parametrize(
    "message",
    [
        "BlockOutOfRangeError: block height is 2 but requested was 5",
        "invalid block range params",
        "execution reverted",
        "header not found",
    ],
)
def test_other_errors_are_not_mistaken_for_a_size_or_a_quota(message):
    assert fault_of_error(-32000, message).kind is FaultKind.REFUSED


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (413, FaultKind.TOO_LARGE),
        (429, FaultKind.QUOTA),
        (503, FaultKind.QUOTA),
        (401, FaultKind.FAILED),
        (502, FaultKind.FAILED),
    ],
)
def test_a_status_has_its_meaning(status, kind):
    assert fault_of_status(status, None, None).kind is kind


def test_a_refused_key_says_where_to_look():
    assert fault_of_status(403, None, None).text == "HTTP 403: check the key in the connection"


@pytest.mark.parametrize(
    ("retry_after", "date", "seconds"),
    [
        (None, None, None),
        ("3", None, 3.0),
        ("1.5", None, 1.5),
        ("Wed, 21 Oct 2026 07:28:30 GMT", "Wed, 21 Oct 2026 07:27:30 GMT", 60.0),
        ("Wed, 21 Oct 2026 07:28:30 GMT", "Wed, 21 Oct 2026 08:00:00 GMT", 0.0),
        ("Wed, 21 Oct 2026 07:28:30 GMT", None, None),
        ("-3", "Wed, 21 Oct 2026 08:00:00 GMT", None),
    ],
)
def test_the_pause_is_counted_from_the_answers_own_date(retry_after, date, seconds):
    assert wait_of(retry_after, date) == seconds
