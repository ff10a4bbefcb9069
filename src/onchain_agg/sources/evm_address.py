"""Addresses of EVM chains as people write them: ``0x`` and 40 hexadecimal digits."""

from onchain_agg.errors import ConfigError

_DIGITS = frozenset("0123456789abcdefABCDEF")


def lower_address(text: str) -> str:
    """Return the address in lower case; one in mixed case must carry its checksum (EIP-55).

    Raises:
        ConfigError: *text* is no address, or its capitals are not those of its checksum.
    """
    digits = text.removeprefix("0x")
    if not text.startswith("0x") or len(digits) != 40 or not _DIGITS.issuperset(digits):
        raise ConfigError(f"address is {text!r}; write 0x and 40 hexadecimal digits.")
    if digits not in {digits.lower(), digits.upper()} and not _has_its_checksum(text):
        raise ConfigError(f"address is {text!r}; its capitals do not match its checksum.")
    return text.lower()


def address_bytes(text: str) -> bytes:
    """Return the 20 bytes of the address that *text* writes.

    Raises:
        ConfigError: As for `lower_address`.
    """
    return bytes.fromhex(lower_address(text)[2:])


def _has_its_checksum(text: str) -> bool:
    # It takes long to import, and few files hold mixed-case addresses.
    from web3 import Web3

    return Web3.is_checksum_address(text)
