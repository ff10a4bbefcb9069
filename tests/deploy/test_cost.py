"""What things cost, by cases counted by hand, and an error for each bad input."""

import json
import math
from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from onchain_agg.cli import main
from onchain_agg.costs.inputs import PACKAGED, load_inputs, packaged_pod_start
from onchain_agg.costs.model import (
    Costs,
    hours_until_through,
    interruption_rate,
    longest_worth_spot,
    share_of,
)
from onchain_agg.errors import ConfigError
from onchain_agg.routing.advice import Model
from onchain_agg.routing.sizing import Amount
from onchain_agg.routing.workload_file import PACKAGED as TABLE
from onchain_agg.routing.workload_file import load_workloads

ROOT = Path(__file__).parents[2]

# A machine of 8 CPUs and 32 GiB for 0.80 an hour, half of it on spot. Nothing is interrupted and
# nodes are full, so every price is a plain share.
PLAIN = """
assumptions:
  {hours_a_month: 730, pod_start: 60s, interruptions_a_month: 0.0, packing: 1.0, busy: 0.5}
machines:
  plain: {type: plain, cpu: 8, memory_gib: 32, hour: 0.80, spot_discount: 0.5}
node_groups: {core: plain, workers: plain, spot-small: plain, spot-memory: plain, spot-cpu: plain,
  on-demand: plain}
"""
# One queue of 4 slots (750 m and 2560 MiB) and a pod (500 m and 2 GiB), each with git-sync's 100 m
# and 128 MiB: 0.106 and 0.075 of the machine by CPU, 0.082 and 0.066 by memory.
SMALL_TABLE = """
workloads:
  default: {executor: celery, timeout: 1h, retries: 1, retry_delay: 30s, concurrency: 4,
    autoscale: {min: 2, max: 4}, node_group: workers}
"""
WORKER_HOUR = 0.40 * 850 / 8000
POD_HOUR = 0.40 * 600 / 8000


@pytest.fixture
def table(tmp_path):
    file = tmp_path / "workloads.yaml"
    file.write_text(SMALL_TABLE)
    return load_workloads(TABLE, file)


@pytest.fixture
def inputs_of(tmp_path, table):
    def load(text=""):
        plain, own = tmp_path / "plain.yaml", tmp_path / "own.yaml"
        plain.write_text(PLAIN)
        own.write_text(text or "{}")
        return load_inputs(table, plain, own)

    return load


def _profile(**changed):
    told = {
        "queue": "default",
        "size": "small",
        "runs_a_day": 240,
        "duration": "540s",
        "memory_gib": 0.5,
    }
    return yaml.safe_dump({"profiles": {"one": told | changed}})


def test_a_rate_of_interruptions_makes_the_share_of_a_month():
    rate = interruption_rate(0.10, 730)

    assert 1 - math.exp(-rate * 730) == pytest.approx(0.10)
    assert interruption_rate(0, 730) == 0


def test_a_run_takes_all_its_tries_until_one_is_through():
    assert hours_until_through(2, 0) == 2
    # e - 1, over a half.
    assert hours_until_through(2, 0.5) == pytest.approx(3.43656366)
    # One run in a hundred is interrupted, half-way on average.
    assert hours_until_through(2, 0.005) / 2 == pytest.approx(1.005, abs=1e-4)


def test_a_pod_takes_the_larger_share_of_its_machine(inputs_of):
    machine = inputs_of().machines["plain"]

    assert share_of(machine, Amount(cpu=2000, memory=1024)) == 0.25
    assert share_of(machine, Amount(cpu=1000, memory=16 * 1024)) == 0.5


@pytest.mark.parametrize("discount", [0.2, 0.5, 0.9])
def test_the_longest_task_worth_spot_costs_the_same_both_ways(discount):
    hours = longest_worth_spot(discount, 0.01)

    assert hours_until_through(hours, 0.01) * (1 - discount) == pytest.approx(hours)


