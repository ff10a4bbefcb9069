"""Parts of the local Airflow are started, remembered, and stopped one by one or together."""

import os
import signal
import sys

import psutil
import pytest

from onchain_agg.errors import ConfigError
from onchain_agg.local import processes
from onchain_agg.local.environment import Site
from onchain_agg.local.processes import Program

# A worker ends by itself on SIGTERM; its children must not get the signal from anyone but it.
_WORKER = """
import signal, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1.5); print('done')"])
signal.signal(signal.SIGTERM, lambda *_: None)
print("ready", flush=True)
signal.pause()
child.wait()
"""
_SLEEPER = Program("api-server", ("sleep", "60"))


@pytest.fixture
def site(tmp_path):
    """Yield a site whose parts are stopped after the test."""
    site = Site(home=tmp_path / "airflow", dags=tmp_path, port=1, quick=False)
    yield site
    processes.stop(site.home)


def _worker(name="worker-a"):
    return Program(name, (sys.executable, "-c", _WORKER))


def _ready(site, name):
    log = site.logs / f"{name}.log"
    processes.wait_until(lambda: "ready" in log.read_text(), 20, f"{name} did not get ready")


def test_a_part_can_be_stopped_alone_and_started_again_beside_the_rest(site):
    first, rest = processes.start(site, {}, [_worker(), _SLEEPER])
    _ready(site, "worker-a")

    stopped = processes.stop(site.home, {"worker-a"})
    both = processes.start(site, {}, [_worker()], beside=processes.running(site.home))

    assert stopped == (first,)
    assert [part.name for part in both] == ["api-server", "worker-a"]
    assert both[0] == rest
    assert both[1].pid != first.pid
    assert processes.running(site.home) == both


def test_a_workers_tasks_end_before_it_does(site):
    processes.start(site, {}, [_worker()])
    _ready(site, "worker-a")

    processes.stop(site.home)

    assert (site.logs / "worker-a.log").read_text() == "ready\ndone\n"


def test_a_second_start_is_refused_unless_it_names_what_runs(site):
    processes.start(site, {}, [_SLEEPER])

    with pytest.raises(ConfigError) as caught:
        processes.start(site, {}, [_worker()])

    assert str(caught.value) == (
        f"A local Airflow of {site.home} runs already. Stop it with `make down`, "
        "or choose another ONCHAIN_AGG_HOME."
    )


def test_a_part_that_ended_is_told_with_the_last_line_of_its_log(site):
    code = "print('starting', flush=True); print('no such broker.')"
    (part,) = processes.start(site, {}, [Program("worker-b", (sys.executable, "-c", code))])
    processes.wait_until(lambda: not part.alive(), 20, "it did not end")

    with pytest.raises(ConfigError) as caught:
        processes.check_alive(site, [part])

    assert str(caught.value) == (
        f"Airflow's worker-b ended: no such broker. Its log is {site.logs / 'worker-b.log'}."
    )


def test_what_a_killed_part_left_behind_is_stopped_too(site):
    patient = _WORKER.replace("time.sleep(1.5)", "time.sleep(60)")
    (worker,) = processes.start(site, {}, [Program("worker-a", (sys.executable, "-c", patient))])
    _ready(site, "worker-a")
    (child,) = psutil.Process(worker.pid).children()
    os.kill(worker.pid, signal.SIGKILL)
    processes.wait_until(lambda: not worker.alive(), 10, "the worker did not end")

    assert child.is_running()
    assert processes.stop(site.home) == ()
    assert not child.is_running()
