"""How bytes of the warehouse become the text that readers of ``serving`` see."""

from sqlalchemy import ColumnElement, LargeBinary, Text, case, func, literal

from onchain_agg.chains import EvmChain, chain_named
from onchain_agg.metrics.dataset import Window

# The address under which ops.asset keeps a chain's own coin.
NATIVE = b""
# The zero address, from which tokens are minted, and the one by custom burned to: nobody has a key.
ZERO = bytes(20)
DEAD = bytes(18) + b"\xde\xad"


def hash_text(window: Window, column: ColumnElement[bytes]) -> ColumnElement[str]:
    """Return a block or transaction hash as the chain's explorers print it.

    That is ``0x…`` on EVM chains and bare hexadecimal on UTXO chains; NULL stays NULL.
    """
    return literal(_hex_prefix(window), Text) + func.encode(column, "hex")


def address_text(window: Window, column: ColumnElement[bytes]) -> ColumnElement[str]:
    """Return an address as wallets show it, EVM ones in lower case; NULL stays NULL."""
    if _is_evm(window):
        return hash_text(window, column)
    return func.ops.address_text(window.scope, column, type_=Text)


def asset_text(address: ColumnElement[bytes]) -> ColumnElement[str]:
    """Return the address of an asset as ``0x…``, or ``native`` for the chain's own coin."""
    return case(
        (address == literal(NATIVE, LargeBinary), literal("native", Text)),
        else_=literal("0x", Text) + func.encode(address, "hex"),
    )


def _hex_prefix(window: Window) -> str:
    return "0x" if _is_evm(window) else ""


def _is_evm(window: Window) -> bool:
    return isinstance(chain_named(window.scope), EvmChain)
