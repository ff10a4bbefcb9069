"""Which interruptions a run suffers, and when: drawn from a seed, so that a drill can be repeated.

The moments and kinds are the same for the same seed; the victims are drawn among what runs at that
moment, so they are not.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

# Parts of an undisturbed run's time. A victim must still be there when its moment has come, and the
# first task needs some time to start.
_FIRST, _LAST = 0.08, 0.8


@dataclass(frozen=True, order=True)
class Interruption:
    """One interruption: seconds after the run's beginning, and its kind."""

    at_s: float
    kind: str


def planned(
    kinds: Sequence[str], count: int, undisturbed_s: float, seed: int
) -> list[Interruption]:
    """Return *count* interruptions in the order of their moments.

    Every kind is there where *count* allows it, and none twice where it does not.
    """
    drawing = random.Random(seed)  # noqa: S311 - it must be the same for the same seed
    chosen = drawing.sample(list(kinds), min(count, len(kinds)))
    chosen += drawing.choices(list(kinds), k=count - len(chosen))
    moments = (drawing.uniform(_FIRST, _LAST) * undisturbed_s for _ in chosen)
    return sorted(Interruption(at_s, kind) for at_s, kind in zip(moments, chosen, strict=True))