def test_without_interruptions_any_task_is_worth_spot_and_without_discount_none():
    assert longest_worth_spot(0.5, 0) is None
    assert longest_worth_spot(0, 0.01) == 0


def test_workers_and_pods_cost_their_share_of_a_spot_node(table, inputs_of):
    costs = Costs(table, inputs_of())

    assert costs.worker_hour(table.queues["default"]) == pytest.approx(WORKER_HOUR)
    assert costs.pod_hour(table.sizes["small"]) == pytest.approx(POD_HOUR)
    # 2 CPUs and git-sync are 2100 m, but 8 GiB and 128 MiB are 8320 of 32768.
    assert costs.pod_hour(table.sizes["on-demand"]) == pytest.approx(0.80 * 2100 / 8000)


def test_a_node_that_is_not_full_makes_its_pods_dearer(table, inputs_of):
    costs = Costs(table, inputs_of("assumptions: {packing: 0.5}"))

    assert costs.pod_hour(table.sizes["small"]) == pytest.approx(2 * POD_HOUR)


def test_spot_is_told_with_its_waste(table, inputs_of):
    spot = Costs(table, inputs_of("assumptions: {interruptions_a_month: 0.5}")).spot(
        table.sizes["small"]
    )

    longest = 3 + 1 / 60
    rate = math.log(2) / 730
    assert spot.on_demand == pytest.approx(2 * POD_HOUR)
    assert spot.spot == pytest.approx(POD_HOUR)
    assert spot.wasted == pytest.approx(math.expm1(rate * longest) / (rate * longest) - 1)
    assert spot.worth_up_to == pytest.approx(longest_worth_spot(0.5, rate))


def test_pods_and_workers_are_compared_by_the_day(table, inputs_of):
    inputs = inputs_of(_profile())

    compared = Costs(table, inputs).compare(inputs.profiles["one"])

    # 240 runs of 9 minutes and a minute's start: 40 hours of pods.
    assert compared.pods == pytest.approx(40 * POD_HOUR)
    # 36 hours of slots, of which a worker gives 48 a day.
    assert compared.worker_count == 1
    assert compared.workers == pytest.approx(24 * WORKER_HOUR)
    # A pod costs 1/6 h a run: 850 / 600 pods are a worker, so 8.5 runs an hour.
    assert compared.break_even == pytest.approx(8.5)
    # 10 runs an hour: 8.5 / 60 h, one minute of them for the start.
    assert compared.longest_in_pod == pytest.approx(7.5 / 60)


def test_at_the_break_even_both_cost_the_same(table, inputs_of):
    inputs = inputs_of(_profile(runs_a_day=204))

    compared = Costs(table, inputs).compare(inputs.profiles["one"])

    assert compared.break_even == pytest.approx(204 / 24)
    assert compared.pods == pytest.approx(compared.workers)
    assert compared.longest_in_pod == pytest.approx(540 / 3600)


def test_what_fills_its_workers_takes_more_of_them_and_may_never_pay(table, inputs_of):
    inputs = inputs_of(_profile(duration="1h", runs_a_day=49))

    compared = Costs(table, inputs).compare(inputs.profiles["one"])

    # 49 hours of slots, of which a worker gives 48 a day.
    assert compared.worker_count == 2
    assert compared.workers == pytest.approx(2 * 24 * WORKER_HOUR)
    # 1.393 runs an hour, of the 2 that a worker takes.
    assert compared.break_even == pytest.approx(850 / 600 / (61 / 60))
    slow = inputs_of("assumptions: {busy: 0.3}\n" + _profile(duration="1h", runs_a_day=49))
    assert Costs(table, slow).compare(slow.profiles["one"]).break_even is None


