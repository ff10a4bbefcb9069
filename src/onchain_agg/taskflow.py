"""Airflow's own ``task``, typed, so that an editor completes ``@task.light`` and ``@task.heavy``.

``from airflow.sdk import task`` is the same object and works as well; its types are closed to other
packages, so those of the two decorators are in this module's stub.
"""

from airflow.sdk import task

__all__ = ["task"]
