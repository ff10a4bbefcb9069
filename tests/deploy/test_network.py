"""Who reaches whom: what has to talk can, and what must not, cannot."""

import copy

import pytest

from tests.manifests.network import address, allowed, component, pod
from tests.manifests.rendered import built, named, of_kind

_PROD = "overlays/prod"
_LOAD_BALANCER = address("10.20.3.4")
# In a private subnet, as nodes and pods of the cluster are.
_INSIDE = address("10.20.100.4")
_WORKER = component("worker-default", tier="workers")
# KubernetesExecutor's, which has no tier.
_TASK = pod(**{"app.kubernetes.io/component": "worker"})
_DNS = pod("kube-system", **{"k8s-app": "kube-dns"})


@pytest.mark.parametrize(
    ("start", "end", "port"),
    [
        pytest.param(_LOAD_BALANCER, component("api-server"), 8080, id="pages"),
        pytest.param(_WORKER, component("execution-api"), 8080, id="worker asks Airflow"),
        pytest.param(_TASK, component("execution-api"), 8080, id="task asks Airflow"),
        pytest.param(_WORKER, component("redis"), 6379, id="worker takes tasks"),
        pytest.param(component("scheduler"), component("redis"), 6379, id="scheduler sends tasks"),
        pytest.param(_WORKER, component("pgbouncer"), 6432, id="worker writes results"),
        pytest.param(component("scheduler"), component("pgbouncer"), 6432, id="scheduler"),
        pytest.param(pod("keda"), component("pgbouncer"), 6432, id="KEDA counts tasks"),
        pytest.param(component("pgbouncer"), _INSIDE, 5432, id="metadata database"),
        pytest.param(component("migrations"), _INSIDE, 5432, id="migrations"),
        pytest.param(_TASK, _INSIDE, 5432, id="warehouse"),
        pytest.param(_TASK, address("198.51.100.7"), 8545, id="chain's node"),
        pytest.param(_TASK, address("169.254.170.23"), 80, id="role of the worker"),
        pytest.param(component("scheduler"), address("10.20.100.1"), 443, id="cluster's API"),
        pytest.param(component("dag-processor"), address("198.51.100.9"), 22, id="DAGs"),
        pytest.param(component("api-server"), _WORKER, 8793, id="log of a worker"),
        pytest.param(component("api-server"), component("triggerer"), 8794, id="its log"),
        pytest.param(pod("monitoring"), component("statsd-exporter"), 9102, id="metrics"),
        pytest.param(pod("monitoring"), _WORKER, 1234, id="git-sync's metrics"),
    ],
)
def test_what_has_to_talk_can(start, end, port):
    assert allowed(built(_PROD), start, end, port, "TCP")


@pytest.mark.parametrize(
    ("start", "end", "port"),
    [
        pytest.param(_LOAD_BALANCER, component("execution-api"), 8080, id="/execution"),
        pytest.param(_INSIDE, component("api-server"), 8080, id="pages past the load balancer"),
        pytest.param(_LOAD_BALANCER, component("redis"), 6379, id="broker from outside"),
        pytest.param(_TASK, component("redis"), 6379, id="task sends tasks"),
        pytest.param(_TASK, component("pgbouncer"), 6432, id="task reads Airflow's database"),
        pytest.param(pod("airflow-pr-7"), component("pgbouncer"), 6432, id="another environment"),
        pytest.param(pod("airflow-pr-7"), component("execution-api"), 8080, id="and its tasks"),
        pytest.param(_TASK, address("169.254.169.254"), 80, id="credentials of the node"),
        pytest.param(component("scheduler"), address("169.254.169.254"), 80, id="the core too"),
        pytest.param(component("redis"), address("198.51.100.7"), 8080, id="broker calls home"),
        pytest.param(pod("monitoring"), component("api-server"), 9102, id="wrong port"),
    ],
)
def test_what_must_not_talk_cannot(start, end, port):
    assert not allowed(built(_PROD), start, end, port, "TCP")


def test_every_pod_may_send_metrics_and_ask_for_names():
    for start in (_WORKER, _TASK, component("scheduler"), component("triggerer")):
        assert allowed(built(_PROD), start, component("statsd-exporter"), 9125, "UDP")
        assert allowed(built(_PROD), start, _DNS, 53, "UDP")


def test_a_preview_reaches_its_own_database():
    preview = built("overlays/preview")

    for start in (component("pgbouncer"), component("migrations"), _TASK, _WORKER):
        assert allowed(preview, start, component("postgres"), 5432, "TCP")
    assert not allowed(preview, pod("airflow-prod"), component("postgres"), 5432, "TCP")


def test_the_load_balancer_alone_reaches_flower():
    dev = built("overlays/dev")

    assert allowed(dev, _LOAD_BALANCER, component("flower"), 5555, "TCP")
    assert allowed(dev, component("flower"), component("redis"), 6379, "TCP")
    assert not allowed(dev, _INSIDE, component("flower"), 5555, "TCP")
    assert not allowed(dev, _TASK, component("flower"), 5555, "TCP")


def test_what_copies_logs_and_shows_the_copies_gets_its_role_and_no_other_part_of_the_core():
    agent = address("169.254.170.23")
    parts = ("api-server", "triggerer", "scheduler", "dag-processor", "execution-api", "redis")

    reach = {name for name in parts if allowed(built(_PROD), component(name), agent, 80, "TCP")}
    assert reach == {"api-server", "triggerer"}
    # No copies, no roles.
    dev = built("overlays/dev")
    assert not any(allowed(dev, component(name), agent, 80, "TCP") for name in parts)


def test_without_the_policy_that_denies_everything_is_open():
    manifests = copy.deepcopy(built(_PROD))
    opened = [one for one in manifests if one["kind"] != "NetworkPolicy"]
    named(manifests, "NetworkPolicy", "execution-api")["spec"]["ingress"] = []

    assert allowed(opened, _LOAD_BALANCER, component("execution-api"), 8080, "TCP")
    assert not allowed(manifests, _TASK, component("execution-api"), 8080, "TCP")


@pytest.mark.parametrize("environment", ["prod", "dev", "preview"])
def test_nothing_is_open_by_default(environment):
    (default,) = [
        one["spec"]
        for one in of_kind(built(f"overlays/{environment}"), "NetworkPolicy")
        if one["metadata"]["name"] == "default-deny"
    ]

    assert default == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
