"""The settings and the commands that the table of queues leads to."""

from dataclasses import replace
from datetime import timedelta

import pytest
from celery.utils.nodenames import host_format, nodesplit
from hypothesis import given
from hypothesis import strategies as st

from onchain_agg.routing.recommended import (
    finishing_time,
    recommended_settings,
    visibility_timeout,
    worker_arguments,
    worker_command,
)
from onchain_agg.routing.workload_file import PACKAGED, load_workloads

_TABLE = load_workloads(PACKAGED)


def _with_timeout(minutes: int):
    queue = _TABLE.queue("default").model_copy(update={"timeout": timedelta(minutes=minutes)})
    return replace(_TABLE, queues={**_TABLE.queues, "default": queue})


def test_the_packaged_table_leads_to_these_settings(monkeypatch):
    monkeypatch.setenv("ONCHAIN_AGG_POD_TEMPLATES", "/opt/airflow/pod_templates")

    settings = {f"{one.section}.{one.option}": one.value for one in recommended_settings(_TABLE)}

    assert settings == {
        "core.executor": "CeleryExecutor,KubernetesExecutor",
        "core.parallelism": "368",
        "core.default_pool_task_slot_count": "352",
        "celery.celery_config_options": "onchain_agg.routing.celery_config.CELERY_CONFIG",
        "celery_broker_transport_options.visibility_timeout": "4200",
        "onchain_agg.pod_templates": "/opt/airflow/pod_templates",
        "kubernetes_executor.pod_template_file": "/opt/airflow/pod_templates/small.yaml",
        "kubernetes_executor.delete_worker_pods_on_failure": "True",
        "kubernetes_executor.task_publish_max_retries": "-1",
        "kubernetes_executor.pod_launch_failure_retries": "3",
        "kubernetes_executor.pod_launch_failure_excluded_container_reasons": "",
        "kubernetes_executor.worker_pods_creation_batch_size": "8",
        "workers.min_heartbeat_interval": "1",
        "scheduler.scheduler_idle_sleep_time": "0.2",
        "scheduler.task_queued_timeout": "1800",
        "scheduler.task_instance_heartbeat_timeout": "120",
        "dag_processor.refresh_interval": "60",
        "metrics.legacy_names_on": "False",
    }


def test_every_setting_has_a_reason_in_one_sentence():
    reasons = [one.reason for one in recommended_settings(_TABLE)]

    assert [text for text in reasons if not text.endswith(".") or text.count(". ")] == []
    assert len(set(reasons)) == len(reasons)


def test_a_setting_names_its_environment_variable():
    variables = [one.variable for one in recommended_settings(_TABLE)]

    assert "AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__VISIBILITY_TIMEOUT" in variables
    assert len(set(variables)) == len(variables)


def test_parallelism_leaves_room_for_full_workers_and_full_pools():
    heavy = _TABLE.pools["heavy"].model_copy(update={"slots": 100})
    wider = replace(_TABLE, pools={"heavy": heavy})

    settings = {one.option: one.value for one in recommended_settings(wider)}

    assert settings["parallelism"] == str(352 + 100)


@given(st.integers(1, 7 * 24 * 60))
def test_no_task_outlives_the_visibility_timeout(minutes):
    table = _with_timeout(minutes)

    longest = max(queue.timeout for queue in table.queues.values())
    assert visibility_timeout(table) == longest.total_seconds() + 600


def test_a_table_without_celery_queues_still_has_a_visibility_timeout():
    assert visibility_timeout(replace(_TABLE, queues={})) == 600


@pytest.mark.parametrize(("grace", "seconds"), [(100, 60), (40, 0), (30, 0)])
def test_tasks_finish_while_the_grace_lasts_but_for_the_time_to_clean_up(grace, seconds):
    assert finishing_time(replace(_TABLE, grace=timedelta(seconds=grace))) == seconds


def test_a_queues_worker_serves_it_alone_under_its_name():
    assert worker_command(_TABLE.queue("nft_worker")) == (
        *("airflow", "celery", "worker", "--queues", "nft_worker", "--concurrency", "8"),
        *("--celery-hostname", "nft_worker@%h", "--without-mingle", "--without-gossip"),
    )


def test_the_worker_of_a_queue_with_capitals_and_dots_has_a_name_that_celery_takes():
    queue = _TABLE.queue("default").model_copy(update={"name": "ETL.high"})

    name = worker_command(queue)[worker_command(queue).index("--celery-hostname") + 1]

    assert name == "ETL.high@%h"
    assert host_format(name, host="node.example") == "ETL.high@node.example"
    assert nodesplit("ETL.high@node.example") == ["ETL.high", "node.example"]


def test_a_worker_may_serve_several_queues():
    assert worker_arguments("light", ("default", "ingest_worker"), 2)[2:6] == (
        *("--queues", "default,ingest_worker"),
        *("--concurrency", "2"),
    )
