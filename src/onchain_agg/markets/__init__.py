"""The venues this package knows: one file each, found by name."""

import pkgutil
from functools import cache
from importlib import import_module

from onchain_agg.errors import UnknownNameError
from onchain_agg.markets.definition import Span, TradePaging, Venue

__all__ = ["Span", "TradePaging", "Venue", "all_venues", "venue_named"]


@cache
def all_venues() -> dict[str, Venue]:
    """Return every venue by name."""
    modules = (m.name for m in pkgutil.iter_modules(__path__) if m.name != "definition")
    venues = (import_module(f"{__name__}.{name}").VENUE for name in sorted(modules))
    return {venue.name: venue for venue in venues}


def venue_named(name: str) -> Venue:
    """Return the venue of that name.

    Raises:
        UnknownNameError: No such venue; the message lists the ones that exist.
    """
    try:
        return all_venues()[name]
    except KeyError:
        raise UnknownNameError("venue", name, all_venues()) from None
