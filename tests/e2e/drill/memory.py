"""The most memory that a drill's processes held."""

import time
from contextlib import suppress

import psutil

# A look takes a second of a core.
_EVERY_S = 15.0
_MIB = 2**20


class Memory:
    """Adds up all processes below this one; each page that some share is counted once."""

    def __init__(self) -> None:
        self.peak_mb = 0
        self._next = 0.0

    def look(self) -> None:
        """Look, unless that was done a while ago."""
        if time.monotonic() < self._next:
            return
        total = 0
        for process in psutil.Process().children(recursive=True):
            with suppress(psutil.Error):
                total += process.memory_full_info().pss
        self.peak_mb = max(self.peak_mb, total // _MIB)
        self._next = time.monotonic() + _EVERY_S
