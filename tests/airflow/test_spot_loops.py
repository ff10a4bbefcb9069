"""Loops that are interrupted and resumed; SIGTERM goes to this very process."""

import asyncio
import re
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from airflow.sdk.exceptions import AirflowRescheduleException

from onchain_agg.errors import ConfigError, SourceError
from onchain_agg.routing.spot import resumable, spot_safe
from tests.fakes.running_task import FakeStore, interrupt, run, running_task

pytestmark = pytest.mark.airflow


def test_a_coroutines_bare_loop_ends_with_its_part():
    seen, store = [], FakeStore()

    async def work():
        for part in resumable(range(3)):
            if part == 1:
                interrupt()
            await asyncio.sleep(0)
            seen.append(part)

    with pytest.raises(AirflowRescheduleException):
        run(lambda: asyncio.run(work()), store, guarded=False)

    assert (seen, store.done) == ([0, 1], 1)


def test_a_bare_loop_raises_again_what_a_part_swallowed():
    seen, store = [], FakeStore()

    def body():
        for part in resumable(range(4)):
            try:
                if part == 2:
                    interrupt()
                seen.append(part)
            except Exception:
                seen.append("swallowed")

    with pytest.raises(AirflowRescheduleException):
        run(body, store, guarded=False)

    assert (seen, store.done) == ([0, 1, "swallowed"], 2)


def interrupted_at(part, name="parts"):
    for each in resumable("abcd", name=name):
        if each == part:
            interrupt()


@pytest.mark.parametrize("guarded", [True, False])
def test_a_loop_goes_on_with_the_part_that_was_interrupted(guarded):
    store = FakeStore()
    with pytest.raises(AirflowRescheduleException):
        run(lambda: interrupted_at("c"), store, guarded=guarded)

    with running_task(store, spent=1):
        left = list(resumable("abcd"))

    assert left == ["c", "d"]


@pytest.mark.parametrize(
    "clear",
    [
        pytest.param({"clears": 1, "max_tries": 4}, id="as it was over"),
        pytest.param({"clears": 1}, id="as it ran, or with fewer retries"),
        pytest.param({"max_tries": 4}, id="without its run"),
    ],
)
def test_a_loop_begins_anew_when_its_task_was_cleared(clear):
    store = FakeStore()
    with running_task(store):
        first = list(resumable("ab"))

    with running_task(store):
        retried = list(resumable("ab"))
    with running_task(store, **clear):
        cleared = list(resumable("ab"))

    assert (first, retried, cleared) == (["a", "b"], [], ["a", "b"])


def test_listing_the_parts_can_be_interrupted():
    listed = []

    def parts():
        for part in "ab":
            interrupt()
            listed.append(part)
            yield part

    with pytest.raises(AirflowRescheduleException):
        run(lambda: resumable(parts()), FakeStore())

    assert listed == []


def test_loops_of_one_task_are_told_apart_by_their_names():
    store = FakeStore()

    def body():
        list(resumable("abcd", name="load"))
        interrupted_at("b", name="publish")

    with pytest.raises(AirflowRescheduleException):
        run(body, store)

    with running_task(store):
        left = list(resumable("abcd", name="load")), list(resumable("abcd", name="publish"))

    assert left == ([], ["b", "c", "d"])


def test_two_loops_of_one_name_are_refused():
    message = (
        "resumable(…, name='parts'): this task has a loop of that name already. "
        "Give each loop a name of its own."
    )
    with running_task(FakeStore()):
        list(resumable("ab"))
        with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
            resumable("cd")


def test_parts_without_an_order_are_refused():
    message = "resumable(…): a set has another order in every process. Sort it first."
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        resumable({1, 2})


@pytest.mark.parametrize(
    ("spent", "bound"),
    [pytest.param(20, None, id="by default"), pytest.param(2, 2, id="as the loop says")],
)
@pytest.mark.parametrize("guarded", [True, False])
def test_an_interruption_beyond_the_bound_is_an_error_that_says_so(spent, bound, guarded):
    message = (
        f"SIGTERM interrupted this try {spent + 1} times, and it may be rescheduled {spent} times. "
        "Run the task on nodes that are not taken away (size 'on-demand'), make it shorter, or "
        "allow more: resumable(…, reschedules=…)."
    )

    def body():
        for _ in resumable("ab", reschedules=bound):
            interrupt()

    with pytest.raises(SourceError, match=f"^{re.escape(message)}$"):
        run(body, FakeStore(), guarded=guarded, spent=spent)


def test_the_body_of_a_guarded_task_may_set_the_bound():
    def body():
        with spot_safe(reschedules=1):
            interrupt()

    with pytest.raises(SourceError, match="interrupted this try 2 times"):
        run(body, spent=1)


def test_the_last_reschedule_of_the_bound_is_still_one():
    def body():
        for _ in resumable("ab", reschedules=2):
            interrupt()

    with pytest.raises(AirflowRescheduleException):
        run(body, FakeStore(), spent=1)


def test_a_loop_in_a_thread_stops_at_the_end_of_its_part():
    seen, store = [], FakeStore()

    def loop():
        for part in resumable(range(1000)):
            seen.append(part)
            time.sleep(0.01)

    def body():
        with ThreadPoolExecutor(1) as pool:
            pool.submit(loop)
            while len(seen) < 3:
                time.sleep(0.001)
            interrupt()

    with pytest.raises(AirflowRescheduleException):
        run(body, store)

    assert store.done == len(seen) - 1
    assert len(seen) < 100


def test_without_a_store_a_loop_does_every_part():
    with running_task(), spot_safe():
        assert list(resumable("ab")) == ["a", "b"]
