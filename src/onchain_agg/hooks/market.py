"""An Airflow connection to an exchange."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow.sdk import Connection

from onchain_agg.errors import ConfigError, OnchainAggError
from onchain_agg.hooks.connection import QUICK_TIMEOUT_S, ConnectionHook, answers
from onchain_agg.sources.masking import is_base_url, keys_in, scrubbed

if TYPE_CHECKING:
    from onchain_agg.sources.market import ExchangeAccess


class MarketHook(ConnectionHook):
    """Opens ccxt's client of an exchange from a connection of type ``onchain_market``.

    Host: the exchange's id in ccxt, such as ``kraken``. Login and password: API key and secret;
    public data needs neither. Extras: ``timeout_s`` (default 10), ``calls_per_second``, ``sandbox``
    (whether to use the exchange's test system), ``url`` (takes the place of scheme and host in
    every URL of the exchange, for a proxy); no other is read.
    """

    conn_name_attr = "conn_id"
    default_conn_name = "onchain_market"
    conn_type = "onchain_market"
    hook_name = "On-chain: exchange"
    host_holds = "id of the exchange"

    def client(self) -> Any:
        """Return ccxt's client of the exchange, which keeps to the rate limit.

        It raises ccxt's errors; `session` turns them into this package's.

        Raises:
            UnknownNameError: The connection's host is no exchange.
            ConfigError: The connection does not exist, or has a value that it cannot have.
        """
        # The library takes longer to import than Airflow may spend on a DAG file.
        from onchain_agg.sources.market import open_exchange  # noqa: PLC0415

        return open_exchange(self._access(self._connection()))

    @contextmanager
    def session(self) -> Iterator[Any]:
        """Yield the client, and raise its errors as this package's.

        Raises:
            ConfigError: A retry cannot help: credentials, market, request; or as `client`.
            SourceError: It may: network, rate limit, the exchange's own trouble.
        """
        from onchain_agg.sources.market import open_exchange  # noqa: PLC0415 - as above

        connection = self._connection()
        exchange = open_exchange(self._access(connection))
        try:
            with self._errors(connection):
                yield exchange
        finally:
            exchange.session.close()

    def _try(self, connection: Connection) -> tuple[bool, str]:
        from onchain_agg.sources.market import open_exchange, sign_of_life  # noqa: PLC0415

        access = self._access(connection)
        timeout_s = min(access.timeout_s, QUICK_TIMEOUT_S)
        exchange = open_exchange(replace(access, timeout_s=timeout_s, calls_per_second=None))

        def ask() -> str:
            with self._errors(connection):
                return sign_of_life(exchange)

        (told,) = answers([(f"{access.exchange} at {_host(exchange)}", ask)])
        exchange.session.close()
        if isinstance(told, OnchainAggError):
            raise told
        unused = " The API key was not tried." if access.api_key else ""
        return True, f"{access.exchange} at {_host(exchange)} answers: {told}.{unused}"

    def _errors(self, connection: Connection) -> AbstractContextManager[None]:
        from onchain_agg.sources.market import exchange_errors  # noqa: PLC0415 - as above

        about = f"Connection {self.conn_id!r} (exchange {connection.host})"
        return exchange_errors(about, partial(scrubbed, secrets=self._secrets(connection)))

    def _secrets(self, connection: Connection) -> list[str]:
        url = connection.extra_dejson.get("url")
        in_url = keys_in(str(url)) if is_base_url(url) else ()
        return [*super()._secrets(connection), *in_url, *filter(None, [connection.login])]

    def _access(self, connection: Connection) -> "ExchangeAccess":
        from onchain_agg.sources.market import ExchangeAccess  # noqa: PLC0415 - as above

        extras = connection.extra_dejson
        return ExchangeAccess(
            exchange=self._exchange(connection),
            api_key=connection.login or None,
            secret=connection.password or None,
            timeout_s=self._number(extras, "timeout_s") or ExchangeAccess.timeout_s,
            calls_per_second=self._number(extras, "calls_per_second"),
            sandbox=self._truth(extras, "sandbox"),
            url=self._url(extras),
        )

    def _exchange(self, connection: Connection) -> str:
        exchange = (connection.host or "").strip()
        if not exchange:
            raise ConfigError(
                f"Connection {self.conn_id!r} names no exchange. Give the exchange's id in ccxt, "
                "such as kraken, as its host."
            )
        return exchange

    def _truth(self, extras: Mapping[str, Any], name: str) -> bool:
        value = extras.get(name)
        if value in (None, ""):
            return False
        if str(value).lower() not in {"true", "false"}:
            raise ConfigError(
                f"Connection {self.conn_id!r}: extra {name!r} is {value!r}. Give true or false."
            )
        return str(value).lower() == "true"

    def _url(self, extras: Mapping[str, Any]) -> str | None:
        value = extras.get("url")
        if value in (None, ""):
            return None
        if not is_base_url(value):
            # It may hold a key, so it is not repeated.
            raise ConfigError(
                f"Connection {self.conn_id!r}: extra 'url' is not an http:// or https:// URL "
                "without a query. Correct it."
            )
        return str(value)


def _host(exchange: Any) -> str:
    """Return the host of the exchange's public data, as far as ccxt names one."""
    urls = exchange.urls["api"]
    while isinstance(urls, dict):
        urls = urls.get("public") or next(iter(urls.values()))
    host: str = urlsplit(exchange.implode_hostname(urls)).netloc.rpartition("@")[2]
    return host
