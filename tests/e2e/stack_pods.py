"""Which pods there were: the executor deletes a pod as soon as its task has ended."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from urllib3.exceptions import HTTPError

_AGAIN_S = 0.2
# The stream is opened anew, so that the thread notices that it should end.
_STREAM_S = 2
_NAMES = ("dag_id", "task_id", "run_id")


@dataclass(frozen=True)
class SeenPod:
    """A task's pod as it was when it was last seen.

    Attributes:
        node: Node that it was placed on; None where it was on none.
        size: Size of the template that it was made from.
        phases: All that were seen, in order.
        deleted: Whether it is gone.
    """

    name: str
    uid: str
    dag_id: str
    task_id: str
    run_id: str
    try_number: int
    map_index: int
    size: str
    node: str | None
    phases: tuple[str, ...]
    deleted: bool


class PodRecorder:
    """Keeps every pod of a namespace that it saw, the first ones first."""

    def __init__(self, core: Any, namespace: str) -> None:
        self._core = core
        self._namespace = namespace
        self._seen: dict[str, SeenPod] = {}
        self._done = threading.Event()

    def all(self) -> list[SeenPod]:
        """Return the pods that were seen so far."""
        return list(self._seen.values())

    def of(self, run_id: str, task_id: str) -> list[SeenPod]:
        """Return those of one task."""
        return [p for p in self.all() if (p.run_id, p.task_id) == (run_id, task_id)]

    @contextmanager
    def recording(self) -> Iterator["PodRecorder"]:
        """Look at pods while the block runs."""
        thread = threading.Thread(target=self._follow, name="pods", daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._done.set()
            thread.join(timeout=10 * _STREAM_S)

    def _follow(self) -> None:
        from kubernetes import watch
        from kubernetes.client.exceptions import ApiException

        listing, options = self._core.list_namespaced_pod, {"timeout_seconds": _STREAM_S}
        while not self._done.is_set():
            try:
                # Each stream begins with all pods, so a gap between two loses only what came and
                # went in it.
                for event in watch.Watch().stream(listing, self._namespace, **options):
                    self._note(event["type"], event["object"])
            except (ApiException, HTTPError):
                # The API server is down for the moment.
                time.sleep(_AGAIN_S)

    def _note(self, event: str, pod: Any) -> None:
        told = pod.metadata.annotations or {}
        if not set(_NAMES) <= set(told):
            return
        name, phase = pod.metadata.name, pod.status.phase
        known = self._seen.get(name)
        phases = known.phases if known else ()
        self._seen[name] = SeenPod(
            name=name,
            uid=pod.metadata.uid,
            **{one: told[one] for one in _NAMES},
            try_number=int(told["try_number"]),
            map_index=int(told.get("map_index", -1)),
            size=pod.metadata.labels["onchain-agg/size"],
            node=pod.spec.node_name,
            phases=phases if phases[-1:] == (phase,) else (*phases, phase),
            deleted=event == "DELETED",
        )
