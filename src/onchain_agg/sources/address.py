"""An address as its chain's people write it ↔ the bytes that facts hold."""

from onchain_agg.chains import Chain, UtxoChain
from onchain_agg.sources import bitcoin_address, evm_address


def address_bytes(chain: Chain, text: str) -> bytes:
    """Return the bytes of the address that *text* writes on *chain*.

    Raises:
        ConfigError: *text* is no address of *chain*; a wrong checksum is none either.
    """
    if isinstance(chain, UtxoChain):
        return bitcoin_address.address_bytes(chain, text)
    return evm_address.address_bytes(text)


def address_text(chain: Chain, address: bytes) -> str:
    """Return the text of *address* on *chain*.

    Raises:
        ConfigError: The bytes are no address of a Bitcoin-family chain.
    """
    if isinstance(chain, UtxoChain):
        return bitcoin_address.address_text(chain, address)
    return f"0x{address.hex()}"
