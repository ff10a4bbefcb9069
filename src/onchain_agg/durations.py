"""Spans of time as people write them in a configuration: ``90s``, ``10m``, ``3h``, ``1d``."""

import re
from datetime import timedelta
from typing import Any

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def duration(value: Any) -> timedelta:
    """Return the time that text such as ``90s``, ``10m``, ``3h`` or ``1d`` stands for.

    Raises:
        ValueError: It stands for none above 0; says how to write one.
    """
    found = re.fullmatch(r"([1-9]\d*)([smhd])", value) if isinstance(value, str) else None
    if not found:
        raise ValueError("write a duration above 0 such as 30s, 10m, 3h or 1d")
    return timedelta(seconds=int(found[1]) * _UNITS[found[2]])
