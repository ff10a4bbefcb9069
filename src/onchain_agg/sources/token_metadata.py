"""Names, symbols and decimals of tokens, as their contracts tell them, and what is wrong with them.

A token's contract may tell anything: a symbol as ``bytes32``, no decimals, a text of control
characters, other decimals than everybody assumes. Amounts of such a token are not to be computed
with before somebody has looked at it. Knows neither SQL nor Airflow.
"""

import json
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from onchain_agg.errors import ConfigError
from onchain_agg.sources.evm_address import lower_address
from onchain_agg.sources.evm_json import TEXT
from onchain_agg.sources.rpc import Call, RefusedError, Rpc, UnsupportedError

# Selectors: the first four bytes of keccak-256 of name(), symbol(), decimals() and
# supportsInterface(bytes4) with the ids of ERC-721 and ERC-1155.
_NAME, _SYMBOL, _DECIMALS = "0x06fdde03", "0x95d89b41", "0x313ce567"
_IS_ERC721 = "0x01ffc9a7" + "80ac58cd".ljust(64, "0")
_IS_ERC1155 = "0x01ffc9a7" + "d9b67a26".ljust(64, "0")
_CALLS = (_NAME, _SYMBOL, _DECIMALS, _IS_ERC721, _IS_ERC1155)

# DECIMAL(38) holds no more digits after the point, and no honest token has more.
MOST_DECIMALS = 38
_LONGEST_SYMBOL = 100
_WORD = 32


@dataclass(frozen=True)
class Declared:
    """What somebody says of a token: its address in lower case, its symbol and its decimals."""

    address: str
    symbol: str
    decimals: int


@dataclass(frozen=True)
class TokenMetadata:
    """What a token's contract tells.

    Attributes:
        address: ``0x…`` in lower case.
        name: None where it cannot be read, as with *symbol*.
        symbol: See *faults* for why it cannot be read.
        decimals: None where the contract has none.
        is_collection: Whether it says that it is an ERC-721 or ERC-1155, which need no decimals.
        faults: What cannot be relied on, for people; empty where nothing is wrong.
    """

    address: str
    name: str | None
    symbol: str | None
    decimals: int | None
    is_collection: bool
    faults: tuple[str, ...]


class _BadTextError(ValueError):
    """What a contract answers is no text; says why not."""


def read_tokens(rpc: Rpc, chain: str, addresses: Sequence[str]) -> list[TokenMetadata]:
    """Return what the contracts at *addresses* tell at the newest block, in the same order.

    Args:
        rpc: A client of the chain's nodes.
        chain: The chain's name, for messages.
        addresses: ``0x…`` in lower case.

    Raises:
        SourceError: No node answered. That a contract refuses a call is no error but its answer.
    """
    calls: list[Call] = [
        ("eth_call", ({"to": address, "data": data}, "latest"))
        for address in addresses
        for data in _CALLS
    ]
    answers = _asked(rpc, calls, f"{chain} tokens")
    width = len(_CALLS)
    return [
        _metadata(address, answers[i * width : (i + 1) * width])
        for i, address in enumerate(addresses)
    ]


def disagreements(declared: Declared, told: TokenMetadata) -> tuple[str, ...]:
    """Return why the token cannot be relied on: its own faults, and what is declared otherwise."""
    faults = list(told.faults)
    if told.decimals is None and not (told.is_collection and declared.decimals == 0):
        faults.append("it has no decimals()")
    elif told.decimals is not None and told.decimals != declared.decimals:
        faults.append(
            f"it is declared with {declared.decimals} decimals, but tells {told.decimals}"
        )
    return tuple(faults)


