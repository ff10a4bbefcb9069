"""JSON-RPC over pooled HTTP: batches, failover, a rate limit and patience with quotas.

Knows nothing of blocks: the caller brings the decoder of its answers. An endpoint's URL may carry
a key, so only its masked form is ever shown.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from urllib.parse import unquote, urlsplit

import msgspec
import urllib3

from onchain_agg.errors import ConfigError, SourceError
from onchain_agg.sources.masking import has_host, is_http_url, keys_in, masked, scrubbed
from onchain_agg.sources.rpc_faults import Fault, FaultKind, fault_of_error, fault_of_status

T = TypeVar("T")

_FIRST_WAIT_S = 1.0
_REST_S = 15.0  # an endpoint that failed is asked again after the others, for this long
_REFUSALS = {FaultKind.UNSUPPORTED, FaultKind.PRUNED, FaultKind.REFUSED}


class TooLargeError(SourceError):
    """The endpoint refuses an answer of this size; ask for less."""


class RefusedError(SourceError):
    """Every endpoint answered, and none of them with a result."""


class UnsupportedError(RefusedError):
    """No endpoint offers the method."""


class RpcError(msgspec.Struct, gc=False):
    """The error object of a JSON-RPC answer."""

    code: int = 0
    message: str = ""


class Reply(msgspec.Struct, Generic[T], gc=False):
    """One JSON-RPC answer: a result, which may be null, or an error."""

    id: int | None = None
    result: T | None = None
    error: RpcError | None = None


def decoder_of(result: Any) -> msgspec.json.Decoder[Any]:
    """Return the decoder for one answer, or a batch of answers, with results of type *result*."""
    return msgspec.json.Decoder(list[Reply[result]] | Reply[result])


@dataclass(frozen=True)
class HttpAnswer:
    """What came back over HTTP; the two headers are None where absent."""

    status: int
    body: bytes
    retry_after: str | None = None
    date: str | None = None


log = logging.getLogger(__name__)

# Posts a body to a URL. Raises OSError or urllib3's HTTPError where no answer came.
Send = Callable[[str, bytes], HttpAnswer]
Call = tuple[str, tuple[Any, ...]]  # method and parameters


@dataclass(frozen=True, kw_only=True)
class RpcLimits:
    """How hard an endpoint may be pressed.

    Attributes:
        calls_per_second: Calls, not requests: a batch of 50 spends 50. None: no limit.
        quota_tries: Quota answers without any progress, after which an endpoint is given up.
        longest_wait_s: A longer Retry-After gives the endpoint up at once.
        batch_calls: Calls in one request.
        timeout_s: Silence on the connection after which a request has failed.
    """

    calls_per_second: float | None = None
    quota_tries: int = 6
    longest_wait_s: float = 120.0
    batch_calls: int = 100
    timeout_s: float = 60.0


@dataclass(eq=False)
class Endpoint:
    """One URL, its masked form, the keys in it, and when it may be called next."""

    url: str
    shown: str
    secrets: tuple[str, ...]
    ready_at: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def scrub(self, text: str) -> str:
        """Return *text* without the keys."""
        return scrubbed(text, self.secrets)


@dataclass(frozen=True)
class Answers(Generic[T]):
    """Results in the order of their calls, and the bytes that carried them."""

    results: list[T]
    size: int


class Rpc:
    """Asks the endpoints, the first that is ready and healthy first. Safe to share by threads."""

    def __init__(
        self,
        endpoints: Sequence[str | Endpoint],
        limits: RpcLimits | None = None,
        *,
        send: Send | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Take the *endpoints* in order of preference; nothing is sent yet.

        Raises:
            ConfigError: No endpoint, or one that is not an http(s) URL.
        """
        if not endpoints:
            raise ConfigError("No RPC endpoint is configured. Give the connection a host.")
        self.limits = limits or RpcLimits()
        self.endpoints = [e if isinstance(e, Endpoint) else endpoint_of(e) for e in endpoints]
        self._send = send or http_send(self.limits.timeout_s)
        self._clock = clock
        self._sleep = sleep

    @property
    def shown(self) -> str:
        """Return the endpoints' masked URLs."""
        return ", ".join(endpoint.shown for endpoint in self.endpoints)

    def each(self) -> list["Rpc"]:
        """Return one client per endpoint, which fails over to no other."""
        return [self.only([endpoint]) for endpoint in self.endpoints]

    def answering(self, check: Callable[["Rpc"], None]) -> "Rpc":
        """Return a client of the endpoints that answer *check*; the others are told and left out.

        Raises:
            SourceError: None answers. Any other error of *check* passes.
        """
        reachable: list[Endpoint] = []
        faults: list[SourceError] = []
        for one in self.each():
            try:
                check(one)
            except SourceError as error:
                faults.append(error)
            else:
                reachable += one.endpoints
        told = " ".join(map(str, faults))
        if not reachable:
            raise SourceError(f"{told} Start the node or correct its address.") from faults[0]
        if faults:
            log.warning(
                "Going on with %d of %d endpoints. %s", len(reachable), len(self.endpoints), told
            )
        return self.only(reachable)

    def only(self, endpoints: Sequence[Endpoint]) -> "Rpc":
        """Return a client of just those *endpoints*; it shares their rate limits."""
        return Rpc(endpoints, self.limits, send=self._send, clock=self._clock, sleep=self._sleep)

    def ask(
        self, calls: Sequence[Call], decoder: msgspec.json.Decoder[Any], about: str = ""
    ) -> Answers[Any]:
        """Return the results of *calls*, none of them null; *about* names the range in errors.

        Raises:
            TooLargeError: An endpoint refuses an answer of this size.
            UnsupportedError: Every endpoint lacks the method or answers in another form.
            RefusedError: Every endpoint answered with an error or null.
            SourceError: No endpoint gave every answer.
        """
        results: list[Any] = [None] * len(calls)
        size = 0
        for start in range(0, len(calls), self.limits.batch_calls):
            part = range(start, min(start + self.limits.batch_calls, len(calls)))
            size += self._fill(results, part, calls, decoder, about)
        return Answers(results, size)

    def _fill(
        self,
        results: list[Any],
        part: range,
        calls: Sequence[Call],
        decoder: msgspec.json.Decoder[Any],
        about: str,
    ) -> int:
        pending, size, quota_answers = list(part), 0, 0
        faults: dict[Endpoint, Fault] = {}
        while pending:
            endpoint = self._ready(faults, calls[pending[0]][0], about)
            self._wait_turn(endpoint, len(pending))
            got = self._post(endpoint, [calls[i] for i in pending], decoder)
            done = {i for i, result in zip(pending, got.results, strict=True) if result is not None}
            for i, result in zip(pending, got.results, strict=True):
                results[i] = result
            pending, size = [i for i in pending if i not in done], size + got.size
            if got.fault is None:
                continue
            if got.fault.kind is FaultKind.TOO_LARGE:
                raise TooLargeError(_sentence(about, calls[part[0]][0], endpoint.shown, got.fault))
            quota_answers = 0 if done else quota_answers + 1
            if not self._may_wait(endpoint, got.fault, quota_answers):
                faults[endpoint] = got.fault
                quota_answers = 0
        return size

    def _ready(self, faults: dict[Endpoint, Fault], method: str, about: str) -> Endpoint:
        healthy = [e for e in self.endpoints if e not in faults]
        if healthy:
            return min(healthy, key=lambda e: max(e.ready_at, self._clock()))
        text = " ".join(_sentence(about, method, e.shown, fault) for e, fault in faults.items())
        kinds = {fault.kind for fault in faults.values()}
        if kinds == {FaultKind.UNSUPPORTED}:
            raise UnsupportedError(text)
        if kinds <= _REFUSALS:
            raise RefusedError(text)
        raise SourceError(text)

    def _wait_turn(self, endpoint: Endpoint, calls: int) -> None:
        rate = self.limits.calls_per_second
        with endpoint.lock:
            now = self._clock()
            start = max(now, endpoint.ready_at)
            endpoint.ready_at = start + (calls / rate if rate else 0.0)
        if start > now:
            self._sleep(start - now)

    def _may_wait(self, endpoint: Endpoint, fault: Fault, tries: int) -> bool:
        if fault.kind is FaultKind.FAILED and len(self.endpoints) > 1:
            self._pause(endpoint, _REST_S)
        if fault.kind is not FaultKind.QUOTA or tries >= self.limits.quota_tries:
            return False
        wait = fault.wait_s if fault.wait_s is not None else _FIRST_WAIT_S * 2**tries
        if wait > self.limits.longest_wait_s:
            return False
        self._pause(endpoint, wait)
        return True

    def _pause(self, endpoint: Endpoint, seconds: float) -> None:
        with endpoint.lock:
            endpoint.ready_at = max(endpoint.ready_at, self._clock() + seconds)

    def _post(
        self, endpoint: Endpoint, calls: list[Call], decoder: msgspec.json.Decoder[Any]
    ) -> "_Got":
        requests = [
            {"jsonrpc": "2.0", "id": i, "method": method, "params": params}
            for i, (method, params) in enumerate(calls)
        ]
        # One call goes bare: some nodes refuse batches.
        body = msgspec.json.encode(requests if len(requests) > 1 else requests[0])
        try:
            answer = self._send(endpoint.url, body)
        except (OSError, urllib3.exceptions.HTTPError) as error:
            reason = endpoint.scrub(f"{type(error).__name__}: {error}")
            return _Got.nothing(calls, Fault(FaultKind.FAILED, f"no answer ({reason})"))
        got = _decoded(answer, calls, decoder)
        if got.fault is None:
            return got
        text = endpoint.scrub(got.fault.text)
        return _Got(got.results, got.size, Fault(got.fault.kind, text, got.fault.wait_s))


