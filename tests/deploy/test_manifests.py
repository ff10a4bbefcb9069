"""Every overlay builds, Kubernetes knows its fields, and it names nothing that is not there."""

import re
import shutil
from importlib.metadata import version

import kubernetes_validate
import pytest
import yaml
from kubernetes_validate import SchemaNotFoundError

from tests.manifests import references
from tests.manifests.policies import RULES, images_are_pinned
from tests.manifests.rendered import (
    DEPLOY,
    ENVIRONMENTS,
    ROOTS,
    build_of,
    built,
    named,
    of_kind,
    pod_templates,
    pods,
)

# Of other projects' controllers; the validator has no schemas of theirs.
_FOREIGN = {
    "ClusterSecretStore",
    "EC2NodeClass",
    "ExternalSecret",
    "NodePool",
    "PodMonitor",
    "ScaledObject",
    "ServiceMonitor",
    "TriggerAuthentication",
}


@pytest.mark.parametrize("root", ROOTS)
def test_kubernetes_knows_every_field(root):
    unknown = set()
    for one in built(root):
        try:
            kubernetes_validate.validate(one, "1.34", strict=True)
        except SchemaNotFoundError:
            unknown.add(one["kind"])

    assert unknown <= _FOREIGN


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_an_overlay_names_nothing_that_is_not_there(environment):
    manifests = built(f"overlays/{environment}")

    assert references.unmet(manifests) == []
    assert references.unselected(manifests) == []


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_a_pod_template_names_nothing_that_an_overlay_lacks(environment):
    assert references.unmet(pod_templates(), built(f"overlays/{environment}")) == []


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("root", ROOTS)
def test_an_overlay_keeps_every_policy(root, rule):
    assert RULES[rule](built(root)) == []


def test_a_pod_template_names_images_by_digest_but_for_the_one_that_airflow_replaces():
    faults = images_are_pinned(pod_templates())

    ours = f"image onchain-agg:{version('onchain-agg')} has no digest."
    assert faults == [f"Pod {one['metadata']['name']}: {ours}" for one in pod_templates()]


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_a_storage_class_is_one_that_the_cluster_has(environment):
    made = {one["metadata"]["name"] for one in of_kind(built("cluster"), "StorageClass")}
    manifests = built(f"overlays/{environment}")
    claims = [
        *of_kind(manifests, "PersistentVolumeClaim"),
        *(
            c
            for one in of_kind(manifests, "StatefulSet")
            for c in one["spec"]["volumeClaimTemplates"]
        ),
    ]

    asked = {one["spec"]["storageClassName"] for one in claims}
    assert asked <= made
    assert len(asked) == 2


def test_logs_belong_to_the_user_of_the_image_whatever_wrote_them():
    for name in ("onchain-agg-logs", "onchain-agg-logs-preview"):
        storage = named(built("cluster"), "StorageClass", name)

        assert storage["provisioner"] == "efs.csi.aws.com"
        assert {"provisioningMode": "efs-ap", "uid": "50000", "gid": "0"}.items() <= storage[
            "parameters"
        ].items()
        # NFS has no uid and gid of a mount.
        assert "mountOptions" not in storage


@pytest.mark.parametrize(
    ("environment", "namespace"),
    [("prod", "airflow-prod"), ("dev", "airflow-dev"), ("preview", "airflow-preview")],
)
def test_an_environment_reads_its_own_secrets_from_a_store_that_its_namespace_may_use(
    environment, namespace
):
    manifests = built(f"overlays/{environment}")
    store = f"onchain-agg.{environment}"
    wanted = of_kind(manifests, "ExternalSecret")

    keys = {
        source["key"]
        for one in wanted
        for source in (
            *(data["remoteRef"] for data in one["spec"].get("data", [])),
            *(data["extract"] for data in one["spec"].get("dataFrom", [])),
        )
    }
    assert {one["spec"]["secretStoreRef"]["name"] for one in wanted} == {store}
    assert {key.rsplit("/", 1)[0] for key in keys} == {f"onchain-agg/{environment}"}
    (condition, *_) = named(built("cluster"), "ClusterSecretStore", store)["spec"]["conditions"]
    assert namespace in condition["namespaces"]
    assert {one["metadata"]["name"] for one in of_kind(manifests, "Namespace")} == {namespace}


def test_no_store_is_open_to_two_environments():
    stores = of_kind(built("cluster"), "ClusterSecretStore")
    namespaces = [
        name
        for one in stores
        for condition in one["spec"]["conditions"]
        for name in condition.get("namespaces", [])
    ]

    assert len(stores) == 3
    assert sorted(namespaces) == ["airflow-dev", "airflow-preview", "airflow-prod", "monitoring"]
    assert len({one["spec"]["provider"]["aws"]["role"] for one in stores}) == 3


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_migrations_run_after_what_they_read_and_before_what_reads_them(environment):
    manifests = built(f"overlays/{environment}")

    def wave(one):
        return int(one["metadata"].get("annotations", {}).get("argocd.argoproj.io/sync-wave", 0))

    job = named(manifests, "Job", "migrations")
    needed = {
        ("ConfigMap", name)
        for name in (one["metadata"]["name"] for one in of_kind(manifests, "ConfigMap"))
        if name.startswith("onchain-agg-options")
    } | {("Service", "metadata-database"), ("ServiceAccount", "onchain-agg-core")}
    before = [one for one in manifests if (one["kind"], one["metadata"]["name"]) in needed]
    after = [
        one
        for one in of_kind(manifests, "Deployment")
        if one["metadata"]["labels"].get("onchain-agg/runs") == "airflow"
    ]
    assert job["metadata"]["annotations"]["argocd.argoproj.io/hook"] == "Sync"
    assert len(before) == 3
    assert all(wave(one) < wave(job) for one in (*before, *of_kind(manifests, "ExternalSecret")))
    assert len(after) == 10
    assert all(wave(one) > wave(job) for one in after)


