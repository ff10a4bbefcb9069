"""`PublishDataSetOperator`: a data set's dirty days, for any DAG."""

from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from onchain_agg.operators.publish import dataset_on, due_scopes, publish_scopes, refresh_of
from onchain_agg.operators.session import warehouse
from onchain_agg.routing.placement import route

if TYPE_CHECKING:
    from airflow.sdk import Context


class PublishDataSetOperator(BaseOperator):
    """Publishes the dirty days of a data set, on every chain or on one.

    Runs on the data set's own queue or size of pod. Two at a time do no harm: they wait for each
    other in the database.

    Args:
        dataset: Name of the data set.
        chain: Only this chain; None for all that are dirty.
        kwargs: Those of every operator; they win over the queue's pool, retries and time limits.

    Raises:
        UnknownNameError: No such data set or chain.
        ConfigError: The data set is not computed for the chain.
    """

    def __init__(self, *, dataset: str, chain: str | None = None, **kwargs: Any) -> None:
        """Take what the class says; nothing is looked up but the names."""
        # Its queue is in the definition, which needs SQLAlchemy; other operators do not.
        from onchain_agg.metrics.registry import dataset_named  # noqa: PLC0415

        definition = dataset_named(dataset) if chain is None else dataset_on(dataset, chain)
        super().__init__(**route(definition.workload, **kwargs))
        self.dataset = dataset
        self.chain = chain

    def execute(self, context: "Context") -> dict[str, dict[str, int]]:
        """Return the windows published and the rows changed, by chain; empty where none was due.

        Raises:
            AirflowFailException: A chain failed in a way that no retry can heal; names every one.
            SourceError: A chain failed, and a retry may help.
        """
        run = context["dag_run"]
        with warehouse() as engine:
            due = due_scopes(engine, self.dataset, run.partition_key)
            chosen = [scope for scope in due if self.chain in (None, scope)]
            return publish_scopes(engine, self.dataset, chosen, refresh_of(run.run_type))
