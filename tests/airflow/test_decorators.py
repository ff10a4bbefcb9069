"""``@task.light`` and ``@task.heavy``: what a task is given, and how it runs."""

import subprocess
import sys
from contextlib import contextmanager
from datetime import timedelta

import pytest
from airflow.sdk import DAG, setup, task, task_group
from airflow.serialization.serialized_objects import DagSerialization
from hypothesis import given
from hypothesis import strategies as st

from onchain_agg.errors import ConfigError, UnknownNameError
from onchain_agg.routing.workload_file import PACKAGED, load_workloads

pytestmark = pytest.mark.airflow

TABLE = load_workloads(PACKAGED)
ROUTE = ("queue", "pool", "pool_slots", "execution_timeout", "retries", "retry_delay")
SIZES = "small, memory, cpu, on-demand"

DEFAULT = ("default", "default_pool", 1, timedelta(hours=1), 3, timedelta(seconds=30), {})
NFT = ("nft_worker", "default_pool", 1, timedelta(minutes=30), 3, timedelta(seconds=30), {})
MARKET = ("market_worker", "default_pool", 1, timedelta(minutes=30), 5, timedelta(seconds=30), {})


def _pod(size, hours, retries=3):
    template = {"pod_template_file": f"/templates/{size}.yaml"}
    return (
        "kubernetes",
        "heavy",
        1,
        timedelta(hours=hours),
        retries,
        timedelta(minutes=2),
        template,
    )


@pytest.fixture(autouse=True)
def _templates(monkeypatch):
    monkeypatch.setenv("AIRFLOW__ONCHAIN_AGG__POD_TEMPLATES", "/templates")


def _route(called):
    """Return the route of a task, as it is before the policy sees it."""
    operator = called.operator
    return (*(getattr(operator, name) for name in ROUTE), operator.executor_config)


def _f(x=1):
    return x


@pytest.mark.parametrize(
    ("decorate", "route"),
    [
        pytest.param(lambda: task.light, DEFAULT, id="bare light"),
        pytest.param(task.light, DEFAULT, id="called light"),
        pytest.param(lambda: task.light(queue="nft_worker"), NFT, id="queue"),
        pytest.param(lambda: task.heavy, _pod("small", 3), id="bare heavy"),
        pytest.param(task.heavy, _pod("small", 3), id="called heavy"),
        pytest.param(lambda: task.heavy(size="memory"), _pod("memory", 6), id="size"),
        pytest.param(lambda: task.heavy(size="on-demand"), _pod("on-demand", 24, 1), id="no spot"),
        pytest.param(lambda: task.heavy(size="cpu", retries=7), _pod("cpu", 6, 7), id="own word"),
    ],
)
def test_a_function_gets_all_that_comes_with_its_queue_or_size(decorate, route):
    # What the DAG says for all its tasks is weaker than what the route says for this one.
    with DAG("d", default_args={"retries": 0, "queue": "whale_worker", "pool": "other"}):
        function = decorate()(_f)

        assert _route(function(1)) == route
        assert _route(function.expand(x=[1, 2])) == route
        assert _route(function.expand_kwargs([{"x": 1}])) == route
        assert _route(function.partial().expand(x=[1])) == route


def test_an_override_of_the_queue_brings_all_of_the_other_queue():
    with DAG("d"):
        function = task.light(queue="nft_worker")(_f)

        assert _route(function.override(queue="market_worker")(1)) == MARKET
        assert _route(function.override(queue="market_worker").expand(x=[1])) == MARKET
        assert _route(function(1)) == NFT


def test_an_override_of_the_size_brings_all_of_the_other_size():
    with DAG("d"):
        function = task.heavy(size="memory")(_f)

        assert _route(function.override(size="on-demand")(1)) == _pod("on-demand", 24, 1)
        assert _route(function.override(size="cpu").expand(x=[1])) == _pod("cpu", 6)
        assert _route(function(1)) == _pod("memory", 6)


def test_what_the_author_wrote_outlives_an_override():
    with DAG("d"):
        function = task.heavy(size="memory", retries=3, pool="mine")(_f)

        operator = function.override(size="on-demand")(1).operator

    assert (operator.retries, operator.pool) == (3, "mine")
    assert operator.execution_timeout == timedelta(days=1)


def test_another_override_keeps_the_route():
    with DAG("d"):
        heavy = task.heavy(size="memory")(_f).override(task_id="named", retries=9)
        light = task.light(queue="nft_worker")(_f).override(task_id="other")

        operator = heavy(1).operator
        assert (operator.task_id, _route(heavy.expand(x=[1]))) == ("named", _pod("memory", 6, 9))
        assert heavy.override(size="cpu")(1).operator.retries == 9
        assert (light(1).operator.task_id, _route(light(1))) == ("other", NFT)