def test_a_task_that_no_slot_holds_belongs_in_a_pod(table, inputs_of):
    # 2560 MiB for 4 slots are 0.625 GiB each.
    for memory, fits in ((0.625, True), (0.626, False)):
        inputs = inputs_of(_profile(memory_gib=memory))
        compared = Costs(table, inputs).compare(inputs.profiles["one"])
        assert (compared.workers is not None) is fits
        assert (compared.break_even is not None) is fits


def test_so_many_runs_that_any_task_is_cheaper_on_the_worker(table, inputs_of):
    # 90 runs an hour pay for 1.5 h of starting alone; a worker is worth 1.42 h of a pod.
    inputs = inputs_of(_profile(runs_a_day=90 * 24, duration="1s"))

    assert Costs(table, inputs).compare(inputs.profiles["one"]).longest_in_pod is None


def test_an_environment_costs_its_nodes_its_fewest_workers_and_its_services(table, inputs_of):
    inputs = inputs_of(
        "services: {base: {month: 10.0, what: a base}}\n"
        "environments: {own: {nodes: {core: 1.5}, workers: true, services: {base: 2}}}\n"
    )

    parts = Costs(table, inputs).environment(inputs.environments["own"])

    others = sum(
        one.autoscale.min * Costs(table, inputs).worker_hour(one)
        for name, one in table.queues.items()
        if name != "default"
    )
    assert parts == {
        "nodes of core": pytest.approx(1.5 * 0.80 * 730),
        "fewest workers": pytest.approx((2 * WORKER_HOUR + others) * 730),
        "base": 20.0,
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("price: {}", "line 1: price: there is no such section. Did you mean 'prices'?"),
        ("machines: 3", "line 1: machines: write a table. It is 3."),
        ("[1]", "write a table of prices, assumptions, starts, node_groups, machines"),
        ("machines: {plain: {hour: -1.0}}", "line 1: machines.plain.hour: input should be greater"),
        ("machines: {plain: {hour: .inf}}", "machines.plain.hour: input should be a finite number"),
        ("machines: {plain: {hour: '1'}}", "machines.plain.hour: input should be a valid number"),
        ("machines: {plain: {hourly: 1.0}}", "there is no such field. Did you mean 'hour'?"),
        ("machines: {plain: {spot_discount: 1.0}}", "spot_discount: input should be less than 1"),
        ("machines: {new: {type: x}}", "machines.new.cpu: this field is missing. Add it."),
        ("machines: {new: 1}", "machines.new: write a table of fields. It is 1."),
        ("assumptions: {packing: 0.0}", "assumptions.packing: input should be greater than 0"),
        ("assumptions: {busy: 1.1}", "assumptions.busy: input should be less than or equal to 1"),
        ("assumptions: {pod_start: 45}", "assumptions.pod_start: write a duration above 0"),
        ("assumptions: {interruptions_a_month: 1.0}", "input should be less than 1"),
        ("assumptions: {hours_a_month: 800}", "input should be less than or equal to 744"),
        ("starts: {pod: {p50_s: -1.0}}", "starts.pod.p50_s: input should be greater than or equal"),
        ("prices: {as_of: yesterday}", "prices.as_of: input should be a valid date"),
        ("node_groups: {core: huge}", "node_groups.core: No machine is named 'huge'."),
        ("profiles: {one: {queue: x}}", "profiles.one.size: this field is missing."),
        ("environments: {own: {nodes: {spot: 1}}}", "No node group is named 'spot'."),
        ("environments: {own: {services: {dns: 1}}}", "No service is named 'dns'."),
        (_profile(queue="defualt"), "No Celery queue is named 'defualt'. Did you mean 'default'?"),
        (_profile(size="huge"), "profiles.one.size: No size of pod is named 'huge'."),
        (_profile(runs_a_day=0), "runs_a_day: input should be greater than or equal to 1"),
    ],
)
def test_a_bad_input_is_one_clear_error(inputs_of, tmp_path, text, message):
    with pytest.raises(ConfigError) as raised:
        inputs_of(text)

    assert str(raised.value).startswith(str(tmp_path / "own.yaml"))
    assert message in str(raised.value)