def test_migrations_go_past_pgbouncer_and_airflow_through_it():
    secrets = {
        name: named(built("overlays/prod"), "ExternalSecret", name)["spec"]["target"]["template"]
        for name in ("onchain-agg-migrations", "onchain-agg-metadata")
    }
    hosts = {
        name: re.search(r"@([\w.-]+:\d+)/", template["data"]["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"])
        for name, template in secrets.items()
    }

    assert hosts["onchain-agg-migrations"][1] == "metadata-database:5432"
    assert hosts["onchain-agg-metadata"][1] == "pgbouncer:6432"


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_only_git_sync_in_pods_that_read_dags_and_its_bundle_follows_its_link(environment):
    manifests = built(f"overlays/{environment}")
    options = named(manifests, "ConfigMap", "onchain-agg-airflow")["data"]
    (bundle,) = yaml.safe_load(options["AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST"])
    dags = named(manifests, "ConfigMap", "onchain-agg-dags")["data"]

    synced = {}
    for pod in [*pods(manifests), *pods(pod_templates())]:
        for container in pod.containers:
            if container["name"] == "git-sync":
                synced[pod.name] = container
    workers = {one["metadata"]["name"] for one in of_kind(manifests, "ScaledObject")}
    templates = {one["metadata"]["name"] for one in pod_templates()}
    assert synced.keys() == {"dag-processor", "triggerer", *workers, *templates}
    for container in synced.values():
        flags = dict(arg[2:].split("=", 1) for arg in container["args"] if "=" in arg)
        assert f"{flags['root']}/{flags['link']}" == bundle["kwargs"]["link"]
        assert flags["depth"] == "1"
        assert {one["name"] for one in container["env"]} == {"DAGS_REPO", "DAGS_REF"}
    assert len({container["image"] for container in synced.values()}) == 1
    assert bundle["kwargs"]["folder"] == dags["folder"]
    assert bundle["classpath"] == "onchain_agg.bundles.GitSyncDagBundle"


def test_workers_and_task_pods_have_neither_airflows_database_nor_its_keys():
    manifests = built("overlays/prod")
    outside = [
        pod
        for pod in [*pods(manifests), *pods(pod_templates())]
        if pod.labels.get("onchain-agg/tier") != "core"
    ]

    secrets = {
        source["secretRef"]["name"]
        for pod in outside
        for container in pod.containers
        for source in container.get("envFrom", [])
        if "secretRef" in source
    }
    assert len(outside) == 9
    assert secrets == {"onchain-agg-broker", "onchain-agg-connections"}
    assert {pod.spec["serviceAccountName"] for pod in outside} == {"onchain-agg-worker"}


def test_only_scheduler_and_api_server_have_a_token_of_the_cluster():
    manifests = built("overlays/prod")

    holders = {
        pod.name for pod in pods(manifests) if pod.spec.get("automountServiceAccountToken", False)
    }
    accounts = of_kind(manifests, "ServiceAccount")
    assert holders == {"scheduler", "api-server"}
    assert {one["automountServiceAccountToken"] for one in accounts} == {False}


def test_the_base_says_the_same_in_both_copies_of_the_options():
    for environment in ENVIRONMENTS:
        maps = [
            one["data"]
            for one in of_kind(built(f"overlays/{environment}"), "ConfigMap")
            if re.fullmatch(r"onchain-agg-(airflow|options-\w{10})", one["metadata"]["name"])
        ]

        assert len(maps) == 2
        assert maps[0] == maps[1]


def test_what_a_generator_patches_into_a_preview_is_everywhere(tmp_path):
    shutil.copytree(DEPLOY, tmp_path / "deploy")
    folder = tmp_path / "deploy/overlays/preview"
    path = folder / "kustomization.yaml"
    told = {"name": "pr-7", "host": "pr-7.example.com", "dags-ref": "a" * 40}
    kustomization = yaml.safe_load(path.read_text())
    kustomization["namespace"] = "airflow-pr-7"
    kustomization["patches"].append(
        {
            "target": {"kind": "ConfigMap", "name": "environment"},
            "patch": yaml.safe_dump(
                [{"op": "replace", "path": f"/data/{key}", "value": told[key]} for key in told]
            ),
        }
    )
    path.write_text(yaml.safe_dump(kustomization))

    manifests = build_of(folder)

    options = named(manifests, "ConfigMap", "onchain-agg-airflow")["data"]
    ingresses = of_kind(manifests, "Ingress")
    group = "alb.ingress.kubernetes.io/group.name"
    assert options["AIRFLOW__API__BASE_URL"] == "https://pr-7.example.com"
    assert named(manifests, "ConfigMap", "onchain-agg-dags")["data"]["ref"] == "a" * 40
    assert {one["metadata"]["annotations"][group] for one in ingresses} == {"onchain-agg.pr-7"}
    assert {rule["host"] for one in ingresses for rule in one["spec"]["rules"]} == {
        "pr-7.example.com"
    }
    scaled = of_kind(manifests, "ScaledObject")
    assert {one["spec"]["triggers"][0]["metadata"]["host"] for one in scaled} == {
        "pgbouncer.airflow-pr-7.svc"
    }
