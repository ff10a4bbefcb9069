"""Objects that the cluster's policies admit or refuse, each changed in one place."""

import copy
import re

from onchain_agg.routing.workload_file import PACKAGED, load_workloads
from tests.manifests.rendered import built, named, pod_templates

SPOT = [
    name for name, one in load_workloads(PACKAGED).node_groups.items() if one.capacity == "spot"
]
DIGEST = "@sha256:" + "a" * 64
ALB = "alb.ingress.kubernetes.io"
LOGIN = {f"{ALB}/auth-type": "oidc", f"{ALB}/auth-idp-oidc": "{}"}


def config_map(namespace, text):
    """Return a ConfigMap that holds *text*."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "example", "namespace": namespace},
        "data": {"text": text},
    }


def ingress_of_group(namespace, environment):
    """Return an Ingress that joins the load balancer of *environment*."""
    group = {"alb.ingress.kubernetes.io/group.name": f"onchain-agg.{environment}"}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"name": "example", "namespace": namespace, "annotations": group},
        "spec": {
            "defaultBackend": {"service": {"name": "example", "port": {"number": 80}}},
        },
    }


def deployment(namespace, *, image=f"example{DIGEST}", grace=30, group="core", **container):
    """Return a Deployment with one container, which *container* changes."""
    labels = {"app": "example"}
    spec = {
        "nodeSelector": {"onchain-agg/node-group": group},
        "terminationGracePeriodSeconds": grace,
        "containers": [{"name": "web", "image": image, **container}],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "example", "namespace": namespace},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    }


def opening(namespace, path, service, annotations=None, port=None):
    """Return an Ingress that leads from *path* to *service*."""
    backend = {"service": {"name": service, "port": port or {"number": 80}}}
    rule = {"http": {"paths": [{"path": path, "pathType": "Prefix", "backend": backend}]}}
    meta = {"name": "example", "namespace": namespace, "annotations": annotations or {}}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": meta,
        "spec": {"rules": [rule]},
    }


def secret(word, name="example"):
    """Return a Secret of prod."""
    meta = {"name": name, "namespace": "airflow-prod"}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": {"word": word}}


def of_template(namespace):
    """Return a pod of the smallest size that every policy admits."""
    (template,) = [one for one in pod_templates() if one["metadata"]["name"] == "onchain-agg-small"]
    pod = pod_of("example", namespace, {}, digested(template["spec"], "a"))
    pod["spec"]["containers"][0]["image"] = f"onchain-agg{DIGEST}"
    return pod


def task_pod(environment, template, digit):
    """Return the pod that KubernetesExecutor makes of *template*: the image is of the settings."""
    options = named(built(f"overlays/{environment}"), "ConfigMap", "onchain-agg-airflow")["data"]
    repository, tag = (
        options[f"AIRFLOW__KUBERNETES_EXECUTOR__WORKER_CONTAINER_{one}"]
        for one in ("REPOSITORY", "TAG")
    )
    meta = template["metadata"]
    pod = pod_of(meta["name"], f"airflow-{environment}", meta["labels"], template["spec"])
    pod["spec"] = copy.deepcopy(pod["spec"])
    pod["spec"]["containers"][0]["image"] = f"{repository}:{tag}"
    return pod | {"spec": digested(pod["spec"], digit)}


def digested(spec, digit):
    """Return a copy of *spec* whose digests are of one *digit*: zeros stand for those to come."""
    spec = copy.deepcopy(spec)
    for one in (*spec.get("initContainers", []), *spec["containers"]):
        one["image"] = re.sub("@sha256:[0-9a-f]{64}$", f"@sha256:{digit * 64}", one["image"])
    return spec


def pod_of(name, namespace, labels, spec):
    """Return a pod of *spec*."""
    # A Deployment's pod restarts always, which is what a pod does that says nothing.
    meta = {"name": f"e2e-{name}", "namespace": namespace, "labels": labels}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}


def refused_by_each(namespace):
    """Return an object for each policy, by its name, that this policy refuses and no other."""
    return {
        "onchain-agg-ingress-group": ingress_of_group(namespace, "x"),
        "onchain-agg-no-credentials": config_map(namespace, "https://a:b@example.com"),
        "onchain-agg-pods": deployment(namespace, image="example"),
        "onchain-agg-published": opening(namespace, "/execution", "example"),
        "onchain-agg-secrets": secret("word"),
        "onchain-agg-spot-grace": deployment(namespace, grace=101, group=SPOT[0]),
    }