def read_token_list(file: Path, chain_id: int) -> list[Declared]:
    """Return the tokens of a chain in *file*, a token list as wallets use it.

    It is a JSON list, or an object with the list under ``tokens``; each has ``address``,
    ``symbol`` and ``decimals``, and may have a ``chainId``.

    Raises:
        ConfigError: It cannot be read, or an entry is wrong; names the entry.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{file} cannot be read: {error}. Give a token list in JSON.") from None
    entries = content.get("tokens") if isinstance(content, dict) else content
    if not isinstance(entries, list):
        raise ConfigError(f"{file} holds no list of tokens. Give a token list in JSON.")
    return list(_declared(file, chain_id, entries))


def _declared(file: Path, chain_id: int, entries: Iterable[object]) -> Iterator[Declared]:
    seen: dict[str, tuple[int, Declared]] = {}
    for number, entry in enumerate(entries, 1):
        place = f"{file}, token {number}"
        if not isinstance(entry, Mapping):
            raise ConfigError(f"{place} is no object. Write address, symbol and decimals.")
        if entry.get("chainId", chain_id) != chain_id:
            continue
        try:
            address = lower_address(str(entry.get("address")))
        except ConfigError as error:
            raise ConfigError(f"{place}: {error}") from None
        decimals = entry.get("decimals")
        if not isinstance(decimals, int) or isinstance(decimals, bool) or not 0 <= decimals <= 255:
            raise ConfigError(
                f"{place}: decimals is {decimals!r}; write a whole number from 0 to 255."
            )
        one = Declared(address, str(entry.get("symbol") or ""), decimals)
        first, other = seen.setdefault(address, (number, one))
        if other != one:
            raise ConfigError(
                f"{file}, tokens {first} and {number}: {address} comes twice, with "
                f"{other.symbol} of {other.decimals} and {one.symbol} of {one.decimals} decimals. "
                "Keep one of them."
            )
        if first == number:
            yield one


def _asked(rpc: Rpc, calls: Sequence[Call], about: str) -> list[bytes | None]:
    """Return the answer of each call; None where the contract refuses it.

    One refusal refuses all calls that were asked together, so they are halved to find it.
    """
    found: list[bytes | None] = []
    most = rpc.limits.batch_calls
    todo = [calls[i : i + most] for i in range(0, len(calls), most)][::-1]
    while todo:
        part = todo.pop()
        try:
            found += [
                bytes.fromhex(r.removeprefix("0x")) for r in rpc.ask(part, TEXT, about).results
            ]
        except UnsupportedError:
            raise
        except RefusedError:
            if len(part) == 1:
                found.append(None)
            else:
                middle = len(part) // 2
                todo += [part[middle:], part[:middle]]
    return found


def _metadata(address: str, answers: Sequence[bytes | None]) -> TokenMetadata:
    name, symbol, decimals, is_721, is_1155 = answers
    is_collection = _is_true(is_721) or _is_true(is_1155)
    faults: list[str] = []
    shown = _text_or_fault("symbol", symbol, faults)
    # ERC-1155 has neither symbol nor name.
    if symbol in (None, b"") and _is_true(is_1155):
        faults.clear()
    digits = _decimals(decimals, faults)
    # Nothing is computed with a name, so one that cannot be read is no fault.
    return TokenMetadata(
        address, _text_or_fault("name", name, []), shown, digits, is_collection, tuple(faults)
    )


def _text_or_fault(what: str, answer: bytes | None, faults: list[str]) -> str | None:
    if not answer:
        faults.append(f"it has no {what}()")
        return None
    try:
        return _text(answer)
    except _BadTextError as error:
        faults.append(f"its {what} {error}")
        return None


def _text(answer: bytes) -> str:
    """Return the text of an ABI ``string``, or of a ``bytes32`` that ends in zeros."""
    raw = answer.rstrip(b"\0") if len(answer) == _WORD else _string(answer)
    if not raw:
        raise _BadTextError("is empty")
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise _BadTextError(f"is no UTF-8 text (0x{raw[:_WORD].hex()})") from None
    # Cc and Cf: control characters, and marks that no one sees but that turn letters around.
    hidden = [c for c in text if unicodedata.category(c)[0] == "C"]
    if hidden:
        raise _BadTextError(f"holds the control character U+{ord(hidden[0]):04X}")
    if not text.strip():
        raise _BadTextError("is blank")
    if len(text) > _LONGEST_SYMBOL:
        raise _BadTextError(f"is {len(text)} characters long")
    return text


def _string(answer: bytes) -> bytes:
    begin = int.from_bytes(answer[:_WORD])
    length = int.from_bytes(answer[begin : begin + _WORD])
    content = answer[begin + _WORD : begin + _WORD + length]
    if len(answer) < 2 * _WORD or begin + _WORD > len(answer) or len(content) != length:
        raise _BadTextError(f"is neither a string nor bytes32 (0x{answer[:_WORD].hex()}…)")
    return content


def _decimals(answer: bytes | None, faults: list[str]) -> int | None:
    """Return the decimals; None where there are none, which is for who declared them to judge."""
    if not answer:
        return None
    number = int.from_bytes(answer[:_WORD])
    if len(answer) < _WORD or number > 255:
        faults.append(f"its decimals() answers 0x{answer[:_WORD].hex()}, which is no uint8")
    elif number > MOST_DECIMALS:
        faults.append(f"it tells {number} decimals, more than {MOST_DECIMALS}")
    return number


def _is_true(answer: bytes | None) -> bool:
    return answer is not None and len(answer) >= _WORD and int.from_bytes(answer[:_WORD]) == 1
