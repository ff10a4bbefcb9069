"""SIGTERM in this very process, which stands for the task's."""

import asyncio
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from airflow.sdk.exceptions import AirflowRescheduleException, AirflowTaskTimeout

from onchain_agg.routing.spot import resumable, spot_safe
from tests.fakes.running_task import FakeStore, interrupt, on_term, run, running_task

pytestmark = pytest.mark.airflow

# The packaged table's grace, and the margin.
DELAY = timedelta(seconds=110)


def answer_of_supervisor():
    """Return an answer although SIGTERM arrives while it is awaited."""
    names = {"__name__": "airflow.sdk.execution_time.comms", "interrupt": interrupt}
    exec("def send():\n    interrupt()\n    return 'answer'", names)  # noqa: S102 - a module's name
    return names["send"]()


def test_an_interruption_passes_except_exception_and_runs_finally():
    seen = []

    def body():
        try:
            interrupt()
        except Exception:
            seen.append("swallowed")
        finally:
            seen.append("cleanup")

    before = datetime.now(UTC)  # noqa: TID251 - a reschedule's date is a matter of the clock
    with pytest.raises(AirflowRescheduleException) as ended:
        run(body)
    after = datetime.now(UTC)  # noqa: TID251 - as above

    assert seen == ["cleanup"]
    assert before + DELAY <= ended.value.asked <= after + DELAY


def test_a_second_sigterm_leaves_cleanup_alone():
    seen = []

    def body():
        try:
            interrupt()
        finally:
            seen.append("first")
            interrupt()
            seen.append("second")

    with pytest.raises(AirflowRescheduleException):
        run(body)

    assert seen == ["first", "second"]


def test_an_error_of_cleanup_does_not_spend_a_try():
    def body():
        try:
            interrupt()
        finally:
            raise OSError("connection is closed")

    with pytest.raises(AirflowRescheduleException) as ended:
        run(body)

    assert str(ended.value.__cause__) == "connection is closed"


def test_swallowing_the_interruption_is_no_success():
    def body():
        with suppress(BaseException):
            interrupt()

    with pytest.raises(AirflowRescheduleException):
        run(body)


@pytest.mark.parametrize("error", [AirflowTaskTimeout("too long"), ValueError("wrong")])
def test_any_other_end_passes_and_keeps_the_checkpoint(error):
    store = FakeStore()

    def body():
        for part in resumable(range(3)):
            if part == 2:
                raise error

    with pytest.raises(type(error)) as ended:
        run(body, store)

    assert ended.value is error
    assert store.done == 2


def test_a_timeout_during_cleanup_is_a_timeout():
    def body():
        try:
            interrupt()
        finally:
            raise AirflowTaskTimeout("too long")

    with pytest.raises(AirflowTaskTimeout, match=r"^too long$"):
        run(body)


@pytest.mark.parametrize("body", [lambda: None, interrupt])
def test_the_handler_before_is_restored(body):
    with running_task():
        with suppress(AirflowRescheduleException), spot_safe():
            body()
        guarded = signal.getsignal(signal.SIGTERM)
        list(resumable(range(2)))
        looped = signal.getsignal(signal.SIGTERM)

    assert (guarded, looped) == (on_term, on_term)


def test_an_answer_of_the_supervisor_is_awaited_first():
    seen = []

    def body():
        seen.append(answer_of_supervisor())
        time.sleep(10)
        seen.append("slept")

    with pytest.raises(AirflowRescheduleException):
        run(body)

    assert seen == ["answer"]


def test_a_forked_process_ends_by_sigterm_as_ever():
    ready, told = os.pipe()

    with running_task(), spot_safe():
        child = os.fork()
        if not child:
            os.write(told, b"!")
            time.sleep(10)
            os._exit(0)
        os.read(ready, 1)
        os.kill(child, signal.SIGTERM)
        _, status = os.waitpid(child, 0)

    assert os.WTERMSIG(status) == signal.SIGTERM


def test_coroutines_are_cancelled_and_tidy_up():
    seen = []

    async def wait():
        try:
            asyncio.get_running_loop().call_later(0.05, interrupt)
            await asyncio.sleep(10)
        finally:
            seen.append("cleanup")

    with pytest.raises(AirflowRescheduleException):
        run(lambda: asyncio.run(wait()))

    assert seen == ["cleanup"]


def test_a_cancellation_of_the_tasks_own_passes():
    async def give_up():
        asyncio.current_task().cancel()
        await asyncio.sleep(10)

    with pytest.raises(asyncio.CancelledError):
        run(lambda: asyncio.run(give_up()))


def test_a_task_outside_the_main_thread_runs_unprotected():
    def task():
        with spot_safe():
            return list(resumable("ab"))

    with running_task(FakeStore()), ThreadPoolExecutor(1) as pool:
        parts = pool.submit(task).result()
        handler = signal.getsignal(signal.SIGTERM)

    assert (parts, handler) == (["a", "b"], on_term)


def test_outside_a_task_it_only_iterates():
    before = signal.getsignal(signal.SIGTERM)

    with spot_safe():
        parts = list(resumable(iter("ab")))
        handler = signal.getsignal(signal.SIGTERM)

    assert (parts, handler) == (["a", "b"], before)
