"""Each address of an environment reaches its service, and small mistakes would show."""

import copy
import itertools

import pytest

from tests.manifests.load_balancer import GroupError, answer, rules_of
from tests.manifests.rendered import built, of_kind

_PREFIX = "alb.ingress.kubernetes.io/"


def _ingresses(environment):
    own = of_kind(built(f"overlays/{environment}"), "Ingress")
    grafana = of_kind(built("overlays/prod/grafana"), "Ingress") if environment == "prod" else []
    return copy.deepcopy([*own, *grafana])


def _answer(ingresses, group, url):
    return answer(rules_of(ingresses, group), ingresses, url)


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("/", "airflow-api-server"),
        ("/dags/ingest_polygon", "airflow-api-server"),
        ("/api/v2/monitor/health", "airflow-api-server"),
        ("/auth/login", "airflow-api-server"),
        ("/execution", "404"),
        ("/execution/", "404"),
        ("/execution/task-instances/1/run", "404"),
        # Another word, not a path below it.
        ("/executions", "airflow-api-server"),
        ("/grafana", "login, then kube-prometheus-stack-grafana"),
        ("/grafana/d/platform", "login, then kube-prometheus-stack-grafana"),
        # There is none in prod.
        ("/flower/", "airflow-api-server"),
    ],
)
def test_an_address_of_prod_reaches_its_service(path, target):
    url = f"https://airflow.example.com{path}"

    assert _answer(_ingresses("prod"), "onchain-agg.prod", url) == target


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("https://airflow-dev.example.com/flower", "login, then flower"),
        ("https://airflow-dev.example.com/flower/tasks", "login, then flower"),
        ("https://airflow-dev.example.com/execution/x", "404"),
        ("https://airflow-dev.example.com/", "airflow-api-server"),
        ("http://airflow-dev.example.com/", "redirect"),
        ("https://airflow.example.com/", "404"),
    ],
)
def test_an_address_of_dev_reaches_its_service(url, target):
    assert _answer(_ingresses("dev"), "onchain-agg.dev", url) == target


def test_environments_have_groups_and_hosts_of_their_own():
    groups, hosts = [], []
    for environment in ("prod", "dev", "preview"):
        ingresses = _ingresses(environment)
        groups += [{one["metadata"]["annotations"][f"{_PREFIX}group.name"] for one in ingresses}]
        hosts += [{rule["host"] for one in ingresses for rule in one["spec"]["rules"]}]

    assert [len(one) for one in (*groups, *hosts)] == [1] * 6
    assert len(set.union(*groups)) == 3
    assert len(set.union(*hosts)) == 3


@pytest.mark.parametrize("environment", ["prod", "dev", "preview"])
def test_orders_are_spaced_and_what_takes_everything_is_last(environment):
    ingresses = _ingresses(environment)
    orders = {
        one["metadata"]["name"]: int(one["metadata"]["annotations"][f"{_PREFIX}group.order"])
        for one in ingresses
    }
    spaced = sorted(orders.values())

    assert min(spaced) > 0
    assert all(after - before >= 10 for before, after in itertools.pairwise(spaced))
    assert max(orders, key=orders.get) == "airflow"
    kinds = {
        path["pathType"]
        for one in ingresses
        for rule in one["spec"]["rules"]
        for path in rule["http"]["paths"]
    }
    assert kinds == {"Prefix"}


@pytest.mark.parametrize("environment", ["prod", "dev", "preview"])
def test_what_is_said_of_the_whole_load_balancer_is_said_once(environment):
    whole = ("scheme", "ssl-redirect", "ssl-policy", "load-balancer-attributes", "certificate-arn")

    for name in whole:
        sayers = [
            one["metadata"]["name"]
            for one in _ingresses(environment)
            if _PREFIX + name in one["metadata"]["annotations"]
        ]
        assert sayers == ["airflow"]


def _root(ingresses):
    return next(one for one in ingresses if one["metadata"]["name"] == "airflow")


def _set(ingress, name, value):
    annotations = ingress["metadata"]["annotations"]
    annotations.pop(_PREFIX + name, None)
    if value is not None:
        annotations[_PREFIX + name] = value


def _path_of(ingress):
    return ingress["spec"]["rules"][0]["http"]["paths"][0]


