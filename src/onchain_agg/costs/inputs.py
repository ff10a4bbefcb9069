"""``inputs.yaml`` → prices and assumptions: read, laid over one another, checked.

Knows neither AWS nor how the numbers are used; a fault is told with its file and line.
"""

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import Field

from onchain_agg.errors import ConfigError, UnknownNameError, did_you_mean
from onchain_agg.routing.workloads import Count, Duration, Entry, Workloads
from onchain_agg.yaml_lines import Blame, Place, read_yaml

PACKAGED = Path(__file__).with_name("inputs.yaml")

_Model = TypeVar("_Model", bound=Entry)

# Strict, so that neither text nor `true` passes for a number.
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False, strict=True)]
_Share = Annotated[float, Field(gt=0, le=1, strict=True)]


class Prices(Entry):
    """When and where the prices held, and who says so."""

    as_of: dt.date
    region: str
    currency: str
    source: str


class Assumptions(Entry):
    """What is not a price.

    Attributes:
        hours_a_month: Hours that a month is paid for.
        pod_start: From a pod's being placed on a node to its task's first line.
        interruptions_a_month: Share of spot nodes that are taken back in a month.
        packing: Share of a node that pods ask for.
        busy: Share of a worker's slots in use on average.
    """

    hours_a_month: Annotated[float, Field(gt=0, le=744, strict=True)]
    pod_start: Duration
    interruptions_a_month: Annotated[float, Field(ge=0, lt=1, strict=True)]
    packing: _Share
    busy: _Share


class MeasuredStart(Entry):
    """What starting a task that does nothing took, in seconds, and how many ended in a minute."""

    p50_s: Amount
    p95_s: Amount
    tasks_a_minute: Amount

    @property
    def time(self) -> dt.timedelta:
        """Return the median."""
        return dt.timedelta(seconds=self.p50_s)


class Starts(Entry):
    """When and how starts were measured, on workers and of pods."""

    as_of: dt.date
    source: str
    worker: MeasuredStart
    pod: MeasuredStart


class Machine(Entry):
    """A kind of machine: its size, what an hour costs on demand, and what spot takes off."""

    type: str
    cpu: Count
    memory_gib: Count
    hour: Amount
    spot_discount: Annotated[float, Field(ge=0, lt=1, strict=True)]


class Service(Entry):
    """Something that is paid by the month."""

    month: Amount
    what: str


class Environment(Entry):
    """What an environment keeps while no task runs."""

    nodes: dict[str, Amount] = Field(default_factory=dict)
    workers: bool = False
    services: dict[str, Amount] = Field(default_factory=dict)


class Profile(Entry):
    """A kind of task: where it could run, how often and how long it does, and its own memory."""

    queue: str
    size: str
    runs_a_day: Count
    duration: Duration
    memory_gib: Amount


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """All that costs are counted with."""

    prices: Prices
    assumptions: Assumptions
    starts: Starts
    machines: Mapping[str, Machine]
    node_groups: Mapping[str, str]
    services: Mapping[str, Service]
    environments: Mapping[str, Environment]
    profiles: Mapping[str, Profile]

    def machine_of(self, group: str) -> Machine:
        """Return the machine of the node group *group*."""
        return self.machines[self.node_groups[group]]


_NAMED: Mapping[str, type[Entry]] = {
    "machines": Machine,
    "services": Service,
    "environments": Environment,
    "profiles": Profile,
}
_SECTIONS = ("prices", "assumptions", "starts", "node_groups", *_NAMED)


def packaged_pod_start() -> dt.timedelta:
    """Return how long the start of a pod takes, as the packaged inputs assume."""
    return _packaged("assumptions", Assumptions).pod_start


def packaged_starts() -> Starts:
    """Return what starts took when they were measured last, as the packaged inputs say."""
    return _packaged("starts", Starts)


