"""The data of events as 32-byte words, a whole column at a time; what decoders of markets share.

Logs whose data has one length stand in one array, so that a field at a fixed place is a slice of
it. Every check comes back as flags, and `refused` turns the rows that fail into `Malformed`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from onchain_agg.sources.evm_columns import Bytes2D, Int64s, from_hex
from onchain_agg.sources.evm_json import Log
from onchain_agg.sources.malformed import Malformed

Words3D = npt.NDArray[np.uint8]  # row, word, byte
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class EventWords:
    """Logs with data of one length; *log* is each row's position in the list of logs."""

    log: Int64s
    words: Words3D

    def where(self, flags: Flags) -> "EventWords":
        """Return the rows that *flags* names."""
        return self if flags.all() else EventWords(self.log[flags], self.words[flags])


def event_words(
    logs: Sequence[Log], chosen: Iterable[int], market: str, *, topics: int, at_least: int
) -> tuple[list[EventWords], list[Malformed]]:
    """Return the data of the *chosen* logs, grouped by length, and what has the wrong shape.

    Args:
        logs: The logs of a range.
        chosen: Positions in *logs*, in order; so are those of each group.
        market: Name of the market; a reason begins with it.
        topics: Topics that the event has, its signature included.
        at_least: Words of data that it has at least. Data is a whole number of words.

    Raises:
        SourceError: The data is not hex.
    """
    of_length: dict[int, list[int]] = {}
    malformed: list[Malformed] = []
    for i in chosen:
        log = logs[i]
        size, odd = divmod(len(log.data) - 2, 64)
        if len(log.topics) != topics:
            malformed.append(Malformed(i, f"{market}: {len(log.topics)} topics, not {topics}"))
        elif odd or size < at_least:
            asked = f"not whole words, {at_least} or more"
            malformed.append(Malformed(i, f"{market}: {len(log.data) // 2 - 1} bytes, {asked}"))
        else:
            of_length.setdefault(size, []).append(i)
    groups = []
    for size, members in of_length.items():
        data = from_hex([logs[i].data for i in members], 32 * size)
        groups.append(EventWords(np.array(members, np.int64), data.reshape(-1, size, 32)))
    return groups, malformed


def topic_words(logs: Sequence[Log], at: Int64s, topic: int) -> Bytes2D:
    """Return that topic of the logs at those positions, 32 bytes a row.

    Raises:
        SourceError: A topic is not 32 bytes of hex.
    """
    return from_hex([logs[i].topics[topic] for i in at], 32)


def addresses(words: Words3D | Bytes2D) -> tuple[npt.NDArray[np.uint8], Flags]:
    """Return the last 20 bytes of each word, and which words are addresses: the rest is zero."""
    return words[..., 12:], _is_zero(words[..., :12])


def small_numbers(words: Words3D | Bytes2D) -> Int64s:
    """Return each word, whose bytes are the last axis, as a number; -1 from 2**31 on.

    For offsets, counts and kinds, never for amounts.
    """
    low = words[..., -4:].view(">u4")[..., 0].astype(np.int64)
    fits = _is_zero(words[..., :-4]) & (low < 2**31)
    numbers: Int64s = np.where(fits, low, -1)
    return numbers


def same_bytes(one: npt.NDArray[np.uint8], other: npt.NDArray[np.uint8]) -> Flags:
    """Return where the last axes are equal; their length is a multiple of 4."""
    mine, theirs = one.view(np.uint32), other.view(np.uint32)
    equal: Flags = mine[..., 0] == theirs[..., 0]
    for place in range(1, mine.shape[-1]):
        equal = equal & (mine[..., place] == theirs[..., place])
    return equal


def _is_zero(values: npt.NDArray[np.uint8]) -> Flags:
    # Column by column: numpy takes long to reduce an axis of a few bytes.
    parts = values.view(np.uint32)
    found = parts[..., 0]
    for place in range(1, parts.shape[-1]):
        found = found | parts[..., place]
    is_zero: Flags = found == 0
    return is_zero


def refused(at: Int64s, passes: Flags, reason: str) -> list[Malformed]:
    """Return every log of *at* that does not pass, with *reason*, which names its market."""
    return [Malformed(int(i), reason) for i in at[~passes]]
