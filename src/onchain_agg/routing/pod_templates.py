"""Pod templates: one worker pod for each size, made from the table and compared with it.

Knows no Airflow and no Kubernetes client: a template is text, and what reads it is the scheduler.
"""

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from onchain_agg.routing import generated_files
from onchain_agg.routing.generated_files import Made
from onchain_agg.routing.workloads import PodSize, Workloads


def rendered(size: PodSize, table: Workloads) -> str:
    """Return the YAML of the pod template of *size*."""
    on_spot = table.node_groups[size.node_group].capacity == "spot"
    return _TEMPLATE.format(
        size=size.name,
        # A pod's name has no _, which a size's may have.
        name=size.name.replace("_", "-"),
        annotations="" if on_spot else _UNDISTURBED,
        why_grace=_ON_SPOT if on_spot else _ON_DEMAND,
        grace=int(table.grace.total_seconds()),
        node_group=size.node_group,
        image=f"onchain-agg:{version('onchain-agg')}",
        cpu=size.cpu,
        memory=size.memory,
        disk=size.disk,
    )


def write(folder: Path, table: Workloads) -> list[Path]:
    """Write the template of every size into *folder*, and return their paths.

    Raises:
        ConfigError: The folder cannot be written.
    """
    return generated_files.write(_texts(folder, table))


def drift(folder: Path, table: Workloads) -> list[str]:
    """Return a sentence with cure for each file of *folder* that is not what the table says."""
    return generated_files.drift(
        _texts(folder, table),
        [folder],
        Made(
            command=_command(folder),
            source="the table of sizes",
            owner="size of pod",
            added="the size",
        ),
        pattern="*.yaml",
    )


