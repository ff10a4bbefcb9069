"""What happens once as one of Airflow's processes starts.

The DAG processor forks a process a parse. Its own policy plugin is all that it holds of this
package, so every fork would spend 20 ms on the same imports and give the same warning. A task says
nothing of routes, which were decided before, and ends with its supervisor.
"""

from importlib import import_module
from typing import Any

from airflow.listeners import hookimpl

from onchain_agg.routing.orphans import end_with_parent

_FOR_PARSES = ("onchain_agg.routing.assignment", "onchain_agg.routing.decorators")


@hookimpl
def on_starting(component: Any) -> None:
    """Prepare the DAG processor or a task, whichever *component* is; others are left alone.

    The table of queues is read by each parse, so that an edited file counts at once.
    """
    if getattr(component, "job_type", None) == "DagProcessorJob":
        for module in _FOR_PARSES:
            import_module(module)
        _policy().announce()
    # By name: the class is in a module that only task processes have loaded.
    elif type(component).__name__ == "TaskRunnerMarker":
        end_with_parent()
        _policy().mute()


def _policy() -> Any:
    # Every process of Airflow loads this module, and few need the policy.
    from onchain_agg.routing import assignment  # noqa: PLC0415

    return assignment
