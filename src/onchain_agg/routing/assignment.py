"""The executor of a task, from its queue."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow.sdk.types import Operator


def assign(task: "Operator") -> None:
    """Give *task* the executor of its queue."""
