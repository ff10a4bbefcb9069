"""Every exception that this package raises on purpose.

OnchainAggError
├── ConfigError             a definition or the deployment is wrong; a retry cannot help
│   ├── UnknownNameError    a chain, data set, queue … of that name is not defined
│   └── WrongChainError     the node or file belongs to another chain
├── SourceError             a node or file misbehaved; a retry may help
│   ├── NodeBehindError     the node has not reached the block that was asked for
│   └── ForkError           blocks do not link up: the chain was reorganised during the read
├── ReorgTooDeepError       a fork goes deeper than the undo rows; state must be rebuilt
└── DataSetError            a data set returned rows that break its own contract
"""

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return the sentence that offers the name closest to *name*, with a space; else nothing."""
    close = get_close_matches(name, list(known), n=1)
    return f"Did you mean {close[0]!r}? " if close else ""


class OnchainAggError(Exception):
    """Base of every error that this package raises on purpose."""


class ConfigError(OnchainAggError):
    """A definition, an argument or the deployment is wrong; a retry cannot help."""


class UnknownNameError(ConfigError):
    """A chain, data set, asset, queue or size of that name is not defined."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        """Say which *name* is unknown, what it may have meant and what is *known*."""
        names = sorted(known)
        hint = did_you_mean(name, names)
        super().__init__(f"No {kind} is named {name!r}. {hint}Defined: {', '.join(names)}.")


class WrongChainError(ConfigError):
    """The node or file belongs to another chain."""


class SourceError(OnchainAggError):
    """A node or file misbehaved; a retry may help."""


class NodeBehindError(SourceError):
    """The node has not reached the block that was asked for."""


class ForkError(SourceError):
    """Blocks do not link up: the chain was reorganised during the read."""


class ReorgTooDeepError(OnchainAggError):
    """A fork goes deeper than the undo rows; the chain's state must be rebuilt."""


class DataSetError(OnchainAggError):
    """A data set returned rows that break its own contract."""
