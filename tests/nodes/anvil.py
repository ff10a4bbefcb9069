"""Foundry's anvil as a test's EVM node, from the npm package (``npm ci`` in this folder)."""

import json
import os
import platform
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import urllib3

from tests.nodes.json_rpc import JsonRpc
from tests.nodes.node_process import free_port, running_process

_HERE = Path(__file__).parent
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


def node_modules() -> Path:
    """Return where the npm packages lie: ``ONCHAIN_AGG_NODE_MODULES``, or beside this file."""
    return Path(os.environ.get("ONCHAIN_AGG_NODE_MODULES") or _HERE / "node_modules")


def available() -> str | None:
    """Return why anvil cannot be started, or None where it can."""
    if _binary().is_file():
        return None
    return (
        f"anvil is missing ({_binary()}): run `npm ci --prefix tests/nodes` (Linux on amd64) or "
        f"`npm install --no-save --prefix tests/nodes {_package()}@{_version()}`, or set "
        "ONCHAIN_AGG_NODE_MODULES to a folder that holds that package"
    )


@contextmanager
def running_anvil(*args: str) -> Iterator[str]:
    """Start anvil with *args* on a free loopback port and yield its URL.

    Raises:
        NodeStartError: anvil did not start; the message ends with what it printed.
    """
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory(prefix="anvil-") as folder:
        # The cache folder keeps anvil's own state files out of the home directory.
        command = [
            *(str(_binary()), "--host", "127.0.0.1", "--port", str(port)),
            *("--cache-path", folder),
            *args,
        ]
        output = Path(folder) / "anvil.log"
        with running_process(command, output, lambda: _answers(url)):
            yield url


def _binary() -> Path:
    return node_modules() / _package() / "bin" / "anvil"


def _package() -> str:
    machine = _MACHINES.get(platform.machine(), platform.machine())
    return f"@foundry-rs/anvil-{platform.system().lower()}-{machine}"


def _version() -> str:
    # package.json pins one platform's package; the others have the same version.
    pins = json.loads((_HERE / "package.json").read_text())["optionalDependencies"]
    version: str
    (version,) = {pin for name, pin in pins.items() if name.startswith("@foundry-rs/anvil-")}
    return version


def _answers(url: str) -> bool:
    rpc = JsonRpc(url)
    try:
        return bool(rpc.call("eth_chainId"))
    except urllib3.exceptions.HTTPError:
        return False
    finally:
        rpc.close()
