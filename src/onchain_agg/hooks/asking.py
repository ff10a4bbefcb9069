"""Questions that may never be answered, each in a thread that nobody has to wait for."""

from collections.abc import Callable
from concurrent.futures import Future
from contextvars import copy_context
from threading import Thread
from typing import TypeVar

T = TypeVar("T")


def asked(question: Callable[[], T]) -> "Future[T]":
    """Return the answer to come of *question*, or its error; it cannot be cancelled."""
    future: Future[T] = Future()
    future.set_running_or_notify_cancel()

    def run() -> None:
        try:
            future.set_result(question())
        except BaseException as error:
            # Raised where the answer is read.
            future.set_exception(error)

    # A daemon of its own: what never answers must neither keep the process from ending nor hold a
    # place in a pool that others wait for. The context carries where its log goes.
    Thread(target=copy_context().run, args=(run,), daemon=True).start()
    return future
