"""The costs as text for people, and as data for JSON."""

from datetime import timedelta
from typing import Any

from onchain_agg.costs.inputs import Inputs, Profile, Starts, packaged_pod_start
from onchain_agg.costs.model import Comparison, Costs, Spot
from onchain_agg.errors import ConfigError
from onchain_agg.routing.advice import BREAK_EVEN
from onchain_agg.routing.columns import Row, aligned
from onchain_agg.routing.workloads import Workloads

_SPOT_HEADS: Row = (
    *("size", "on demand/h", "spot/h", "saved", "wasted at its timeout"),
    "worth a spot node up to",
)
_PROFILE_HEADS: Row = (
    *("task", "runs a day", "takes", "in pods/day", "on workers/day", "workers"),
    *("worker cheaper from", "pod cheaper up to"),
)
_PART_HEADS: Row = ("environment", "part", "a month")
_HOURS_A_DAY = 24


def costs_data(table: Workloads, inputs: Inputs) -> dict[str, Any]:
    """Return all costs as JSON takes them: prices in the inputs' currency, times in seconds.

    Raises:
        ConfigError: A pod does not fit its machine, or a task its pod; names it.
    """
    costs = Costs(table, inputs)
    return {
        "as_of": inputs.prices.as_of.isoformat(),
        "currency": inputs.prices.currency,
        "pod_start_s": inputs.assumptions.pod_start.total_seconds(),
        "break_even_s": (inputs.assumptions.pod_start * BREAK_EVEN).total_seconds(),
        "slot_hour": {
            name: costs.worker_hour(one) / one.concurrency for name, one in table.queues.items()
        },
        "pod_hour": {name: costs.pod_hour(one) for name, one in table.sizes.items()},
        "spot": {name: _spot_data(costs.spot(one)) for name, one in table.sizes.items()},
        "profiles": {name: _profile_data(one) for name, one in _compared(costs, inputs).items()},
        "environments": {
            name: dict(costs.environment(one)) for name, one in inputs.environments.items()
        },
    }


def costs_text(table: Workloads, inputs: Inputs) -> str:
    """Return all costs as text: what they are based on, then a table for each question.

    Raises:
        ConfigError: A pod does not fit its machine, or a task its pod; names it.
    """
    costs = Costs(table, inputs)
    compared = _compared(costs, inputs)
    profiles = [_profile_row(name, inputs.profiles[name], one) for name, one in compared.items()]
    sizes = [_spot_row(name, costs.spot(one)) for name, one in table.sizes.items()]
    blocks = (
        _basis(inputs),
        aligned(_SPOT_HEADS, sizes),
        aligned(_PROFILE_HEADS, profiles),
        _for_advice(table, inputs, costs),
        aligned(_PART_HEADS, _environment_rows(costs, inputs)),
    )
    return "\n\n".join(blocks)


def _basis(inputs: Inputs) -> str:
    prices, told = inputs.prices, inputs.assumptions
    return (
        f"Prices in {prices.currency} of {prices.as_of}, {prices.region}. {prices.source}\n"
        f"Assumed: {told.interruptions_a_month:.0%} of spot nodes are taken back in a month, "
        f"{told.packing:.0%} of a node and {told.busy:.0%} of a worker's slots are used."
    )


def _compared(costs: Costs, inputs: Inputs) -> dict[str, Comparison]:
    compared = {}
    for name, profile in inputs.profiles.items():
        try:
            compared[name] = costs.compare(profile)
        except ConfigError as error:
            raise ConfigError(f"profiles.{name}: {error}") from error
    return compared


def _for_advice(table: Workloads, inputs: Inputs, costs: Costs) -> str:
    """Return what `routing advise` takes from here, and its options for the prices."""
    start = inputs.assumptions.pod_start
    text = (
        f"`routing advise` takes {_shown(start)} as the start of a pod where it saw too few: a "
        f"task belongs in a pod from {_shown(start * BREAK_EVEN)}, {BREAK_EVEN:g} starts."
    )
    if start != packaged_pod_start():
        text += f" Give it --pod-start {start.total_seconds():.0f}: it knows the packaged inputs."
    text = f"{text}\n{_measured(inputs.starts)}"
    slots = {name: costs.worker_hour(one) / one.concurrency for name, one in table.queues.items()}
    if not slots:
        return text
    queue = max(slots, key=lambda name: slots[name])
    pod = costs.pod_hour(table.size(table.default_size))
    return (
        f"{text}\nIts prices: --slot-hour {slots[queue]:.4f} (of {queue}, the dearest) "
        f"--pod-hour {pod:.4f} (of {table.default_size}, the default)."
    )


def _measured(starts: Starts) -> str:
    pod, worker = starts.pod, starts.worker
    return (
        f"Measured on {starts.as_of}, without image and node: a start takes {pod.p50_s:.2f} s in a "
        f"pod (95th percentile {pod.p95_s:.2f} s) and {worker.p50_s:.2f} s on a worker "
        f"({worker.p95_s:.2f} s); {pod.tasks_a_minute:.0f} and {worker.tasks_a_minute:.0f} light "
        "tasks a minute."
    )


def _spot_row(name: str, one: Spot) -> Row:
    saved = 1 - one.spot / one.on_demand if one.on_demand else 0.0
    worth = "any length" if one.worth_up_to is None else _shown_hours(one.worth_up_to)
    prices = (_price(one.on_demand), _price(one.spot))
    return (name, *prices, f"{saved:.0%}", f"{one.wasted:.2%}", worth)


def _profile_row(name: str, profile: Profile, one: Comparison) -> Row:
    return (
        name,
        f"{profile.runs_a_day:,}",
        _shown(profile.duration),
        f"{one.pods:,.2f}",
        "no slot holds it" if one.workers is None else f"{one.workers:,.2f}",
        "-" if one.workers is None else f"{one.worker_count:,}",
        "never" if one.break_even is None else f"{one.break_even:,.1f} runs/h",
        _longest(one),
    )


def _longest(one: Comparison) -> str:
    if one.workers is None:
        return "any length"
    return "never" if one.longest_in_pod is None else _shown_hours(one.longest_in_pod)


def _environment_rows(costs: Costs, inputs: Inputs) -> list[Row]:
    rows: list[Row] = []
    for name, environment in inputs.environments.items():
        parts = costs.environment(environment)
        rows += [(name, part, f"{price:,.2f}") for part, price in parts.items()]
        rows.append((name, "in all", f"{sum(parts.values()):,.2f}"))
    return rows


def _price(price: float) -> str:
    return f"{price:.4f}"


def _shown_hours(hours: float) -> str:
    if hours >= _HOURS_A_DAY:
        return f"{hours / _HOURS_A_DAY:,.1f} d"
    return _shown(timedelta(hours=hours))


def _shown(time: timedelta) -> str:
    seconds = time.total_seconds()
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"


def _spot_data(one: Spot) -> dict[str, float | None]:
    return {
        "on_demand_hour": one.on_demand,
        "spot_hour": one.spot,
        "wasted_at_timeout": one.wasted,
        "worth_up_to_s": _seconds(one.worth_up_to),
    }


def _profile_data(one: Comparison) -> dict[str, float | int | None]:
    return {
        "pods_a_day": one.pods,
        "workers_a_day": one.workers,
        "workers": one.worker_count,
        "worker_cheaper_from_runs_an_hour": one.break_even,
        "pod_cheaper_up_to_s": _seconds(one.longest_in_pod),
    }


def _seconds(hours: float | None) -> float | None:
    return None if hours is None else hours * 3600
