"""Opens a client of an exchange, and says in this package's errors what went wrong with it.

The clients are those of the library ccxt. Knows neither Airflow nor SQL.
"""

import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pkgutil import iter_modules
from threading import Lock
from types import ModuleType
from typing import Any, TypeVar
from urllib.parse import urlsplit

from onchain_agg.errors import (
    ConfigError,
    OnchainAggError,
    SourceError,
    UnknownNameError,
    did_you_mean,
)

T = TypeVar("T")

_LIBRARY = "ccxt"
_IMPORTING = Lock()
_LONGEST_REASON = 240


@dataclass(frozen=True, kw_only=True)
class ExchangeAccess:
    """How an exchange is reached.

    Attributes:
        exchange: Its id in ccxt, such as ``kraken``.
        timeout_s: Silence after which a request has failed.
        calls_per_second: Requests of the lightest kind; None for what ccxt knows of the exchange.
            Heavier ones wait longer, by the weight that the exchange gives them.
        sandbox: Whether to use the exchange's test system.
        url: Takes the place of scheme and host in every URL of the exchange; a path in it comes
            before theirs.
    """

    exchange: str
    api_key: str | None = field(default=None, repr=False)
    secret: str | None = field(default=None, repr=False)
    timeout_s: float = 10.0
    calls_per_second: float | None = None
    sandbox: bool = False
    url: str | None = field(default=None, repr=False)


def open_exchange(access: ExchangeAccess) -> Any:
    """Return ccxt's client of the exchange; nothing is asked of it yet.

    It keeps to the exchange's rate limit, and raises ccxt's errors: see `exchange_errors`.

    Raises:
        UnknownNameError: No such exchange.
        ConfigError: It has no test system.
    """
    options: dict[str, Any] = {"enableRateLimit": True, "timeout": round(access.timeout_s * 1000)}
    if access.calls_per_second:
        options["rateLimit"] = 1000 / access.calls_per_second
    if access.api_key:
        options["apiKey"] = access.api_key
    if access.secret:
        options["secret"] = access.secret
    exchange = _exchange_class(access.exchange)(options)
    if access.sandbox:
        if not exchange.urls.get("test"):
            raise ConfigError(f"{access.exchange} has no test system. Leave `sandbox` out.")
        exchange.set_sandbox_mode(True)
    if access.url:
        exchange.urls["api"] = _moved(exchange.urls["api"], access.url)
    exchange.fetch = _json_only(exchange.fetch)
    # A fraction stays the text that the exchange wrote; ccxt reads texts as well.
    exchange.on_json_response = partial(json.loads, parse_float=str)
    return exchange


@contextmanager
def exchange_errors(about: str, scrub: Callable[[str], str]) -> Iterator[None]:
    """Turn the errors of ccxt into this package's.

    Args:
        about: Begins each message: the connection and the exchange.
        scrub: Takes keys out of a text.

    Raises:
        ConfigError: A retry cannot help: credentials, market, request.
        SourceError: It may: network, rate limit, the exchange's own trouble.
    """
    base = _submodule("base.errors")
    try:
        yield
    except base.BaseError as error:
        # An exchange's error page may be a document of many lines.
        reason = re.sub(r"\s+", " ", scrub(f"{type(error).__name__}: {error}")).strip()
        if len(reason) > _LONGEST_REASON:
            reason = reason[:_LONGEST_REASON].rstrip() + "…"
        kind, cure = _meaning(error, base)
        # The original holds the key in what it was caused by.
        raise kind(f"{about}: {reason.rstrip('.')}. {cure}") from None


def ask(exchange: Any, call: Callable[[], T]) -> T:
    """Return what *call* of the *exchange* returns.

    It raises ccxt's errors; an answer in another form than ccxt expects is its BadResponse.
    """
    base = _submodule("base.errors")
    try:
        return call()
    except base.BaseError:
        raise
    except Exception as error:
        # ccxt looks into an answer without asking what it is.
        raise base.BadResponse(
            f"{exchange.id} answered in another form ({type(error).__name__}: {error})"
        ) from None


