"""What of a cluster's manifests follows from the table: workers, options, quota, nodes, a policy.

Beside them stand the manifests that people write. Knows no Airflow and no Kubernetes client.
"""

from collections.abc import Mapping
from pathlib import Path

from onchain_agg.routing import generated_files
from onchain_agg.routing.generated_files import Made
from onchain_agg.routing.node_pool import karpenter_groups, node_pool
from onchain_agg.routing.recommended import Setting, recommended_settings
from onchain_agg.routing.sizing import of_namespace
from onchain_agg.routing.spot_policy import spot_policy
from onchain_agg.routing.worker_manifest import worker_manifest, worker_names
from onchain_agg.routing.workloads import Workloads

# Where the image has the templates.
_TEMPLATES = "/opt/airflow/pod_templates"

_WORKERS = Path("base/workers")
_NODES = Path("cluster/karpenter")


def write(folder: Path, table: Workloads) -> list[Path]:
    """Write what follows from *table* into *folder*, and return the paths.

    Raises:
        ConfigError: A file cannot be written, or a queue's name is none for Kubernetes.
    """
    return generated_files.write(_texts(folder, table))


def drift(folder: Path, table: Workloads) -> list[str]:
    """Return a sentence with cure for each file of *folder* that is not what the table says.

    Raises:
        ConfigError: A queue's name is none for Kubernetes.
    """
    return generated_files.drift(
        _texts(folder, table),
        (folder / _WORKERS, folder / _NODES),
        Made(
            command=f"onchain-agg routing manifests {folder}",
            source="the table",
            owner="queue or node group",
            added="that",
        ),
    )


def _texts(folder: Path, table: Workloads) -> Mapping[Path, str]:
    names = worker_names(table)
    workers = {f"{names[one.name]}.yaml": one for one in table.queues.values()}
    nodes = {f"{group.replace('_', '-')}.yaml": group for group in karpenter_groups(table)}
    texts = {
        _WORKERS / "kustomization.yaml": _kustomization(workers),
        **{_WORKERS / name: worker_manifest(one, table) for name, one in workers.items()},
        Path("base/airflow-routing.env"): _options(table),
        Path("base/quota.yaml"): _quota(table),
        _NODES / "kustomization.yaml": _kustomization(nodes),
        **{_NODES / name: node_pool(group, table) for name, group in nodes.items()},
        Path("cluster/policies/spot-grace.yaml"): spot_policy(table),
    }
    return {folder / path: text for path, text in texts.items()}


def _kustomization(files: Mapping[str, object]) -> str:
    listed = "\n".join(f"  - {name}" for name in files)
    return f"{_MADE}{_KUSTOMIZATION}{listed}\n"


def _options(table: Workloads) -> str:
    lines = [
        f"# {one.reason}\n{one.variable}={_in_the_image(one, table)}"
        for one in recommended_settings(table)
    ]
    return _MADE + "\n".join(lines) + "\n"


def _in_the_image(setting: Setting, table: Workloads) -> str:
    """Return the value; a path is this machine's, and becomes the image's."""
    if (setting.section, setting.option) == ("onchain_agg", "pod_templates"):
        return _TEMPLATES
    if setting.option == "pod_template_file":
        return f"{_TEMPLATES}/{table.size(table.default_size).pod_template}"
    return setting.value


def _quota(table: Workloads) -> str:
    most = of_namespace(table)
    return _QUOTA.format(
        cpu=-(-most.cpu // 1000),
        memory=-(-most.memory // 1024),
        disk=-(-most.disk // 1024),
        pods=most.pods,
    )


_MADE = """\
# Made of the table of queues and sizes by `onchain-agg routing manifests deploy`; change the
# table, not this file.
"""

_KUSTOMIZATION = """\
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources:
"""

_QUOTA = (
    _MADE
    + """\
apiVersion: v1
kind: ResourceQuota
metadata:
  name: onchain-agg
  annotations:
    argocd.argoproj.io/sync-wave: "-3"
spec:
  # All queues at their most workers, all pools full of their dearest pods, and the core.
  hard:
    requests.cpu: "{cpu}"
    requests.memory: {memory}Gi
    requests.ephemeral-storage: {disk}Gi
    pods: "{pods}"
    # One load balancer for the group is enough, and it is an Ingress.
    services.loadbalancers: "0"
    services.nodeports: "0"
"""
)
