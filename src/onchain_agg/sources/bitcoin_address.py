"""Addresses of Bitcoin-family chains as people write them: base58check, bech32 and bech32m.

The bytes are those of `bitcoin_script`; `warehouse.address_sql` writes the same text in SQL.
"""

from collections.abc import Iterable

from onchain_agg.chains import UtxoChain
from onchain_agg.errors import ConfigError
from onchain_agg.sources.bitcoin_parse import sha256d
from onchain_agg.sources.bitcoin_script import PUBKEY_HASH, SCRIPT_HASH, WITNESS

_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_GENERATORS = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)

# What a valid checksum leaves: version 0 is written as bech32, later ones as bech32m.
_BECH32_SUM, _BECH32M_SUM = 1, 0x2BC830A3

_LONGEST_BECH32 = 90


def address_text(chain: UtxoChain, address: bytes) -> str:
    """Return the text of *address* on *chain*.

    Raises:
        ConfigError: The bytes are no address of a Bitcoin-family chain.
    """
    if not _is_address(address):
        raise ConfigError(
            f"0x{address.hex()} is no address of {chain.name}: it takes a kind byte "
            "(00, 05 or 10 to 20) and the hash or program of that kind."
        )
    kind, payload = address[0], address[1:]
    if kind >= WITNESS:
        return _bech32_text(chain.bech32_hrp, kind - WITNESS, payload)
    prefix = chain.pubkey_prefix if kind == PUBKEY_HASH else chain.script_prefix
    return _base58check(bytes([prefix]) + payload)


def address_bytes(chain: UtxoChain, text: str) -> bytes:
    """Return the bytes of the address that *text* writes on *chain*.

    Raises:
        ConfigError: *text* is no address of *chain*: a typing error, or another network's.
    """
    address = _from_bech32(chain, text) or _from_base58check(chain, text)
    if address is None:
        raise ConfigError(
            f"{text!r} is no address of {chain.name}: a character is wrong, or it belongs to "
            "another network. Copy it again."
        )
    return address


def _is_address(address: bytes) -> bool:
    if not address:
        return False
    kind, size = address[0], len(address) - 1
    if kind in (PUBKEY_HASH, SCRIPT_HASH):
        return size == 20
    if kind == WITNESS:
        return size in (20, 32)
    return WITNESS < kind <= WITNESS + 16 and 2 <= size <= 40


def _base58check(payload: bytes) -> str:
    data = payload + sha256d(payload)[:4]
    number, digits = int.from_bytes(data), ""
    while number:
        number, digit = divmod(number, 58)
        digits = _BASE58[digit] + digits
    zeros = len(data) - len(data.lstrip(b"\0"))
    return _BASE58[0] * zeros + digits


def _from_base58check(chain: UtxoChain, text: str) -> bytes | None:
    number = 0
    for character in text:
        digit = _BASE58.find(character)
        # 25 bytes take at most 35 digits; a longer text is no address and slow to convert.
        if digit < 0 or len(text) > 35:
            return None
        number = number * 58 + digit
    zeros = len(text) - len(text.lstrip(_BASE58[0]))
    data = bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8)
    payload, checksum = data[:-4], data[-4:]
    if len(data) != 25 or sha256d(payload)[:4] != checksum:
        return None
    kinds = {chain.pubkey_prefix: PUBKEY_HASH, chain.script_prefix: SCRIPT_HASH}
    kind = kinds.get(payload[0])
    return None if kind is None else bytes([kind]) + payload[1:]


def _bech32_text(hrp: str, version: int, program: bytes) -> str:
    words = [version, *_regroup(program)]
    target = _BECH32M_SUM if version else _BECH32_SUM
    remainder = _polymod([*_expanded(hrp), *words, *bytes(6)]) ^ target
    words += [remainder >> 5 * (5 - i) & 31 for i in range(6)]
    return f"{hrp}1" + "".join(_BECH32[word] for word in words)


def _from_bech32(chain: UtxoChain, text: str) -> bytes | None:
    hrp = chain.bech32_hrp
    one_case = text in (text.lower(), text.upper())
    if not one_case or not text.lower().startswith(f"{hrp}1") or len(text) > _LONGEST_BECH32:
        return None
    words = [_BECH32.find(character) for character in text.lower()[len(hrp) + 1 :]]
    if min(words, default=-1) < 0 or len(words) < 8:
        return None
    version, data = words[0], words[1:-6]
    target = _BECH32M_SUM if version else _BECH32_SUM
    program = _bytes_of(data)
    if program is None or _polymod([*_expanded(hrp), *words]) != target:
        return None
    address = bytes([WITNESS + version]) + program
    return address if _is_address(address) else None


def _expanded(hrp: str) -> list[int]:
    codes = hrp.encode()
    return [code >> 5 for code in codes] + [0] + [code & 31 for code in codes]


def _polymod(words: Iterable[int]) -> int:
    checksum = 1
    for word in words:
        top = checksum >> 25
        checksum = (checksum & 0x1FFFFFF) << 5 ^ word
        for bit, generator in enumerate(_GENERATORS):
            checksum ^= generator if top >> bit & 1 else 0
    return checksum


def _regroup(program: bytes) -> list[int]:
    """Return *program* in groups of five bits, the last one filled up with zeros."""
    missing = -len(program) * 8 % 5
    number = int.from_bytes(program) << missing
    count = (len(program) * 8 + missing) // 5
    return [number >> 5 * (count - 1 - i) & 31 for i in range(count)]


def _bytes_of(words: list[int]) -> bytes | None:
    """Return the bytes of five-bit groups; None where the filling is too long or not zero."""
    number = 0
    for word in words:
        number = number << 5 | word
    size, filling = divmod(len(words) * 5, 8)
    if filling >= 5 or number & ((1 << filling) - 1):
        return None
    return (number >> filling).to_bytes(size)