def load_inputs(table: Workloads, *others: Path) -> Inputs:
    """Return the packaged inputs with *others* laid over them, checked against *table*.

    Raises:
        ConfigError: A file is wrong; names file, line, field and cure.
    """
    told: dict[str, Any] = {}
    where: dict[Place, tuple[Path, int]] = {}
    for file in (PACKAGED, *others):
        said, lines = read_yaml(file)
        if not isinstance(said, dict):
            raise ConfigError(f"{file}: write a table of {', '.join(_SECTIONS)}.")
        where |= {place: (file, line) for place, line in lines.items()}
        told = _laid_over(told, said)
    blame = Blame((PACKAGED, *others)[-1], where)
    inputs = _inputs(blame, told)
    _check_groups(blame, inputs, table)
    for name, environment in inputs.environments.items():
        _check_environment(blame, inputs, name, environment)
    for name, profile in inputs.profiles.items():
        _check_profile(blame, table, name, profile)
    return inputs


def _packaged(section: str, model: type[_Model]) -> _Model:
    told, lines = read_yaml(PACKAGED)
    blame = Blame(PACKAGED, {place: (PACKAGED, line) for place, line in lines.items()})
    return blame.read(model, (section,), told[section])


def _laid_over(below: Mapping[Any, Any], above: Mapping[Any, Any]) -> dict[Any, Any]:
    merged = dict(below)
    for key, value in above.items():
        both = isinstance(value, dict) and isinstance(below.get(key), dict)
        merged[key] = _laid_over(below[key], value) if both else value
    return merged


def _inputs(blame: Blame, told: Mapping[str, Any]) -> Inputs:
    for section in told:
        if section not in _SECTIONS:
            hint = did_you_mean(str(section), _SECTIONS)
            raise blame.error(
                (section,), f"there is no such section. {hint}Sections: {', '.join(_SECTIONS)}."
            )
        if not isinstance(told[section], dict):
            raise blame.error((section,), f"write a table. It is {told[section]!r}.")
    return Inputs(
        prices=blame.read(Prices, ("prices",), told["prices"]),
        assumptions=blame.read(Assumptions, ("assumptions",), told["assumptions"]),
        starts=blame.read(Starts, ("starts",), told["starts"]),
        node_groups=told["node_groups"],
        machines=_entries(blame, told, "machines", Machine),
        services=_entries(blame, told, "services", Service),
        environments=_entries(blame, told, "environments", Environment),
        profiles=_entries(blame, told, "profiles", Profile),
    )


def _entries(
    blame: Blame, told: Mapping[str, Any], section: str, model: type[_Model]
) -> dict[str, _Model]:
    return {name: blame.read(model, (section, name), one) for name, one in told[section].items()}


def _check_groups(blame: Blame, inputs: Inputs, table: Workloads) -> None:
    for group in table.node_groups:
        if group not in inputs.node_groups:
            raise blame.error(
                ("node_groups", group),
                "the table of queues and sizes has this node group. Name its machine.",
            )
    for group, machine in inputs.node_groups.items():
        _known(blame, ("node_groups", group), "machine", machine, inputs.machines)


def _check_environment(blame: Blame, inputs: Inputs, name: str, one: Environment) -> None:
    place = ("environments", name)
    for group in one.nodes:
        _known(blame, (*place, "nodes", group), "node group", group, inputs.node_groups)
    for service in one.services:
        _known(blame, (*place, "services", service), "service", service, inputs.services)


def _check_profile(blame: Blame, table: Workloads, name: str, one: Profile) -> None:
    place = ("profiles", name)
    _known(blame, (*place, "queue"), "Celery queue", one.queue, table.queues)
    _known(blame, (*place, "size"), "size of pod", one.size, table.sizes)


def _known(blame: Blame, place: Place, kind: str, name: Any, known: Iterable[str]) -> None:
    if name not in known:
        raise blame.error(place, str(UnknownNameError(kind, str(name), known)))
