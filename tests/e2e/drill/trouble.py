"""Makes a plan's interruptions while a run goes on, and what a cluster does about their traces."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus

from tests.e2e.drill.field import Field
from tests.e2e.drill.interruptions import Kind
from tests.e2e.drill.plan import Interruption

# A kind without a victim is tried again after this while.
_AGAIN_S = 2.0


@dataclass(frozen=True)
class Made:
    """An interruption that was made: when, of what kind, and what it hit."""

    at_s: float
    kind: str
    victim: str


class Trouble:
    """What happens to one run.

    Attributes:
        waiting: Interruptions that are still to come.
        made: Those that were made.
        ended_schedulers: How often Airflow's scheduler ended by itself, and was started again.
    """

    def __init__(
        self,
        field: Field,
        plan: Iterable[Interruption],
        kinds: Mapping[str, Kind],
        say: Callable[[str], None],
    ) -> None:
        self.waiting = list(plan)
        self.made: list[Made] = []
        self.ended_schedulers = 0
        self._field = field
        self._kinds = kinds
        self._say = say

    def go_on(self, elapsed_s: float) -> None:
        """Make the next interruption if it is due."""
        if self._field.part("scheduler") is None:
            # As its Deployment does.
            self._field.stack.start_scheduler()
            self.ended_schedulers += 1
            self._say(f"{elapsed_s:6.1f} s  (the scheduler ended by itself, and starts again)")
        if not self.waiting or self.waiting[0].at_s > elapsed_s:
            return
        due = self.waiting.pop(0)
        if victim := _struck(self._kinds[due.kind], self._field):
            self.made.append(Made(elapsed_s, due.kind, victim))
            self._say(f"{elapsed_s:6.1f} s  {due.kind}: {victim}")
        else:
            again = Interruption(elapsed_s + _AGAIN_S, due.kind)
            self.waiting = sorted([*self.waiting, again])


def _struck(kind: Kind, field: Field) -> str | None:
    from kubernetes.client.exceptions import ApiException

    try:
        return kind(field)
    except ApiException as error:
        # The victim went, or was taken by a node, since it was chosen.
        if error.status in (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT):
            return None
        raise
