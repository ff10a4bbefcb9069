"""What the namespace of an Airflow holds for its task pods and its scheduler, made for a local run.

Names, rights and templates are those of ``deploy``; the values are this machine's. As deployed,
pods get neither the database of Airflow nor a key of it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from tests.e2e.control_plane import ControlPlane

BASE = Path(__file__).parents[2] / "deploy" / "base"
SCHEDULER = "onchain-agg-scheduler"
LOGS = "onchain-agg-logs"
# What pods must do without, and what the templates say themselves.
_NOT_FOR_PODS = (
    "AIRFLOW__DATABASE__",
    "AIRFLOW__CORE__FERNET_KEY",
    "AIRFLOW__API__SECRET_KEY",
    "AIRFLOW__API_AUTH__",
    "AIRFLOW__CELERY",
    "AIRFLOW__KUBERNETES_EXECUTOR__CONFIG_FILE",
    "AIRFLOW__CORE__DAGS_FOLDER",
    "AIRFLOW__LOGGING__BASE_LOG_FOLDER",
    "ONCHAIN_AGG_HOME",
)
_SECRET = ("ONCHAIN_AGG_WAREHOUSE_URL", "AIRFLOW_CONN_", "AWS_", "FSSPEC_")
_OPTIONS = ("AIRFLOW__", "ONCHAIN_AGG_", "NO_PROXY", "no_proxy")
_IN_A_POD = {
    "AIRFLOW_CONFIG": "/tmp/airflow.cfg",  # noqa: S108 - a volume of the pod's own
    "AIRFLOW__LOGGING__BASE_LOG_FOLDER": "/opt/airflow/logs",
}
_TOKEN_S = 3600


def furnish(
    plane: "ControlPlane", namespace: str, environment: Mapping[str, str], repository: str
) -> None:
    """Put into *namespace* what the pod templates name, and the rights of its service accounts.

    Args:
        plane: The cluster.
        namespace: One of the test's own.
        environment: The variables of Airflow's processes, as pods need them.
        repository: URL of a git repository with the DAGs in ``dags``, on the branch ``main``.
    """
    from kubernetes import client

    core, rights = client.CoreV1Api(plane.api()), client.RbacAuthorizationV1Api(plane.api())
    for account in _documents("service-accounts.yaml"):
        core.create_namespaced_service_account(namespace, account)
    for one in _documents("rbac.yaml"):
        if one["kind"] == "Role":
            rights.create_namespaced_role(namespace, one)
        else:
            # Kustomize gives subjects their namespace.
            subjects = [{**subject, "namespace": namespace} for subject in one["subjects"]]
            rights.create_namespaced_role_binding(namespace, {**one, "subjects": subjects})
    dags = {"repo": repository, "ref": "main", "folder": "dags"}
    for name, data in (("onchain-agg-airflow", _options(environment)), ("onchain-agg-dags", dags)):
        core.create_namespaced_config_map(namespace, {"metadata": {"name": name}, "data": data})
    connections = {k: v for k, v in environment.items() if k.startswith(_SECRET)}
    secret = {"metadata": {"name": "onchain-agg-connections"}, "stringData": connections}
    core.create_namespaced_secret(namespace, secret)
    (claim,) = _documents("logs.yaml")
    core.create_namespaced_persistent_volume_claim(namespace, claim)


def scheduler_kubeconfig(plane: "ControlPlane", namespace: str, target: Path) -> Path:
    """Write to *target* a kubeconfig with the scheduler's own token, and return it."""
    from kubernetes import client

    core = client.CoreV1Api(plane.api())
    asked = {"spec": {"expirationSeconds": _TOKEN_S}}
    token = core.create_namespaced_service_account_token(SCHEDULER, namespace, asked).status.token
    config = yaml.safe_load(plane.kubeconfig.read_text())
    (context,) = (one for one in config["contexts"] if one["name"] == config["current-context"])
    config["users"] = [{"name": SCHEDULER, "user": {"token": token}}]
    context["context"] |= {"user": SCHEDULER, "namespace": namespace}
    target.touch(mode=0o600)
    target.write_text(yaml.safe_dump(config))
    return target


def _options(environment: Mapping[str, str]) -> dict[str, str]:
    kept = {
        name: value
        for name, value in environment.items()
        if name.startswith(_OPTIONS) and not name.startswith((*_NOT_FOR_PODS, *_SECRET))
    }
    return kept | _IN_A_POD


def _documents(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((BASE / name).read_text()))
