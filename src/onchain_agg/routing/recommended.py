"""What Airflow and its Celery workers should be told, derived from the table of queues.

Deployments and the local Airflow take it from here. Knows no Airflow.
"""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from onchain_agg.routing.placement import template_path
from onchain_agg.routing.workloads import CeleryQueue, Workloads

# Between a task's timeout and the broker's belief that its worker is gone: the task still cleans up
# and tells Airflow how it ended.
_ACKNOWLEDGE = timedelta(minutes=10)
# Of a worker's grace: for tasks that were interrupted to save where they are and tell Airflow.
_CLEAN_UP = timedelta(seconds=40)


@dataclass(frozen=True)
class Setting:
    """An option of ``airflow.cfg``: ``[section] option = value``, and why."""

    section: str
    option: str
    value: str
    reason: str

    @property
    def variable(self) -> str:
        """Return the environment variable that sets it."""
        return f"AIRFLOW__{self.section.upper()}__{self.option.upper()}"


def recommended_settings(table: Workloads) -> tuple[Setting, ...]:
    """Return the options in which a deployment should differ from Airflow's defaults."""
    return (*_executors(table), *_celery(table), *_kubernetes(table), *_all_tasks())


def worker_command(queue: CeleryQueue) -> tuple[str, ...]:
    """Return the command of a Celery worker that serves *queue* alone."""
    return ("airflow", *worker_arguments(queue.name, (queue.name,), queue.concurrency))


def worker_arguments(name: str, queues: tuple[str, ...], concurrency: int) -> tuple[str, ...]:
    """Return the arguments of ``airflow`` for the Celery worker *name* of *queues*.

    Names are unique on a machine. Workers do not talk to one another: a conversation of all with
    all, for nothing that Airflow uses, costs a second at the start and traffic on the broker.
    """
    return (
        *("celery", "worker", "--queues", ",".join(queues), "--concurrency", str(concurrency)),
        *("--celery-hostname", f"{name}@%h", "--without-mingle", "--without-gossip"),
    )


def visibility_timeout(table: Workloads) -> int:
    """Return after how many seconds Redis hands a task to another worker; none runs that long."""
    longest = max((queue.timeout for queue in table.queues.values()), default=timedelta())
    return int((longest + _ACKNOWLEDGE).total_seconds())


def finishing_time(table: Workloads) -> int:
    """Return how many seconds a worker that must go lets its tasks run on; then they clean up.

    It does so on SIGQUIT, which is what a worker's pod should send it: the tasks that are left
    after that time get SIGTERM. On SIGTERM itself a worker waits for its tasks without a limit, and
    the end of the grace would kill them.
    """
    return max(0, int((table.grace - _CLEAN_UP).total_seconds()))


def _executors(table: Workloads) -> tuple[Setting, ...]:
    on_workers = sum(one.concurrency * one.autoscale.max for one in table.queues.values())
    pools = {size.pool for size in table.sizes.values()} & table.pools.keys()
    in_pods = sum(table.pools[name].slots for name in pools)
    return (
        Setting(
            "core",
            "executor",
            "CeleryExecutor,KubernetesExecutor",
            "The first runs every task that names none; the policy names the second one.",
        ),
        Setting(
            "core",
            "parallelism",
            str(on_workers + in_pods),
            "It bounds all executors of a scheduler together, so the default of 32 would leave "
            "workers idle and let long pods keep short tasks waiting.",
        ),
        Setting(
            "core",
            "default_pool_task_slot_count",
            str(on_workers),
            "Tasks on Celery take slots of default_pool; read once, as the database is set up.",
        ),
    )


def _celery(table: Workloads) -> tuple[Setting, ...]:
    return (
        Setting(
            "celery",
            "celery_config_options",
            "onchain_agg.routing.celery_config.CELERY_CONFIG",
            "Workers load what tasks import once, so that no task waits for it.",
        ),
        Setting(
            "celery_broker_transport_options",
            "visibility_timeout",
            str(visibility_timeout(table)),
            "Longer than any task of a Celery queue may run, and hours shorter than the default of "
            "a day, for which the message of a dead worker would be lost.",
        ),
    )


def _kubernetes(table: Workloads) -> tuple[Setting, ...]:
    section = "kubernetes_executor"
    template = template_path(table.size(table.default_size))
    return (
        Setting(
            "onchain_agg",
            "pod_templates",
            str(Path(template).parent),
            "Where the scheduler reads the templates; tasks name them by this path.",
        ),
        Setting(
            section,
            "pod_template_file",
            template,
            "KubernetesExecutor starts no pod without one.",
        ),
        *_pod_failures(section),
        Setting(
            section,
            "worker_pods_creation_batch_size",
            "8",
            "With the default of 1 a burst of pods starts one in each of the scheduler's loops.",
        ),
    )


def _pod_failures(section: str) -> tuple[Setting, ...]:
    return (
        Setting(
            section,
            "delete_worker_pods_on_failure",
            "True",
            "A failed pod that stays is reported again, which fails the retry that runs by then.",
        ),
        Setting(
            section,
            "task_publish_max_retries",
            "-1",
            "A full quota or an API server that is away is no reason to fail a task, and a number "
            "is used up in seconds; task_queued_timeout is the end of it.",
        ),
        Setting(
            section,
            "pod_launch_failure_retries",
            "3",
            "A pod that ends before its task began is started again without spending a try.",
        ),
        Setting(
            section,
            "pod_launch_failure_excluded_container_reasons",
            "",
            "By default a node that goes while a pod starts spends a try: the container's end by "
            "SIGTERM counts as an error.",
        ),
    )


def _all_tasks() -> tuple[Setting, ...]:
    return (
        Setting(
            "workers",
            "min_heartbeat_interval",
            "1",
            "With the default of 5 s a finished task can hold its slot for that long.",
        ),
        Setting(
            "scheduler",
            "scheduler_idle_sleep_time",
            "0.2",
            "A run of one short task takes 0.4 s instead of 2 s, for a twentieth of a core.",
        ),
        Setting(
            "scheduler",
            "task_queued_timeout",
            "1800",
            "A task's token expires after it too, and a spot node may take minutes to come.",
        ),
        Setting(
            "scheduler",
            "task_instance_heartbeat_timeout",
            "120",
            "A task whose worker vanished is tried again after two minutes instead of five.",
        ),
        Setting(
            "dag_processor",
            "refresh_interval",
            "60",
            "A new DAG file is seen after a minute instead of five.",
        ),
        Setting(
            "metrics",
            "legacy_names_on",
            "False",
            "Legacy names carry DAG and task in them, so there is a metric for each, twice.",
        ),
    )
