"""Tasks whose worker goes while they run: by a kill, a SIGTERM, or a SIGQUIT."""

import time
from datetime import timedelta

from airflow.sdk import dag, get_current_context, task
from noting import await_flag, note, noted

from onchain_agg.routing.spot import resumable

_SOON = timedelta(seconds=1)
_HANGS_S = 300


def first_try() -> bool:
    """Return whether this is the task's first try."""
    return bool(get_current_context()["ti"].try_number == 1)


@dag(schedule=None)
def killed():
    @task(queue="whale_worker", retries=2, retry_delay=_SOON)
    def transfers():
        note("begin")
        # The second try goes on until the message of the first one has come back.
        time.sleep(_HANGS_S) if first_try() else await_flag("seen_again")
        note("done")

    transfers()


@dag(schedule=None)
def drained():
    @task(queue="ingest_worker", retries=2, retry_delay=_SOON)
    def blocks(number):
        note("begin")
        await_flag("drain")
        note("done")
        return number

    blocks.expand(number=[1, 2, 3, 4])


@dag(schedule=None)
def evicted():
    @task(queue="nft_worker", retries=2, retry_delay=_SOON)
    def short():
        note("begin")
        await_flag("evict")
        note("done")

    @task(queue="nft_worker", retries=2, retry_delay=_SOON)
    def parts():
        for part in resumable(range(3)):
            note(f"begin {part}")
            if part == 1 and noted("begin 1") == 1:
                time.sleep(_HANGS_S)
            note(f"done {part}")

    @task(queue="nft_worker", retries=2, retry_delay=_SOON)
    def deaf():
        note("begin")
        if first_try():
            time.sleep(_HANGS_S)
        note("done")

    short(), parts(), deaf()


killed()
drained()
evicted()
