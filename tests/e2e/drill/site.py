"""The stack of a drill: smaller nodes and shorter waits than deployed, and nothing else of its own.

What takes a deployment minutes is shortened, so that a drill ends: the grace of pods, how long a
lost worker's tasks are waited for, and how long a pod may stay away. What happens stays the same.
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from onchain_agg.local.workers import local_workers
from onchain_agg.routing import pod_templates
from onchain_agg.routing.workload_file import PACKAGED, load_workloads
from onchain_agg.routing.workloads import Pool
from tests.e2e.control_plane import LocalControlPlane, control_plane
from tests.e2e.drill.field import Field
from tests.e2e.stack import Wanted, stack

_TABLE = Path(__file__).with_name("workloads.yaml")
_GROUP = "spot-small"
_NODES = 2
_MOST_PODS_A_NODE = 4
# More tasks at a time than nodes take pods, so that some pods wait, but few, for a pod that waits
# too long is taken for lost.
_WAITING = 2
_DAGS = frozenset({"drill_pods", "drill_pods_plain", "drill_workers", "drill_workers_plain"})
_OPTIONS = {
    "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "30",
    "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
    # A deleted pod that no node had taken is noticed by this alone.
    "SCHEDULER__TASK_QUEUED_TIMEOUT": "90",
    "SCHEDULER__TASK_QUEUED_TIMEOUT_CHECK_INTERVAL": "5",
    # As often as this may a pod go before its task began.
    "SCHEDULER__NUM_STUCK_IN_QUEUED_RETRIES": "20",
    # After which a killed scheduler's tasks are another one's.
    "SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "15",
    "SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "15",
    "CELERY__EXTRA_CELERY_CONFIG": '{"worker_soft_shutdown_timeout": 2}',
}


@contextmanager
def drill_field(folder: Path, tasks: int, drawing: random.Random) -> Iterator[Field]:
    """Yield a stack for a drill of *tasks* in pods, with its servers' files in *folder*.

    Raises:
        MissingProgramError: A program of the control plane is missing.
        TypeError: KUBECONFIG names a cluster; its servers are not the drill's to kill.
    """
    table = load_workloads(PACKAGED, _TABLE)
    pod_templates.write(folder / "templates", table)
    (shared := folder / "shared").mkdir()
    with control_plane(folder / "cluster") as plane:
        if not isinstance(plane, LocalControlPlane):
            raise TypeError("the drill kills servers of its cluster: unset KUBECONFIG")
        with stack(plane, shared, _wanted(folder / "templates")) as made:
            pods_a_node = max(1, min(_MOST_PODS_A_NODE, (tasks - _WAITING) // _NODES))
            slots = _NODES * pods_a_node + _WAITING
            made.api.set_pools({"heavy": Pool(slots=slots, description="The drill's pods.")})
            field = Field(
                plane=plane,
                stack=made,
                group=_GROUP,
                pods_a_node=pods_a_node,
                worker=next(one for one in local_workers(table) if "whale_worker" in one.queues),
                grace_s=int(table.grace.total_seconds()),
                drawing=drawing,
            )
            for _ in range(_NODES):
                field.start_node()
            yield field


def _wanted(templates: Path) -> Wanted:
    return Wanted(
        dags=Path(__file__).parent / "dags",
        needed=_DAGS,
        groups=(),
        options={
            **{f"AIRFLOW__{name}": value for name, value in _OPTIONS.items()},
            "ONCHAIN_AGG_POD_TEMPLATES": str(templates),
            "AIRFLOW__ONCHAIN_AGG__POD_TEMPLATES": str(templates),
            "AIRFLOW__KUBERNETES_EXECUTOR__POD_TEMPLATE_FILE": str(templates / "small.yaml"),
        },
        table=_TABLE,
    )