@dataclass(frozen=True)
class _Got:
    """Results by call (None: not answered) and the fault that explains the missing ones."""

    results: list[Any]
    size: int
    fault: Fault | None

    @staticmethod
    def nothing(calls: Sequence[Call], fault: Fault) -> "_Got":
        return _Got([None] * len(calls), 0, fault)


def _decoded(answer: HttpAnswer, calls: list[Call], decoder: msgspec.json.Decoder[Any]) -> _Got:
    if answer.status in (413, 429, 503):
        fault = fault_of_status(answer.status, answer.retry_after, answer.date)
        return _Got.nothing(calls, fault)
    try:
        decoded = decoder.decode(answer.body)
    except (msgspec.DecodeError, RecursionError) as error:
        return _Got.nothing(calls, _undecoded(answer, error))
    replies: list[Reply[Any]] = decoded if isinstance(decoded, list) else [decoded]
    if len(replies) == 1 and len(calls) > 1 and replies[0].error:
        return _Got.nothing(calls, _fault_of(replies[0], answer))  # the batch as a whole
    # A bare answer is that of the only call, whatever id it carries.
    by_id = {reply.id: reply for reply in replies} if len(calls) > 1 else {0: replies[0]}
    found = [by_id.get(i, Reply()) for i in range(len(calls))]
    results = [reply.result if reply.error is None else None for reply in found]
    bad = next((r for r in found if r.error), None) or next(
        (r for r in found if r.result is None), None
    )
    return _Got(results, len(answer.body), _fault_of(bad, answer) if bad else None)


