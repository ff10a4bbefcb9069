"""The chains this package knows: one file each, found by name."""

import pkgutil
from functools import cache
from importlib import import_module

from onchain_agg.chains.definition import Asset, Chain, EvmChain, UtxoChain
from onchain_agg.errors import UnknownNameError

__all__ = ["Asset", "Chain", "EvmChain", "UtxoChain", "all_chains", "chain_named"]


@cache
def all_chains() -> dict[str, EvmChain | UtxoChain]:
    """Return every chain by name."""
    modules = (m.name for m in pkgutil.iter_modules(__path__) if m.name != "definition")
    chains = (import_module(f"{__name__}.{name}").CHAIN for name in sorted(modules))
    return {chain.name: chain for chain in chains}


def chain_named(name: str) -> EvmChain | UtxoChain:
    """Return the chain of that name.

    Raises:
        UnknownNameError: No such chain; the message lists the ones that exist.
    """
    try:
        return all_chains()[name]
    except KeyError:
        raise UnknownNameError("chain", name, all_chains()) from None
