"""Each policy finds the mistake that it is for, in a manifest that has this one alone."""

import pytest
import yaml

from tests.manifests import policies, references

_DIGEST = "@sha256:" + "a" * 64


def _read(text):
    return list(yaml.safe_load_all(text))


def _deployment(**container):
    """Return a Deployment that keeps every policy, but for what *container* changes."""
    good = {
        "name": "web",
        "image": f"example/web:1.2.3{_DIGEST}",
        "resources": {
            "requests": {"cpu": "100m", "memory": "64Mi"},
            "limits": {"memory": "64Mi"},
        },
        "livenessProbe": {"tcpSocket": {"port": 80}},
        "ports": [{"name": "http", "containerPort": 80}],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    changed = {key: value for key, value in {**good, **container}.items() if value is not None}
    labels = {"app": "web"}
    spec = {
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [changed],
    }
    return {
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    }


def test_a_good_manifest_keeps_every_policy():
    good = [_deployment()]

    assert {name: rule(good) for name, rule in policies.RULES.items()} == {
        name: [] for name in policies.RULES
    }
    assert references.unmet(good) == []


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        pytest.param(
            "{kind: ConfigMap, metadata: {name: sync},"
            " data: {repo: 'https://bob:hunter2@git.example.com/dags.git'}}",
            "ConfigMap sync: data.repo holds a user and a password in a URL.",
            id="git URL in a ConfigMap",
        ),
        pytest.param(
            "{kind: ConfigMap, metadata: {name: db},"
            " data: {conn: 'postgresql+psycopg2://a:b@db:5432/airflow'}}",
            "ConfigMap db: data.conn holds a user and a password in a URL.",
            id="database in a ConfigMap",
        ),
        pytest.param(
            "{kind: ConfigMap, metadata: {name: redis}, data: {url: 'redis://:pw@redis:6379/0'}}",
            "ConfigMap redis: data.url holds a user and a password in a URL.",
            id="password without a user",
        ),
        pytest.param(
            "{kind: ConfigMap, metadata: {name: keys}, data: {AIRFLOW__CORE__FERNET_KEY: abc}}",
            "ConfigMap keys: AIRFLOW__CORE__FERNET_KEY is a secret in a ConfigMap.",
            id="key in a ConfigMap",
        ),
        pytest.param(
            "{kind: Ingress, metadata: {name: i, annotations: {x: 'https://a:b@h/'}}}",
            "Ingress i: metadata.annotations.x holds a user and a password in a URL.",
            id="annotation",
        ),
    ],
)
def test_a_credential_in_a_manifest_is_found(text, fault):
    assert policies.no_credentials(_read(text)) == [fault]


@pytest.mark.parametrize(
    ("container", "fault"),
    [
        pytest.param(
            {"env": [{"name": "GIT_SYNC_PASSWORD", "value": "hunter2"}]},
            "Deployment web: variable GIT_SYNC_PASSWORD holds a secret.",
            id="variable",
        ),
        pytest.param(
            {"args": ["--basic-auth=admin:admin"]},
            "Deployment web: argument --basic-auth holds a secret.",
            id="argument",
        ),
        pytest.param(
            {"command": ["sh", "-c", 'echo "login with $ADMIN_PASSWORD"; exec web']},
            "Deployment web: it prints ADMIN_PASSWORD to its log.",
            id="log line",
        ),
    ],
)
def test_a_credential_of_a_container_is_found(container, fault):
    assert policies.no_credentials([_deployment(**container)]) == [fault]


@pytest.mark.parametrize(
    "text",
    [
        "{kind: ConfigMap, metadata: {name: a}, data: {repo: 'git@github.com:example/dags.git'}}",
        "{kind: ConfigMap, metadata: {name: a}, data: {url: 'http://api:8080/execution/'}}",
        (
            "{kind: ConfigMap, metadata: {name: a},"
            " data: {AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE: /tmp/passwords.json}}"
        ),
        (
            "{kind: ExternalSecret, metadata: {name: a},"
            " spec: {x: 'postgresql://{{ .username }}:{{ .password }}@db:5432/airflow'}}"
        ),
    ],
)
def test_what_holds_no_credential_is_left_alone(text):
    assert policies.no_credentials(_read(text)) == []


