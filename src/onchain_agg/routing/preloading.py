"""Loads, as the DAG processor starts, what each of its parses would otherwise load anew.

The DAG processor forks a process a parse. Its own policy plugin is all that it holds of this
package, so every fork would spend 20 ms on the same imports.
"""

from importlib import import_module
from typing import Any

from airflow.listeners import hookimpl

_MODULES = ("onchain_agg.routing.assignment", "onchain_agg.routing.decorators")


@hookimpl
def on_starting(component: Any) -> None:
    """Import the modules where *component* is the DAG processor's job.

    The table itself is read by each parse, so that an edited file counts at once.
    """
    if getattr(component, "job_type", None) == "DagProcessorJob":
        for module in _MODULES:
            import_module(module)
