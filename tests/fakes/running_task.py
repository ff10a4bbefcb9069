"""A task without Airflow around it: its context, its store and Airflow's handler of SIGTERM."""

import os
import signal
import time
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest
from airflow.sdk.exceptions import AirflowRescheduleException
from airflow.sdk.execution_time.context import set_current_context

from onchain_agg.routing.spot import spot_safe

KEY = "onchain_agg.resumable.parts"


@dataclass
class FakeStore:
    kept: dict[str, object] = field(default_factory=dict)

    def get(self, key, default=None):
        return self.kept.get(key, default)

    def set(self, key, value):
        self.kept[key] = value

    @property
    def done(self):
        return self.kept[KEY]["done"]


@contextmanager
def running_task(store=None, *, spent=0, max_tries=3, clears=0, try_id="try-1"):
    """Be a task: with a context, and Airflow's own handler of SIGTERM."""
    context = {
        "ti": SimpleNamespace(id=f"{try_id}-{time.monotonic_ns()}", max_tries=max_tries),
        "task_reschedule_count": spent,
        "dag_run": SimpleNamespace(clear_number=clears),
    }
    if store is not None:
        context["task_state_store"] = store
    before = signal.signal(signal.SIGTERM, on_term)
    try:
        with set_current_context(context):
            yield
    finally:
        signal.signal(signal.SIGTERM, before)


def run(body, store=None, *, guarded=True, **task):
    """Run *body* as a task does, and let Airflow ask for the date of a reschedule."""
    with running_task(store, **task):
        try:
            with spot_safe() if guarded else nullcontext():
                body()
        except AirflowRescheduleException as reschedule:
            reschedule.asked = reschedule.reschedule_date
            raise


def on_term(_number, _frame):
    pytest.fail("SIGTERM went to the handler before")


def interrupt():
    os.kill(os.getpid(), signal.SIGTERM)
