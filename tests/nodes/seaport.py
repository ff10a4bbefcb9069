"""The Seaport contract itself, of version 1.6, on a test's node; its code comes with seaport-js."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from tests.nodes.anvil import node_modules
from tests.nodes.evm_contracts import created_address, send_transaction
from tests.nodes.json_rpc import JsonRpc

ADDRESS = "0x0000000000000068f116a894984e2db1123eb395"
_PACKAGE = "@opensea/seaport-js"
_FACTORIES = "src/typechain-types/factories/seaport/contracts"
_CONTROLLER = "conduit/ConduitController.sol/LocalConduitController"
_GAS = 6_000_000

_PARAMETERS = (
    "(address,address,(uint8,address,uint256,uint256,uint256)[],"
    "(uint8,address,uint256,uint256,uint256,address)[],"
    "uint8,uint256,uint256,bytes32,uint256,bytes32,uint256)"
)
_ORDER = f"({_PARAMETERS},bytes)"
_ADVANCED = f"({_PARAMETERS},uint120,uint120,bytes,bytes)"
_RESOLVER = "(uint256,uint8,uint256,uint256,bytes32[])"
_FULFILLMENT = "((uint256,uint256)[],(uint256,uint256)[])"
_BASIC = (
    "(address,uint256,uint256,address,address,address,uint256,uint256,uint8,uint256,uint256,"
    "bytes32,uint256,bytes32,bytes32,uint256,(uint256,address)[],bytes)"
)
_ARGUMENTS = {
    "validate": [f"{_ORDER}[]"],
    "fulfillOrder": [_ORDER, "bytes32"],
    "fulfillBasicOrder": [_BASIC],
    "fulfillAdvancedOrder": [_ADVANCED, f"{_RESOLVER}[]", "bytes32", "address"],
    "matchOrders": [f"{_ORDER}[]", f"{_FULFILLMENT}[]"],
}
NO_KEY = bytes(32)
NOBODY = "0x" + 40 * "0"
_FOREVER = 2**40


@dataclass(frozen=True)
class Seaport:
    """The contract at its real address."""

    rpc: JsonRpc

    def send(self, sender: str, function: str, *args: Any, value: int = 0) -> None:
        """Send a transaction that calls *function*.

        Raises:
            RuntimeError: The contract refused it.
        """
        types = _ARGUMENTS[function]
        selector = keccak(f"{function}({','.join(types)})".encode())[:4]
        data = "0x" + (selector + encode(types, args)).hex()
        done = send_transaction(self.rpc, sender, to=ADDRESS, data=data, value=value, gas=_GAS)
        if self.rpc.call("eth_getTransactionReceipt", done)["status"] != "0x1":
            raise RuntimeError(f"Seaport refused {function}.")


def available() -> str | None:
    """Return why the contract is missing, or None where it is there."""
    if (node_modules() / _PACKAGE / _FACTORIES).is_dir():
        return None
    return f"npm package {_PACKAGE} is missing: run `npm ci --prefix tests/nodes`"


def deployed(rpc: JsonRpc, sender: str) -> Seaport:
    """Return Seaport at its real address, with a conduit controller of its own."""
    controller = _created(
        rpc, sender, _code("conduit/ConduitController.sol/LocalConduitController")
    )
    made = _created(rpc, sender, _code("Seaport") + encode(["address"], [controller]))
    rpc.call("anvil_setCode", ADDRESS, rpc.call("eth_getCode", made, "latest"))
    return Seaport(rpc)


def order(
    offerer: str,
    offer: Sequence[tuple[int, str, int, int]],
    asked: Sequence[tuple[int, str, int, int, str]],
    *,
    partial: bool = False,
) -> tuple[Any, ...]:
    """Return an open order that never ends; an item's amount does not change with time."""
    return (
        offerer,
        NOBODY,
        [(*item, item[3]) for item in offer],
        [(*item[:4], item[3], item[4]) for item in asked],
        int(partial),
        *(0, _FOREVER, NO_KEY, 0, NO_KEY, len(asked)),
    )


def _code(factory: str) -> bytes:
    path = node_modules() / _PACKAGE / _FACTORIES / f"{factory}__factory.ts"
    found = re.search(r'_bytecode = "0x([0-9a-f]+)"', path.read_text())
    if found is None:
        raise RuntimeError(f"{path} holds no bytecode.")
    return bytes.fromhex(found[1])


def _created(rpc: JsonRpc, sender: str, code: bytes) -> str:
    nonce = int(rpc.call("eth_getTransactionCount", sender, "pending"), 16)
    send_transaction(rpc, sender, data="0x" + code.hex(), gas=_GAS * 2)
    return created_address(sender, nonce)