def use_market(exchange: Any, market: str) -> None:
    """Load the markets of the *exchange* and let prices and amounts be texts from then on.

    It raises ccxt's errors, as the client does.

    Raises:
        ConfigError: The exchange lists no such market.
    """
    # ccxt compares steps of prices as it reads the markets, and texts would compare wrongly.
    exchange.number = float
    ask(exchange, exchange.load_markets)
    exchange.number = str
    if market not in exchange.markets:
        hint = did_you_mean(market, exchange.markets)
        raise ConfigError(
            f"{exchange.id} lists no market {market!r}. {hint}Name one that it lists."
        )


def sign_of_life(exchange: Any) -> str:
    """Return what the *exchange* says for itself: its clock, or how many markets it lists.

    It raises ccxt's errors, as the client does.
    """
    if exchange.has["fetchTime"]:
        said = ask(exchange, lambda: exchange.iso8601(exchange.fetch_time()))
    else:
        said = len(ask(exchange, exchange.fetch_markets))
    if not said:
        raise _submodule("base.errors").BadResponse(
            f"{exchange.id} answered without its time or any market"
        )
    return f"its clock says {said}" if isinstance(said, str) else f"markets listed: {said:,}"


def _meaning(error: Exception, base: ModuleType) -> tuple[type[OnchainAggError], str]:
    meanings: Iterable[tuple[str, type[OnchainAggError], str]] = (
        ("AuthenticationError", ConfigError, "Correct the API key and the secret."),
        ("BadSymbol", ConfigError, "Name a market that the exchange lists."),
        ("BadRequest", ConfigError, "Correct the request."),
        ("ArgumentsRequired", ConfigError, "Complete the request."),
        ("NotSupported", ConfigError, "Ask another exchange."),
        ("RestrictedLocation", ConfigError, "Ask from a place that the exchange serves."),
        ("RateLimitExceeded", SourceError, "Lower `calls_per_second`."),
        ("DDoSProtection", SourceError, "Lower `calls_per_second`."),
        ("RequestTimeout", SourceError, "Try again, or raise `timeout_s`."),
        ("NetworkError", SourceError, "Try again; check the network and the extra `url`."),
        ("BadResponse", SourceError, "Check what stands between it and here."),
        ("BaseError", SourceError, "Try again later."),
    )
    return next(
        (kind, cure) for name, kind, cure in meanings if isinstance(error, getattr(base, name))
    )


def _exchange_class(name: str) -> Any:
    spec = find_spec(_LIBRARY)
    if spec is None:
        raise ConfigError("The library ccxt is not installed. Install onchain-agg with it.")
    # The library's top level is its packages and one module for each exchange.
    paths = spec.submodule_search_locations
    known = {module.name for module in iter_modules(paths) if not module.ispkg}
    if name not in known:
        raise UnknownNameError("exchange", name, known)
    return getattr(_submodule(name), name)


def _submodule(name: str) -> ModuleType:
    """Return a module of ccxt without its other hundred exchanges: 0.3 s and 40 MB, not 2 s.

    The package's own import loads all of them. So an empty package stands in for it meanwhile; a
    later import of the package itself finds the modules that are loaded already.
    """
    with _IMPORTING:
        if _LIBRARY in sys.modules:
            return import_module(f"{_LIBRARY}.{name}")
        spec = find_spec(_LIBRARY)
        package = ModuleType(_LIBRARY)
        package.__path__ = list(spec.submodule_search_locations or ()) if spec else []
        sys.modules[_LIBRARY] = package
        try:
            return import_module(f"{_LIBRARY}.{name}")
        finally:
            del sys.modules[_LIBRARY]


def _moved(urls: Any, to: str) -> Any:
    """Return *urls*, which ccxt nests as it likes, with another scheme and host."""
    if isinstance(urls, dict):
        return {name: _moved(inner, to) for name, inner in urls.items()}
    base, path = urlsplit(to), urlsplit(urls).path
    return base._replace(path=base.path.rstrip("/") + path).geturl()


def _json_only(fetch: Callable[..., Any]) -> Callable[..., Any]:
    """Return *fetch* that refuses an answer which is not JSON; ccxt would read it as no data."""

    def checked(url: str, *args: Any, **kwargs: Any) -> Any:
        answer = fetch(url, *args, **kwargs)
        if isinstance(answer, dict | list):
            return answer
        raise _submodule("base.errors").BadResponse(
            f"{urlsplit(url).hostname} answered with something that is not JSON ({answer!s:.60})"
        )

    return checked
