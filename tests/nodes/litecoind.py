"""Litecoin Core as a test's Bitcoin-family node, in regtest mode (Debian package litecoind)."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import urllib3

from tests.nodes.json_rpc import JsonRpc, RpcError
from tests.nodes.node_process import free_port, running_process

_USER, _PASSWORD = "sample", "sample"
_WARMING_UP = -28
# The node waits long for clients that keep a connection open, and its folder goes anyway.
_STOPPED_WITHIN_S = 0.3


@dataclass(frozen=True)
class Litecoind:
    """A running node.

    Attributes:
        url: Its JSON-RPC address, user and password included.
        blocks_dir: The folder of its ``blk*.dat`` files.
        rpc: The client behind `call`; its `batch` sends many calls at once.
    """

    url: str
    blocks_dir: Path
    rpc: JsonRpc

    def call(self, method: str, *params: Any) -> Any:
        """Return the result of one call.

        Raises:
            RpcError: The node answered with an error.
        """
        return self.rpc.call(method, *params)


def available() -> str | None:
    """Return why litecoind cannot be started, or None where it can."""
    if shutil.which("litecoind"):
        return None
    return "litecoind is missing: run `apt-get install litecoind` (Debian) or put it on the PATH"


@contextmanager
def running_litecoind(*args: str) -> Iterator[Litecoind]:
    """Start ``litecoind -regtest`` without a wallet on free loopback ports and yield it.

    Raises:
        NodeStartError: The node did not start; the message ends with what it printed.
    """
    port = free_port()
    url = f"http://{_USER}:{_PASSWORD}@127.0.0.1:{port}"
    with tempfile.TemporaryDirectory(prefix="litecoind-") as folder:
        node = Litecoind(url, Path(folder) / "regtest" / "blocks", JsonRpc(url))
        output = Path(folder) / "litecoind.log"
        command = [*_command(folder, port), *args]
        with running_process(command, output, lambda: _answers(node), _STOPPED_WITHIN_S):
            try:
                yield node
            finally:
                node.rpc.close()


def _command(folder: str, port: int) -> list[str]:
    return [
        shutil.which("litecoind") or "litecoind",
        *("-regtest", f"-datadir={folder}", "-server", "-printtoconsole=1"),
        *(f"-rpcport={port}", f"-rpcuser={_USER}", f"-rpcpassword={_PASSWORD}"),
        *("-rpcbind=127.0.0.1", "-rpcallowip=127.0.0.1"),
        *("-listen=0", "-dnsseed=0", "-discover=0", "-upnp=0", "-disablewallet=1"),
        # With MWEB's deployment on its default schedule regtest stops making blocks at height 432.
        "-vbparams=mweb:-2:0",
        *("-fallbackfee=0.0001", "-acceptnonstdtxn=1", "-dbcache=16", "-txindex=1"),
    ]


def _answers(node: Litecoind) -> bool:
    try:
        return bool(node.call("getblockchaininfo"))
    except urllib3.exceptions.HTTPError:
        return False
    except RpcError as error:
        if error.code == _WARMING_UP:
            return False
        raise
