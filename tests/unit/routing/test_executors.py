import pytest

from onchain_agg.routing.executors import Executors, executors_of

_MODULE = "airflow.providers.cncf.kubernetes.executors.kubernetes_executor.KubernetesExecutor"


@pytest.mark.parametrize("name", ["KubernetesExecutor", "pods", _MODULE])
def test_every_name_of_an_executor_means_its_class(name):
    executors = executors_of(f"CeleryExecutor,pods:{_MODULE}", name)

    assert executors == Executors(
        default="CeleryExecutor",
        aliases={"pods": "KubernetesExecutor"},
        pods="KubernetesExecutor",
    )
    assert executors.kind(name) == "KubernetesExecutor"
    assert executors.kind(None) == "CeleryExecutor"
    assert executors.starts_pods


def test_a_stand_in_starts_no_pods():
    executors = executors_of("CeleryExecutor, LocalExecutor", "LocalExecutor")

    assert (executors.pods, executors.starts_pods) == ("LocalExecutor", False)


def test_the_first_executor_is_the_default_one_by_its_class():
    assert executors_of("local:LocalExecutor", "KubernetesExecutor").default == "LocalExecutor"
    assert executors_of("a.b.CeleryExecutor", "KubernetesExecutor").default == "CeleryExecutor"
    assert executors_of("", "KubernetesExecutor").default == "CeleryExecutor"


def test_the_executors_of_a_team_are_passed_by():
    executors = executors_of("CeleryExecutor;whales=mine:KubernetesExecutor", "KubernetesExecutor")

    assert executors.aliases == {}
