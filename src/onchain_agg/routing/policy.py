"""Airflow's cluster policy: the queue decides the executor.

Every Airflow process imports this module as it starts, so the work is in another one.
"""

from typing import TYPE_CHECKING

from airflow.policies import hookimpl

if TYPE_CHECKING:
    from airflow.sdk.types import Operator


@hookimpl
def task_policy(task: "Operator") -> None:
    """Give *task* the executor of its queue; called for each task of a DAG file that is read."""
    from onchain_agg.routing.assignment import assign  # noqa: PLC0415 - see the module

    assign(task)
