"""Compiles, deploys and calls the test contracts over raw JSON-RPC, without web3.py.

Transactions come from the node's unlocked accounts and name their gas, so they also work on a node
that does not mine by itself.
"""

import hashlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import rlp  # type: ignore[import-untyped]  # it ships no types
from eth_abi.abi import decode, encode
from eth_utils.crypto import keccak

from tests.nodes.anvil import node_modules
from tests.nodes.json_rpc import JsonRpc

_HERE = Path(__file__).parent
_CACHE = _HERE.parents[1] / ".cache" / "contracts"
_COMPILE_WITHIN_S = 120
_MINED_WITHIN_S = 30.0
DEFAULT_GAS = 3_000_000


class CompileError(Exception):
    """The Solidity compiler refused the test contracts; the message is its own."""


@dataclass(frozen=True)
class Artifact:
    """A compiled contract: its creation code and its ABI."""

    abi: list[dict[str, Any]]
    bytecode: bytes


@dataclass(frozen=True)
class Contract:
    """A contract at an address (``0x`` and 40 lower-case digits)."""

    address: str
    artifact: Artifact

    def calldata(self, function: str, *args: Any) -> str:
        """Return the data of a call of *function*, as ``0x`` hex."""
        entry = _function(self.artifact, function)
        types = _types(entry["inputs"])
        selector = keccak(f"{function}({','.join(types)})".encode())[:4]
        return "0x" + (selector + encode(types, args)).hex()

    def send(
        self, rpc: JsonRpc, sender: str, function: str, *args: Any, **fields: int | str
    ) -> str:
        """Send a transaction that calls *function* and return its hash.

        Args:
            rpc: The node.
            sender: One of its unlocked accounts.
            function: The function's name.
            *args: Its arguments, as eth_abi takes them.
            **fields: Further fields of the transaction, such as ``value`` in wei.
        """
        return send_transaction(
            rpc, sender, to=self.address, data=self.calldata(function, *args), **fields
        )

    def read(self, rpc: JsonRpc, function: str, *args: Any, block: str = "latest") -> Any:
        """Return what *function* answers at *block*; a single value comes without its tuple."""
        answer = rpc.call(
            "eth_call", {"to": self.address, "data": self.calldata(function, *args)}, block
        )
        return self.decode(function, answer)

    def decode(self, function: str, answer: str) -> Any:
        """Return the values in the *answer* of an ``eth_call`` of *function*."""
        types = _types(_function(self.artifact, function)["outputs"])
        values = decode(types, bytes.fromhex(answer.removeprefix("0x")))
        return values[0] if len(values) == 1 else values


def available() -> str | None:
    """Return why the contracts cannot be compiled, or None where they can."""
    if _cached_output().is_file():
        return None
    if not shutil.which("node"):
        return "node is missing: install Node.js 20 or newer"
    for package in ("solc", "@openzeppelin/contracts"):
        if not (node_modules() / package).is_dir():
            return f"npm package {package} is missing: run `npm ci --prefix tests/nodes`"
    return None


@cache
def artifacts() -> Mapping[str, Artifact]:
    """Return every test contract by name; compiled once and then read from ``.cache``.

    Raises:
        CompileError: The compiler refused the sources.
    """
    cached = _cached_output()
    if not cached.is_file():
        compiled = json.dumps(_compile(), sort_keys=True)
        cached.parent.mkdir(parents=True, exist_ok=True)
        # Tests that run side by side may all compile; each sees a whole file or none.
        partial = cached.with_suffix(f".{os.getpid()}")
        partial.write_text(compiled)
        partial.replace(cached)
    return {
        name: Artifact(entry["abi"], bytes.fromhex(entry["bytecode"]))
        for name, entry in json.loads(cached.read_text()).items()
    }


def deploy(rpc: JsonRpc, sender: str, name: str, *args: Any, **fields: int | str) -> Contract:
    """Send the transaction that creates contract *name* and return it at its future address."""
    artifact = artifacts()[name]
    constructor = [e for e in artifact.abi if e["type"] == "constructor"]
    types = _types(constructor[0]["inputs"]) if constructor else []
    nonce = int(rpc.call("eth_getTransactionCount", sender, "pending"), 16)
    code = artifact.bytecode + encode(types, args)
    send_transaction(rpc, sender, data="0x" + code.hex(), **fields)
    return Contract(created_address(sender, nonce), artifact)


def created_address(sender: str, nonce: int) -> str:
    """Return the address of the contract that *sender* creates with transaction *nonce*."""
    creator = bytes.fromhex(sender.removeprefix("0x"))
    return "0x" + keccak(rlp.encode([creator, nonce]))[12:].hex()


def send_transaction(rpc: JsonRpc, sender: str, **fields: int | str) -> str:
    """Send a transaction and return its hash; *fields* are its other fields, numbers as int.

    A node that mines by itself does so after it has answered, so its block is waited for.
    """
    named = {"from": sender, "gas": DEFAULT_GAS} | fields
    encoded = {key: hex(v) if isinstance(v, int) else v for key, v in named.items()}
    result: str = rpc.call("eth_sendTransaction", encoded)
    if rpc.call("anvil_getAutomine"):
        _wait_until_mined(rpc, result)
    return result


def _wait_until_mined(rpc: JsonRpc, transaction: str) -> None:
    deadline = time.monotonic() + _MINED_WITHIN_S
    while rpc.call("eth_getTransactionReceipt", transaction) is None:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{transaction} was not mined within {_MINED_WITHIN_S} s")
        time.sleep(0.002)


def _function(artifact: Artifact, name: str) -> dict[str, Any]:
    return next(e for e in artifact.abi if e["type"] == "function" and e["name"] == name)


def _types(parameters: list[dict[str, Any]]) -> list[str]:
    return [parameter["type"] for parameter in parameters]


def _standard_input() -> dict[str, Any]:
    return {
        "language": "Solidity",
        "sources": {
            path.name: {"content": path.read_text()}
            for path in sorted((_HERE / "contracts").glob("*.sol"))
        },
        "settings": {
            "evmVersion": "cancun",  # anvil's default hard fork is later and runs it
            "optimizer": {"enabled": True, "runs": 200},
            "metadata": {"bytecodeHash": "none", "appendCBOR": False},
            "outputSelection": {"*": {"*": ["abi", "evm.bytecode.object"]}},
        },
    }


def _cached_output() -> Path:
    pinned = (_HERE / "package-lock.json").read_bytes()
    source = json.dumps(_standard_input(), sort_keys=True).encode()
    return _CACHE / f"{hashlib.sha256(source + pinned).hexdigest()[:16]}.json"


def _compile() -> dict[str, Any]:
    done = subprocess.run(
        [shutil.which("node") or "node", str(_HERE / "compile.cjs"), str(node_modules())],
        input=json.dumps(_standard_input()),
        capture_output=True,
        text=True,
        timeout=_COMPILE_WITHIN_S,
        check=False,
    )
    if done.returncode:
        raise CompileError(done.stderr)
    output = json.loads(done.stdout)
    errors = [e["formattedMessage"] for e in output.get("errors", []) if e["severity"] == "error"]
    if errors:
        raise CompileError("\n".join(errors))
    return {
        name: {"abi": entry["abi"], "bytecode": entry["evm"]["bytecode"]["object"]}
        for file, contracts in output["contracts"].items()
        if "/" not in file  # OpenZeppelin's own files lie in folders
        for name, entry in contracts.items()
    }