def test_an_override_keeps_what_partial_fixed():
    with DAG("d"):
        function = task.heavy(_f_of_two).partial(x=1).override(size="cpu")

        operator = function.expand(y=[2]).operator

    assert operator.partial_kwargs["op_kwargs"] == {"x": 1}
    assert operator.executor_config == {"pod_template_file": "/templates/cpu.yaml"}


def _f_of_two(x, y):
    return x, y


def test_keys_of_executor_config_are_added_to_the_sizes():
    with DAG("d"):
        function = task.heavy(size="memory", executor_config={"note": "x"})(_f)
        own = task.heavy(executor_config={"pod_template_file": "/mine.yaml"})(_f)

        assert function(1).operator.executor_config == {
            "pod_template_file": "/templates/memory.yaml",
            "note": "x",
        }
        assert function.override(size="cpu")(1).operator.executor_config == {
            "pod_template_file": "/templates/cpu.yaml",
            "note": "x",
        }
        assert own(1).operator.executor_config == {"pod_template_file": "/mine.yaml"}


def test_a_decorator_and_a_function_can_be_used_several_times():
    with DAG("d") as dag:
        decorate = task.light(queue="nft_worker")
        first, second = decorate(_f), decorate(_f_of_two)
        first(1)
        first(2)
        second(1, 2)

    assert dag.task_ids == ["_f", "_f__1", "_f_of_two"]


def test_outputs_are_told_from_the_annotation_or_the_argument():
    def several() -> dict[str, int]:
        return {"a": 1}

    with DAG("d"):
        assert task.heavy(several)().operator.multiple_outputs is True
        assert task.heavy(_f)().operator.multiple_outputs is False
        assert task.light(multiple_outputs=True)(_f)().operator.multiple_outputs is True
        assert task.light(multiple_outputs=False)(several)().operator.multiple_outputs is False


def test_a_mapped_group_setup_and_a_coroutine_keep_the_route():
    @task.heavy(size="cpu")
    async def waits(x): ...

    @setup
    @task.light(queue="nft_worker")
    def before(): ...

    with DAG("d"):

        @task_group
        def group(x):
            return waits(x)

        in_group = group.expand(x=[1, 2])
        prepared = before.override(task_id="first")()

    assert in_group.operator.is_async
    assert _route(in_group) == _pod("cpu", 6)
    assert prepared.operator.is_setup
    assert _route(prepared) == NFT


def test_the_route_reaches_the_scheduler():
    with DAG("d") as dag:
        task.heavy(size="cpu")(_f)(1)
        task.light(queue="nft_worker")(_f).override(task_id="mapped").expand(x=[1])

    read = DagSerialization.from_dict(DagSerialization.to_dict(dag)).task_dict

    assert {name: tuple(getattr(one, key) for key in ROUTE) for name, one in read.items()} == {
        "_f": _pod("cpu", 6)[:-1],
        "mapped": NFT[:-1],
    }
    assert read["_f"].executor_config == {"pod_template_file": "/templates/cpu.yaml"}
    assert read["_f"].operator_name == "@task.heavy"


@given(
    size=st.sampled_from(sorted(TABLE.sizes)),
    other=st.sampled_from(sorted(TABLE.sizes)),
    written=st.fixed_dictionaries(
        {}, optional={"retries": st.integers(0, 9), "pool": st.just("p"), "pool_slots": st.just(2)}
    ),
    later=st.fixed_dictionaries({}, optional={"retries": st.integers(0, 9), "owner": st.text()}),
)
def test_an_override_equals_writing_it_at_once(size, other, written, later):
    with DAG("d"):
        stepwise = task.heavy(size=size, **written)(_f).override(**later).override(size=other)
        at_once = task.heavy(**written | later | {"size": other})(_f)

    assert stepwise.kwargs == at_once.kwargs


