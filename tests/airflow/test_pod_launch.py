"""What the recommended settings make of a pod that ended before its task began."""

import pytest
from airflow.providers.cncf.kubernetes.executors.kubernetes_executor import KubernetesExecutor

from onchain_agg.routing.recommended import recommended_settings
from onchain_agg.routing.workload_file import PACKAGED, load_workloads

pytestmark = pytest.mark.airflow

# As a kubelet reports a container whose first process ended by SIGTERM.
_DRAINED = {"pod_status": "Failed", "container_reason": "Error", "exit_code": 143}


@pytest.fixture
def executor(monkeypatch):
    for one in recommended_settings(load_workloads(PACKAGED)):
        monkeypatch.setenv(one.variable, one.value)
    return KubernetesExecutor()


def _launched_again(executor, state):
    reasons = executor.pod_launch_failure_excluded_container_reasons
    return executor._is_pre_execution_failure("failed", state, _DRAINED, reasons)


def test_a_pod_that_was_drained_as_it_started_is_launched_again_and_spends_no_try(executor):
    assert _launched_again(executor, "queued")
    assert executor.pod_launch_failure_max_retries == 3


def test_a_pod_whose_task_began_is_not_launched_again(executor):
    assert not _launched_again(executor, "running")
