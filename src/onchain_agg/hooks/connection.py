"""What all hooks share: the connection, the extras that are read, and Airflow's Test button."""

import math
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, wait
from functools import partial
from typing import Any, TypeVar
from urllib.parse import quote

from airflow.sdk import BaseHook, Connection
from airflow.sdk.exceptions import AirflowNotFoundException

from onchain_agg.errors import ConfigError, OnchainAggError, SourceError
from onchain_agg.hooks.asking import asked
from onchain_agg.hooks.extra import check_extra
from onchain_agg.hooks.lookup import connection_named
from onchain_agg.sources.masking import scrubbed

T = TypeVar("T")

# A person waits for the Test button, and it holds a thread of the API server meanwhile.
QUICK_TIMEOUT_S = 4.0
_TEST_S = 8.0


class ConnectionHook(BaseHook):
    """Reads one Airflow connection.

    Few extras are read, and every other one is ignored: who may edit a connection must not be able
    to pass options to the client libraries.
    """

    conn_type: str
    host_holds: str

    def __init__(self, conn_id: str) -> None:
        """Take the connection's id; it is looked up when something is asked of the hook."""
        super().__init__()
        self.conn_id = conn_id

    def is_configured(self) -> bool:
        """Return whether the connection exists."""
        try:
            self.get_connection(self.conn_id)
        except AirflowNotFoundException:
            return False
        return True

    def test_connection(self) -> tuple[bool, str]:
        """Return whether the connection works, and what Airflow's Test button shows about it.

        It asks the other side for little and ends within seconds. The text names hosts, not the
        connection, which Airflow tests under a made-up id; it holds no key or password.
        """
        secrets: Sequence[str] = ()
        try:
            connection = self._connection()
            secrets = self._secrets(connection)
            works, told = self._try(connection)
        except OnchainAggError as error:
            works, told = False, str(error)
        told = told.replace(f"Connection {self.conn_id!r}", "This connection")
        return works, scrubbed(told, secrets)

    @abstractmethod
    def _try(self, connection: Connection) -> tuple[bool, str]:
        """Return whether *connection* works, and the text about it.

        Raises:
            OnchainAggError: It does not.
        """

    def _secrets(self, connection: Connection) -> list[str]:
        """Return what no message may hold."""
        password = connection.password
        return [password, quote(password, safe="")] if password else []

    def _connection(self) -> Connection:
        options = f"--conn-type {self.conn_type} --conn-host <{self.host_holds}>"
        connection = connection_named(self.conn_id, options)
        check_extra(connection)
        return connection

    def _number(self, extras: Mapping[str, Any], name: str) -> float | None:
        value = extras.get(name)
        if value in (None, ""):
            return None
        try:
            number = float(str(value))
        except ValueError:
            number = 0.0
        if not 0 < number < math.inf:
            raise ConfigError(
                f"Connection {self.conn_id!r}: extra {name!r} is {value!r}. Give a number above 0."
            )
        return number


def answers(questions: Sequence[tuple[str, Callable[[], T]]]) -> list[T | OnchainAggError]:
    """Return the answer or error of each named question; all are asked at once, for some seconds.

    A call's own timeout is not enough: a name server may be silent for longer, and a server that
    sends a byte now and then never ends.
    """
    futures: list[Future[T | OnchainAggError]] = [
        asked(partial(_answered, question)) for _, question in questions
    ]
    wait(futures, _TEST_S)
    return [_in_time(name, future) for (name, _), future in zip(questions, futures, strict=True)]


def _answered(question: Callable[[], T]) -> T | OnchainAggError:
    try:
        return question()
    except OnchainAggError as error:
        return error


def _in_time(name: str, future: "Future[T | OnchainAggError]") -> T | OnchainAggError:
    if not future.done():
        return SourceError(f"{name} has not answered within {_TEST_S:g} s.")
    return future.result()
