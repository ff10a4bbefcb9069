"""What tasks cost on spot and on demand, on workers and in pods, and what environments cost.

All times are in hours, all prices in one currency.

**A pod or worker** costs the share of its node that it asks for: of the CPUs or of the memory,
whichever is larger, of the machine's price, divided by ``packing``, for no node is ever full.

**On a spot node** a run is interrupted and begins anew. With ``q``, the share of nodes that are
taken back in a month of ``H`` hours, a node is taken at the rate ``r = -ln(1 - q) / H``. A run that
needs ``T`` hours without an interruption, its start included, then takes

    E(T) = (e^(r T) - 1) / r        hours until it is through, all tries together,

which is ``T`` where ``r`` is 0. So ``E(T) / T - 1`` is wasted, and ``e^(r T) - 1`` interruptions
are to be expected. A run is taken to lose all that it did: one that saves where it is loses less.
Spot is cheaper than on demand as long as ``E(T) / T < 1 / (1 - discount)``; the ``T`` where both
are equal is the longest task worth a spot node. That retries are limited is no part of the model.

**In a pod** a run costs ``E(P + d)`` of the pod's hours: ``P`` is the pod's start, ``d`` the task.

**On workers** there is one at least, and as many more as keep their slots ``busy``: ``n E(d)``
hours of slots a day, divided by ``24 c busy`` for workers of ``c`` slots. What a worker costs does
not depend on how much it does, so pods are cheaper for what runs rarely:

* Break-even: from ``worker / (pod * E(P + d))`` runs an hour on, a worker of its own is cheaper.
  Where it is full before that, it never is: another one costs as much again.
* At ``n`` runs an hour, pods are cheaper up to a task of ``d = E⁻¹(worker / (pod * n)) - P``.

A task whose memory is above a slot's share of its worker's belongs in a pod, whatever that costs.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from onchain_agg.costs.inputs import Environment, Inputs, Machine, Profile
from onchain_agg.errors import ConfigError
from onchain_agg.routing.sizing import GIT_SYNC, Amount, of_pod, of_worker
from onchain_agg.routing.workloads import CeleryQueue, PodSize, Workloads

_HOUR = timedelta(hours=1)
_THOUSANDTHS, _MEBIBYTES = 1000, 1024


@dataclass(frozen=True, kw_only=True)
class Spot:
    """A size of pod on demand and on spot.

    Attributes:
        on_demand: Price of an hour.
        spot: The same on spot, without waste.
        wasted: Share that interruptions add to the hours of its longest allowed task.
        worth_up_to: Hours of the longest task that is cheaper on spot; None: of any length.
    """

    on_demand: float
    spot: float
    wasted: float
    worth_up_to: float | None


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A profile in pods and on workers.

    Attributes:
        pods: Cost of a day in pods.
        workers: The same on workers; None where no slot holds the task.
        worker_count: Workers that it takes.
        break_even: Runs an hour from which a worker is cheaper; None where it never is.
        longest_in_pod: Hours of the longest task that is cheaper in a pod, at as many runs; None
            where every task is cheaper on the worker, or no slot holds this one.
    """

    pods: float
    workers: float | None
    worker_count: int
    break_even: float | None
    longest_in_pod: float | None


def interruption_rate(share_a_month: float, hours_a_month: float) -> float:
    """Return the interruptions an hour of one node, of which that share goes in a month."""
    return -math.log1p(-share_a_month) / hours_a_month


def hours_until_through(hours: float, rate: float) -> float:
    """Return the hours that all tries of a run take together; see the module."""
    return math.expm1(rate * hours) / rate if rate else hours


def share_of(machine: Machine, asked: Amount) -> float:
    """Return the share of *machine* that *asked* takes."""
    return max(
        asked.cpu / (machine.cpu * _THOUSANDTHS),
        asked.memory / (machine.memory_gib * _MEBIBYTES),
    )


def longest_worth_spot(discount: float, rate: float) -> float | None:
    """Return the hours of the task that costs the same on spot and on demand; None: there is none.

    Without a discount no task is worth it.
    """
    if not rate:
        return None
    low, high = 0.0, 1.0
    while math.expm1(high) / high < 1 / (1 - discount):
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        if middle and math.expm1(middle) / middle >= 1 / (1 - discount):
            high = middle
        else:
            low = middle
    return low / rate if discount else 0.0


