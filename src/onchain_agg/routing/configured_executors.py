"""The executors that Airflow is configured with, and what each may be called."""

from typing import TYPE_CHECKING

from airflow.executors.executor_loader import ExecutorLoader

if TYPE_CHECKING:
    from airflow.executors.executor_utils import ExecutorName


def everyones_executors() -> list["ExecutorName"]:
    """Return those that any DAG may use, the default one first.

    A team's own are for its DAGs alone, and neither a policy nor a check is told a DAG's team.
    """
    found = ExecutorLoader.get_executor_names(validate_teams=False)
    return [executor for executor in found if executor.team_name is None]


def names_of(executor: "ExecutorName") -> tuple[str, ...]:
    """Return what a task may call *executor*: its alias if it has one, its path, its class."""
    return tuple(filter(None, (executor.alias, executor.module_path, class_of(executor))))


def class_of(executor: "ExecutorName") -> str:
    """Return the name of the class of *executor*."""
    return executor.module_path.rpartition(".")[2]