def _ingress(name, order, path, kind="Prefix", namespace="ns", host="h", **said):
    annotations = {f"{_PREFIX}group.name": "g", f"{_PREFIX}listen-ports": '[{"HTTPS": 443}]'}
    if order is not None:
        annotations[f"{_PREFIX}group.order"] = str(order)
    annotations |= {_PREFIX + key.replace("_", "-"): value for key, value in said.items()}
    backend = {"service": {"name": name, "port": {"number": 80}}}
    return {
        "kind": "Ingress",
        "metadata": {"name": name, "namespace": namespace, "annotations": annotations},
        "spec": {
            "rules": [
                {
                    "host": host,
                    "http": {"paths": [{"path": path, "pathType": kind, "backend": backend}]},
                }
            ]
        },
    }


def test_without_its_order_the_root_takes_everything():
    ingresses = _ingresses("prod")
    _set(_root(ingresses), "group.order", None)

    for path in ("/execution/x", "/grafana/"):
        url = f"https://airflow.example.com{path}"
        assert _answer(ingresses, "onchain-agg.prod", url) == "airflow-api-server"


def test_an_unordered_ingress_comes_before_all_others():
    stray = _ingress("stray", None, "/", host="airflow.example.com")
    _set(stray, "group.name", "onchain-agg.prod")
    ingresses = [*_ingresses("prod"), stray]

    url = "https://airflow.example.com/grafana/"
    assert _answer(ingresses, "onchain-agg.prod", url) == "stray"


def test_equal_orders_are_settled_by_namespace_and_name():
    tied = [_ingress("b", 10, "/", namespace="x"), _ingress("z", 10, "/", namespace="a")]

    assert _answer(tied, "g", "https://h/") == "z"


def test_orders_are_numbers_not_texts():
    tied = [_ingress("nine", 9, "/"), _ingress("ten", 10, "/")]

    assert _answer(tied, "g", "https://h/") == "nine"


@pytest.mark.parametrize(
    ("kind", "url", "target"),
    [
        ("Prefix", "https://h/app/page", "app"),
        ("Prefix", "https://h/app", "app"),
        ("Prefix", "https://h/apple", "404"),
        ("Exact", "https://h/app", "app"),
        ("Exact", "https://h/app/", "404"),
        # Without a * it is one address, whose pages below are not found.
        ("ImplementationSpecific", "https://h/app/page", "404"),
        ("ImplementationSpecific", "https://h/app", "app"),
    ],
)
def test_a_path_type_decides_what_is_below_a_path(kind, url, target):
    assert _answer([_ingress("app", 10, "/app", kind)], "g", url) == target


def test_within_an_ingress_the_exact_and_the_longest_path_come_first():
    one = _ingress("root", 10, "/")
    paths = one["spec"]["rules"][0]["http"]["paths"]
    for name, path, kind in (("long", "/a/b", "Prefix"), ("exact", "/a/b", "Exact")):
        paths += _ingress(name, 10, path, kind)["spec"]["rules"][0]["http"]["paths"]

    assert _answer([one], "g", "https://h/a/b") == "exact"
    assert _answer([one], "g", "https://h/a/b/c") == "long"
    assert _answer([one], "g", "https://h/a") == "root"


def test_an_ingress_without_ports_or_certificate_is_on_http_alone():
    plain = _ingress("plain", 10, "/")
    _set(plain, "listen-ports", None)

    assert _answer([plain], "g", "http://h/") == "plain"
    assert _answer([plain], "g", "https://h/") == "404"


def test_two_schemes_in_a_group_stop_it():
    members = [
        _ingress("a", 10, "/a", scheme="internal"),
        _ingress("b", 20, "/b", scheme="internet-facing"),
    ]

    with pytest.raises(GroupError, match="scheme is said in 2 ways"):
        rules_of(members, "g")


@pytest.mark.parametrize("order", ["1001", "first", "1.5"])
def test_an_order_that_is_none_stops_the_group(order):
    with pytest.raises(GroupError, match="is not from -1000 to 1000"):
        rules_of([_ingress("a", order, "/")], "g")


def test_a_rule_that_points_at_the_execution_api_would_show():
    ingresses = _ingresses("prod")
    blocked = next(one for one in ingresses if one["metadata"]["name"] == "execution-blocked")
    _path_of(blocked)["backend"] = {
        "service": {"name": "airflow-execution-api", "port": {"name": "http"}}
    }

    url = "https://airflow.example.com/execution/x"
    assert _answer(ingresses, "onchain-agg.prod", url) == "airflow-execution-api"
