"""The chains this package knows: one file each, found by name."""

from functools import cache

from onchain_agg.chains.definition import (
    ERC20,
    ERC721,
    ERC1155,
    Asset,
    Chain,
    EvmChain,
    UtxoChain,
)
from onchain_agg.discovery import defined_in, named

__all__ = [
    "ERC20",
    "ERC721",
    "ERC1155",
    "Asset",
    "Chain",
    "EvmChain",
    "UtxoChain",
    "all_chains",
    "chain_named",
]


@cache
def all_chains() -> dict[str, EvmChain | UtxoChain]:
    """Return every chain by name."""
    return {chain.name: chain for chain in defined_in(__name__, "CHAIN")}


def chain_named(name: str) -> EvmChain | UtxoChain:
    """Return the chain of that name.

    Raises:
        UnknownNameError: No such chain; the message lists the ones that exist.
    """
    return named("chain", name, all_chains())
