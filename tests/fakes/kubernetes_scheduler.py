"""A scheduler's part for KubernetesExecutor: reads a DAG folder and has its pod tasks executed.

A program of its own, because the executor forks. Arguments: the DAG folder, and as JSON the options
of `[kubernetes_executor]` for each DAG, which gets an executor of its own. The last line that it
prints is JSON: import errors, what became of each pod task, and by DAG what stopped the executor.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any
from uuid import UUID

from airflow.dag_processing.dagbag import DagBag
from airflow.executors.workloads import ExecuteTask
from airflow.executors.workloads.base import BundleInfo
from airflow.executors.workloads.task import TaskInstanceDTO
from airflow.models.taskinstance import TaskInstance  # noqa: TID251 - what a scheduler works on
from airflow.providers.cncf.kubernetes.executors.kubernetes_executor import KubernetesExecutor
from airflow.serialization.serialized_objects import DagSerialization

_WAIT_S = 20.0


def main() -> None:
    folder, options = Path(sys.argv[1]), json.loads(sys.argv[2])
    bag = DagBag(folder, bundle_path=folder)
    told: dict[str, Any] = {"import_errors": bag.import_errors, "states": {}, "errors": {}}
    for dag_id, dag in sorted(bag.dags.items()):
        for option, value in options[dag_id].items():
            os.environ[f"AIRFLOW__KUBERNETES_EXECUTOR__{option.upper()}"] = value
        executor = KubernetesExecutor()
        # No number, so that it does not look for a scheduler's tasks in a metadata database.
        executor.job_id = "stub"
        executor.start()
        try:
            told["errors"][dag_id] = _execute(executor, _workloads(dag))
        finally:
            executor.end()
        told["states"] |= {key.task_id: state for key, (state, _) in executor.event_buffer.items()}
    print(json.dumps(told))  # noqa: T201 - what the test reads


def _workloads(dag: Any) -> list[ExecuteTask]:
    """Return the pod tasks of *dag*; a scheduler knows the DAG from its serialized form alone."""
    known = DagSerialization.from_dict(json.loads(json.dumps(DagSerialization.to_dict(dag))))
    return [
        ExecuteTask(
            ti=TaskInstanceDTO.model_validate(_instance(task), from_attributes=True),
            dag_rel_path=Path(known.relative_fileloc),
            token="a token",  # noqa: S106 - no server takes it
            log_path=f"{task.task_id}.log",
            bundle_info=BundleInfo(name="dags-folder"),
        )
        for task in known.task_dict.values()
        if task.executor == "KubernetesExecutor"
    ]


def _instance(task: Any) -> TaskInstance:
    map_index = 0 if task.is_mapped else -1
    instance = TaskInstance(task, dag_version_id=UUID(int=1), run_id="run", map_index=map_index)
    instance.id, instance.try_number = UUID(int=2), 1
    return instance


def _execute(executor: KubernetesExecutor, workloads: list[ExecuteTask]) -> str | None:
    """Let *executor* create the pods, and return the error that stopped it."""
    for workload in workloads:
        executor.queue_workload(workload, session=None)
    deadline = time.monotonic() + _WAIT_S
    try:
        while time.monotonic() < deadline:
            executor.heartbeat()
            if executor.task_queue.empty():
                return None
    # Whatever it is, it would have stopped the scheduler.
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return f"pods are left to create after {_WAIT_S} s"


if __name__ == "__main__":
    main()