def test_a_secret_that_stands_in_the_manifests_is_found():
    (fault,) = policies.secrets_from_the_store(
        _read("{kind: Secret, metadata: {name: git}, stringData: {ssh: abc}}")
    )

    assert fault == "Secret git: write an ExternalSecret, and the value into the store."


@pytest.mark.parametrize(
    ("image", "pinned"),
    [
        (f"example/web{_DIGEST}", True),
        (f"example/web:8-alpine{_DIGEST}", True),
        ("registry.k8s.io/git-sync/git-sync:v4.7.1", False),
        ("k8s.gcr.io/git-sync/git-sync:latest", False),
        ("example/web", False),
        ("example/web:8", False),
        ("localhost:5000/web", False),
        ("example/web@sha256:abc", False),
    ],
)
def test_an_image_that_may_be_another_one_tomorrow_is_found(image, pinned):
    web = [_deployment(image=image)]

    assert policies.images_are_pinned(web) == (
        [] if pinned else [f"Deployment web: image {image} has no digest."]
    )


def _ingress(service, login=""):
    return (
        f"{{kind: Ingress, metadata: {{name: i, annotations: {{{login}}}}}, spec: {{rules: [{{http:"
        f" {{paths: [{{path: /, backend: {{service: {{name: {service}}}}}}}]}}}}]}}}}"
    )


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        (_ingress("flower"), ["Ingress i: flower is public. Set auth-type: oidc."]),
        (_ingress("grafana"), ["Ingress i: grafana is public. Set auth-type: oidc."]),
        (
            _ingress("flower", "alb.ingress.kubernetes.io/auth-type: none"),
            ["Ingress i: flower is public. Set auth-type: oidc."],
        ),
        (_ingress("flower", "alb.ingress.kubernetes.io/auth-type: oidc"), []),
        (_ingress("api-server"), []),
        (
            _ingress("airflow-execution-api", "alb.ingress.kubernetes.io/auth-type: oidc"),
            ["Ingress i: airflow-execution-api is for tasks alone. Remove the path."],
        ),
        (
            "{kind: Service, metadata: {name: flower}, spec: {type: LoadBalancer}}",
            ["Service flower: type LoadBalancer opens a port of its own. Use an Ingress."],
        ),
    ],
)
def test_what_anyone_on_the_internet_reaches_is_found(text, faults):
    assert policies.nothing_is_public(_read(text)) == faults


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"allowPrivilegeEscalation": True}, "may gain rights"),
        ({"runAsUser": 0}, "may run as root"),
        ({"runAsNonRoot": False}, "may run as root"),
        ({"capabilities": {"drop": ["NET_RAW"]}}, "keeps capabilities"),
        ({"capabilities": {"drop": ["ALL"], "add": ["SYS_ADMIN"]}}, "keeps capabilities"),
        ({"readOnlyRootFilesystem": False}, "may write its root"),
        ({"privileged": True}, "is privileged"),
        ({"seccompProfile": {"type": "Unconfined"}}, "has no seccomp profile"),
    ],
)
def test_a_container_with_rights_that_it_need_not_have_is_found(change, fault):
    web = _deployment()
    web["spec"]["template"]["spec"]["containers"][0]["securityContext"].update(change)

    assert policies.pods_are_restricted([web]) == [f"Deployment web: container web {fault}."]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"hostNetwork": True}, "hostNetwork is set."),
        (
            {"volumes": [{"name": "docker", "hostPath": {"path": "/var/run"}}]},
            "volume docker is a path of the node's.",
        ),
    ],
)
def test_a_pod_that_reaches_into_its_node_is_found(change, fault):
    web = _deployment()
    web["spec"]["template"]["spec"].update(change)

    assert policies.pods_are_restricted([web]) == [f"Deployment web: {fault}"]


