"""workloads.yaml is read, laid over, and refused with file, line and field."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onchain_agg.durations import duration
from onchain_agg.errors import ConfigError, UnknownNameError
from onchain_agg.routing.placement import placed, route
from onchain_agg.routing.workload_file import PACKAGED, configured_workloads, load_workloads


@pytest.fixture
def own(tmp_path):
    """Return the function that lays a file of that text over the packaged one."""

    def lay(text):
        file = tmp_path / "own.yaml"
        file.write_text(text)
        return load_workloads(PACKAGED, file)

    return lay


@pytest.fixture
def configured(monkeypatch):
    """Return the function that sets options of routing."""

    def configure(**options):
        for name, value in options.items():
            monkeypatch.setenv(f"ONCHAIN_AGG_{name.upper()}", str(value))
        configured_workloads.cache_clear()

    yield configure
    configured_workloads.cache_clear()


def test_the_packaged_table_has_the_queues_and_sizes():
    table = load_workloads(PACKAGED)

    assert table.queue_names == (
        *("default", "ingest_worker", "whale_worker", "nft_worker", "market_worker"),
        "kubernetes",
    )
    assert list(table.sizes) == ["small", "memory", "cpu", "on-demand"]
    assert table.default_size == "small"
    assert table.grace == timedelta(seconds=100)
    assert {table.node_groups[s.node_group].capacity for s in table.sizes.values()} == {
        "spot",
        "on-demand",
    }


def test_a_deployments_file_wins_field_by_field(own):
    table = own("workloads:\n  nft_worker:\n    concurrency: 32\n    autoscale: {max: 20}\n")

    queue = table.queue("nft_worker")
    assert (queue.concurrency, queue.autoscale.min, queue.autoscale.max) == (32, 1, 20)
    assert queue.timeout == timedelta(minutes=30)
    assert table.queue("whale_worker") == load_workloads(PACKAGED).queue("whale_worker")


def test_one_entry_adds_a_queue(own):
    table = own(
        "workloads:\n"
        "  audit_worker: {executor: celery, timeout: 5m, retries: 1, retry_delay: 10s,\n"
        "    concurrency: 2, autoscale: {min: 0, max: 1}, node_group: workers}\n"
    )

    assert table.queue_names[-2:] == ("audit_worker", "kubernetes")
    assert placed(table.queue("audit_worker"), {}) == {
        "queue": "audit_worker",
        "pool": "default_pool",
        "pool_slots": 1,
        "execution_timeout": timedelta(minutes=5),
        "retries": 1,
        "retry_delay": timedelta(seconds=10),
    }


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        pytest.param(
            "workloads:\n  nft_worker:\n    retries: many\n",
            3,
            "workloads.nft_worker.retries: input should be a valid integer. It is 'many'.",
            id="not a number",
        ),
        pytest.param(
            "workloads:\n  nft_worker:\n    retries: -1\n",
            3,
            "workloads.nft_worker.retries: input should be greater than or equal to 0. It is -1.",
            id="a number too small",
        ),
        pytest.param(
            "workloads:\n  nft_worker:\n    retrys: 1\n",
            3,
            "workloads.nft_worker.retrys: there is no such field. Did you mean 'retries'? Fields: "
            "executor, pool, slots, timeout, retries, retry_delay, node_group, concurrency, "
            "autoscale.",
            id="an unknown field",
        ),
        pytest.param(
            "pools: {}\nworkloads:\n  gpu:\n    executor: celery\n",
            3,
            "workloads.gpu.timeout: this field is missing. Add it.",
            id="a missing field",
        ),
        pytest.param(
            "workloads:\n  nft_worker: {executor: celry}\n",
            2,
            "workloads.nft_worker.executor: Did you mean 'celery'? Write celery or kubernetes. "
            "It is 'celry'.",
            id="an unknown executor",
        ),
        pytest.param(
            "workloads:\n  nft_worker: {retries: 1}\n  default: {retries: 1}\n"
            "  nft_worker: {retries: 2}\n",
            4,
            "workloads.nft_worker has an entry already, on line 2. Keep one of the two.",
            id="two entries for one queue",
        ),
        pytest.param(
            "workloads:\n  nft_worker: {timeout: 1 hour}\n",
            2,
            "workloads.nft_worker.timeout: write a duration above 0 such as 30s, 10m, 3h or 1d. "
            "It is '1 hour'.",
            id="a duration in words",
        ),
        pytest.param(
            "workloads:\n  kubernetes: {timeout: 1h}\n",
            2,
            "workloads.kubernetes: this is the queue of every size of pod. Give the size a name of "
            "its own, and set default_size.",
            id="the name of the sizes' queue",
        ),
        pytest.param(
            "workloads:\n  y: {timeout: 1h}\n  Nft Worker: {timeout: 1h}\n",
            3,
            "workloads.Nft Worker: write a name of up to 63 letters, digits, -, _ and ., that "
            "starts and ends with a letter or digit, in quotes where YAML takes it for something "
            "else.",
            id="no name",
        ),
        pytest.param(
            "workloads:\n  ETL,high: {executor: celery}\n",
            2,
            "workloads.ETL,high: write a name of up to 63 letters, digits, -, _ and ., that starts "
            "and ends with a letter or digit, in quotes where YAML takes it for something else.",
            id="a name that --queues splits",
        ),
        pytest.param(
            "workloads:\n  Huge: {executor: kubernetes}\n",
            2,
            "workloads.Huge: write a name of up to 63 small letters, digits, - and _, that starts "
            "and ends with a letter or digit, in quotes where YAML takes it for something else.",
            id="a size with a capital",
        ),
        pytest.param(
            "node_groups:\n  Spot: {capacity: spot}\n",
            2,
            "node_groups.Spot: write a name of up to 63 small letters, digits, - and _, that "
            "starts and ends with a letter or digit, in quotes where YAML takes it for something "
            "else.",
            id="a node group with a capital",
        ),
        pytest.param(
            "workloads:\n  nft_worker:\n",
            2,
            "workloads.nft_worker: write a table of fields. It is None.",
            id="an empty entry",
        ),
        pytest.param(
            "default_size: small\nworkload: {}\n",
            2,
            "workload: there is no such section. Did you mean 'workloads'? Sections: default_size, "
            "grace, pools, node_groups, workloads.",
            id="an unknown section",
        ),
        pytest.param(
            "workloads:\n  nft_worker: {autoscale: {min: 9}}\n",
            2,
            "workloads.nft_worker.autoscale: min 9 is above max 6; swap them. "
            "It is {'min': 9, 'max': 6}.",
            id="bounds in the wrong order",
        ),
        pytest.param(
            "\n\ndefault_size: smal\n",
            3,
            "default_size: No size of pod is named 'smal'. Did you mean 'small'? Defined: cpu, "
            "memory, on-demand, small.",
            id="an unknown default size",
        ),
        pytest.param(
            "grace: soon\n",
            1,
            "grace: write a duration above 0 such as 30s, 10m, 3h or 1d. It is 'soon'.",
            id="a grace in words",
        ),
        pytest.param(
            "workloads:\n  memory: {pool: hevy}\n",
            2,
            "workloads.memory.pool: No pool is named 'hevy'. Did you mean 'heavy'? Defined: "
            "default_pool, heavy.",
            id="an unknown pool",
        ),
        pytest.param(
            "workloads:\n  memory: {slots: 17}\n",
            2,
            "workloads.memory.slots: a task takes 17 slots, but pool 'heavy' has 16, so it would "
            "wait for good.",
            id="more slots than the pool has",
        ),
        pytest.param(
            "workloads:\n  memory: {node_group: spot-memry}\n",
            2,
            "workloads.memory.node_group: No node group is named 'spot-memry'. Did you mean "
            "'spot-memory'? Defined: core, on-demand, spot-cpu, spot-memory, spot-small, workers.",
            id="an unknown node group",
        ),
        pytest.param(
            "workloads:\n  memory: {retries: 0}\n",
            2,
            "workloads.memory.retries: a spot node may go at any time. Allow at least 1 retry.",
            id="no retry on spot",
        ),
        pytest.param(
            "workloads:\n  memory: {pod_template: small.yaml}\n",
            2,
            "workloads.memory.pod_template: small.yaml is the template of 'small'. Give each size "
            "its own.",
            id="two sizes with one template",
        ),
        pytest.param(
            "workloads:\n  memory: {pod_template: ../small.yaml}\n",
            2,
            "workloads.memory.pod_template: write a file name such as memory.yaml, without "
            "capitals or folders. It is '../small.yaml'.",
            id="a template that is no file name",
        ),
        pytest.param(
            "workloads:\n  memory:\n    memory: 24G\n",
            3,
            "workloads.memory.memory: write a size such as 24Gi. It is '24G'.",
            id="memory in another unit",
        ),
        pytest.param(
            "workloads:\n  memory:\n    disk: 50\n",
            3,
            "workloads.memory.disk: write a size such as 24Gi. It is 50.",
            id="disk without a unit",
        ),
        pytest.param(
            "workloads:\n  memory: {cpu: 0.5}\n",
            2,
            "workloads.memory.cpu: write CPUs such as 500m or 2. It is 0.5.",
            id="half a CPU",
        ),
        pytest.param(
            "workloads:\n  memory: {cpu: yes}\n",
            2,
            "workloads.memory.cpu: write CPUs such as 500m or 2. It is True.",
            id="CPUs as a truth",
        ),
        pytest.param(
            "\ngrace: 101s\n",
            2,
            "grace: 'default' runs on spot nodes (workers), which go 120 s after their notice. "
            "Write 100s or less. It is '101s'.",
            id="a grace longer than the notice of a worker's spot nodes",
        ),
        pytest.param(
            "grace: 3m\nnode_groups:\n  workers: {capacity: on-demand}\n",
            1,
            "grace: 'small' runs on spot nodes (spot-small), which go 120 s after their notice. "
            "Write 100s or less. It is '3m'.",
            id="a grace longer than the notice of a pod's spot nodes",
        ),
        pytest.param(
            "workloads: {nft_worker: {retries: 1}\n",
            2,
            "this is not YAML: did not find expected ',' or '}'.",
            id="no YAML",
        ),
    ],
)
def test_a_fault_names_file_line_field_and_cure(own, tmp_path, text, line, message):
    with pytest.raises(ConfigError) as error:
        own(text)

    assert str(error.value) == f"{tmp_path / 'own.yaml'}, line {line}: {message}"


@pytest.mark.parametrize("name", ["ETL", "etl.high", "Etl_v2-b", "7", "a" * 63])
def test_a_queue_and_a_pool_keep_their_names_of_airflow_2(own, name):
    table = own(
        f"pools:\n  '{name}': {{slots: 2, description: Ours.}}\n"
        f"workloads:\n  '{name}': {{executor: celery, timeout: 5m, retries: 1, retry_delay: 10s,\n"
        f"    pool: '{name}', concurrency: 2, autoscale: {{min: 0, max: 1}}, node_group: core}}\n"
    )

    arguments = placed(table.queue(name), {})
    assert (arguments["queue"], arguments["pool"]) == (name, name)


def test_cpus_may_be_written_as_a_number(own):
    assert own("workloads:\n  memory: {cpu: 4}\n").size("memory").cpu == "4"


def test_a_grace_may_be_longer_where_no_node_is_a_spot_one(own):
    groups = ("workers", "spot-small", "spot-memory", "spot-cpu")
    text = "".join(f"  {name}: {{capacity: on-demand}}\n" for name in groups)

    assert own(f"grace: 3m\nnode_groups:\n{text}").grace == timedelta(minutes=3)


def test_a_file_without_a_table_is_refused(own, tmp_path):
    for text in ("", "just words\n", "- a\n- b\n"):
        with pytest.raises(ConfigError) as error:
            own(text)

        assert str(error.value) == (
            f"{tmp_path / 'own.yaml'}: write a table of default_size, grace, pools, node_groups, "
            "workloads."
        )


def test_a_file_that_is_not_there_is_named(configured, tmp_path):
    configured(workloads_file=tmp_path / "none.yaml")

    with pytest.raises(ConfigError, match=r"\[onchain_agg\] workloads_file is '.*none.yaml', whi"):
        configured_workloads()


def test_a_route_gives_the_arguments_of_an_operator(configured, tmp_path):
    configured(pod_templates=tmp_path)

    assert route("memory", retries=9, pool="audits") == {
        "queue": "kubernetes",
        "pool": "audits",
        "pool_slots": 1,
        "execution_timeout": timedelta(hours=6),
        "retries": 9,
        "retry_delay": timedelta(minutes=2),
        "executor_config": {"pod_template_file": str(tmp_path / "memory.yaml")},
    }
    assert route("memory", executor_config={"pod_override": "own"})["executor_config"] == {
        "pod_template_file": str(tmp_path / "memory.yaml"),
        "pod_override": "own",
    }
    assert route("ingest_worker")["queue"] == "ingest_worker"
    assert "executor_config" not in route("ingest_worker")


def test_an_unknown_route_offers_what_was_meant(configured):
    configured()

    with pytest.raises(UnknownNameError) as error:
        route("memroy")

    assert str(error.value) == (
        "No queue or size of pod is named 'memroy'. Did you mean 'memory'? Defined: cpu, default, "
        "ingest_worker, market_worker, memory, nft_worker, on-demand, small, whale_worker."
    )
    with pytest.raises(ConfigError, match="'memory' is a size of pod: each task gets a pod"):
        configured_workloads().queue("memory")
    with pytest.raises(UnknownNameError, match="No size of pod is named 'default'"):
        configured_workloads().size("default")


@given(st.integers(1, 10**6), st.sampled_from([("s", 1), ("m", 60), ("h", 3600), ("d", 86400)]))
def test_a_duration_is_a_number_and_a_unit(count, unit):
    letter, seconds = unit

    assert duration(f"{count}{letter}") == timedelta(seconds=count * seconds)


@given(st.one_of(st.text(), st.integers(), st.floats(), st.none()))
def test_what_is_no_duration_is_refused(value):
    if isinstance(value, str) and value[:-1].isdecimal() and value[-1:] in "smhd":
        return

    with pytest.raises(ValueError, match="write a duration above 0 such as 30s"):
        duration(value)
