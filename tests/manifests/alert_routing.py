"""Who is told of an alert, as Alertmanager's tree of routes says it.

It knows routes one level deep, the first of which that fits decides, and matchers of labels.
"""

import re
from typing import Any

_MATCHER = re.compile(r'(\w+)(=~|!~|!=|=)"(.*)"')


def receiver(config: dict[str, Any], labels: dict[str, str]) -> str:
    """Return the receiver of an alert with *labels*."""
    root = config["route"]
    for route in root["routes"]:
        if all(_fits(matcher, labels) for matcher in route["matchers"]):
            return str(route["receiver"])
    return str(root["receiver"])


def _fits(matcher: str, labels: dict[str, str]) -> bool:
    name, operator, value = _MATCHER.fullmatch(matcher).groups()  # type: ignore[union-attr]
    # A label that is not there is empty, and a pattern is anchored at both ends.
    has = labels.get(name, "")
    matches = re.fullmatch(value, has) if "~" in operator else has == value
    return bool(matches) != operator.startswith("!")
