"""How data sets learn that something which they read changed.

Assets stand for a chain's applied blocks, for a fact table, for a data set's rows, and for one data
set's turn to look. An event only wakes; what is to be done is in ``ops.dirty``. So an event may be
lost, doubled or late, and one key a scope is enough for any number of days.
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, date
from typing import TYPE_CHECKING, Any, cast

from airflow.sdk import Asset, BaseOperator, get_current_context
from airflow.sdk.types import OutletEventAccessorsProtocol

from onchain_agg.chains import Chain

if TYPE_CHECKING:
    from airflow.sdk.definitions.mappedoperator import MappedOperator

# Airflow makes a run of each key, one after the other.
_MOST_KEYS = 100


def blocks_of(chain: Chain) -> Asset:
    """Return the asset that stands for the applied blocks of *chain*."""
    return _asset("chain", chain.name)


def facts_of(table: str) -> Asset:
    """Return the asset that stands for the facts of *table*, named with its schema."""
    return _asset("facts", table)


def rows_of(dataset: str) -> Asset:
    """Return the asset that stands for what *dataset* serves."""
    return _asset("dataset", dataset)


def turn_of(dataset: str) -> Asset:
    """Return the asset that wakes *dataset* alone, for whom its dirty days tell of."""
    return _asset("turn", dataset)


def outlets_with(asset: Asset, others: Iterable[Any] | None) -> list[Any]:
    """Return the outlets of a task that changes *asset*, and *others* beside it."""
    # A mapped task's operator is made of arguments that name it already.
    return [asset, *(other for other in others or () if other != asset)]


def wake(
    operator: "BaseOperator | MappedOperator",
    events: OutletEventAccessorsProtocol,
    asset: Asset,
    newest: Mapping[str, date],
) -> None:
    """Let the running *operator*'s success wake what listens to *asset*: a key for each scope.

    Without a scope it wakes nobody. A task that ends well emits an event of every outlet, with a
    key or without, so the outlet is taken away: *operator* is this run's copy. Where *asset* is no
    outlet, nothing happens.

    Args:
        operator: The running task.
        events: The ``outlet_events`` of its context.
        asset: One of its outlets.
        newest: The newest day that changed, by scope. Of many, the latest 100 get a key.
    """
    # Airflow's types do not say that a task is unmapped once it runs.
    running = cast("BaseOperator", operator)
    if asset not in running.outlets:
        return
    if not newest:
        running.outlets = [outlet for outlet in running.outlets if outlet != asset]
        return
    latest = sorted(newest.items(), key=lambda pair: pair[1], reverse=True)[:_MOST_KEYS]
    events[asset].add_partitions([f"{scope}|{day.isoformat()}" for scope, day in latest])


def wake_readers(table: str, scope: str, days: Collection[date]) -> None:
    """Let the running task's success wake what reads the facts of *table*, where it must be soon.

    An open day is computed again every ``refresh_minutes`` only, so a task that runs every minute
    and changed nothing but this day wakes as often. The sweeper finds what is left.

    Args:
        table: The fact table with its schema; an outlet of the task, or nobody is woken.
        scope: Whose facts: the venue or the source.
        days: The days that changed.
    """
    # Reading a DAG file needs no option of it.
    from onchain_agg.settings import load_settings  # noqa: PLC0415

    context = get_current_context()
    began = context["dag_run"].run_after.astimezone(UTC)
    is_due = int(began.timestamp() // 60) % load_settings().refresh_minutes == 0
    is_urgent = any(day < began.date() for day in days)
    newest = {scope: max(days)} if days and (is_due or is_urgent) else {}
    wake(context["task"], context["outlet_events"], facts_of(table), newest)


def woken_scope(partition_key: str | None) -> str | None:
    """Return the scope in a run's partition key; None for a run that no event started."""
    return partition_key.partition("|")[0] if partition_key else None


def _asset(kind: str, name: str) -> Asset:
    # A URI scheme has no underscore.
    return Asset(name=f"onchain_agg.{kind}.{name}", uri=f"onchain-agg://{kind}/{name}")
