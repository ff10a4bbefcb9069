"""An Airflow connection to nodes of a Bitcoin-family chain, or to a node's block files."""

from urllib.parse import quote, urlsplit

from airflow.sdk import Connection

from onchain_agg.hooks.source import SourceHook, urls_of


class BitcoinHook(SourceHook):
    """Opens a Bitcoin-family chain's source from a connection of type ``onchain_bitcoin``.

    Host: one URL, or several with commas between, the preferred one first. Login and password: the
    RPC user, for every URL that names no user itself. Extras: ``blocks`` (a block file or a folder
    of them, read instead of a node), ``timeout_s``, ``calls_per_second``.
    """

    conn_name_attr = "conn_id"
    default_conn_name = "onchain_bitcoin"
    conn_type = "onchain_bitcoin"
    hook_name = "On-chain: Bitcoin-family node"

    def endpoints(self, connection: Connection) -> list[str]:
        """Return the URLs to ask, with the RPC user in place."""
        urls = urls_of(connection)
        if not connection.login:
            return urls
        user = f"{quote(connection.login, safe='')}:{quote(connection.password or '', safe='')}"
        return [url if urlsplit(url).username else _with_user(url, user) for url in urls]


def _with_user(url: str, user: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=f"{user}@{parts.netloc}").geturl()
