"""A Celery queue → its workers on Kubernetes: a Deployment and what scales it. Text, as YAML."""

from onchain_agg.errors import ConfigError
from onchain_agg.routing.recommended import finishing_time, worker_command
from onchain_agg.routing.sizing import of_worker
from onchain_agg.routing.workloads import CeleryQueue, Workloads

# `keda-hpa-` and a ReplicaSet's and a pod's suffix have to fit into the 63 characters of a label.
_LONGEST_NAME = 46


def worker_names(table: Workloads) -> dict[str, str]:
    """Return the name of each queue's Deployment, by queue.

    Raises:
        ConfigError: Two queues would have the same, or a name is too long for Kubernetes.
    """
    names: dict[str, str] = {}
    for queue in table.queues:
        name = f"worker-{queue.lower().replace('_', '-').replace('.', '-')}"
        if len(name) > _LONGEST_NAME:
            raise ConfigError(
                f"The workers of queue {queue!r} would be called {name!r}, which is longer than "
                f"{_LONGEST_NAME} characters. Give the queue a shorter name."
            )
        if name in names.values():
            other = next(one for one, taken in names.items() if taken == name)
            raise ConfigError(
                f"The workers of queues {other!r} and {queue!r} would both be called {name!r}. "
                "Rename one of the queues."
            )
        names[queue] = name
    return names


def worker_manifest(queue: CeleryQueue, table: Workloads) -> str:
    """Return the YAML of the Deployment and the ScaledObject of *queue*."""
    asked = of_worker(queue)
    _, *arguments = worker_command(queue)
    return _TEMPLATE.format(
        queue=queue.name,
        name=worker_names(table)[queue.name],
        grace=int(table.grace.total_seconds()),
        finishing=finishing_time(table),
        node_group=queue.node_group,
        arguments="\n".join(f'            - "{argument}"' for argument in arguments),
        cpu=f"{asked.cpu}m",
        memory=f"{asked.memory}Mi",
        disk=f"{asked.disk}Mi",
        least=queue.autoscale.min,
        most=queue.autoscale.max,
        concurrency=queue.concurrency,
    )


# Filled by str.format, so a brace of YAML's stands twice.
_TEMPLATE = """\
# The Celery workers of queue {queue}. Made of the table of queues and sizes by
# `onchain-agg routing manifests deploy`; change the table, not this file.
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {name}
  labels:
    app.kubernetes.io/name: onchain-agg
    app.kubernetes.io/component: {name}
    onchain-agg/queue: "{queue}"
    onchain-agg/runs: airflow
    onchain-agg/reads-dags: "true"
spec:
  # No `replicas`: KEDA writes it, and a manifest that says it too would undo that at every sync.
  revisionHistoryLimit: 3
  strategy:
    rollingUpdate:
      maxSurge: 1
      maxUnavailable: 0
  selector:
    matchLabels:
      app.kubernetes.io/name: onchain-agg
      app.kubernetes.io/component: {name}
  template:
    metadata:
      labels:
        app.kubernetes.io/name: onchain-agg
        app.kubernetes.io/component: {name}
        onchain-agg/queue: "{queue}"
        onchain-agg/runs: airflow
        onchain-agg/tier: workers
    spec:
      serviceAccountName: onchain-agg-worker
      terminationGracePeriodSeconds: {grace}
      nodeSelector:
        onchain-agg/node-group: "{node_group}"
      tolerations:
        - key: onchain-agg/node-group
          operator: Equal
          value: "{node_group}"
          effect: NoSchedule
      # A spot pool that dries up takes the nodes of a zone and a kind together.
      topologySpreadConstraints:
        - maxSkew: 1
          topologyKey: topology.kubernetes.io/zone
          whenUnsatisfiable: ScheduleAnyway
          labelSelector:
            matchLabels:
              app.kubernetes.io/component: {name}
      containers:
        - name: airflow
          args:
{arguments}
          # Celery's broker and result backend. A worker has neither Airflow's database nor its
          # keys: its tasks ask the execution API, with a token each.
          envFrom:
            - secretRef:
                name: onchain-agg-broker
            - secretRef:
                name: onchain-agg-connections
          env:
            # dumb-init hands signals to the worker alone, not to its tasks as well.
            - name: DUMB_INIT_SETSID
              value: "0"
          ports:
            - name: logs
              containerPort: 8793
          lifecycle:
            preStop:
              exec:
                # On SIGQUIT the worker lets tasks run on for {finishing} s, then they save
                # where they are. SIGTERM, which comes as soon as this ends, would wait for them
                # without a limit; so this lasts until the worker is gone and takes it along.
                command: [bash, -c, "kill -QUIT 1; sleep {grace}"]
          startupProbe:
            tcpSocket: {{port: logs}}
            periodSeconds: 5
            failureThreshold: 36
          # A worker that lost the broker for good looks alive from outside. Asking it takes some
          # seconds of a core, so it is asked rarely.
          livenessProbe:
            exec:
              command:
                - bash
                - -c
                - >-
                  exec python -m celery
                  --app airflow.providers.celery.executors.celery_executor.app
                  inspect ping --timeout 20 --destination "{queue}@$(hostname)"
            periodSeconds: 300
            timeoutSeconds: 60
            failureThreshold: 3
          resources:
            requests:
              cpu: {cpu}
              memory: {memory}
              ephemeral-storage: {disk}
            limits:
              memory: {memory}
      volumes:
        - name: logs
          persistentVolumeClaim:
            claimName: onchain-agg-logs
---
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata:
  name: {name}
  labels:
    app.kubernetes.io/name: onchain-agg
    app.kubernetes.io/component: {name}
    onchain-agg/queue: "{queue}"
spec:
  scaleTargetRef:
    name: {name}
  minReplicaCount: {least}
  maxReplicaCount: {most}
  pollingInterval: 15
  # A new worker takes a minute to come, and one that goes interrupts tasks.
  cooldownPeriod: 300
  advanced:
    horizontalPodAutoscalerConfig:
      behavior:
        scaleDown:
          stabilizationWindowSeconds: 600
          policies:
            - type: Pods
              value: 1
              periodSeconds: 120
  triggers:
    - type: postgresql
      metadata:
        # An overlay puts its namespace here: KEDA asks from another one.
        host: pgbouncer.airflow.svc
        port: "6432"
        userName: keda
        dbName: airflow
        sslmode: disable
        # Workers of {concurrency} tasks each that the queue's tasks fill. A pod's task may name the
        # queue too, by an executor of its own.
        query: >-
          SELECT ceil(count(*)::decimal / {concurrency}) FROM task_instance
          WHERE state IN ('queued', 'running') AND queue = '{queue}'
          AND executor IS DISTINCT FROM 'KubernetesExecutor'
        targetQueryValue: "1"
      authenticationRef:
        name: onchain-agg-metadata
"""
