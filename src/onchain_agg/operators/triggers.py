"""What a deferred sensor leaves with the triggerer.

No DAG file imports it: it loads SQLAlchemy. The triggerer does so once, before the first look.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook, timezone
from airflow.sdk.exceptions import AirflowNotFoundException
from airflow.triggers.base import BaseTrigger, TriggerEvent

from onchain_agg.errors import OnchainAggError, SourceError
from onchain_agg.hooks.sql_url import sql_url
from onchain_agg.operators import looks, readiness

if TYPE_CHECKING:
    from concurrent.futures import Future

    from sqlalchemy.engine import URL

# The look at the deadline is given so many seconds; Airflow's own time-out is minutes later.
_LAST_LOOK_S = 10.0


class SourceTableTrigger(BaseTrigger):
    """Looks at a table until it has the rows that are waited for, or until the deadline.

    Its one event holds a ``status``, which is ``ready``, ``late`` or ``failed``, and a ``message``.
    What it is made of holds no password: the connection is looked up before each look.

    Args:
        condition: What is waited for, as `Condition.as_json` says it.
        conn_id: Connection to the database; None is the warehouse.
        poke_interval: Seconds between two looks.
        deadline: When to give up, as aware ISO text. It is a moment and not a span, so that a
            restarted triggerer waits no longer than the first one would have.
    """

    def __init__(
        self,
        *,
        condition: Mapping[str, Any],
        conn_id: str | None,
        poke_interval: float,
        deadline: str,
    ) -> None:
        """Take what the class says; nothing is looked up yet."""
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's, without types.
        self.condition = dict(condition)
        self.conn_id = conn_id
        self.poke_interval = poke_interval
        self.deadline = deadline
        self._look: Future[bool] | None = None

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the import path of the class and the arguments that make this trigger again."""
        arguments = {
            "condition": self.condition,
            "conn_id": self.conn_id,
            "poke_interval": self.poke_interval,
            "deadline": self.deadline,
        }
        return f"{type(self).__module__}.{type(self).__qualname__}", arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield the one event."""
        condition = readiness.condition_of(self.condition)
        deadline = datetime.fromisoformat(self.deadline)
        while True:
            problem = ""
            try:
                if await self._looked(condition, deadline):
                    yield _event("ready")
                    return
            except SourceError as error:
                # A database that is down comes back, or the deadline does.
                problem = f" The last look failed: {error}"
                self.log.warning("%s Looking again in %s s.", error, self.poke_interval)
            except OnchainAggError as error:
                yield _event("failed", str(error))
                return
            left = _seconds_to(deadline)
            if left <= 0:
                message = f"There were not {condition} until {self.deadline}.{problem}"
                yield _event("late", message)
                return
            await asyncio.sleep(min(self.poke_interval, left))

    async def _looked(self, condition: readiness.Condition, deadline: datetime) -> bool:
        url = await self._url()
        # A driver blocks, and all triggers share one event loop and one pool of threads. One look
        # at a time: behind a silent server, threads must not pile up.
        if self._look is None or self._look.done():
            self._look = looks.begun_look(condition, url, self.conn_id)
        within = min(looks.LOOK_S, max(_seconds_to(deadline), _LAST_LOOK_S))
        try:
            return await asyncio.wait_for(asyncio.wrap_future(self._look), within)
        except TimeoutError:
            raise looks.silent(self.conn_id, within) from None

    async def _url(self) -> "URL | None":
        if self.conn_id is None:
            return None
        try:
            connection = await BaseHook.aget_connection(self.conn_id)
        except AirflowNotFoundException as error:
            # Airflow says so of a secrets backend that failed too, and the worker found it.
            raise SourceError(f"Connection {self.conn_id!r} cannot be found now.") from error
        return sql_url(connection, await connection.aextra_dejson())


def _seconds_to(deadline: datetime) -> float:
    return (deadline - timezone.utcnow()).total_seconds()


def _event(status: str, message: str = "") -> TriggerEvent:
    told = {"status": status, "message": message}
    return TriggerEvent(told)  # type: ignore[no-untyped-call]  # Airflow's, without types.
