"""``workloads.yaml`` → the table: read, laid over one another, checked; a fault has its line."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from onchain_agg.durations import duration
from onchain_agg.errors import ConfigError, UnknownNameError, did_you_mean
from onchain_agg.routing.workloads import (
    DEFAULT_POOL,
    KUBERNETES_QUEUE,
    CeleryQueue,
    Entry,
    NodeGroup,
    PodSize,
    Pool,
    Workloads,
)
from onchain_agg.settings import load_routing_options
from onchain_agg.yaml_lines import Blame, Place, read_yaml

PACKAGED = Path(__file__).with_name("workloads.yaml")

_SECTIONS = ("default_size", "grace", "pools", "node_groups", "workloads")
_KINDS: Mapping[str, type[CeleryQueue] | type[PodSize]] = {
    "celery": CeleryQueue,
    "kubernetes": PodSize,
}
# A spot node gives 120 s of notice; the rest is for the notice to become a SIGTERM.
_MOST_GRACE_ON_SPOT = timedelta(seconds=100)


@dataclass(frozen=True)
class _Form:
    """What a name may look like, in a pattern and in words."""

    pattern: re.Pattern[str]
    words: str


# As Kubernetes takes a label's value, which a node group's name becomes; a size's becomes a pod's.
_LABEL = _Form(
    re.compile(r"[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?"), "63 small letters, digits, - and _"
)
# Also what Airflow 2 has called its queues and pools. A worker's --queues splits at a comma.
_FREE = _Form(
    re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?"), "63 letters, digits, -, _ and ."
)
_Model = TypeVar("_Model", bound=Entry)


@cache
def configured_workloads() -> Workloads:
    """Return the packaged table with the deployment's own file laid over it.

    Raises:
        ConfigError: A file is wrong; names file, line, field and cure.
    """
    own = load_routing_options().workloads_file
    return load_workloads(PACKAGED, *([own] if own else []))


def load_workloads(*files: Path) -> Workloads:
    """Return the table in *files*, each laid over the ones before it, field by field.

    Raises:
        ConfigError: A file is wrong; names file, line, field and cure.
    """
    told: dict[str, Any] = {}
    where: dict[Place, tuple[Path, int]] = {}
    for file in files:
        said, lines = read_yaml(file)
        if not isinstance(said, dict):
            raise ConfigError(f"{file}: write a table of {', '.join(_SECTIONS)}.")
        where |= {place: (file, line) for place, line in lines.items()}
        _lay_over(told, said)
    return _table(told, Blame(files[-1], where))


def _lay_over(below: dict[Any, Any], above: Mapping[Any, Any]) -> None:
    for key, value in above.items():
        if isinstance(value, dict) and isinstance(below.get(key), dict):
            _lay_over(below[key], value)
        else:
            below[key] = value


def _table(told: Mapping[str, Any], blame: Blame) -> Workloads:
    for name in {**told, **dict.fromkeys(_SECTIONS)}:
        if name not in _SECTIONS:
            hint = did_you_mean(str(name), _SECTIONS)
            raise blame.error(
                (name,), f"there is no such section. {hint}Sections: {', '.join(_SECTIONS)}."
            )
        if name not in told:
            raise blame.error((name,), "this section is missing. Add it.")
    pools = _entries(blame, "pools", told, Pool, _FREE)
    groups = _entries(blame, "node_groups", told, NodeGroup, _LABEL)
    workloads = [
        _workload(blame, name, value)
        for name, value in _names(blame, "workloads", told, _FREE).items()
    ]
    for workload in workloads:
        _check_references(blame, workload, pools, groups)
    sizes = {workload.name: workload for workload in workloads if isinstance(workload, PodSize)}
    _check_templates(blame, sizes)
    if told["default_size"] not in sizes:
        unknown = UnknownNameError("size of pod", str(told["default_size"]), sizes)
        raise blame.error(("default_size",), str(unknown))
    return Workloads(
        queues={one.name: one for one in workloads if isinstance(one, CeleryQueue)},
        sizes=sizes,
        pools=pools,
        node_groups=groups,
        default_size=told["default_size"],
        grace=_grace(blame, told["grace"], workloads, groups),
    )


def _grace(
    blame: Blame,
    told: Any,
    workloads: Iterable[CeleryQueue | PodSize],
    groups: Mapping[str, NodeGroup],
) -> timedelta:
    try:
        grace = duration(told)
    except ValueError as error:
        raise blame.error(("grace",), f"{error}. It is {told!r}.") from None
    for workload in workloads:
        on_spot = groups[workload.node_group].capacity == "spot"
        if on_spot and grace > _MOST_GRACE_ON_SPOT:
            raise blame.error(
                ("grace",),
                f"{workload.name!r} runs on spot nodes ({workload.node_group}), which go 120 s "
                f"after their notice. Write 100s or less. It is {told!r}.",
            )
    return grace


def _names(blame: Blame, section: str, told: Mapping[str, Any], form: _Form) -> dict[str, Any]:
    entries = told[section]
    if not isinstance(entries, dict):
        raise blame.error((section,), f"write a table of entries by name. It is {entries!r}.")
    for name in entries:
        _check_name(blame, (section, name), form)
    return entries


def _check_name(blame: Blame, place: tuple[str, Any], form: _Form) -> None:
    section, name = place
    if not isinstance(name, str) or not form.pattern.fullmatch(name):
        raise blame.error(
            (section, str(name)),
            f"write a name of up to {form.words}, that starts and ends with a letter or digit, in "
            "quotes where YAML takes it for something else.",
        )


def _entries(
    blame: Blame, section: str, told: Mapping[str, Any], model: type[_Model], form: _Form
) -> dict[str, _Model]:
    named = _names(blame, section, told, form)
    return {name: blame.read(model, (section, name), value) for name, value in named.items()}


def _workload(blame: Blame, name: str, value: Any) -> CeleryQueue | PodSize:
    place: Place = ("workloads", name)
    if name == KUBERNETES_QUEUE:
        raise blame.error(
            place,
            "this is the queue of every size of pod. Give the size a name of its own, and set "
            "default_size.",
        )
    if not isinstance(value, dict):
        raise blame.error(place, f"write a table of fields. It is {value!r}.")
    executor = str(value.get("executor"))
    if executor not in _KINDS:
        hint = did_you_mean(executor, _KINDS)
        raise blame.error(
            (*place, "executor"), f"{hint}Write celery or kubernetes. It is {executor!r}."
        )
    if _KINDS[executor] is PodSize:
        _check_name(blame, ("workloads", name), _LABEL)
    return blame.read(_KINDS[executor], place, value, name=name)


def _check_references(
    blame: Blame,
    workload: CeleryQueue | PodSize,
    pools: Mapping[str, Pool],
    groups: Mapping[str, NodeGroup],
) -> None:
    place: Place = ("workloads", workload.name)
    if workload.pool not in (*pools, DEFAULT_POOL):
        unknown = UnknownNameError("pool", workload.pool, (*pools, DEFAULT_POOL))
        raise blame.error((*place, "pool"), str(unknown))
    if workload.pool in pools and workload.slots > pools[workload.pool].slots:
        raise blame.error(
            (*place, "slots"),
            f"a task takes {workload.slots} slots, but pool {workload.pool!r} has "
            f"{pools[workload.pool].slots}, so it would wait for good.",
        )
    if workload.node_group not in groups:
        unknown = UnknownNameError("node group", workload.node_group, groups)
        raise blame.error((*place, "node_group"), str(unknown))
    if groups[workload.node_group].capacity == "spot" and not workload.retries:
        raise blame.error(
            (*place, "retries"), "a spot node may go at any time. Allow at least 1 retry."
        )


def _check_templates(blame: Blame, sizes: Mapping[str, PodSize]) -> None:
    owners: dict[str, str] = {}
    for name, size in sizes.items():
        owner = owners.setdefault(size.pod_template, name)
        if owner != name:
            raise blame.error(
                ("workloads", name, "pod_template"),
                f"{size.pod_template} is the template of {owner!r}. Give each size its own.",
            )
