"""Holding declared tokens against their contracts, and the quarantine that follows from it."""

from collections.abc import Sequence

from sqlalchemy import Engine

from onchain_agg.sources.rpc import Rpc
from onchain_agg.sources.token_metadata import Declared, disagreements, read_tokens
from onchain_agg.warehouse.tokens import Quarantined, quarantine


def check(engine: Engine, chain: str, rpc: Rpc, declared: Sequence[Declared]) -> list[Quarantined]:
    """Ask the contracts, put the doubtful tokens into quarantine and return them.

    A token that is declared twice is doubtful where either declaration is. One that is in order
    leaves the quarantine; what was not declared stays as it is.

    Raises:
        SourceError: No node answered; the quarantine stays as it was.
    """
    addresses = sorted({token.address.lower() for token in declared})
    told = {token.address: token for token in read_tokens(rpc, chain, addresses)}
    reasons: dict[str, list[str]] = {address: [] for address in addresses}
    symbols: dict[str, str] = {}
    for token in declared:
        address = token.address.lower()
        symbols.setdefault(address, token.symbol)
        found = disagreements(token, told[address])
        reasons[address] += [reason for reason in found if reason not in reasons[address]]
    doubtful = [
        Quarantined(_bytes(address), told[address].symbol or symbols[address], "; ".join(why))
        for address, why in reasons.items()
        if why
    ]
    free = [_bytes(address) for address, why in reasons.items() if not why]
    quarantine(engine, chain, doubtful, released=free)
    return doubtful


def _bytes(address: str) -> bytes:
    return bytes.fromhex(address.removeprefix("0x"))
