"""What the service accounts of an environment may do, asked of the server that decides it."""

import itertools

import pytest

from tests.manifests.rendered import built, of_kind

_ACCOUNTS = {"default", *(f"onchain-agg-{one}" for one in ("core", "triggerer", "worker"))}
_SCHEDULER = "onchain-agg-scheduler"
_API_SERVER = "onchain-agg-api-server"
# All that an account may do in its own namespace, beside what every account may; what is not here
# may do nothing.
_RIGHTS = {
    _SCHEDULER: {
        *(("pods", verb) for verb in ("create", "delete", "get", "list", "patch", "watch")),
        ("pods/log", "get"),
    },
    _API_SERVER: {("pods", "get"), ("pods", "list"), ("pods/log", "get")},
}
_VERBS = ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection")
# By group; what would let an account reach a secret, a node or more rights is all here.
_RESOURCES = {
    "": (
        "pods", "pods/log", "pods/exec", "pods/attach", "pods/portforward", "pods/eviction",
        "pods/ephemeralcontainers", "pods/binding", "secrets", "configmaps", "serviceaccounts",
        "serviceaccounts/token", "events", "namespaces", "nodes", "nodes/proxy",
        "persistentvolumeclaims", "services",
    ),
    "apps": ("deployments", "deployments/scale", "statefulsets", "daemonsets"),
    "batch": ("jobs", "cronjobs"),
    "rbac.authorization.k8s.io": ("roles", "rolebindings", "clusterroles", "clusterrolebindings"),
    "networking.k8s.io": ("networkpolicies", "ingresses"),
    "external-secrets.io": ("externalsecrets",),
}  # fmt: skip
# Groups in which a cluster gives every account rights, all of them about itself.
_OF_ONESELF = {"authentication.k8s.io", "authorization.k8s.io"}


@pytest.fixture(scope="module")
def namespace(new_namespace, objects):
    """Return a namespace with the accounts and rights of an environment."""
    name = new_namespace("rights")
    for one in of_kind(built("overlays/prod"), "ServiceAccount", "Role", "RoleBinding"):
        objects.apply(_moved(one, name))
    return name


@pytest.fixture(scope="module")
def elsewhere(new_namespace):
    """Return another namespace."""
    return new_namespace("elsewhere")


@pytest.fixture(scope="module")
def scheduler(plane, kube, namespace):
    """Return the core API as the scheduler's account has it."""
    return kube.CoreV1Api(plane.as_service_account(namespace, _SCHEDULER))


def _moved(manifest, namespace):
    """Return *manifest* in *namespace*, with the accounts that it binds."""
    moved = {**manifest, "metadata": {**manifest["metadata"], "namespace": namespace}}
    if manifest["kind"] == "RoleBinding":
        moved["subjects"] = [{**one, "namespace": namespace} for one in manifest["subjects"]]
    return moved


def _pod(name):
    """Return a pod for which no cluster has a node."""
    return {
        "metadata": {"name": name, "labels": {"kubernetes_executor": "True"}},
        "spec": {
            "serviceAccountName": "onchain-agg-worker",
            "nodeSelector": {"onchain-agg-e2e/nowhere": "true"},
            "containers": [{"name": "base", "image": "example.invalid/base:1"}],
        },
    }


def _rules(plane, kube, namespace, account, asked=None):
    """Return the (group/resource, verb) pairs that the server lists for *account* of *namespace*.

    They are its rights there, or in the namespace *asked*, with those that it has everywhere.
    """
    client = kube.AuthorizationV1Api(plane.as_service_account(namespace, account))
    review = client.create_self_subject_rules_review({"spec": {"namespace": asked or namespace}})
    assert review.status.resource_rules is not None
    return {
        (f"{group}/{resource}".lstrip("/"), verb)
        for rule in review.status.resource_rules
        for group, resource, verb in itertools.product(
            rule.api_groups, rule.resources or [], rule.verbs
        )
    }