def test_a_node_group_without_machine_is_one_clear_error(tmp_path):
    file = tmp_path / "workloads.yaml"
    file.write_text("node_groups: {gpu: {capacity: spot}}")

    with pytest.raises(ConfigError, match=r"node_groups\.gpu: the table .* Name its machine\.$"):
        load_inputs(load_workloads(TABLE, file))


def test_a_pod_that_fits_no_machine_is_one_clear_error(table, inputs_of):
    inputs = inputs_of("machines: {plain: {cpu: 4}}")

    with pytest.raises(ConfigError) as raised:
        Costs(table, inputs).pod_hour(table.sizes["cpu"])

    assert str(raised.value) == (
        "A pod of 7 CPUs and 12 GiB takes 178% of a plain, the machine of node group 'spot-cpu'. "
        "Name a larger one in node_groups."
    )


def test_a_task_that_its_pod_cannot_hold_is_one_clear_error(table, inputs_of):
    inputs = inputs_of(_profile(memory_gib=3))

    with pytest.raises(ConfigError) as raised:
        Costs(table, inputs).compare(inputs.profiles["one"])

    assert str(raised.value) == (
        "A task of 3 GiB does not fit a pod of size 'small', which has 2 GiB. Name a larger size "
        "in its profile."
    )


def test_advice_starts_from_the_pod_start_of_the_inputs():
    told = yaml.safe_load(PACKAGED.read_text())["assumptions"]["pod_start"]

    assert f"{packaged_pod_start().total_seconds():.0f}s" == told
    assert Model().pod_start == packaged_pod_start()
    assert Model(pod_start=timedelta(seconds=9)).pod_start == timedelta(seconds=9)


def test_the_command_prints_the_break_even_that_advice_uses():
    result = CliRunner().invoke(main, ["cost"])

    assert result.exit_code == 0, result.output
    assert "Prices in USD of 2026-01-19, us-east-1." in result.output
    assert (
        "`routing advise` takes 45.0 s as the start of a pod where it saw too few: a task belongs "
        "in a pod from 3.8 min, 5 starts.\n" in result.output
    )
    starts = yaml.safe_load(PACKAGED.read_text())["starts"]
    pod, worker = starts["pod"], starts["worker"]
    assert (
        f"\nMeasured on {starts['as_of']}, without image and node: a start takes "
        f"{pod['p50_s']:.2f} s in a pod (95th percentile {pod['p95_s']:.2f} s) and "
        f"{worker['p50_s']:.2f} s on a worker ({worker['p95_s']:.2f} s); "
        f"{pod['tasks_a_minute']:.0f} and {worker['tasks_a_minute']:.0f} light tasks a minute.\n"
    ) in result.output
    assert "poll-market" in result.output


def test_own_inputs_change_what_is_printed_and_say_what_to_give_advice(tmp_path):
    own = tmp_path / "own.yaml"
    own.write_text("assumptions: {pod_start: 20s}\nprices: {currency: EUR}\n")

    text = CliRunner().invoke(main, ["cost", "--inputs", str(own)]).output
    data = json.loads(
        CliRunner().invoke(main, ["cost", "--inputs", str(own), "--format", "json"]).output
    )

    assert "Give it --pod-start 20: it knows the packaged inputs." in text
    assert (data["currency"], data["pod_start_s"], data["break_even_s"]) == ("EUR", 20, 100)
    assert set(data["profiles"]["poll-market"]) == {
        *("pods_a_day", "workers_a_day", "workers", "worker_cheaper_from_runs_an_hour"),
        "pod_cheaper_up_to_s",
    }


def test_a_file_that_is_not_there_ends_with_one_line(tmp_path):
    result = CliRunner().invoke(main, ["cost", "--inputs", str(tmp_path / "none.yaml")])

    assert result.exit_code == 2
    assert result.output.count("\n") == 1
    assert "cannot be read" in result.output
