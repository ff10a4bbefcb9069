"""How far a loop over parts got, kept where the next start of its task finds it.

Knows neither Airflow nor signals: a store is anything that gets and sets by key.
"""

import hashlib
import json
import logging
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from onchain_agg.errors import ConfigError

_log = logging.getLogger(__name__)

# A write is a call of Airflow's API, and parts can be many and short.
_EVERY_S = 1.0
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,200}")
# The default repr of an object holds its address, which is another one in the next process.
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


class Store(Protocol):
    """Keeps JSON values by key for the starts of one task, as Airflow's ``task_state_store``."""

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value of *key*, or *default*."""

    def set(self, key: str, value: Any) -> None:
        """Keep *value* as that of *key*."""


@dataclass(kw_only=True)
class Checkpoint:
    """Counts the parts that are done, from the first one on, and keeps the count in a store.

    Attributes:
        store: Where.
        key: Under which key.
        loop: What the count belongs to; a count of something else is not taken up.
        done: Parts that are done.
        clock: Seconds that only go up.
    """

    store: Store
    key: str
    loop: dict[str, Any]
    done: int
    clock: Callable[[], float] = time.monotonic
    _saved: int = field(init=False)
    _tried_at: float = field(init=False)

    def __post_init__(self) -> None:
        """Take what was read as what is kept."""
        self._saved = self.done
        self._tried_at = self.clock()

    def advance(self) -> None:
        """Count a part as done; the store is told at most once a second."""
        self.done += 1
        if self.clock() - self._tried_at >= _EVERY_S:
            self.save()

    def save(self) -> None:
        """Tell the store what it does not know yet; where that fails, warn, and lose no work."""
        done = self.done
        if done == self._saved:
            return
        try:
            self.store.set(self.key, {**self.loop, "done": done})
            self._saved = done
        except Exception:
            _log.warning(
                "The checkpoint %s was not kept, so the next start does parts again.",
                self.key,
                exc_info=True,
            )
        finally:
            self._tried_at = self.clock()


def checkpoint_key(name: str) -> str:
    """Return the store's key for the loop *name*.

    Raises:
        ConfigError: The name cannot be part of a key.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"resumable(…, name={name!r}): write a name of 1 to 200 letters, digits, '.', _ and -."
        )
    return f"onchain_agg.resumable.{name}"


def resumed(
    store: Store,
    key: str,
    parts: Sequence[object],
    cleared: list[int],
    clock: Callable[[], float] = time.monotonic,
) -> Checkpoint:
    """Return the checkpoint of a loop over *parts*: the one in *store*, or a new one.

    A new one begins where there is none, where the parts are others, and where *cleared*, numbers
    that change as the task is cleared, are others.

    Raises:
        ConfigError: A part has no text that stays the same from one process to the next.
    """
    loop = {"parts": _checksum(parts), "of": len(parts), "cleared": cleared}
    kept = store.get(key)
    done = _done(key, kept, loop) if isinstance(kept, dict) else 0
    return Checkpoint(store=store, key=key, loop=loop, done=done, clock=clock)


def _done(key: str, kept: dict[str, Any], loop: dict[str, Any]) -> int:
    done = kept.get("done")
    if kept.get("cleared") != loop["cleared"]:
        _log.info(
            "%s: tasks of this run were cleared, so all %d parts are done anew.", key, loop["of"]
        )
        return 0
    if any(kept.get(what) != value for what, value in loop.items()) or not isinstance(done, int):
        _log.info("%s: the parts are others than last time, so all %d are done.", key, loop["of"])
        return 0
    _log.info("%s: %d of %d parts are done already.", key, done, loop["of"])
    return done


def _checksum(parts: Sequence[object]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        text = repr(part)
        if _ADDRESS.search(text):
            raise ConfigError(
                f"resumable(…): the part {text} shows as another text in every process, so it "
                "cannot be told from a changed one. Give it a __repr__ of its values, or loop over "
                "plain values."
            )
        # Quoted, so that no two lists of parts run into the same text.
        digest.update(json.dumps(text).encode())
    return digest.hexdigest()
