"""What is said of a log that has a known signature and could not be read."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Malformed:
    """A log's position in the list that was decoded, and why it could not be read."""

    log: int
    reason: str
