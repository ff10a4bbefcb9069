"""The tasks that bring data sets up to date, for any DAG."""

from collections.abc import Sequence
from datetime import date, timedelta
from typing import TYPE_CHECKING

from airflow.sdk import get_current_context, task

from onchain_agg.chains import chain_named
from onchain_agg.errors import ConfigError, OnchainAggError, SourceError
from onchain_agg.operators.session import warehouse
from onchain_agg.operators.waking import woken_scope

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from onchain_agg.metrics.dataset import DataSet


@task
def publish(dataset: str) -> dict[str, dict[str, int]]:
    """Publish the dirty days of *dataset* on every scope, the scope that woke the run first.

    A scope that fails does not keep the others from being published.

    Returns:
        Windows published and rows changed, by scope; empty where nothing was due.

    Raises:
        AirflowFailException: A scope failed in a way that no retry can heal; names every one.
        SourceError: A scope failed, and a retry may help.
    """
    run = get_current_context()["dag_run"]
    with warehouse() as engine:
        scopes = due_scopes(engine, dataset, run.partition_key)
        return publish_scopes(engine, dataset, scopes, refresh_of(run.run_type))


@task.branch
def sweep_dirty(chains: Sequence[str]) -> list[str]:
    """Synchronise the definitions and return the waking tasks of *chains* that are still dirty."""
    # The libraries of a computation are not needed to read a DAG file.
    from onchain_agg.metrics.compute import dirty_scopes  # noqa: PLC0415
    from onchain_agg.metrics.definitions import sync  # noqa: PLC0415 - as above
    from onchain_agg.settings import extra_assets, load_settings  # noqa: PLC0415 - as above

    with warehouse() as engine:
        sync(engine, extra_assets(load_settings()))
        dirty = {scope for _, scope in dirty_scopes(engine)}
    return [waking_task(chain) for chain in chains if chain in dirty]


@task
def thin_history() -> int:
    """Thin the interim versions of days that ended over a week ago; return the rows deleted."""
    from onchain_agg.metrics.upkeep import thin_history as thin  # noqa: PLC0415 - as above

    with warehouse() as engine:
        return thin(engine)


@task.branch
def mark_dirty() -> list[str]:
    """Mark the days ``params.from`` to ``params.to`` dirty and return the chain's waking task.

    Raises:
        AirflowFailException: The days are in the wrong order, or the data set is not computed for
            the chain.
    """
    from onchain_agg.metrics.compute import backfill  # noqa: PLC0415 - as above

    params = get_current_context()["params"]
    chain = chain_named(params["chain"])
    first, last = date.fromisoformat(params["from"]), date.fromisoformat(params["to"])
    with warehouse() as engine:
        dataset = dataset_on(params["dataset"], chain.name)
        if first > last:
            raise ConfigError(f"The days {first} to {last} are in the wrong order. Swap them.")
        backfill(engine, dataset, chain.name, first, last, force=True)
    return [waking_task(chain.name)]


def waking_task(chain: str) -> str:
    """Return the id of the task that wakes the data sets of *chain*."""
    return f"wake_{chain}"


def dataset_on(dataset: str, chain: str) -> "DataSet":
    """Return the data set of that name, which is computed for *chain*.

    Raises:
        UnknownNameError: No such data set or chain.
        ConfigError: The data set is not computed for the chain.
    """
    from onchain_agg.metrics.registry import dataset_named  # noqa: PLC0415 - as above

    definition, scope = dataset_named(dataset), chain_named(chain)
    if not definition.covers(scope):
        raise ConfigError(
            f"{definition.name} is not computed for {scope.name}. Choose a chain of the kind "
            f"{' or '.join(definition.chain_families)}."
        )
    return definition


def due_scopes(engine: "Engine", dataset: str, partition_key: str | None) -> list[str]:
    """Return the scopes on which *dataset* is dirty, the one in the run's *partition_key* first."""
    from onchain_agg.metrics.compute import dirty_scopes  # noqa: PLC0415 - as above

    return _ordered(dirty_scopes(engine, dataset), woken_scope(partition_key))


def publish_scopes(
    engine: "Engine", dataset: str, scopes: Sequence[str], refresh: timedelta
) -> dict[str, dict[str, int]]:
    """Publish *dataset* on each of *scopes*; return windows published and rows changed by scope.

    A scope that fails does not keep the others from being published.

    Raises:
        OnchainAggError: A scope failed in a way that no retry can heal; names every one.
        SourceError: A scope failed, and a retry may help.
    """
    from onchain_agg.metrics.compute import compute  # noqa: PLC0415 - as above
    from onchain_agg.metrics.registry import dataset_named  # noqa: PLC0415 - as above

    definition = dataset_named(dataset)
    published: dict[str, dict[str, int]] = {}
    failures: list[OnchainAggError] = []
    for scope in scopes:
        try:
            windows = compute(engine, definition, scope, refresh=refresh)
        except OnchainAggError as error:
            failures.append(error)
        else:
            changed = sum(window.changed for window in windows)
            published[scope] = {"windows": len(windows), "changed": changed}
    _raise_together(failures)
    return published


def refresh_of(run_type: str) -> timedelta:
    """Return how young the open day's last computation must be for a run to leave it alone."""
    from onchain_agg.settings import load_settings  # noqa: PLC0415 - as above

    # Who starts a run by hand asks for the open day as it is now.
    return timedelta(minutes=0 if run_type == "manual" else load_settings().refresh_minutes)


def _ordered(dirty: Sequence[tuple[str, str]], first: str | None) -> list[str]:
    return sorted({scope for _, scope in dirty}, key=lambda scope: (scope != first, scope))


def _raise_together(failures: Sequence[OnchainAggError]) -> None:
    if not failures:
        return
    healing = all(isinstance(failure, SourceError) for failure in failures)
    kind = SourceError if healing else OnchainAggError
    raise kind("; ".join(str(failure) for failure in failures)) from failures[0]
