"""Task history from Airflow's metadata database, which is only read.

PostgreSQL computes the percentiles itself, so a month of a busy deployment is one row a task.
SQLite, which only a trial deployment has, cannot: its rows are read, up to a limit.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from sqlalchemy import (
    URL,
    Column,
    Connection,
    DateTime,
    MetaData,
    Select,
    String,
    Table,
    and_,
    create_engine,
    func,
    inspect,
    make_url,
    or_,
    select,
    text,
)
from sqlalchemy.exc import ArgumentError, DBAPIError

from onchain_agg.errors import ConfigError, SourceError
from onchain_agg.routing.history import (
    FAILED,
    MEDIAN,
    NEARLY_ALL,
    SENSOR,
    SUCCESS,
    History,
    Instance,
    TaskHistory,
    Wait,
    history_of,
    ordered,
)
from onchain_agg.routing.workloads import KUBERNETES_QUEUE
from onchain_agg.warehouse.engine import shown as without_secrets

_POSTGRES = "postgresql+psycopg"
_URL_FORM = "postgresql://user:password@host:5432/airflow"
_CONNECT_TIMEOUT_S = 10
# The scheduler lives on this database: a history too large to read in this time must be shorter.
_STATEMENT_TIMEOUT_S = 60
_MAX_ROWS = 1_000_000

_MOMENT = DateTime(timezone=True)
_TI = Table(
    "task_instance",
    MetaData(),
    *(Column(name, String) for name in ("dag_id", "task_id", "queue", "executor")),
    *(Column(name, String) for name in ("operator", "state")),
    *(Column(name, _MOMENT) for name in ("queued_dttm", "start_date", "end_date")),
).c
_QUEUE = func.coalesce(_TI.queue, "")
_KEY = (_TI.dag_id, _TI.task_id, _QUEUE.label("queue"), _TI.executor)
_UNNAMED_PODS = and_(_TI.executor.is_(None), _QUEUE == KUBERNETES_QUEUE).label("unnamed_pods")


def read_database(url: str, since: datetime, until: datetime) -> History:
    """Return the history from *since* until before *until* in the metadata database at *url*.

    Raises:
        ConfigError: *url* is no URL of a database of Airflow's, or of one that cannot be read here.
        SourceError: The database does not answer, or not in time.
    """
    target, shown = _readable(url)
    # Both drivers have a limit of such a name: PostgreSQL's on connecting, SQLite's on locks.
    is_postgres = target.drivername == _POSTGRES
    limit = "connect_timeout" if is_postgres else "timeout"
    engine = create_engine(target, connect_args={limit: _CONNECT_TIMEOUT_S})
    try:
        with engine.connect() as connection:
            _check_airflow(connection, shown)
            if is_postgres:
                return _aggregated(connection, since, until)
            return history_of(_instances(connection, since, until, shown), since, until)
    except DBAPIError as error:
        reason = " ".join(str(error.orig).split()).rstrip("?.")
        raise SourceError(
            f"Airflow's database {shown} cannot be read: {reason}. Correct --database, start the "
            "server, or ask for fewer --days."
        ) from error
    finally:
        engine.dispose()


def _readable(url: str) -> tuple[URL, str]:
    """Return *url* with a driver that this package brings, and as it may be shown."""
    try:
        target = make_url(url)
        backend = target.get_backend_name()
    except (ArgumentError, ValueError):  # the latter for a port that is no number
        # The text may hold a password, so it is not repeated.
        raise ConfigError(f"--database is not a database URL. Write it as {_URL_FORM}.") from None
    if backend != "sqlite" and "@" in f"{target.host}{target.database}":
        # It is read as the end of the password, so the rest of that would be shown.
        raise ConfigError("--database has an @ too many. Write one of a password as %40.")
    shown = without_secrets(target)
    if backend == "postgresql":
        return target.set(drivername=_POSTGRES), shown
    if backend == "sqlite" and target.database:
        # SQLite would make an empty database where there is none.
        file, options = f"file:{quote(target.database)}", {"mode": "ro", "uri": "true"}
        return target.set(drivername="sqlite", database=file, query=options), shown
    raise ConfigError(
        f"--database is {shown}, but only PostgreSQL and a SQLite file can be read. Name the API "
        "server with --api instead."
    )


def _check_airflow(connection: Connection, shown: str) -> None:
    found = inspect(connection)
    if not found.has_table("task_instance"):
        raise ConfigError(
            f"{shown} is not Airflow's database: it has no table task_instance. Name the one that "
            "[database] sql_alchemy_conn of the deployment names."
        )
    present = {one["name"] for one in found.get_columns("task_instance")}
    missing = {one.name for one in _TI} - present
    if missing:
        raise ConfigError(
            f"{shown} is not of Airflow 3.3: task_instance has no {', '.join(sorted(missing))}. "
            "Run `airflow db migrate` on it, or name another."
        )
    # `inspect` began a transaction of its own.
    connection.rollback()


def _aggregated(connection: Connection, since: datetime, until: datetime) -> History:
    # One snapshot for both statements.
    connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))
    connection.execute(text(f"SET LOCAL statement_timeout = '{_STATEMENT_TIMEOUT_S}s'"))
    queued = _TI.start_date - _TI.queued_dttm
    waits = select(
        _TI.executor,
        _UNNAMED_PODS,
        func.count().label("runs"),
        _percentile(queued, MEDIAN).label("queued_p50"),
    )
    waits = _kept(waits, since, until).group_by(_TI.executor, _UNNAMED_PODS)
    return ordered(
        since,
        until,
        [
            TaskHistory(**row._mapping)  # noqa: SLF001 - SQLAlchemy's documented name
            for row in connection.execute(_task_statement(since, until))
        ],
        [
            Wait(**row._mapping)  # noqa: SLF001 - the same
            for row in connection.execute(waits)
        ],
    )


def _task_statement(since: datetime, until: datetime) -> Select[Any]:
    worked = _TI.state == SUCCESS
    queued, duration = _TI.start_date - _TI.queued_dttm, _TI.end_date - _TI.start_date
    statement = select(
        *_KEY,
        func.count().label("runs"),
        func.count().filter(_TI.state == FAILED).label("failed"),
        _percentile(duration, MEDIAN).filter(worked).label("duration_p50"),
        _percentile(duration, NEARLY_ALL).filter(worked).label("duration_p95"),
        _percentile(queued, MEDIAN).label("queued_p50"),
        _percentile(queued, NEARLY_ALL).label("queued_p95"),
        func.min(_TI.end_date).label("first_ended"),
        func.max(_TI.end_date).label("last_ended"),
    )
    return _kept(statement, since, until).group_by(*_KEY)


def _percentile(time: Any, share: float) -> Any:
    return func.percentile_disc(share).within_group(time)


def _kept(statement: Select[Any], since: datetime, until: datetime) -> Select[Any]:
    """Return *statement* on the instances that `onchain_agg.routing.history` keeps."""
    return statement.where(
        _TI.state.in_((SUCCESS, FAILED)),
        # LIKE would heed capitals on one server and not on the other.
        or_(_TI.operator.is_(None), func.replace(_TI.operator, SENSOR, "") == _TI.operator),
        _TI.end_date >= since,
        _TI.end_date < until,
        _TI.queued_dttm <= _TI.start_date,
        _TI.start_date <= _TI.end_date,
    )


def _instances(
    connection: Connection, since: datetime, until: datetime, shown: str
) -> Iterator[Instance]:
    columns = (*_KEY, _TI.operator, _TI.state, _TI.queued_dttm, _TI.start_date, _TI.end_date)
    statement = _kept(select(*columns), since.astimezone(UTC), until.astimezone(UTC))
    for number, row in enumerate(connection.execute(statement.limit(_MAX_ROWS + 1))):
        if number == _MAX_ROWS:
            raise ConfigError(
                f"{shown} has more than {_MAX_ROWS:,} task instances in the period. Ask for fewer "
                "--days."
            )
        yield Instance(
            dag_id=row.dag_id,
            task_id=row.task_id,
            queue=row.queue,
            executor=row.executor,
            operator=row.operator,
            state=row.state,
            # SQLite keeps UTC and does not say so.
            queued_at=row.queued_dttm.replace(tzinfo=UTC),
            started_at=row.start_date.replace(tzinfo=UTC),
            ended_at=row.end_date.replace(tzinfo=UTC),
        )
