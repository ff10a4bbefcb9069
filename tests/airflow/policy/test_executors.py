"""The policy: a task's queue decides its executor, and the decision reaches the scheduler."""

import os
import subprocess
import sys

import pytest
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG
from hypothesis import given
from hypothesis import strategies as st

from onchain_agg.routing import assignment
from tests.fakes.dag_file import ALL_KINDS, BOTH, HYBRID, KINDS, forget, read_executors, read_routes

pytestmark = pytest.mark.airflow

KUBERNETES = "airflow.providers.cncf.kubernetes.executors.kubernetes_executor.KubernetesExecutor"
POLICY = "onchain_agg.routing.policy"


def test_every_kind_of_task_on_the_kubernetes_queue_gets_its_executor_and_template(parse):
    found = read_routes(parse(KINDS.replace("QUEUE", '"kubernetes"')))

    pod = ("kubernetes", "KubernetesExecutor", {"pod_template_file": "/templates/small.yaml"})
    assert found == dict.fromkeys(ALL_KINDS, pod)


@pytest.mark.parametrize("queue", ["nft_worker", "default"])
def test_every_kind_of_task_on_another_queue_stays_on_celery(parse, queue):
    found = read_routes(parse(KINDS.replace("QUEUE", repr(queue))))

    assert found == dict.fromkeys(ALL_KINDS, (queue, None, {}))


def test_the_line_of_old_works_unchanged(parse):
    bag = parse(
        '@task(queue="nft_worker")\ndef create_whale_table(): ...\ncreate_whale_table()\n'
        '@task(queue="kubernetes")\ndef create_nft_table(): ...\ncreate_nft_table()\n'
        "@task\ndef tell(): ...\ntell()\n"
    )

    assert {name: route[:2] for name, route in read_routes(bag).items()} == {
        "create_whale_table": ("nft_worker", None),
        "create_nft_table": ("kubernetes", "KubernetesExecutor"),
        "tell": ("default", None),
    }


def test_the_helpers_keep_their_size_and_get_their_executor(parse):
    bag = parse(
        '@task.heavy(size="memory")\ndef heavy(x=1): ...\n'
        '@task.light(queue="nft_worker")\ndef light(x=1): ...\n'
        'heavy()\nheavy.override(task_id="heavy_mapped", size="cpu").expand(x=[1])\n'
        'light()\nlight.override(task_id="light_mapped").expand(x=[1])'
    )

    memory, cpu = ({"pod_template_file": f"/templates/{size}.yaml"} for size in ("memory", "cpu"))
    assert read_routes(bag) == {
        "heavy": ("kubernetes", "KubernetesExecutor", memory),
        "heavy_mapped": ("kubernetes", "KubernetesExecutor", cpu),
        "light": ("nft_worker", None, {}),
        "light_mapped": ("nft_worker", None, {}),
    }


def test_an_executor_that_the_author_chose_stays(parse):
    bag = parse(
        'EmptyOperator(task_id="said", queue="kubernetes", executor="CeleryExecutor")\n'
        'BashOperator.partial(task_id="mapped", queue="kubernetes", executor="CeleryExecutor")'
        '.expand(bash_command=["true"])\n'
        'EmptyOperator(task_id="pod", queue="default", executor="KubernetesExecutor")'
    )

    assert read_routes(bag) == {
        "said": ("kubernetes", "CeleryExecutor", {}),
        "mapped": ("kubernetes", "CeleryExecutor", {}),
        "pod": ("default", "KubernetesExecutor", {}),
    }


def test_an_executor_from_default_args_stays(parse):
    bag = parse(
        'EmptyOperator(task_id="plain", queue="kubernetes")\n'
        'BashOperator.partial(task_id="mapped").expand(bash_command=["true"])',
        default_args='{"queue": "kubernetes", "executor": "CeleryExecutor"}',
    )

    assert read_executors(bag) == {"plain": "CeleryExecutor", "mapped": "CeleryExecutor"}


def test_a_pod_that_the_author_chose_gets_the_template_too(parse):
    bag = parse(
        'EmptyOperator(task_id="alias", queue="kubernetes", executor="k8s")\n'
        f'EmptyOperator(task_id="path", queue="kubernetes", executor="{KUBERNETES}")',
        "CeleryExecutor,k8s:KubernetesExecutor",
    )

    template = {"pod_template_file": "/templates/small.yaml"}
    assert read_routes(bag) == {
        "alias": ("kubernetes", "k8s", template),
        "path": ("kubernetes", KUBERNETES, template),
    }


