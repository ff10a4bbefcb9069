"""What Airflow does when pods go away, on a real API server, and what the package sets for it.

Findings of docs/adr/0016. Each test tells what was seen; one that fails after an upgrade of Airflow
says that a setting or a sentence there is due for another look. They run in order.
"""

from pathlib import Path

import pytest

from tests.e2e.stack import Wanted, stack

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(600)]

_DAGS = Path(__file__).with_name("dags")
_NEEDED = frozenset({"placed", "unplaced", "safe"})
# Of a task in the queue, and of a watch in which nothing happens; the recommended settings and the
# defaults are 1800 s and 30 s. What is asked is what comes after them.
_QUEUED_S, _WATCH_S = 90, 6
_OPTIONS = {
    "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT": str(_QUEUED_S),
    "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT_CHECK_INTERVAL": "2",
    "AIRFLOW__KUBERNETES_EXECUTOR__KUBE_CLIENT_REQUEST_ARGS": (
        f'{{"_request_timeout": [10, {_WATCH_S}]}}'
    ),
    # A scheduler whose heart has not beaten for so long is dead.
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "6",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "1",
}
# How often tasks and pods of dead schedulers are looked for, instead of every five minutes.
_LOOK_OFTEN = {"AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "3"}
_KEEP_FAILED = {"AIRFLOW__KUBERNETES_EXECUTOR__DELETE_WORKER_PODS_ON_FAILURE": "False"}
_AGAIN = "Kubernetes watch timed out waiting for events. Restarting watch."
_UNNOTICED = "Event: Failed to start pod"
_ONCE = [("begin", 1), ("done", 1)]
_TWICE = [("begin", 1), ("begin", 2), ("done", 2)]


@pytest.fixture(scope="module")
def airflow(local_plane, tmp_path_factory):
    """An Airflow whose long waits are short, with a node for small pods alone."""
    wanted = Wanted(
        dags=_DAGS,
        needed=_NEEDED,
        groups=("spot-small",),
        options=_OPTIONS,
        table=_DAGS / "short_grace.yaml",
    )
    with stack(local_plane, tmp_path_factory.getbasetemp(), wanted) as airflow:
        yield airflow


@pytest.fixture(scope="module")
def forgotten(airflow):
    """Return a run whose pod was deleted while it waited for a node."""
    run = airflow.trigger("unplaced")
    pod = _pod(airflow, run, "Pending")
    airflow.core.delete_namespaced_pod(pod.name, airflow.namespace, grace_period_seconds=0)
    airflow.wait(lambda: _UNNOTICED in airflow.scheduler_log(), "the executor's look at it", run)
    return run


def test_the_deletion_of_a_pod_that_waits_for_a_node_goes_unnoticed(airflow, forgotten):
    _await_watches(airflow, 2)

    assert airflow.tasks(forgotten)["work"]["state"] == "queued"
    assert [pod.deleted for pod in airflow.pods_of(forgotten, "work")] == [True]


def test_a_pod_that_fails_before_its_task_began_is_replaced_without_a_try(airflow):
    run = airflow.trigger("unplaced")
    pod = _pod(airflow, run, "Pending")
    _evict(airflow, pod)
    airflow.wait(lambda: len(airflow.pods_of(run, "work")) == 2, "another pod", run)
    airflow.nodes.start("spot-cpu")
    _await_noted(airflow, run, ("begin", 1))
    # A failed pod that is deleted is not told of again.
    _await_watches(airflow, 2)
    airflow.release(run)
    task = airflow.finish(run)["work"]

    assert task["try_number"] == 1
    assert airflow.noted(run) == _ONCE
    first, second = airflow.pods_of(run, "work")
    assert (first.phases, second.phases[0]) == (("Pending", "Failed"), "Pending")


def test_a_running_pod_that_is_deleted_costs_a_try(airflow):
    run = airflow.trigger("placed")
    _await_noted(airflow, run, ("begin", 1))

    _delete(airflow, _pod(airflow, run, "Running"), 2)
    _await_noted(airflow, run, ("begin", 2))
    airflow.release(run)
    task = airflow.finish(run)["work"]

    assert task["try_number"] == 2
    assert airflow.noted(run) == _TWICE
    assert [pod.try_number for pod in airflow.pods_of(run, "work")] == [1, 2]


def test_a_spot_safe_task_whose_pod_is_deleted_keeps_its_try(airflow):
    run = airflow.trigger("safe")
    _await_noted(airflow, run, ("begin", 1))

    _delete(airflow, _pod(airflow, run, "Running"), 8)
    airflow.wait(lambda: airflow.noted(run) == [("begin", 1)] * 2, "another start", run)
    airflow.release(run)
    task = airflow.finish(run)["work"]

    assert task["try_number"] == 1
    assert airflow.noted(run) == [("begin", 1), *_ONCE]
    assert [pod.try_number for pod in airflow.pods_of(run, "work")] == [1, 1]


def test_a_task_whose_waiting_pod_was_deleted_is_queued_again_in_the_end(airflow, forgotten):
    _await_noted(airflow, forgotten, ("begin", 1))
    airflow.release(forgotten)
    task = airflow.finish(forgotten)["work"]

    assert "will try to requeue" in airflow.scheduler_log()
    assert task["try_number"] == 1
    assert airflow.noted(forgotten) == _ONCE
    assert [pod.try_number for pod in airflow.pods_of(forgotten, "work")] == [1, 1]


def test_a_pod_outlives_a_restart_of_the_api_server(airflow):
    run = airflow.trigger("placed")
    _await_noted(airflow, run, ("begin", 1))

    airflow.plane.restart()
    airflow.release(run)
    task = airflow.finish(run)["work"]
    airflow.wait(lambda: _all_gone(airflow, run), "the pod's end", run)

    assert task["try_number"] == 1
    assert airflow.noted(run) == _ONCE
    assert len(airflow.pods_of(run, "work")) == 1


def test_a_pod_is_created_once_the_api_server_is_back(airflow):
    # While it has a pod to delete, the executor tries nothing else.
    _await_watches(airflow, 1)
    airflow.plane.server.kill()
    run = airflow.trigger("placed")
    # Airflow's default fails the task at the first time, any other number within seconds.
    again = "[Try 7 of -1] Transient connection error creating pod"
    airflow.wait(lambda: again in airflow.scheduler_log(), "the executor's patience", run)
    airflow.plane.restart()
    airflow.release(run)
    task = airflow.finish(run)["work"]

    assert task["try_number"] == 1
    assert airflow.noted(run) == _ONCE
    assert len(airflow.pods_of(run, "work")) == 1


def test_the_next_scheduler_takes_over_the_pods_of_a_dead_one(airflow):
    lives, fails = airflow.trigger("placed"), airflow.trigger("placed")
    for run in (lives, fails):
        _await_noted(airflow, run, ("begin", 1))
    name = _pod(airflow, lives, "Running").name
    before = _owner(airflow, name)

    broken = _pod(airflow, fails, "Running").uid
    airflow.kill_scheduler()
    # Nobody is there to hear of it.
    airflow.nodes.kill_task(broken)
    airflow.start_scheduler(**_LOOK_OFTEN)
    airflow.wait(lambda: _owner(airflow, name) != before, "the adoption", lives)
    _await_noted(airflow, fails, ("begin", 2))
    for run in (lives, fails):
        airflow.release(run)
    tries = [airflow.finish(run)["work"]["try_number"] for run in (lives, fails)]
    airflow.wait(lambda: _all_gone(airflow, lives), "the pod's end", lives)

    assert tries == [1, 2]
    assert airflow.noted(lives) == _ONCE
    assert airflow.noted(fails) == _TWICE
    assert len(airflow.pods_of(lives, "work")) == 1


def test_a_scheduler_that_looks_for_orphans_ends_without_the_api_server(airflow):
    run = airflow.trigger("placed")
    _await_noted(airflow, run, ("begin", 1))

    airflow.plane.server.kill()
    airflow.wait(lambda: not airflow.has_scheduler(), "the scheduler's end", run)
    airflow.plane.restart()
    # As its Deployment does.
    airflow.start_scheduler(**_LOOK_OFTEN)
    airflow.release(run)
    task = airflow.finish(run)["work"]
    airflow.wait(lambda: _all_gone(airflow, run), "the pod's end", run)

    assert task["try_number"] == 1
    assert airflow.noted(run) == _ONCE


@pytest.fixture(scope="module")
def kept(airflow):
    """Return two runs under a scheduler that keeps failed pods, both with a failed pod behind them.

    The first one's failed before its task began and was replaced, the other's while it ran.
    """
    airflow.kill_scheduler()
    airflow.start_scheduler(**_LOOK_OFTEN, **_KEEP_FAILED)
    airflow.nodes.kill_group("spot-cpu")
    replaced, tried = airflow.trigger("unplaced"), airflow.trigger("placed")
    _evict(airflow, _pod(airflow, replaced, "Pending"))
    airflow.wait(lambda: len(airflow.pods_of(replaced, "work")) == 2, "another pod", replaced)
    airflow.nodes.start("spot-cpu")
    _await_noted(airflow, tried, ("begin", 1))
    airflow.nodes.kill_task(_pod(airflow, tried, "Running").uid)
    _await_noted(airflow, replaced, ("begin", 1))
    _await_noted(airflow, tried, ("begin", 2))
    return replaced, tried


def test_a_failed_pod_that_is_kept_fails_the_start_that_replaced_it(airflow, kept):
    replaced, _ = kept
    _await_noted(airflow, replaced, ("begin", 2))
    # Nobody deletes its pod: the first start runs beside the second until its heartbeat is refused.
    airflow.wait(lambda: _has_ended(airflow, replaced, 1), "the end of the first start", replaced)
    airflow.release(replaced)
    task = airflow.finish(replaced)["work"]

    # A try was spent on nothing: its task ran well until the watch began anew.
    assert task["try_number"] == 2
    assert airflow.noted(replaced) == _TWICE


def test_a_failed_pod_that_is_kept_does_not_hurt_a_later_try(airflow, kept):
    _, tried = kept
    _await_watches(airflow, 2)

    assert airflow.tasks(tried)["work"]["state"] == "running"
    airflow.release(tried)
    assert airflow.finish(tried)["work"]["try_number"] == 2
    assert airflow.noted(tried) == _TWICE


def _pod(airflow, run, phase):
    """Return the newest pod of *run*, once it is in *phase*."""
    airflow.wait(
        lambda: [p.phases[-1] for p in airflow.pods_of(run, "work")][-1:] == [phase], phase, run
    )
    return airflow.pods_of(run, "work")[-1]


def _delete(airflow, pod, grace_s):
    airflow.core.delete_namespaced_pod(pod.name, airflow.namespace, grace_period_seconds=grace_s)


def _evict(airflow, pod):
    """Mark *pod* as a node that runs out of disk or memory does."""
    status = {"phase": "Failed", "reason": "Evicted", "message": "The node was low on disk."}
    airflow.core.patch_namespaced_pod_status(pod.name, airflow.namespace, {"status": status})


def _owner(airflow, name):
    """Return the id of the scheduler that the pod belongs to."""
    pod = airflow.core.read_namespaced_pod(name, airflow.namespace)
    return pod.metadata.labels["airflow-worker"]


def _has_ended(airflow, run, number):
    """Return whether the pod of that number, from 0 on, runs no more."""
    return airflow.pods_of(run, "work")[number].phases[-1] in ("Succeeded", "Failed")


def _all_gone(airflow, run):
    return all(pod.deleted for pod in airflow.pods_of(run, "work"))


def _await_noted(airflow, run, what):
    airflow.wait(lambda: what in airflow.noted(run), f"{what}", run)


def _await_watches(airflow, count):
    """Wait until the executor has opened its watch anew *count* times more."""
    wanted = airflow.scheduler_log().count(_AGAIN) + count
    airflow.wait(lambda: airflow.scheduler_log().count(_AGAIN) >= wanted, "its next watch")
