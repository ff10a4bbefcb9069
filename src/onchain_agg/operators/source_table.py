"""`SourceTableReadySensor`: a DAG waits for a table that somebody else fills."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NotRequired, TypedDict

from airflow.sdk import BaseSensorOperator, XComArg, timezone
from airflow.sdk.configuration import conf
from airflow.sdk.exceptions import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
)

from onchain_agg.errors import ConfigError, SourceError
from onchain_agg.hooks.lookup import connection_named
from onchain_agg.hooks.sql_url import sql_url
from onchain_agg.operators.publish import dataset_on
from onchain_agg.operators.session import failing_fast

if TYPE_CHECKING:
    from airflow.sdk import Context

    from onchain_agg.operators.readiness import Condition

Value = str | int | bool | date | datetime | Decimal | None

# Airflow's own time-out comes after the trigger's, whose message says what was waited for.
_AFTER_THE_TRIGGER = timedelta(minutes=5)
# What SQL's 64 bits hold for certain; no table has as many rows.
_MOST_DIGITS = 18


class LedgerWindow(TypedDict):
    """A published window of a data set; ``final`` asks for one that will not change any more."""

    dataset: str
    scope: str
    day: str | date
    final: NotRequired[bool]


class SourceTableReadySensor(BaseSensorOperator):
    """Waits until a table has enough rows, has reached a watermark, or a data set has a window.

    Give exactly one of ``min_rows``, ``watermark`` and ``window``; all but ``deferrable`` are
    templates. Deferred, it takes no worker slot and looks every ``poke_interval`` seconds.

    A database that is down is waited for like the rows are. At ``timeout`` the task fails without
    a retry, as it does on a mistake (no such table, a value of another type, no right to read);
    ``soft_fail`` skips it instead in either case, as in every sensor.

    Args:
        table: The table or view, such as ``trades`` or ``public.trades``.
        min_rows: The rows that there must be.
        watermark: One column and the time, day or number that it must have reached in some row,
            such as ``{"traded_at": "{{ data_interval_end }}"}``.
        window: A window of the warehouse's ledger, in place of ``table``.
        where: Columns and the value that the rows must have in them; None is SQL's NULL.
        conn_id: Connection to the database; None is the warehouse.
        deferrable: None is ``[operators] default_deferrable``.
        kwargs: Those of every sensor.

    Raises:
        ConfigError: Not exactly one is given, or a value can never be compared.
        UnknownNameError: No such data set or chain.
    """

    template_fields = ("table", "min_rows", "watermark", "window", "where", "conn_id")

    def __init__(
        self,
        *,
        table: str | None = None,
        min_rows: int | str | None = None,
        watermark: Mapping[str, Value] | None = None,
        window: LedgerWindow | None = None,
        where: Mapping[str, Value] | None = None,
        conn_id: str | None = None,
        deferrable: bool | None = None,
        **kwargs: Any,
    ) -> None:
        """Take what the class says; no database is asked."""
        super().__init__(**kwargs)
        self.table = table
        self.min_rows = min_rows
        self.watermark = watermark
        self.window = window
        self.where = where
        self.conn_id = conn_id
        if deferrable is None:
            deferrable = conf.getboolean("operators", "default_deferrable", fallback=False)
        self.deferrable = deferrable
        self._check_form()

    def execute(self, context: "Context") -> Any:
        """Return once the table is ready; deferred, only if it is so already.

        Raises:
            AirflowFailException: What is waited for cannot be.
            AirflowSensorTimeout: It did not come in time.
        """
        if not self.deferrable:
            return super().execute(context)
        with self._skipped_if_asked():
            if self.poke(context):
                return None
        # As in `poke`.
        from onchain_agg.operators.triggers import SourceTableTrigger  # noqa: PLC0415

        timeout = timedelta(seconds=self.timeout)
        trigger = SourceTableTrigger(
            condition=self._condition().as_json(),
            conn_id=self.conn_id,
            poke_interval=self.poke_interval,
            deadline=(timezone.utcnow() + timeout).isoformat(),
        )
        return self.defer(
            trigger=trigger, method_name="execute_complete", timeout=timeout + _AFTER_THE_TRIGGER
        )

    def poke(self, context: "Context") -> bool:
        """Return whether the table is ready; a database that is down is not."""
        # A DAG file is read without SQLAlchemy's dialects.
        from onchain_agg.operators.looks import look_in_time  # noqa: PLC0415

        with failing_fast():
            try:
                return look_in_time(self._condition(), self._url(), self.conn_id)
            except SourceError as error:
                self.log.warning("%s Looking again in %s s.", error, self.poke_interval)
                return False

    def execute_complete(self, context: "Context", event: Mapping[str, str]) -> None:
        """Return if the trigger's *event* says that the table is ready.

        Raises:
            AirflowFailException: What is waited for cannot be.
            AirflowSensorTimeout: It did not come in time.
        """
        if event["status"] == "failed":
            raise AirflowFailException(event["message"])
        if event["status"] == "late":
            raise AirflowSensorTimeout(event["message"])

    def _check_form(self) -> None:
        """Refuse what no rendering can mend."""
        kinds = ("min_rows", "watermark", "window")
        given = [name for name in kinds if getattr(self, name) is not None]
        if len(given) != 1:
            told = " and ".join(given) or "none of them"
            raise ConfigError(f"{self.task_id}: give one of {', '.join(kinds)}. Given: {told}.")
        if (self.window is None) == (self.table is None):
            raise ConfigError(
                f"{self.task_id}: give table with min_rows and watermark, and not with window."
            )
        if isinstance(self.window, Mapping):
            if self.where:
                raise ConfigError(f"{self.task_id}: where belongs to a table, not to window.")
            _check_window(self.window)
        for values in (self.watermark, self.where):
            if isinstance(values, Mapping):
                _check_values(values)

    def _condition(self) -> "Condition":
        from onchain_agg.operators.readiness import Condition  # noqa: PLC0415 - as above

        if self.window is not None:
            _check_window(self.window)
            where = {
                "dataset": self.window["dataset"],
                "scope": self.window["scope"],
                "day": _plain("day", self.window["day"]),
                **({"status": "final"} if self.window.get("final") else {}),
            }
            return Condition(table="ops.window", where=where, watermark=None, min_rows=1)
        reached = [(name, _plain(name, value)) for name, value in (self.watermark or {}).items()]
        if self.watermark is not None and len(reached) != 1:
            raise ConfigError(f"watermark is {self.watermark!r}. Give one column and its value.")
        return Condition(
            table=str(self.table),
            where={name: _plain(name, value) for name, value in (self.where or {}).items()},
            watermark=reached[0] if reached else None,
            min_rows=1 if self.min_rows is None else _count(self.min_rows),
        )

    def _url(self) -> Any:
        if self.conn_id is None:
            return None
        options = "--conn-uri postgresql://user:password@host:5432/database"
        connection = connection_named(self.conn_id, options)
        return sql_url(connection, connection.extra_dejson)

    @contextmanager
    def _skipped_if_asked(self) -> Iterator[None]:
        """Skip where the sensor is to be skipped on failure, as Airflow's own loop does."""
        try:
            yield
        except AirflowFailException as error:
            if self.soft_fail or self.never_fail:
                raise AirflowSkipException(str(error)) from error
            raise


