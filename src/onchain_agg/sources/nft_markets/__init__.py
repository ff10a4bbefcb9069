"""The NFT markets this package decodes: one file each, found by name."""

import pkgutil
from functools import cache
from importlib import import_module

from onchain_agg.sources.nft_markets.definition import NftMarket

__all__ = ["NftMarket", "all_nft_markets"]


@cache
def all_nft_markets() -> dict[str, NftMarket]:
    """Return every NFT market by name."""
    modules = (m.name for m in pkgutil.iter_modules(__path__) if m.name != "definition")
    markets = (import_module(f"{__name__}.{name}").MARKET for name in sorted(modules))
    return {market.name: market for market in markets}
