"""The venues this package knows: one file each, found by name."""

from functools import cache

from onchain_agg.discovery import defined_in, named
from onchain_agg.markets.definition import GLOBAL, Span, TradePaging, Venue

__all__ = ["GLOBAL", "Span", "TradePaging", "Venue", "all_venues", "venue_named"]


@cache
def all_venues() -> dict[str, Venue]:
    """Return every venue by name."""
    return {venue.name: venue for venue in defined_in(__name__, "VENUE")}


def venue_named(name: str) -> Venue:
    """Return the venue of that name.

    Raises:
        UnknownNameError: No such venue; the message lists the ones that exist.
    """
    return named("venue", name, all_venues())