def _allowed(kube, admin, user, namespace):
    """Return the (resource, verb) pairs that *user* may do in *namespace*."""
    reviews = kube.AuthorizationV1Api(admin)
    found = set()
    for group, resources in _RESOURCES.items():
        for resource, verb in itertools.product(resources, _VERBS):
            kind, _, part = resource.partition("/")
            attributes = {"group": group, "resource": kind, "subresource": part, "verb": verb}
            spec = {**user, "resourceAttributes": {**attributes, "namespace": namespace}}
            if reviews.create_subject_access_review({"spec": spec}).status.allowed:
                found.add((resource, verb))
    return found


def _user(namespace, account):
    groups = ["system:serviceaccounts", f"system:serviceaccounts:{namespace}"]
    return {
        "user": f"system:serviceaccount:{namespace}:{account}",
        "groups": [*groups, "system:authenticated"],
    }


def test_the_table_names_every_account(plane, kube, namespace):
    accounts = kube.CoreV1Api(plane.api()).list_namespaced_service_account(namespace).items

    assert {one.metadata.name for one in accounts} == _ACCOUNTS | set(_RIGHTS)


@pytest.mark.parametrize("account", sorted(_RIGHTS))
def test_an_account_has_the_rights_of_the_table_and_no_other(plane, kube, namespace, account):
    of_all = _rules(plane, kube, namespace, "default")

    assert _rules(plane, kube, namespace, account) - of_all == _RIGHTS[account]


@pytest.mark.parametrize("account", sorted(_RIGHTS))
def test_an_account_has_no_rights_elsewhere(plane, kube, namespace, elsewhere, account):
    of_all = _rules(plane, kube, namespace, "default")

    assert _rules(plane, kube, namespace, account, asked=elsewhere) == of_all


@pytest.mark.parametrize("account", sorted(_ACCOUNTS))
def test_other_accounts_have_the_rights_that_everybody_has(plane, kube, namespace, account):
    rules = _rules(plane, kube, namespace, account)

    assert {resource.partition("/")[0] for resource, _ in rules} == _OF_ONESELF


@pytest.mark.parametrize("account", sorted(_ACCOUNTS | set(_RIGHTS)))
def test_the_server_lets_an_account_do_what_the_table_says(plane, kube, namespace, account):
    user = _user(namespace, account)

    assert _allowed(kube, plane.api(), user, namespace) == _RIGHTS.get(account, set())


def test_no_account_may_become_another_or_give_rights(plane, kube, namespace):
    reviews = kube.AuthorizationV1Api(plane.api())
    rights = [
        ("", "serviceaccounts", "impersonate"),
        ("", "users", "impersonate"),
        ("rbac.authorization.k8s.io", "roles", "bind"),
        ("rbac.authorization.k8s.io", "roles", "escalate"),
    ]
    allowed = {
        (account, resource, verb): reviews.create_subject_access_review(
            {
                "spec": {
                    **_user(namespace, account),
                    "resourceAttributes": {
                        "group": group,
                        "resource": resource,
                        "verb": verb,
                        "namespace": namespace,
                    },
                }
            }
        ).status.allowed
        for account in _ACCOUNTS | set(_RIGHTS)
        for group, resource, verb in rights
    }

    assert {key for key, is_allowed in allowed.items() if is_allowed} == set()


def test_the_scheduler_does_with_a_pod_all_that_its_executor_does(kube, scheduler, namespace):
    from kubernetes import watch

    made = scheduler.create_namespaced_pod(namespace, _pod("task"))
    scheduler.patch_namespaced_pod("task", namespace, {"metadata": {"labels": {"done": "True"}}})
    listed = scheduler.list_namespaced_pod(namespace, label_selector="kubernetes_executor=True")
    scheduler.delete_namespaced_pod("task", namespace, grace_period_seconds=0)
    events = watch.Watch().stream(
        scheduler.list_namespaced_pod,
        namespace,
        label_selector="kubernetes_executor=True",
        resource_version=made.metadata.resource_version,
        timeout_seconds=30,
    )
    # From the label on, to the end: the watch would wait for more.
    seen = list(itertools.takewhile(lambda event: event["type"] != "DELETED", events))

    assert [one.metadata.labels["done"] for one in listed.items] == ["True"]
    assert {event["type"] for event in seen} == {"MODIFIED"}
    assert _status(kube, lambda: scheduler.read_namespaced_pod("task", namespace)) == 404


