# Airflow makes `task.light` and `task.heavy` of provider info at run time; these are their types.
# A test compares the arguments with Airflow's own.

from collections.abc import Callable, Collection, Mapping, MutableMapping, Sequence
from datetime import datetime, timedelta
from typing import Any, TypedDict, Unpack, overload

from airflow.sdk import DAG, TaskGroup
from airflow.sdk.bases.decorator import FParams, FReturn, Task, TaskDecorator
from airflow.sdk.bases.operator import TaskPostExecuteHook, TaskPreExecuteHook
from airflow.sdk.definitions._internal.abstractoperator import TaskStateChangeCallback
from airflow.sdk.definitions.decorators import TaskDecoratorCollection
from airflow.sdk.definitions.retry_policy import RetryPolicy
from airflow.task.priority_strategy import PriorityWeightStrategy

from onchain_agg.routing.workloads import QueueName, SizeName

__all__ = ["task"]

_Callbacks = TaskStateChangeCallback | Collection[TaskStateChangeCallback] | None

class _Arguments(TypedDict, total=False):
    """What `@task` takes, but for the queue."""

    multiple_outputs: bool | None
    templates_dict: Mapping[str, Any] | None
    templates_exts: Sequence[str] | None
    show_return_value_in_logs: bool
    task_id: str
    owner: str
    email: str | Sequence[str] | None
    email_on_retry: bool
    email_on_failure: bool
    retries: int | None
    retry_delay: timedelta | float
    retry_exponential_backoff: float
    max_retry_delay: timedelta | float | None
    retry_policy: RetryPolicy | None
    start_date: datetime | None
    end_date: datetime | None
    depends_on_past: bool
    ignore_first_depends_on_past: bool
    wait_for_past_depends_before_skipping: bool
    wait_for_downstream: bool
    dag: DAG | None
    params: MutableMapping[str, Any] | None
    default_args: dict[str, Any] | None
    priority_weight: int
    weight_rule: str | PriorityWeightStrategy
    pool: str | None
    pool_slots: int
    sla: timedelta | None
    execution_timeout: timedelta | None
    on_execute_callback: _Callbacks
    on_failure_callback: _Callbacks
    on_success_callback: _Callbacks
    on_retry_callback: _Callbacks
    on_skipped_callback: _Callbacks
    pre_execute: TaskPreExecuteHook | None
    post_execute: TaskPostExecuteHook | None
    trigger_rule: str
    resources: dict[str, Any] | None
    run_as_user: str | None
    map_index_template: str | None
    max_active_tis_per_dag: int | None
    max_active_tis_per_dagrun: int | None
    executor: str | None
    executor_config: dict[str, Any] | None
    do_xcom_push: bool
    inlets: Any
    outlets: Any
    task_group: TaskGroup | None
    doc: str | None
    doc_md: str | None
    doc_json: str | None
    doc_yaml: str | None
    doc_rst: str | None
    task_display_name: str | None
    logger_name: str | None
    allow_nested_operators: bool
    render_template_as_native_obj: bool | None

class _RoutedDecorators(TaskDecoratorCollection):
    @overload
    def light(self, python_callable: Callable[FParams, FReturn]) -> Task[FParams, FReturn]:
        """Make the function a task on a Celery queue: short, frequent work.

        The queue brings its pool, timeout and retries; what is given beside it wins.

        :param queue: A queue of workloads.yaml. Default: Airflow's default queue.
        """

    @overload
    def light(
        self, *, queue: QueueName | str = ..., **arguments: Unpack[_Arguments]
    ) -> TaskDecorator: ...
    @overload
    def heavy(self, python_callable: Callable[FParams, FReturn]) -> Task[FParams, FReturn]:
        """Make the function a task in a pod of its own: long work, or much memory.

        The size brings its pod template, pool, timeout and retries; what is given beside it wins.
        When its spot node goes away, the task tidies up and goes on in another pod.

        :param size: A size of workloads.yaml. Default: the table's default_size.
        """

    @overload
    def heavy(
        self, *, size: SizeName | str = ..., **arguments: Unpack[_Arguments]
    ) -> TaskDecorator: ...

task: _RoutedDecorators
