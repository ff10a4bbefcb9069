"""The tasks that bring data sets up to date, for any DAG."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import TYPE_CHECKING

from airflow.sdk import get_current_context, task

from onchain_agg.chains import chain_named
from onchain_agg.errors import ConfigError, OnchainAggError, SourceError
from onchain_agg.markets import GLOBAL
from onchain_agg.operators.measuring import publishing, tell_freshness, tell_rows
from onchain_agg.operators.session import warehouse
from onchain_agg.operators.waking import rows_of, turn_of, wake, woken_scope

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from onchain_agg.metrics.compute import Published
    from onchain_agg.metrics.dataset import DataSet


@dataclass
class Outcome:
    """What publishing some scopes of a data set did.

    Attributes:
        scopes: Windows published and rows changed, by scope.
        newest: The newest day whose rows changed, by scope; none where no row did.
    """

    scopes: dict[str, dict[str, int]] = field(default_factory=dict)
    newest: dict[str, date] = field(default_factory=dict)

    def add(self, scope: str, windows: "Sequence[Published]") -> None:
        """Take in what publishing *scope* returned."""
        changed = [window for window in windows if window.changed]
        rows = sum(window.changed for window in changed)
        self.scopes[scope] = {"windows": len(windows), "changed": rows}
        if changed:
            self.newest[scope] = max(window.day for window in changed)


@task
def publish(dataset: str) -> dict[str, dict[str, int]]:
    """Publish the dirty days of *dataset* on every scope, the scope that woke the run first.

    A scope that fails does not keep the others from being published. What reads the data set wakes
    where rows changed and the task's outlets name its rows.

    Returns:
        Windows published and rows changed, by scope; empty where nothing was due.

    Raises:
        AirflowFailException: A scope failed in a way that no retry can heal; names every one.
        SourceError: A scope failed, and a retry may help.
    """
    context = get_current_context()
    run = context["dag_run"]
    with warehouse() as engine:
        scopes = due_scopes(engine, dataset, run.partition_key)
        outcome = publish_scopes(engine, dataset, scopes, refresh_of(run.run_type))
    wake(context["task"], context["outlet_events"], rows_of(dataset), outcome.newest)
    return outcome.scopes


@task
def sweep_dirty(datasets: Sequence[str]) -> dict[str, list[str]]:
    """Synchronise the definitions and wake each of *datasets* that has work to do.

    Also tells Airflow's metrics how fresh every data set is.

    The outlets are the turns of *datasets*.

    Returns:
        The scopes with dirty days that can be computed now, by data set.
    """
    # The libraries of a computation are not needed to read a DAG file.
    from onchain_agg.metrics.definitions import sync  # noqa: PLC0415
    from onchain_agg.metrics.due import scopes_due  # noqa: PLC0415 - as above
    from onchain_agg.settings import (  # noqa: PLC0415 - as above
        archive_of,
        extra_assets,
        load_settings,
    )

    settings = load_settings()
    with warehouse() as engine:
        sync(engine, extra_assets(settings), archive=archive_of(settings))
        due = scopes_due(engine)
        tell_freshness(engine)
    _give_turns({name: due.get(name, []) for name in datasets})
    return due


@task
def thin_history() -> int:
    """Thin the interim versions of days that ended over a week ago; return the rows deleted."""
    from onchain_agg.metrics.upkeep import thin_history as thin  # noqa: PLC0415 - as above

    with warehouse() as engine:
        return thin(engine)


@task
def mark_dirty(datasets: Sequence[str]) -> int:
    """Mark the days ``params.from`` to ``params.to`` dirty and return how many there are.

    They are computed also where their inputs are the same. Wakes ``params.dataset`` where it is one
    of *datasets*; the outlets are the turns of these.

    Raises:
        AirflowFailException: The days are in the wrong order, or the data set is not computed for
            ``params.scope``.
    """
    from onchain_agg.metrics.compute import backfill  # noqa: PLC0415 - as above
    from onchain_agg.metrics.registry import dataset_named  # noqa: PLC0415 - as above
    from onchain_agg.metrics.scopes import check_scope  # noqa: PLC0415 - as above

    params = get_current_context()["params"]
    scope = params["scope"]
    first, last = date.fromisoformat(params["from"]), date.fromisoformat(params["to"])
    with warehouse() as engine:
        dataset = dataset_named(params["dataset"])
        with engine.connect() as connection:
            check_scope(connection, dataset, scope)
        if first > last:
            raise ConfigError(f"The days {first} to {last} are in the wrong order. Swap them.")
        marked = backfill(engine, dataset, scope, first, last, force=True)
    _give_turns({name: [scope] if name == dataset.name and marked else [] for name in datasets})
    return marked


def dataset_on(dataset: str, scope: str) -> "DataSet":
    """Return the data set of that name, which may be computed for *scope*.

    No database is asked, so any venue will do.

    Raises:
        UnknownNameError: No such data set or chain.
        ConfigError: The data set is not computed for the scope.
    """
    from onchain_agg.metrics.registry import dataset_named  # noqa: PLC0415 - as above

    definition = dataset_named(dataset)
    cure = ""
    if definition.scope == "chain":
        if not definition.covers(chain_named(scope)):
            cure = f"Choose a chain of the kind {' or '.join(definition.chain_families)}."
    elif (definition.scope == "global") != (scope == GLOBAL):
        cure = f"Give {GLOBAL!r}." if definition.scope == "global" else "Give a venue's name."
    if cure:
        raise ConfigError(f"{definition.name} is not computed for {scope}. {cure}")
    return definition


def due_scopes(engine: "Engine", dataset: str, partition_key: str | None) -> list[str]:
    """Return the scopes on which *dataset* is dirty, the one in the run's *partition_key* first."""
    from onchain_agg.metrics.compute import dirty_scopes  # noqa: PLC0415 - as above

    return _ordered(dirty_scopes(engine, dataset), woken_scope(partition_key))


