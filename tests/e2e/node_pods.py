"""Pods for tests of the node, and what became of them."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

_WITHIN_S = 90.0
_AGAIN_S = 0.05
_GROUP = "onchain-agg/node-group"


def pod(name: str, *script: str, group: str = "spot-small", **spec: Any) -> dict[str, Any]:
    """Return a pod of *group* whose container runs *script* with bash; *spec* adds or replaces."""
    own = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 20,
        "nodeSelector": {_GROUP: group},
        "tolerations": [{"key": _GROUP, "value": group, "effect": "NoSchedule"}],
        "containers": [container("base", *script)],
    }
    return {"metadata": {"name": name}, "spec": {**own, **spec}}


def container(name: str, *script: str, **fields: Any) -> dict[str, Any]:
    """Return a container that runs the lines of *script* by the image's entry point."""
    args = ["bash", "-c", "\n".join(script)]
    return {"name": name, "image": "onchain-agg:0.1.0", "args": args, **fields}


class Pods:
    """The pods of one namespace."""

    def __init__(self, api: "ApiClient", namespace: str) -> None:
        from kubernetes import client

        self.core = client.CoreV1Api(api)
        self.namespace = namespace

    def create(self, body: dict[str, Any]) -> str:
        """Create a pod and return its name."""
        return str(self.core.create_namespaced_pod(self.namespace, body).metadata.name)

    def read(self, name: str) -> Any:
        """Return the pod, or None where there is none."""
        from kubernetes.client.exceptions import ApiException

        try:
            return self.core.read_namespaced_pod(name, self.namespace)
        except ApiException as error:
            if error.status != 404:
                raise
            return None

    def run(self, body: dict[str, Any]) -> Any:
        """Create a pod and return it once it has ended."""
        return self.ended(self.create(body))

    def ended(self, name: str) -> Any:
        """Return the pod once it has ended."""
        return self.when(name, lambda one: one.status.phase in ("Succeeded", "Failed"))

    def started(self, name: str) -> Any:
        """Return the pod once what it runs has printed a line."""
        self.when(name, lambda one: one.status.phase == "Running")
        return self.when(name, lambda _: self.log(name) != "")

    def log(self, name: str, container: str = "base") -> str:
        """Return what a container printed, as the API server gets it from the node."""
        answer = self.core.read_namespaced_pod_log(
            name, self.namespace, container=container, _preload_content=False
        )
        return str(answer.data.decode())

    def delete(self, name: str, grace_s: int | None = None) -> Any:
        """Delete a pod and return its last state, once it is gone."""
        return self.gone(
            name,
            lambda: self.core.delete_namespaced_pod(
                name, self.namespace, grace_period_seconds=grace_s
            ),
        )

    def gone(self, name: str, end: Callable[[], Any]) -> Any:
        """Call *end* and return the last state of the pod, once it is gone."""
        from kubernetes import watch

        version = self.read(name).metadata.resource_version
        end()
        stream = watch.Watch().stream(
            self.core.list_namespaced_pod,
            self.namespace,
            field_selector=f"metadata.name={name}",
            resource_version=version,
            timeout_seconds=round(_WITHIN_S),
        )
        last = next((event["object"] for event in stream if event["type"] == "DELETED"), None)
        assert last is not None, f"{name} is still there: {self.read(name).status}"
        return last

    def when(self, name: str, holds: Callable[[Any], bool]) -> Any:
        """Return the pod once *holds* of it."""
        deadline = time.monotonic() + _WITHIN_S
        while not holds(found := self.read(name)):
            assert time.monotonic() < deadline, f"{name}: {found and found.status}"
            time.sleep(_AGAIN_S)
        return found


def end_of(pod: Any, container: int = 0) -> tuple[int, str]:
    """Return the exit code and the reason of one of the pod's containers."""
    ended = pod.status.container_statuses[container].state.terminated
    return ended.exit_code, ended.reason


def conditions(pod: Any) -> dict[str, tuple[str, str | None]]:
    """Return the status and the reason of each condition."""
    return {one.type: (one.status, one.reason) for one in pod.status.conditions}
