"""What the hooks of both kinds of chain share: URLs, limits, and the check of every URL."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import Connection

from onchain_agg.errors import ConfigError, OnchainAggError
from onchain_agg.hooks.connection import QUICK_TIMEOUT_S, ConnectionHook, answers
from onchain_agg.sources.masking import is_http_url, scrubbed

if TYPE_CHECKING:
    from onchain_agg.chains import EvmChain, UtxoChain
    from onchain_agg.sources.batch import BlockSource
    from onchain_agg.sources.rpc import Endpoint, Rpc, RpcLimits


@dataclass(frozen=True)
class Served:
    """What a node serves: how its chain is told apart, which of ours that is, and its height."""

    identity: str
    chain: "EvmChain | UtxoChain | None"
    height: int


class SourceHook(ConnectionHook):
    """Opens the block source that an Airflow connection describes."""

    host_holds = "URL of the node"

    def source(self, chain: "EvmChain | UtxoChain") -> "BlockSource":
        """Return the source of *chain*'s blocks.

        Raises:
            ConfigError: The connection does not exist, or has a value that it cannot have.
        """
        return self._open(chain, self._connection())

    @abstractmethod
    def endpoints(self, connection: Connection) -> list[str]:
        """Return the URLs to ask, first the preferred one, with their credentials in place.

        Raises:
            ConfigError: The connection's host holds something else.
        """

    @abstractmethod
    def _served(self, one: "Rpc") -> Served:
        """Return what the endpoint of *one* serves.

        Raises:
            SourceError: It does not answer, or not as such a node does.
        """

    def _open(self, chain: "EvmChain | UtxoChain", connection: Connection) -> "BlockSource":
        # Decoders take longer to import than Airflow may spend on a DAG file.
        from onchain_agg.sources.opening import open_source  # noqa: PLC0415

        extras = connection.extra_dejson
        limits = self._limits(extras)
        return open_source(
            chain,
            endpoints=self._rpc(connection, limits) if urls_of(connection) else (),
            blocks=self._path(extras, "blocks"),
            genesis=self._path(extras, "genesis"),
            content=str(extras.get("content") or "full"),
        )

    def _rpc(self, connection: Connection, limits: "RpcLimits") -> "Rpc":
        from onchain_agg.sources.rpc import Rpc, endpoint_of  # noqa: PLC0415 - as above

        secrets = self._secrets(connection)
        urls = self.endpoints(connection)
        return Rpc([_without_secrets(endpoint_of(url), secrets) for url in urls], limits)

    def _try(self, connection: Connection) -> tuple[bool, str]:
        limits = self._limits(connection.extra_dejson)
        # Patience is for tasks: a quota is told at once, and two calls need not be spread.
        timeout_s = min(limits.timeout_s, QUICK_TIMEOUT_S)
        quick = replace(limits, timeout_s=timeout_s, quota_tries=1, calls_per_second=None)
        clients = self._rpc(connection, quick).each()
        found = answers([(one.shown, partial(self._served, one)) for one in clients])
        told = [_told(one.shown, served) for one, served in zip(clients, found, strict=True)]
        chains = {s.chain.name: s.chain for s in found if isinstance(s, Served) and s.chain}
        if len(chains) > 1:
            told.append(
                f"A connection is for one chain, and these are {', '.join(sorted(chains))}."
            )
        for chain in chains.values():
            self._open(chain, connection)
        works = len(chains) == 1 and all(isinstance(s, Served) and s.chain for s in found)
        return works, " ".join(told)

    def _limits(self, extras: Mapping[str, Any]) -> "RpcLimits":
        from onchain_agg.sources.rpc import RpcLimits  # noqa: PLC0415 - as above

        return RpcLimits(
            calls_per_second=self._number(extras, "calls_per_second"),
            timeout_s=self._number(extras, "timeout_s") or RpcLimits.timeout_s,
        )

    def _path(self, extras: Mapping[str, Any], name: str) -> Path | None:
        value = extras.get(name)
        if not value:
            return None
        if not isinstance(value, str) or not Path(value).exists():
            raise ConfigError(
                f"Connection {self.conn_id!r}: extra {name!r} is {value!r}, which does not exist "
                "on this machine. Correct the path or mount the files."
            )
        return Path(value)


def urls_of(connection: Connection) -> list[str]:
    """Return the URLs in the connection's host, which commas part.

    Raises:
        ConfigError: One is not an http(s) URL; it is not repeated, for it may hold a key.
    """
    urls = [url.strip() for url in (connection.host or "").split(",") if url.strip()]
    for number, url in enumerate(urls, 1):
        if not is_http_url(url):
            which = "its host" if len(urls) == 1 else f"URL {number} in its host"
            raise ConfigError(
                f"Connection {connection.conn_id!r}: {which} is not an http:// or https:// URL. "
                "Correct it. In a user or password, write / as %2F, @ as %40 and a comma as %2C."
            )
    return urls


def _without_secrets(endpoint: "Endpoint", secrets: list[str]) -> "Endpoint":
    """Return the endpoint that also masks *secrets*, which may be too short to look like keys."""
    return replace(
        endpoint,
        shown=scrubbed(endpoint.shown, secrets),
        secrets=(*endpoint.secrets, *secrets),
    )


def _told(shown: str, served: Served | OnchainAggError) -> str:
    if isinstance(served, OnchainAggError):
        return f"{served} Start the node, or correct its address or key."
    newest = f"newest block {served.height:,}"
    if served.chain is not None:
        return f"{shown} serves {served.chain.name} ({served.identity}), {newest}."
    return (
        f"{shown} serves a chain that is not defined ({served.identity}), {newest}. Give the URL "
        "of another chain's node, or define the chain."
    )
