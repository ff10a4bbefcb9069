"""SIGTERM at each step of a task's code and of what guards it, one after the other."""

import signal
import sys
from itertools import count
from types import SimpleNamespace

import pytest
from airflow.sdk.exceptions import AirflowRescheduleException

from onchain_agg.routing import checkpoint, interruption, spot
from onchain_agg.routing.spot import resumable
from tests.fakes.running_task import KEY, FakeStore, run

pytestmark = pytest.mark.airflow

# A `with` statement itself is not among them: Python handles no signal between it and its calls.
_FILES = {module.__file__ for module in (checkpoint, interruption, spot, signal)} | {__file__}


@pytest.mark.parametrize("guarded", [True, False])
def test_sigterm_at_any_step_spends_no_try_and_loses_no_part(monkeypatch, guarded):
    again = []
    threads = SimpleNamespace(start_new_thread=lambda *call: again.append(call))
    monkeypatch.setattr(interruption, "_thread", threads)
    ends = []

    for step in count():
        again.clear()
        ended = _interrupted_at(step, guarded=guarded)
        if ended is None:
            break
        ends.append((*ended, len(again)))

    assert set(ends) == {
        ("unguarded", "success", "ab", "ab", 2, 0),
        # What is sent again finds the task's code, or a task that went well.
        ("guarded", "success", "ab", "ab", 2, 1),
        ("guarded", "rescheduled", "", "", 0, 0),
        ("guarded", "rescheduled", "a", "", 0, 0),
        ("guarded", "rescheduled", "a", "a", 0, 0),
        ("guarded", "rescheduled", "a", "a", 1, 0),
        ("guarded", "rescheduled", "ab", "a", 1, 0),
        ("guarded", "rescheduled", "ab", "ab", 1, 0),
    }


def _interrupted_at(step, *, guarded):
    """Run a loop, with SIGTERM at *step*; return where that was, the end, and the parts.

    Those are the parts begun, the parts done, and how many of them are kept. A step is a call or a
    line; None where there are fewer of them.
    """
    begun, done, struck, store = [], [], [], FakeStore()

    def body():
        for part in resumable("ab"):
            begun.append(part)
            done.append(part)

    end = "success"
    before = sys.gettrace()
    sys.settrace(_interrupting(step, struck))
    try:
        run(body, store, guarded=guarded)
    except AirflowRescheduleException:
        end = "rescheduled"
    finally:
        sys.settrace(before)
    if not struck:
        return None
    kept = store.kept[KEY]["done"] if store.kept else 0
    return struck[0], end, "".join(begun), "".join(done), kept


def _interrupting(step, struck):
    """Return a trace function that calls the handler of SIGTERM at *step*, as Python would."""
    steps = count()

    def trace(frame, event, _):
        if frame.f_code.co_filename not in _FILES:
            return None
        if event in ("call", "line") and next(steps) == step:
            handler = signal.getsignal(signal.SIGTERM)
            is_guarded = getattr(handler, "__module__", None) == interruption.__name__
            struck.append("guarded" if is_guarded else "unguarded")
            if is_guarded:
                handler(signal.SIGTERM, frame)
        return trace

    return trace
