"""What every task needs: the warehouse it works on, and errors that Airflow understands."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from airflow.sdk.exceptions import AirflowFailException

from onchain_agg.errors import OnchainAggError, SourceError

if TYPE_CHECKING:
    from sqlalchemy import Engine


@contextmanager
def warehouse() -> Iterator["Engine"]:
    """Yield an engine on the configured, migrated warehouse for the length of a task.

    Raises:
        AirflowFailException: The body raised an error that no retry can heal.
    """
    # Airflow reads DAG files all day; only a running task needs the database's driver.
    from onchain_agg.settings import configured_warehouse  # noqa: PLC0415

    with failing_fast(), configured_warehouse() as engine:
        yield engine


@contextmanager
def failing_fast() -> Iterator[None]:
    """Fail the task at once on an error that no retry can heal; others pass, and are retried.

    Raises:
        AirflowFailException: In place of any error of this package but SourceError.
    """
    try:
        yield
    except SourceError:
        raise
    except OnchainAggError as error:
        raise AirflowFailException(str(error)) from error
