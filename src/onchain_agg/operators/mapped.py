"""``partial`` of this package's operators: a mapped task gets what its operator gets unmapped.

Airflow makes the operators of a mapped task where its instances run, and the scheduler has placed
them by then. So what decides the place or the outlets is named in ``partial``, and what follows
from it is worked out there.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from airflow.sdk.bases.operator import get_merged_defaults
from airflow.sdk.definitions.mappedoperator import MappedOperator, OperatorPartial

from onchain_agg.errors import ConfigError

# Worked out from what the author gave and what was named, so it takes the place of the former.
_EXTENDED = ("executor_config", "outlets")


def placed_partial(
    airflows: OperatorPartial,
    written: Mapping[str, Any],
    named: Mapping[str, str | None],
    placed: Callable[..., dict[str, Any]],
) -> OperatorPartial:
    """Return *airflows* with the place and the outlets of the operator, ready for ``expand``.

    Args:
        airflows: What ``partial`` of Airflow's own returned.
        written: The author's arguments of ``partial``.
        named: Arguments that decide, and their defaults; None for one that must be named.
        placed: Returns the arguments of BaseOperator, from those that decide and *written*.

    Raises:
        ConfigError: An argument that decides is not named, and so would be mapped.
    """
    # It would warn that nobody maps it: the one that is returned is mapped.
    airflows._expand_called = True  # noqa: SLF001 - see above
    kwargs = dict(airflows.kwargs)
    defaults, _ = get_merged_defaults(
        kwargs["dag"], kwargs["task_group"], None, written.get("default_args")
    )
    for name, default in named.items():
        value = written.get(name, defaults.get(name, default))
        if value is None:
            raise _unmappable(airflows, name)
        kwargs[name] = value
    chosen = {name: value for name, value in written.items() if name not in named}
    arguments = placed(**{name: kwargs[name] for name in named}, **chosen)
    kwargs |= {
        name: value
        for name, value in arguments.items()
        # Airflow's own has brought the author's into form.
        if name not in chosen or name in _EXTENDED
    }
    partial = _PlacedPartial(
        operator_class=airflows.operator_class, kwargs=kwargs, params=airflows.params
    )
    partial.named = tuple(named)
    return partial


class _PlacedPartial(OperatorPartial):
    """Refuses to map what decides the place, where Airflow tells it late or without the cure."""

    named: tuple[str, ...] = ()

    def expand(self, **mapped_kwargs: Any) -> MappedOperator:
        self._check(mapped_kwargs)
        return super().expand(**mapped_kwargs)

    def expand_kwargs(self, kwargs: Any, *, strict: bool = True) -> MappedOperator:
        for item in kwargs if isinstance(kwargs, Sequence) else ():
            if isinstance(item, Mapping):
                self._check(item)
        # What is known only as the task runs is checked by Airflow then, unless it is told not to.
        if not strict:
            self._expand_called = True
            raise ConfigError(
                f"{_call(self)}.expand_kwargs(…, strict=False) could change what decides where the "
                "task runs. Drop strict, and give each argument in one place."
            )
        return super().expand_kwargs(kwargs, strict=strict)

    def _check(self, mapped: Mapping[str, Any]) -> None:
        for name in self.named:
            if name in mapped:
                # It would warn as well that nobody mapped it.
                self._expand_called = True
                raise _unmappable(self, name)


def _unmappable(partial: OperatorPartial, name: str) -> ConfigError:
    operator = partial.operator_class.__name__
    return ConfigError(
        f"{_call(partial)}: {name} decides where the task runs or what it wakes, which is one for "
        f"all of a mapped task, so it cannot be mapped. Name it in partial(), and for several "
        f"write a loop in the DAG file: for {name} in (…): {operator}(task_id=…, {name}={name})."
    )


def _call(partial: OperatorPartial) -> str:
    task_id = cast("str", partial.kwargs["task_id"])
    return f"{partial.operator_class.__name__}.partial(task_id={task_id!r})"