def _fault_of(reply: Reply[Any], answer: HttpAnswer) -> Fault:
    if reply.error is not None:
        return fault_of_error(reply.error.code, reply.error.message)
    if answer.status != 200:
        return fault_of_status(answer.status, answer.retry_after, answer.date)
    return Fault(FaultKind.PRUNED, "answered null, so it does not have that block")


def _undecoded(answer: HttpAnswer, error: Exception) -> Fault:
    if answer.status != 200:
        return fault_of_status(answer.status, answer.retry_after, answer.date)
    if isinstance(error, msgspec.ValidationError):
        return Fault(FaultKind.UNSUPPORTED, f"answered in another form ({error})")
    if isinstance(error, RecursionError):
        return Fault(FaultKind.FAILED, "answered with calls nested too deeply to decode")
    return Fault(FaultKind.FAILED, f"answered with something that is not JSON ({error})")


def _sentence(about: str, method: str, shown: str, fault: Fault) -> str:
    cure = (
        " Point the connection at a node that keeps this history (an archive node)."
        if fault.kind is FaultKind.PRUNED
        else ""
    )
    return f"{about + ': ' if about else ''}{method} at {shown}: {fault.text.rstrip('.')}.{cure}"


def endpoint_of(url: str) -> Endpoint:
    """Return the endpoint at *url*; everything in it that may be a key is kept out of messages.

    Raises:
        ConfigError: It is not an http(s) URL.
    """
    if not is_http_url(url):
        shown = masked(url) if has_host(url) else "An RPC endpoint"
        raise ConfigError(f"{shown} is not an http:// or https:// URL. Correct the connection.")
    return Endpoint(url, masked(url), keys_in(url))


def http_send(timeout_s: float) -> Send:
    """Return a sender over pooled connections, with basic authentication from the URL's user."""
    pool = urllib3.PoolManager(maxsize=4, retries=False, timeout=timeout_s)

    def send(url: str, body: bytes) -> HttpAnswer:
        parts = urlsplit(url)
        headers = {"Content-Type": "application/json"}
        if parts.scheme == "https":  # far away: bytes cost more than unpacking them
            headers["Accept-Encoding"] = "gzip"
        if parts.username:
            login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            headers.update(urllib3.make_headers(basic_auth=login))
        bare = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
        answer = pool.request("POST", bare, body=body, headers=headers, redirect=False)
        return HttpAnswer(
            answer.status,
            answer.data,
            answer.headers.get("Retry-After"),
            answer.headers.get("Date"),
        )

    return send