@pytest.mark.parametrize(
    ("container", "faults"),
    [
        (
            {"resources": None},
            ["Deployment web: web asks for nothing.", "Deployment web: web may take all memory."],
        ),
        (
            {"resources": {"requests": {"cpu": "1", "memory": "1Gi"}}},
            ["Deployment web: web may take all memory."],
        ),
        ({"livenessProbe": None}, ["Deployment web: web has no liveness probe."]),
    ],
)
def test_a_container_that_says_too_little_is_found(container, faults):
    assert policies.pods_say_what_they_need([_deployment(**container)]) == faults


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (
            (
                "{kind: Role, metadata: {name: r},"
                " rules: [{apiGroups: [''], resources: [pods], verbs: ['*']}]}"
            ),
            'Role r: a wildcard in {"apiGroups": [""], "resources": ["pods"], "verbs": ["*"]}.',
        ),
        (
            (
                "{kind: Role, metadata: {name: r},"
                " rules: [{apiGroups: [''], resources: [secrets], verbs: [get]}]}"
            ),
            (
                'Role r: {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]} gives more'
                " than its own rights."
            ),
        ),
        (
            (
                "{kind: Role, metadata: {name: r}, rules: [{apiGroups: [''], resources: [secrets],"
                " resourceNames: [login], verbs: [get, update]}]}"
            ),
            (
                'Role r: {"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["login"],'
                ' "verbs": ["get", "update"]} gives more than its own rights.'
            ),
        ),
        (
            "{kind: ClusterRoleBinding, metadata: {name: r}}",
            "ClusterRoleBinding r: it holds in every namespace.",
        ),
    ],
)
def test_a_role_that_is_too_large_is_found(text, fault):
    assert policies.roles_are_small(_read(text)) == [fault]


def test_a_role_may_read_a_secret_that_it_names():
    role = (
        "{kind: Role, metadata: {name: r}, rules: [{apiGroups: [''], resources: [secrets],"
        " resourceNames: [login], verbs: [get, list, watch]}]}"
    )

    assert policies.roles_are_small(_read(role)) == []


@pytest.mark.parametrize(
    ("container", "missing"),
    [
        ({"envFrom": [{"secretRef": {"name": "x"}}]}, "Secret x"),
        ({"envFrom": [{"configMapRef": {"name": "x"}}]}, "ConfigMap x"),
        (
            {"env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "x", "key": "k"}}}]},
            "ConfigMap x",
        ),
    ],
)
def test_a_name_that_nothing_has_is_found(container, missing):
    assert references.unmet([_deployment(**container)]) == [
        f"Deployment web names {missing}, which there is not."
    ]


@pytest.mark.parametrize(
    ("pod", "missing"),
    [
        ({"serviceAccountName": "x"}, "ServiceAccount x"),
        (
            {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "x"}}]},
            "PersistentVolumeClaim x",
        ),
        ({"volumes": [{"name": "v", "secret": {"secretName": "x"}}]}, "Secret x"),
    ],
)
def test_a_name_in_a_pod_that_nothing_has_is_found(pod, missing):
    web = _deployment()
    web["spec"]["template"]["spec"].update(pod)

    assert references.unmet([web]) == [f"Deployment web names {missing}, which there is not."]


def test_a_service_that_selects_nothing_is_found():
    service = _read(
        "{kind: Service, metadata: {name: s}, spec: {selector: {app: wbe},"
        " ports: [{port: 80, targetPort: http}]}}"
    )

    assert references.unselected([_deployment(), *service]) == [
        "Service s: no pod of its opens http."
    ]
    service[0]["spec"]["selector"] = {"app": "web"}
    assert references.unselected([_deployment(), *service]) == []