def _check_window(window: LedgerWindow) -> None:
    missing = {"dataset", "scope", "day"} - {*window}
    unknown = {*window} - {"dataset", "scope", "day", "final"}
    if missing or unknown:
        raise ConfigError(
            f"window has the keys {', '.join(window)}. Give dataset, scope and day, and final "
            "where it must be."
        )
    if not isinstance(window.get("final", False), bool):
        raise ConfigError(f"window has final {window['final']!r}. Give True or False.")
    names = (window["dataset"], window["scope"])
    # A template's name is looked up once it is rendered.
    if not any("{" in name for name in map(str, names)):
        dataset_on(*names)


def _check_values(values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        if not isinstance(value, XComArg):
            _plain(name, value)


def _plain(name: str, value: Any) -> str | int | bool | None:
    """Return *value* as JSON holds it: what a task waits for is stored."""
    if isinstance(value, datetime) and value.tzinfo is None:
        raise ConfigError(f"{name} is {value}, which has no zone. Give an aware time, such as UTC.")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    if value is None or isinstance(value, str | int):
        return value
    raise ConfigError(
        f"{name} is {value!r}. Give text, a whole number, True, False, None, a day, an aware time "
        "or a Decimal."
    )


def _count(value: int | str) -> int:
    text = str(value).strip()
    if isinstance(value, bool) or not (text.isascii() and text.isdigit()) or not text.strip("0"):
        raise ConfigError(f"min_rows is {value!r}. Give a whole number of at least 1.")
    if len(text) > _MOST_DIGITS:
        raise ConfigError(f"min_rows is {text}. Give a number of at most {_MOST_DIGITS} digits.")
    return int(text)