def test_the_scheduler_and_the_pages_read_a_pods_log(plane, kube, scheduler, namespace):
    scheduler.create_namespaced_pod(namespace, _pod("talks"))
    pages = kube.CoreV1Api(plane.as_service_account(namespace, _API_SERVER))

    # A pod without a node has nothing to tell yet, and the server says so without refusing.
    for reader in (scheduler, pages):
        answer = reader.read_namespaced_pod_log_with_http_info("talks", namespace)
        assert (answer[0] or "", answer[1]) == ("", 204)


def test_the_scheduler_may_nothing_else(plane, kube, scheduler, namespace, elsewhere):
    admin = kube.CoreV1Api(plane.api())
    admin.create_namespaced_secret(namespace, {"metadata": {"name": "private"}})
    admin.create_namespaced_pod(namespace, _pod("target"))
    rights = kube.RbacAuthorizationV1Api(scheduler.api_client)
    role = {"metadata": {"name": "more"}, "rules": []}
    binding = {
        "metadata": {"name": "more"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"},
    }
    tries = {
        "read a secret": lambda: scheduler.read_namespaced_secret("private", namespace),
        "list secrets": lambda: scheduler.list_namespaced_secret(namespace),
        "read options": lambda: scheduler.list_namespaced_config_map(namespace),
        "a pod elsewhere": lambda: scheduler.create_namespaced_pod(elsewhere, _pod("task")),
        "pods elsewhere": lambda: scheduler.list_namespaced_pod(elsewhere),
        "all pods": scheduler.list_pod_for_all_namespaces,
        "exec": lambda: scheduler.connect_post_namespaced_pod_exec(
            "target", namespace, command="id"
        ),
        "exec by a web socket": lambda: scheduler.connect_get_namespaced_pod_exec(
            "target", namespace, command="id"
        ),
        "forward a port": lambda: scheduler.connect_post_namespaced_pod_portforward(
            "target", namespace, ports=8080
        ),
        "a token": lambda: scheduler.create_namespaced_service_account_token(
            "default", namespace, {"spec": {"audiences": []}}
        ),
        "a role": lambda: rights.create_namespaced_role(namespace, role),
        "its own role": lambda: rights.patch_namespaced_role(_SCHEDULER, namespace, {"rules": []}),
        "a binding": lambda: rights.create_namespaced_role_binding(namespace, binding),
        "nodes": scheduler.list_node,
    }

    assert {name: _status(kube, attempt) for name, attempt in tries.items()} == dict.fromkeys(
        tries, 403
    )


def test_the_token_of_a_worker_pod_opens_nothing(plane, kube, namespace):
    token = kube.CoreV1Api(plane.api()).create_namespaced_service_account_token(
        "onchain-agg-worker", namespace, {"spec": {"expirationSeconds": 600}}
    )
    client = plane.api()
    client.configuration.api_key = {"authorization": f"Bearer {token.status.token}"}
    client.configuration.refresh_api_key_hook = None
    core = kube.CoreV1Api(client)

    myself = kube.AuthenticationV1Api(client).create_self_subject_review({})

    assert myself.status.user_info.username == _user(namespace, "onchain-agg-worker")["user"]
    assert {
        _status(kube, attempt)
        for attempt in (
            lambda: core.list_namespaced_pod(namespace),
            lambda: core.create_namespaced_pod(namespace, _pod("own")),
            lambda: core.list_namespaced_secret(namespace),
            lambda: core.list_namespaced_config_map(namespace),
        )
    } == {403}


def _status(kube, attempt):
    try:
        attempt()
    except kube.ApiException as error:
        return error.status
    return 200