class Costs:
    """The costs of a table of queues and sizes, as *inputs* price it."""

    def __init__(self, table: Workloads, inputs: Inputs) -> None:
        """Take both; nothing is counted yet."""
        self._table = table
        self._inputs = inputs
        told = inputs.assumptions
        self._rate = interruption_rate(told.interruptions_a_month, told.hours_a_month)
        self._start = told.pod_start / _HOUR

    def worker_hour(self, queue: CeleryQueue) -> float:
        """Return what an hour of a worker of *queue* costs."""
        return self._hour(queue.node_group, of_worker(queue), spot=self._on_spot(queue))

    def pod_hour(self, size: PodSize) -> float:
        """Return what an hour of a pod of *size* costs."""
        return self._hour(size.node_group, of_pod(size), spot=self._on_spot(size))

    def spot(self, size: PodSize) -> Spot:
        """Return *size* on spot nodes and on those that stay, whatever the table says of it."""
        machine = self._inputs.machine_of(size.node_group)
        longest = self._start + size.timeout / _HOUR
        return Spot(
            on_demand=self._hour(size.node_group, of_pod(size), spot=False),
            spot=self._hour(size.node_group, of_pod(size), spot=True),
            wasted=hours_until_through(longest, self._rate) / longest - 1,
            worth_up_to=longest_worth_spot(machine.spot_discount, self._rate),
        )

    def compare(self, profile: Profile) -> Comparison:
        """Return what *profile* costs in pods and on workers.

        Raises:
            ConfigError: The size of pod is too small for the task.
        """
        queue, size = self._table.queue(profile.queue), self._table.size(profile.size)
        self._check_memory(profile, size)
        pod, worker = self.pod_hour(size), self.worker_hour(queue)
        hours = profile.duration / _HOUR
        in_pod = hours_until_through(self._start + hours, self._rate_of(size))
        on_worker = hours_until_through(hours, self._rate_of(queue))
        slots = queue.concurrency * self._inputs.assumptions.busy
        count = max(1, math.ceil(profile.runs_a_day * on_worker / (24 * slots)))
        fits = profile.memory_gib * _MEBIBYTES <= of_worker(queue).memory / queue.concurrency
        break_even = worker / (pod * in_pod)
        is_reached = fits and break_even <= slots / on_worker
        return Comparison(
            pods=profile.runs_a_day * in_pod * pod,
            workers=count * worker * 24 if fits else None,
            worker_count=count,
            break_even=break_even if is_reached else None,
            longest_in_pod=(
                self._longest_in_pod(worker / pod, profile.runs_a_day / 24, size) if fits else None
            ),
        )

    def environment(self, one: Environment) -> Mapping[str, float]:
        """Return what each part of an environment costs a month."""
        month = self._inputs.assumptions.hours_a_month
        parts = {
            f"nodes of {group}": count * self._inputs.machine_of(group).hour * month
            for group, count in one.nodes.items()
        }
        if one.workers:
            parts["fewest workers"] = month * sum(
                queue.autoscale.min * self.worker_hour(queue)
                for queue in self._table.queues.values()
            )
        for name, count in one.services.items():
            parts[name] = count * self._inputs.services[name].month
        return parts

    def _longest_in_pod(self, ratio: float, runs_an_hour: float, size: PodSize) -> float | None:
        rate, hours = self._rate_of(size), ratio / runs_an_hour
        longest = (math.log1p(rate * hours) / rate if rate else hours) - self._start
        return longest if longest > 0 else None

    def _check_memory(self, profile: Profile, size: PodSize) -> None:
        has = of_pod(size).memory / _MEBIBYTES
        if profile.memory_gib > has:
            raise ConfigError(
                f"A task of {profile.memory_gib:g} GiB does not fit a pod of size {size.name!r}, "
                f"which has {has:g} GiB. Name a larger size in its profile."
            )

    def _hour(self, group: str, asked: Amount, *, spot: bool) -> float:
        machine = self._inputs.machine_of(group)
        share = share_of(machine, asked + GIT_SYNC) / self._inputs.assumptions.packing
        if share > 1:
            raise ConfigError(
                f"A pod of {asked.cpu / _THOUSANDTHS:g} CPUs and {asked.memory / _MEBIBYTES:g} GiB "
                f"takes {share:.0%} of a {machine.type}, the machine of node group {group!r}. Name "
                "a larger one in node_groups."
            )
        return machine.hour * (1 - machine.spot_discount if spot else 1) * share

    def _on_spot(self, one: CeleryQueue | PodSize) -> bool:
        return self._table.node_groups[one.node_group].capacity == "spot"

    def _rate_of(self, one: CeleryQueue | PodSize) -> float:
        return self._rate if self._on_spot(one) else 0.0
