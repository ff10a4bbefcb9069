"""An Airflow connection to nodes of a Bitcoin-family chain, or to a node's block files."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from airflow.sdk import Connection

from onchain_agg.chains import UtxoChain, all_chains
from onchain_agg.errors import ConfigError, OnchainAggError
from onchain_agg.hooks.connection import answers
from onchain_agg.hooks.source import Served, SourceHook, urls_of

if TYPE_CHECKING:
    from onchain_agg.sources.rpc import Rpc


class BitcoinHook(SourceHook):
    """Opens a Bitcoin-family chain's source from a connection of type ``onchain_bitcoin``.

    Host: one URL, or several with commas between, the preferred one first. Login and password: the
    RPC user, for every URL that names no user itself. Extras: ``blocks`` (a block file or a folder
    of them, read instead of a node), ``timeout_s`` (default 60), ``calls_per_second``; no other is
    read. The Test button puts a URL that has no path into small letters, so credentials belong into
    login and password.
    """

    conn_name_attr = "conn_id"
    default_conn_name = "onchain_bitcoin"
    conn_type = "onchain_bitcoin"
    hook_name = "On-chain: Bitcoin-family node"

    def endpoints(self, connection: Connection) -> list[str]:
        """Return the URLs to ask, with the RPC user in place.

        Raises:
            ConfigError: One is not an http(s) URL.
        """
        urls = urls_of(connection)
        if not connection.login:
            return urls
        user = f"{quote(connection.login, safe='')}:{quote(connection.password or '', safe='')}"
        return [url if urlsplit(url).username else _with_user(url, user) for url in urls]

    def _try(self, connection: Connection) -> tuple[bool, str]:
        blocks = self._path(connection.extra_dejson, "blocks")
        has_url = bool(urls_of(connection))
        if has_url == (blocks is not None):
            raise ConfigError(
                f"Connection {self.conn_id!r}: give the URL of a node or a path to block files "
                "(extra 'blocks'), and only one of them."
            )
        if blocks is None:
            return super()._try(connection)
        (found,) = answers([(str(blocks), partial(_block_files, blocks))])
        if isinstance(found, OnchainAggError):
            raise found
        return True, found

    def _served(self, one: "Rpc") -> Served:
        from onchain_agg.sources.rpc import decoder_of  # noqa: PLC0415 - slow to import

        genesis: str = one.ask([("getblockhash", (0,))], decoder_of(str)).results[0]
        height: int = one.ask([("getblockcount", ())], decoder_of(int)).results[0]
        chain = next((chain for chain in _chains() if chain.genesis_hash == genesis), None)
        return Served(f"block 0 is {genesis}", chain, height)


def _block_files(path: Path) -> str:
    """Return what the first of the block files at *path* shows.

    Raises:
        ConfigError: There is no block file, or none of a known chain.
        SourceError: It cannot be read.
    """
    from onchain_agg.sources.block_files import (  # noqa: PLC0415 - slow to import
        block_files,
        cannot_read,
        plain_bytes,
        xor_key,
    )

    files = block_files(path)
    key = xor_key(files[0].parent)
    try:
        with files[0].open("rb") as file:
            magic = plain_bytes(file.read(4), 0, key)
    except OSError as error:
        raise cannot_read(files[0], error) from None
    names = [chain.name for chain in _chains() if chain.magic == magic]
    if not names:
        known = ", ".join(f"{chain.name} {chain.magic.hex()}" for chain in _chains())
        raise ConfigError(
            f"{files[0]} starts with the magic {magic.hex() or 'of an empty file'}, which is of no "
            f"chain that is defined ({known}). Where the node hides its files, keep xor.dat beside "
            "them."
        )
    count = f"{len(files)} block file{'s' if len(files) > 1 else ''}"
    return f"{path} has {count}, of {' or '.join(names)}."


def _chains() -> list[UtxoChain]:
    return [chain for chain in all_chains().values() if isinstance(chain, UtxoChain)]


def _with_user(url: str, user: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=f"{user}@{parts.netloc}").geturl()
