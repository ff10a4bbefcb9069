"""Decimal numbers as texts, exact to the last digit, in one form for each value."""

import re
from decimal import Context, Decimal

# What fits DECIMAL(38), whole and fractional digits together; no price or amount needs more.
_MOST_DIGITS = 38
_LONGEST_TEXT = 100
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
_EXACT = Context(prec=2 * _LONGEST_TEXT)


def canonical(text: str) -> str | None:
    """Return the number in *text* without exponent and needless zeros, or None where it is none.

    A number of more than 38 digits is none either: nothing is rounded.
    """
    if len(text) > _LONGEST_TEXT or not _NUMBER.fullmatch(text):
        return None
    number = Decimal(text).normalize(_EXACT)
    if not number:
        return "0"
    exponent = int(number.as_tuple().exponent)
    whole, fraction = max(number.adjusted() + 1, 0), max(-exponent, 0)
    return format(number, "f") if whole + fraction <= _MOST_DIGITS else None
