"""An Airflow connection to nodes of an EVM chain."""

from typing import TYPE_CHECKING
from urllib.parse import quote

from airflow.sdk import Connection

from onchain_agg.chains import EvmChain, all_chains
from onchain_agg.errors import ConfigError, SourceError
from onchain_agg.hooks.source import Served, SourceHook, urls_of

if TYPE_CHECKING:
    from onchain_agg.sources.rpc import Rpc

_KEY = "{api_key}"


class EvmHook(SourceHook):
    """Opens an EVM chain's source from a connection of type ``onchain_evm``.

    Host: one URL, or several with commas between, the preferred one first. Password: the API key;
    it takes the place of ``{api_key}`` in the URLs, or follows a single URL as a path segment.
    Extras: ``genesis`` (path of the genesis allocation), ``content`` (``full``, or ``logs`` for
    token transfers alone), ``timeout_s`` (default 60), ``calls_per_second``; no other is read.
    """

    conn_name_attr = "conn_id"
    default_conn_name = "onchain_ethereum"
    conn_type = "onchain_evm"
    hook_name = "On-chain: EVM node"

    def endpoints(self, connection: Connection) -> list[str]:
        """Return the URLs to ask, with the API key in place.

        Raises:
            ConfigError: One is not an http(s) URL, or it is not said which of several URLs the
                API key belongs to.
        """
        urls = urls_of(connection)
        if not connection.password:
            return urls
        key = quote(connection.password, safe="")
        if any(_KEY in url for url in urls):
            return [url.replace(_KEY, key) for url in urls]
        if len(urls) > 1:
            # Another provider must not learn the key.
            raise ConfigError(
                f"Connection {connection.conn_id!r} has an API key and {len(urls)} URLs. "
                f"Write {_KEY} into each URL that the key belongs to."
            )
        return [f"{url.rstrip('/')}/{key}" for url in urls]

    def _served(self, one: "Rpc") -> Served:
        from onchain_agg.sources.rpc import decoder_of  # noqa: PLC0415 - slow to import

        text = decoder_of(str)
        # One after the other: some nodes refuse batches.
        asked = ("eth_chainId", "eth_blockNumber")
        found, newest = (one.ask([(method, ())], text).results[0] for method in asked)
        try:
            chain_id, height = int(found, 16), int(newest, 16)
        except ValueError:
            raise SourceError(
                f"{one.shown} answered chain id {found!r} and block {newest!r}, which are not "
                "hexadecimal."
            ) from None
        chains = (c for c in all_chains().values() if isinstance(c, EvmChain))
        chain = next((chain for chain in chains if chain.chain_id == chain_id), None)
        return Served(f"chain id {chain_id}", chain, height)
