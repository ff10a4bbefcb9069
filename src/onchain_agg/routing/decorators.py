"""``@task.light`` and ``@task.heavy``: functions on a Celery queue, or in a pod of a size.

`provider_info` names them to Airflow. `onchain_agg.taskflow` has the same ``task`` with types.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, cast

import attr
from airflow.providers.standard.decorators.python import (
    _PythonDecoratedOperator,  # Private, but what other providers' decorators build on too.
)
from airflow.sdk.bases.decorator import (
    FParams,
    FReturn,
    OperatorSubclass,
    _TaskDecorator,  # Airflow offers no other way to an `override` that routes again.
)
from airflow.sdk.bases.operator import BaseOperator

from onchain_agg.errors import ConfigError
from onchain_agg.routing.placement import placed
from onchain_agg.routing.workload_file import configured_workloads
from onchain_agg.routing.workloads import KUBERNETES_QUEUE, CeleryQueue, PodSize

if TYPE_CHECKING:
    from airflow.sdk import Context


def light_task(
    python_callable: Callable[..., Any] | None = None,
    *,
    multiple_outputs: bool | None = None,
    **written: Any,
) -> Any:
    """Return the function as a task on a Celery queue, with the queue's pool, timeout and retries.

    Args:
        python_callable: The function; None where the decorator is called with arguments.
        multiple_outputs: As for ``@task``.
        written: ``queue`` (default: Airflow's default queue), and whatever ``@task`` takes, which
            wins over what comes with the queue and over the DAG's ``default_args``.

    Raises:
        UnknownNameError: The table does not have the queue; lists those that it has.
        ConfigError: The queue is for ``@task.heavy``, or the table is wrong.
    """
    return _decorated(_LIGHT, python_callable, multiple_outputs, written)


def heavy_task(
    python_callable: Callable[..., Any] | None = None,
    *,
    multiple_outputs: bool | None = None,
    **written: Any,
) -> Any:
    """Return the function as a task in a pod of a size, with its template, pool and timeout.

    When its node is taken away the task tidies up and goes on in a new pod, without using up a
    retry; see `onchain_agg.routing.spot`.

    Args:
        python_callable: The function; None where the decorator is called with arguments.
        multiple_outputs: As for ``@task``.
        written: ``size`` (default: the table's ``default_size``), and whatever ``@task`` takes,
            which wins over what comes with the size and over the DAG's ``default_args``. Keys of
            ``executor_config`` are added to the size's.

    Raises:
        UnknownNameError: The table does not have the size; lists those that it has.
        ConfigError: A queue is given, which is for ``@task.light``, or the table is wrong.
    """
    return _decorated(_HEAVY, python_callable, multiple_outputs, written)


class LightOperator(_PythonDecoratedOperator):
    """Runs the function of ``@task.light``."""

    custom_operator_name = "@task.light"


class HeavyOperator(_PythonDecoratedOperator):
    """Runs the function of ``@task.heavy``, which may be interrupted and then goes on elsewhere."""

    custom_operator_name = "@task.heavy"

    def execute(self, context: "Context") -> Any:
        """Return what the function returns."""
        # Its signal handling is of no use to a process that only parses.
        from onchain_agg.routing.spot import spot_safe  # noqa: PLC0415

        with spot_safe():
            return super().execute(context)


@dataclass(frozen=True)
class _Kind:
    """A decorator: its name, its operator, and what finds its workload in what was written."""

    name: str
    operator: type[BaseOperator]
    selector: str
    workload: Callable[[Mapping[str, Any]], CeleryQueue | PodSize]


def _light_workload(written: Mapping[str, Any]) -> CeleryQueue:
    table = configured_workloads()
    if "size" in written:
        raise ConfigError(
            "@task.light runs on a Celery queue and takes no size. Write "
            f"@task.heavy(size={written['size']!r}) for a pod, or queue=…"
        )
    name = _name(written, "queue", BaseOperator.queue)
    if name == KUBERNETES_QUEUE or name in table.sizes:
        raise ConfigError(
            f"@task.light runs on Celery, but queue={name!r} is for pods. Write "
            f"@task.heavy(size=…) with one of {', '.join(table.sizes)}."
        )
    return table.queue(name)


def _heavy_workload(written: Mapping[str, Any]) -> PodSize:
    table = configured_workloads()
    if written.get("queue") == KUBERNETES_QUEUE:
        raise ConfigError(
            f"@task.heavy takes no queue, but queue is {KUBERNETES_QUEUE!r}. Drop queue: every "
            "size runs on it."
        )
    if "queue" in written:
        raise ConfigError(
            f"@task.heavy runs in a pod and takes no queue, but queue is {written['queue']!r}. "
            "Write @task.light(queue=…) for a Celery queue, or size=… with one of "
            f"{', '.join(table.sizes)}."
        )
    return table.size(_name(written, "size", table.default_size))


def _name(written: Mapping[str, Any], selector: str, default: str) -> str:
    name = written.get(selector, default)
    if not isinstance(name, str):
        raise ConfigError(f"{selector} is {name!r}. Write a name, such as {default!r}.")
    return name


_LIGHT = _Kind("task.light", LightOperator, "queue", _light_workload)
_HEAVY = _Kind("task.heavy", HeavyOperator, "size", _heavy_workload)


@attr.define(slots=False)
class _RoutedTask(_TaskDecorator[FParams, FReturn, OperatorSubclass]):
    """A decorated function that is routed again when its queue or size is overridden.

    Attributes:
        kind: Which of the decorators.
        written: What the author wrote, as opposed to what comes with the queue or size.
    """

    kind: _Kind = attr.ib(kw_only=True)
    written: Mapping[str, Any] = attr.ib(kw_only=True)

    def override(self, **kwargs: Any) -> Self:
        """Return the function with *kwargs*; another queue or size brings all that belongs to it.

        Raises:
            ConfigError: As the decorator does.
        """
        written = {**self.written, **kwargs}
        # Every route of a decorator has the same arguments, so nothing of the former one is left.
        again = cast("Self", super().override(**_placed(self.kind, written)))
        again.written = written
        return again


def _decorated(
    kind: _Kind,
    function: Callable[..., Any] | None,
    multiple_outputs: bool | None,  # noqa: FBT001 - private, two callers
    written: Mapping[str, Any],
) -> Any:
    if function is not None and not callable(function):
        raise ConfigError(
            f"@{kind.name} takes its arguments by name. Write @{kind.name}"
            f"({kind.selector}={function!r})."
        )
    placed = _placed(kind, written)
    # Left out, Airflow tells from the function's annotations.
    outputs = cast("bool", attr.NOTHING) if multiple_outputs is None else multiple_outputs

    def decorate(function: Callable[..., Any]) -> Any:
        return _RoutedTask(
            function=function,
            operator_class=kind.operator,
            multiple_outputs=outputs,
            # Airflow writes the function's task_id into it.
            kwargs=dict(placed),
            decorator_name=kind.name,
            kind=kind,
            written=written,
        )

    return decorate if function is None else decorate(function)


def _placed(kind: _Kind, written: Mapping[str, Any]) -> dict[str, Any]:
    """Return the operator's arguments: those of the route, with what was *written* over them."""
    chosen = {name: value for name, value in written.items() if name != "size"}
    return placed(kind.workload(written), chosen)
