"""`PublishDataSetOperator`: a data set's dirty days, for any DAG."""

from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from onchain_agg.operators.mapped import placed_partial
from onchain_agg.operators.publish import dataset_on, due_scopes, publish_scopes, refresh_of
from onchain_agg.operators.session import warehouse
from onchain_agg.operators.waking import outlets_with, rows_of, wake
from onchain_agg.routing.placement import route

if TYPE_CHECKING:
    from airflow.sdk import Context
    from airflow.sdk.definitions.mappedoperator import OperatorPartial


class PublishDataSetOperator(BaseOperator):
    """Publishes the dirty days of a data set, on every scope or on one, and wakes what reads it.

    Where no row changed it wakes nobody. Runs on the data set's own queue or size of pod. Two at a
    time do no harm: they wait for each other in the database.

    Args:
        dataset: Name of the data set. It is not a template: the task's outlet depends on it.
        scope: Only this chain or venue; None for all that are dirty.
        kwargs: Those of every operator; they win over the queue's pool, retries and time limits.

    Raises:
        UnknownNameError: No such data set or chain.
        ConfigError: The data set is not computed for the scope.
    """

    def __init__(self, *, dataset: str, scope: str | None = None, **kwargs: Any) -> None:
        """Take what the class says; nothing is looked up but the names."""
        if scope is not None:
            dataset_on(dataset, scope)
        super().__init__(**_placed(dataset=dataset, **kwargs))
        self.dataset = dataset
        self.scope = scope

    @classmethod
    def partial(cls, **kwargs: Any) -> "OperatorPartial":
        """Return the operator for ``expand``, placed as unmapped; *dataset* is named here.

        Raises:
            UnknownNameError: As of the class.
            ConfigError: As of the class, or *dataset* is not named.
        """
        if kwargs.get("dataset") and kwargs.get("scope"):
            dataset_on(kwargs["dataset"], kwargs["scope"])
        return placed_partial(super().partial(**kwargs), kwargs, {"dataset": None}, _placed)

    def execute(self, context: "Context") -> dict[str, dict[str, int]]:
        """Return the windows published and the rows changed, by scope; empty where none was due.

        Raises:
            AirflowFailException: A scope failed in a way that no retry can heal; names every one.
            SourceError: A scope failed, and a retry may help.
        """
        run = context["dag_run"]
        with warehouse() as engine:
            due = due_scopes(engine, self.dataset, run.partition_key)
            chosen = [scope for scope in due if self.scope in (None, scope)]
            outcome = publish_scopes(engine, self.dataset, chosen, refresh_of(run.run_type))
        wake(self, context["outlet_events"], rows_of(self.dataset), outcome.newest)
        return outcome.scopes


def _placed(*, dataset: str, **chosen: Any) -> dict[str, Any]:
    """Return the arguments of BaseOperator; what is *chosen* wins over those of the queue."""
    # Its queue is in the definition, which needs SQLAlchemy; other operators do not.
    from onchain_agg.metrics.registry import dataset_named  # noqa: PLC0415

    definition = dataset_named(dataset)
    outlets = outlets_with(rows_of(definition.name), chosen.pop("outlets", None))
    return route(definition.workload, **chosen, outlets=outlets)