def publish_scopes(
    engine: "Engine", dataset: str, scopes: Sequence[str], refresh: timedelta
) -> Outcome:
    """Publish *dataset* on each of *scopes* and return what that did.

    A scope that fails does not keep the others from being published.

    Raises:
        OnchainAggError: A scope failed in a way that no retry can heal; names every one.
        SourceError: A scope failed, and a retry may help.
    """
    from onchain_agg.metrics.compute import compute  # noqa: PLC0415 - as above
    from onchain_agg.metrics.registry import dataset_named  # noqa: PLC0415 - as above
    from onchain_agg.settings import archive_of, load_settings  # noqa: PLC0415 - as above

    definition = dataset_named(dataset)
    outcome = Outcome()
    failures: list[OnchainAggError] = []
    archive = archive_of(load_settings())
    for scope in scopes:
        try:
            with publishing(dataset, scope):
                windows = compute(engine, definition, scope, refresh=refresh, archive=archive)
            outcome.add(scope, windows)
            tell_rows(dataset, scope, outcome.scopes[scope]["changed"])
        except OnchainAggError as error:
            failures.append(error)
    _raise_together(failures)
    return outcome


def refresh_of(run_type: str) -> timedelta:
    """Return how young the open day's last computation must be for a run to leave it alone."""
    from onchain_agg.settings import load_settings  # noqa: PLC0415 - as above

    # Who starts a run by hand asks for the open day as it is now.
    return timedelta(minutes=0 if run_type == "manual" else load_settings().refresh_minutes)


def _give_turns(due: dict[str, list[str]]) -> None:
    """Let the running task's success wake each data set that is *due* somewhere.

    One key will do: a run publishes every scope that is dirty.
    """
    context = get_current_context()
    day = context["dag_run"].run_after.date()
    for name, scopes in due.items():
        newest = dict.fromkeys(scopes[:1], day)
        wake(context["task"], context["outlet_events"], turn_of(name), newest)


def _ordered(dirty: Sequence[tuple[str, str]], first: str | None) -> list[str]:
    return sorted({scope for _, scope in dirty}, key=lambda scope: (scope != first, scope))


def _raise_together(failures: Sequence[OnchainAggError]) -> None:
    if not failures:
        return
    healing = all(isinstance(failure, SourceError) for failure in failures)
    kind = SourceError if healing else OnchainAggError
    raise kind("; ".join(str(failure) for failure in failures)) from failures[0]
