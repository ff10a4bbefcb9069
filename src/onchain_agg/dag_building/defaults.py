"""What every DAG and every task of this package has in common; a task's route adds the rest."""

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG

from onchain_agg.routing.placement import route

_ALWAYS: dict[str, Any] = {
    "owner": "onchain-agg",
    # A node's or server's fault often passes within minutes: the route's delay doubles.
    "retry_exponential_backoff": 2.0,
    "max_retry_delay": timedelta(minutes=10),
}


def defaults(name: str = "default") -> dict[str, Any]:
    """Return the arguments of a DAG's tasks, which the queue or size *name* serves.

    Raises:
        UnknownNameError: No such queue or size.
    """
    return _ALWAYS | route(name)


def upkeep_dag(dag_id: str, schedule: str | None, page: str, **options: Any) -> DAG:
    """Return an empty DAG that looks after the warehouse: on from the start, one run at a time."""
    return DAG(
        dag_id=dag_id,
        schedule=schedule,
        catchup=False,
        max_active_runs=1,
        is_paused_upon_creation=False,
        default_args=defaults(),
        tags=["upkeep"],
        doc_md=page,
        **options,
    )


def ingest_dag(dag_id: str, schedule: str, page: str, worker: str, **options: Any) -> DAG:
    """Return an empty DAG that reads a source: paused at first, one run at a time.

    Nobody has every source. The tasks of one whose connection does not exist skip.
    """
    return DAG(
        dag_id=dag_id,
        schedule=schedule,
        catchup=False,
        max_active_runs=1,
        is_paused_upon_creation=True,
        default_args=defaults(worker),
        doc_md=page,
        **options,
    )