def test_a_template_of_the_authors_own_stays_and_so_do_other_keys(parse):
    bag = parse(
        'own = {"pod_template_file": "/mine.yaml"}\n'
        'EmptyOperator(task_id="own", queue="kubernetes", executor_config=own)\n'
        'EmptyOperator(task_id="more", queue="kubernetes", executor_config={"note": "x"})'
    )

    assert {name: config for name, (_, _, config) in read_routes(bag).items()} == {
        "own": {"pod_template_file": "/mine.yaml"},
        "more": {"note": "x", "pod_template_file": "/templates/small.yaml"},
    }


def test_a_dict_that_tasks_share_is_left_as_it_is(parse):
    bag = parse(
        'EmptyOperator(task_id="pod", queue="kubernetes")\n'
        'EmptyOperator(task_id="light")\n'
        'BashOperator.partial(task_id="mapped", queue="kubernetes").expand(bash_command=["x"])\n'
        'BashOperator.partial(task_id="mapped_light").expand(bash_command=["x"])',
        default_args='{"executor_config": {"note": "x"}}',
    )

    pod = {"note": "x", "pod_template_file": "/templates/small.yaml"}
    assert {name: config for name, (_, _, config) in read_routes(bag).items()} == {
        "pod": pod,
        "light": {"note": "x"},
        "mapped": pod,
        "mapped_light": {"note": "x"},
    }
    assert bag.dags["cases"].default_args == {"executor_config": {"note": "x"}}


@pytest.mark.parametrize(
    ("executors", "option", "pod", "light"),
    [
        pytest.param(HYBRID, "KubernetesExecutor", "KubernetesExecutor", None, id="names"),
        pytest.param(HYBRID, KUBERNETES, KUBERNETES, None, id="path"),
        pytest.param("CeleryExecutor,k8s:KubernetesExecutor", "k8s", "k8s", None, id="alias"),
        pytest.param(
            "c:CeleryExecutor,k8s:KubernetesExecutor",
            "KubernetesExecutor",
            "KubernetesExecutor",
            None,
            id="class behind an alias",
        ),
        pytest.param(
            "CeleryExecutor,LocalExecutor", "LocalExecutor", "LocalExecutor", None, id="laptop"
        ),
        pytest.param("LocalExecutor", "LocalExecutor", "LocalExecutor", None, id="one executor"),
        pytest.param(
            "KubernetesExecutor,CeleryExecutor",
            "KubernetesExecutor",
            "KubernetesExecutor",
            "CeleryExecutor",
            id="Celery is not the default",
        ),
        pytest.param(
            "KubernetesExecutor,c:CeleryExecutor",
            "KubernetesExecutor",
            "KubernetesExecutor",
            "c",
            id="Celery by its alias",
        ),
    ],
)
def test_executors_are_found_by_every_name(parse, heard, executors, option, pod, light):
    bag = parse(BOTH, executors, kubernetes_executor=option)

    assert read_executors(bag) == {"pod": pod, "light": light}
    assert heard == []


@given(
    queue=st.sampled_from(["kubernetes", "nft_worker", "default", "elsewhere"]),
    executor=st.sampled_from([None, "CeleryExecutor", "KubernetesExecutor", KUBERNETES]),
    config=st.dictionaries(st.sampled_from(["pod_template_file", "note"]), st.text(min_size=1)),
    default_first=st.booleans(),
)
def test_the_policy_sets_executor_and_template_alone_and_the_same_again(
    queue, executor, config, default_first
):
    names = HYBRID.split(",")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW__CORE__EXECUTOR", ",".join(names if default_first else names[::-1]))
        patch.setenv("AIRFLOW__ONCHAIN_AGG__POD_TEMPLATES", "/templates")
        forget()
        with DAG("cases"):
            task = EmptyOperator(
                task_id="x", queue=queue, executor=executor, executor_config=config
            )
        before, given_config = vars(task).copy(), dict(config)

        assignment.assign(task)
        once = (task.executor, task.executor_config)
        assignment.assign(task)

    forget()
    celery = None if default_first else "CeleryExecutor"
    chosen = executor or ("KubernetesExecutor" if queue == "kubernetes" else celery)
    is_pod = queue == "kubernetes" and chosen in {"KubernetesExecutor", KUBERNETES}
    template = {"pod_template_file": "/templates/small.yaml"} if is_pod else {}
    assert once == (chosen, template | given_config)
    assert (task.executor, task.executor_config) == once
    changed = {name for name, value in vars(task).items() if value != before.get(name)}
    assert changed <= {"executor", "executor_config"}
    assert config == given_config


def test_the_policys_module_loads_nothing_but_itself():
    code = (
        "import airflow.policies, typing, sys; before = set(sys.modules);"
        "import onchain_agg.routing.policy; print(sorted(set(sys.modules) - before))"
    )

    # As a library Airflow does not load policies by itself.
    printed = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "_AIRFLOW__AS_LIBRARY": "1"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    assert printed.strip() == str(["onchain_agg.routing", POLICY])