@pytest.mark.parametrize(
    ("decorate", "kind", "message"),
    [
        pytest.param(
            lambda: task.light(queue="nft_wroker"),
            UnknownNameError,
            "No queue is named 'nft_wroker'. Did you mean 'nft_worker'? Defined: default, "
            "ingest_worker, kubernetes, market_worker, nft_worker, whale_worker.",
            id="unknown queue",
        ),
        pytest.param(
            lambda: task.light(queue="kuberntes"),
            UnknownNameError,
            "No queue is named 'kuberntes'. Did you mean 'kubernetes'? Defined: default, "
            "ingest_worker, kubernetes, market_worker, nft_worker, whale_worker.",
            id="unknown queue that was to be the one of pods",
        ),
        pytest.param(
            lambda: task.heavy(size="memori"),
            UnknownNameError,
            "No size of pod is named 'memori'. Did you mean 'memory'? Defined: cpu, memory, "
            "on-demand, small.",
            id="unknown size",
        ),
        pytest.param(
            lambda: task.heavy(_f).override(size="memori"),
            UnknownNameError,
            "No size of pod is named 'memori'. Did you mean 'memory'? Defined: cpu, memory, "
            "on-demand, small.",
            id="unknown size in an override",
        ),
        pytest.param(
            lambda: task.light(queue="kubernetes"),
            ConfigError,
            "@task.light runs on Celery, but queue='kubernetes' is for pods. Write "
            f"@task.heavy(size=…) with one of {SIZES}.",
            id="light in a pod",
        ),
        pytest.param(
            lambda: task.light(queue="memory"),
            ConfigError,
            "@task.light runs on Celery, but queue='memory' is for pods. Write "
            f"@task.heavy(size=…) with one of {SIZES}.",
            id="a size as queue",
        ),
        pytest.param(
            lambda: task.light(size="memory"),
            ConfigError,
            "@task.light runs on a Celery queue and takes no size. Write "
            "@task.heavy(size='memory') for a pod, or queue=…",
            id="light of a size",
        ),
        pytest.param(
            lambda: task.heavy(queue="nft_worker"),
            ConfigError,
            "@task.heavy runs in a pod and takes no queue, but queue is 'nft_worker'. Write "
            f"@task.light(queue=…) for a Celery queue, or size=… with one of {SIZES}.",
            id="heavy on a queue",
        ),
        pytest.param(
            lambda: task.heavy(queue="kubernetes", size="memory"),
            ConfigError,
            "@task.heavy takes no queue, but queue is 'kubernetes'. Drop queue: every size runs on "
            "it.",
            id="heavy on the queue of pods",
        ),
        pytest.param(
            lambda: task.heavy(size=3),
            ConfigError,
            "size is 3. Write a name, such as 'small'.",
            id="size is a number",
        ),
        pytest.param(
            lambda: task.light("nft_worker"),
            ConfigError,
            "@task.light takes its arguments by name. Write @task.light(queue='nft_worker').",
            id="queue by position",
        ),
    ],
)
def test_a_mistake_is_named_where_it_is_written(decorate, kind, message):
    with pytest.raises(ConfigError) as caught:
        decorate()

    assert (type(caught.value), str(caught.value)) == (kind, message)


@pytest.mark.parametrize(
    ("decorated", "expected"), [("heavy", ["in", "f", "out"]), ("light", ["f"])]
)
def test_a_heavy_task_runs_where_an_interruption_is_safe(monkeypatch, decorated, expected):
    happened = []

    @contextmanager
    def spot_safe():
        happened.append("in")
        yield
        happened.append("out")

    def f():
        happened.append("f")
        return 7

    monkeypatch.setattr("onchain_agg.routing.spot.spot_safe", spot_safe)
    with DAG("d"):
        operator = getattr(task, decorated)(f)().operator

    assert operator.execute({"outlet_events": None}) == 7
    assert happened == expected


def test_a_heavy_coroutine_returns_what_it_returns():
    async def f():
        return 7

    with DAG("d"):
        operator = task.heavy(f)().operator

    assert operator.execute({"outlet_events": None}) == 7


def test_a_parse_loads_nothing_heavy(tmp_path):
    (tmp_path / "routed.py").write_text(
        "from airflow.sdk import DAG, task\n"
        "with DAG('routed'):\n"
        "    task.heavy(size='cpu')(lambda: 1).override(task_id='a')()\n"
        "    task.light(lambda: 1).override(task_id='b')()\n"
    )
    code = (
        "import sys; from airflow.dag_processing.dagbag import DagBag;"
        f"bag = DagBag({str(tmp_path / 'routed.py')!r});"
        "assert bag.dags['routed'].task_dict['a'].queue == 'kubernetes', bag.import_errors;"
        "heavy = {'kubernetes', 'web3', 'pandas', 'pyarrow', 'ccxt', 'numpy'};"
        "print(heavy & set(sys.modules), 'onchain_agg.routing.assignment' in sys.modules)"
    )

    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout

    assert printed.splitlines()[-1] == "set() True"