def template_fault(path: Path) -> str | None:
    """Return a sentence with cure that says why *path* cannot be a worker template, else None."""
    try:
        documents = list(yaml.safe_load_all(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return f"{path} does not exist. Correct the path, or run `{_command(path.parent)}`."
    except (OSError, UnicodeDecodeError) as error:
        return f"{path} cannot be read: {error}. Correct the path or the file."
    # PyYAML lets the ValueError of a date such as 2026-13-01 through.
    except (yaml.YAMLError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        return f"{path}{line}: this is not YAML: {getattr(error, 'problem', error)}. Correct it."
    if len(documents) != 1:
        return f"{path} holds {len(documents)} documents. Leave one: the Pod."
    fault = _pod_fault(documents[0])
    return f"{path} {fault}" if fault else None


def _texts(folder: Path, table: Workloads) -> Mapping[Path, str]:
    return {folder / size.pod_template: rendered(size, table) for size in table.sizes.values()}


def _command(folder: Path) -> str:
    return f"onchain-agg routing templates {folder}"


def _pod_fault(document: Any) -> str | None:
    told = document if isinstance(document, dict) else {}
    if (told.get("apiVersion"), told.get("kind")) != ("v1", "Pod"):
        return "is not a Pod. Write `apiVersion: v1` and `kind: Pod`, and the pod below them."
    spec = told.get("spec")
    containers = spec.get("containers") if isinstance(spec, dict) else None
    if not isinstance(containers, list) or not containers:
        return "has no containers. Add one named `base` to spec.containers."
    first = containers[0].get("name") if isinstance(containers[0], dict) else None
    if first != "base":
        return (
            f"names its first container {first!r}. Name it `base`: the executor puts the task into "
            "the first container and reads the logs of `base`."
        )
    return None


# Karpenter then leaves the node alone until the pod ends. A spot node's pod must not say so: it
# would be killed with its node without a SIGTERM.
_UNDISTURBED = """\
  annotations:
    # No consolidation, drift or expiry of the node takes the pod away.
    karpenter.sh/do-not-disrupt: "true"
"""
_ON_SPOT = "A spot node gives 120 s of notice; what needs longer is killed without cleaning up."
_ON_DEMAND = "For the task to clean up after SIGTERM."

# Filled by str.format, so a brace of YAML's stands twice. Names are quoted: `on` is one, and YAML
# takes it for true.
_TEMPLATE = """\
# The worker pod of size {size}. Made of the table of queues and sizes by
# `onchain-agg routing templates pod_templates`; change the table, not this file.
#
# The executor puts the task into container 0, which must be called `base`.
apiVersion: v1
kind: Pod
metadata:
  name: onchain-agg-{name}
  labels:
    app.kubernetes.io/name: onchain-agg
    app.kubernetes.io/component: worker
    onchain-agg/size: "{size}"
{annotations}spec:
  # Airflow retries; a container that starts again would run an attempt that is over.
  restartPolicy: Never
  # {why_grace}
  terminationGracePeriodSeconds: {grace}
  serviceAccountName: onchain-agg-worker
  # A task talks to Airflow's API, not to the cluster's.
  automountServiceAccountToken: false
  # A service named `airflow` would otherwise add AIRFLOW_ variables of its own.
  enableServiceLinks: false
  nodeSelector:
    onchain-agg/node-group: "{node_group}"
  tolerations:
    - key: onchain-agg/node-group
      operator: Equal
      value: "{node_group}"
      effect: NoSchedule
  securityContext:
    runAsNonRoot: true
    # `airflow` and the root group, as the image has them.
    runAsUser: 50000
    runAsGroup: 0
    fsGroup: 0
    # Without it every pod would walk through all logs.
    fsGroupChangePolicy: OnRootMismatch
    seccompProfile:
      type: RuntimeDefault
  initContainers:
    - name: git-sync
      # Zeros stand for a digest still to come; deploy/image/pin-git-sync.sh writes it.
      image: registry.k8s.io/git-sync/git-sync:v4.7.1@sha256:0000000000000000000000000000000000000000000000000000000000000000
      # Flags, because git-sync ignores a variable with a misspelled name.
      args:
        - --repo=$(DAGS_REPO)
        - --ref=$(DAGS_REF)
        - --root=/git
        - --link=current
        - --one-time
        - --depth=1
        # A pod that fails here costs the task a try.
        - --max-failures=5
        # Read where it exists, as the default places of an SSH key and of known hosts are.
        - --git-config=credential.helper:store --file=/etc/git-secret/credentials
      env:
        - name: DAGS_REPO
          valueFrom:
            configMapKeyRef:
              name: onchain-agg-dags
              key: repo
        - name: DAGS_REF
          valueFrom:
            configMapKeyRef:
              name: onchain-agg-dags
              key: ref
      resources:
        requests:
          cpu: 100m
          memory: 128Mi
        limits:
          memory: 512Mi
      securityContext:
        # `git-sync`, as its image has it: SSH needs a user that /etc/passwd knows.
        runAsUser: 65533
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities:
          drop: [ALL]
      volumeMounts:
        - name: dags
          mountPath: /git
        - name: git-tmp
          mountPath: /tmp
        - name: git-secret
          mountPath: /etc/git-secret
          readOnly: true
  containers:
    - name: base
      # `[kubernetes_executor] worker_container_repository` and `worker_container_tag` replace it.
      image: {image}
      imagePullPolicy: IfNotPresent
      envFrom:
        - configMapRef:
            name: onchain-agg-airflow
        - secretRef:
            name: onchain-agg-connections
            optional: true
      env:
        # dumb-init hands SIGTERM to the supervisor alone, which hands it to the task, once.
        - name: DUMB_INIT_SETSID
          value: "0"
        # The image would wait for Airflow's database first, which a pod neither has nor needs.
        - name: CONNECTION_CHECK_MAX_COUNT
          value: "0"
        - name: DAGS_FOLDER
          valueFrom:
            configMapKeyRef:
              name: onchain-agg-dags
              key: folder
        - name: AIRFLOW__CORE__DAGS_FOLDER
          value: /git/current/$(DAGS_FOLDER)
      resources:
        requests:
          cpu: "{cpu}"
          memory: {memory}
          ephemeral-storage: {disk}
        limits:
          memory: {memory}
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities:
          drop: [ALL]
      volumeMounts:
        - name: dags
          mountPath: /git
          readOnly: true
        - name: logs
          mountPath: /opt/airflow/logs
        - name: tmp
          mountPath: /tmp
  volumes:
    - name: dags
      emptyDir: {{}}
    - name: git-tmp
      emptyDir: {{}}
    - name: git-secret
      secret:
        secretName: onchain-agg-git
        optional: true
        defaultMode: 0440
    - name: logs
      persistentVolumeClaim:
        claimName: onchain-agg-logs
    # Scratch space: a task that fills more is evicted, not its neighbours.
    - name: tmp
      emptyDir:
        sizeLimit: {disk}
"""  # noqa: E501 - an image with its digest is one word
