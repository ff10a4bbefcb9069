"""An Airflow connection to nodes of an EVM chain."""

from airflow.sdk import Connection

from onchain_agg.errors import ConfigError
from onchain_agg.hooks.source import SourceHook, urls_of

_KEY = "{api_key}"


class EvmHook(SourceHook):
    """Opens an EVM chain's source from a connection of type ``onchain_evm``.

    Host: one URL, or several with commas between, the preferred one first. Password: the API key;
    it takes the place of ``{api_key}`` in the URLs, or follows a single URL as a path segment.
    Extras: ``genesis`` (path of the genesis allocation), ``timeout_s``, ``calls_per_second``.
    """

    conn_name_attr = "conn_id"
    default_conn_name = "onchain_ethereum"
    conn_type = "onchain_evm"
    hook_name = "On-chain: EVM node"

    def endpoints(self, connection: Connection) -> list[str]:
        """Return the URLs to ask, with the API key in place.

        Raises:
            ConfigError: It is not said which of several URLs the API key belongs to.
        """
        urls, key = urls_of(connection), connection.password
        if not key:
            return urls
        if any(_KEY in url for url in urls):
            return [url.replace(_KEY, key) for url in urls]
        if len(urls) > 1:
            # Another provider must not learn the key.
            raise ConfigError(
                f"Connection {connection.conn_id!r} has an API key and {len(urls)} URLs. "
                f"Write {_KEY} into each URL that the key belongs to."
            )
        return [f"{url.rstrip('/')}/{key}" for url in urls]
