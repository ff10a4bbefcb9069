"""A node for tests: `python -m tests.e2e.kubelet --kubeconfig F --node N --group G --home H`.

It registers a Node, binds the waiting pods that fit it, as the scheduler would, and runs them as
processes, as a kubelet would. One process is one node: when it is killed, so are all containers,
and the Node's lease runs out. SIGTERM does the same; the Node object stays.

It has no probes, ports, lifecycle hooks or `exec`, and no restart policy but Never: the project's
pods that run on it are tasks. Its pods share the machine's network.
"""

import argparse
import asyncio
import logging
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.e2e.kubelet_container import Settings
from tests.e2e.kubelet_logs import LogServer
from tests.e2e.kubelet_node import beat, node_object, register
from tests.e2e.kubelet_pod import PodRun, remove
from tests.e2e.kubelet_status import now
from tests.e2e.node_api import STRATEGIC, UNREACHABLE, Api, ApiError, connect
from tests.e2e.node_fit import misfits, verdict
from tests.e2e.node_images import read_table

_LOG = logging.getLogger("kubelet")
_RUNNERS = {
    "processes": "tests.e2e.pod_process",
    "podman": "tests.e2e.pod_process_podman",
}
_TERMINAL = ("Succeeded", "Failed")
_AGAIN_S = 1.0


class Node:
    """The pods that the node knows, and those that it runs."""

    def __init__(self, settings: Settings, node: dict[str, Any], logs: LogServer) -> None:
        self._settings = settings
        self._api: Api = settings.api
        self._node = node
        self._name = settings.node
        self._logs = logs
        self._pods: dict[str, dict[str, Any]] = {}
        self._runs: dict[str, PodRun] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._look = asyncio.Event()

    async def follow_pods(self) -> None:
        """Take up every change of the cluster's pods for ever."""
        async for kind, found in self._api.follow("/api/v1/pods"):
            if kind == "LIST":
                self._take_list(found)
            elif kind == "DELETED":
                self._forget(found["metadata"]["uid"])
            elif kind in ("ADDED", "MODIFIED"):
                self._take(found)
            self._look.set()

    async def bind_pods(self) -> None:
        """Bind what fits, whenever something changed, for ever."""
        while True:
            # After a while without a change too: another node may have come or gone.
            with suppress(TimeoutError):
                await asyncio.wait_for(self._look.wait(), _AGAIN_S)
            self._look.clear()
            waiting = [pod for pod in self._pods.values() if _waits(pod)]
            for pod in sorted(waiting, key=lambda one: str(one["metadata"]["creationTimestamp"])):
                try:
                    await self._place(pod)
                except (*UNREACHABLE, ApiError) as error:
                    _LOG.info("binding of %s: %s", pod["metadata"]["name"], error)

    def end(self) -> None:
        """Kill every container."""
        for run in self._runs.values():
            run.abandon()

    def _take_list(self, pods: list[dict[str, Any]]) -> None:
        for uid in set(self._pods) - {pod["metadata"]["uid"] for pod in pods}:
            self._forget(uid)
        for pod in pods:
            self._take(pod)

    def _take(self, pod: dict[str, Any]) -> None:
        uid = pod["metadata"]["uid"]
        self._pods[uid] = pod
        if pod["spec"].get("nodeName") != self._name:
            return
        ended = pod.get("status", {}).get("phase") in _TERMINAL
        run = self._runs.get(uid)
        if run is None and not ended:
            run = self._runs[uid] = PodRun(self._settings, pod)
            self._logs.add(run)
            self._spawn(run)
        if run is not None and not run.over:
            run.update(pod)
        elif "deletionTimestamp" in pod["metadata"]:
            self._keep(asyncio.create_task(remove(self._settings, pod)))

    def _spawn(self, run: PodRun) -> None:
        self._keep(asyncio.create_task(run.live()))

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            _LOG.error("a pod's task failed", exc_info=error)

    def _forget(self, uid: str) -> None:
        self._pods.pop(uid, None)
        run = self._runs.pop(uid, None)
        if run is not None and not run.over:
            run.vanish()

    async def _place(self, pod: dict[str, Any]) -> None:
        # As the Node is now: it may have been cordoned or given a taint.
        nodes = (await self._api.get("/api/v1/nodes"))["items"]
        own = next((one for one in nodes if one["metadata"]["name"] == self._name), None)
        pods = list(self._pods.values())
        if own is not None and not misfits(pod, own, pods):
            await self._bind(pod)
            return
        message = verdict(pod, nodes, pods)
        told = {one["type"]: one for one in pod.get("status", {}).get("conditions", ())}
        if message is not None and told.get("PodScheduled", {}).get("message") != message:
            await self._tell_unschedulable(pod, message)

    async def _bind(self, pod: dict[str, Any]) -> None:
        meta = pod["metadata"]
        try:
            await self._api.post(
                f"{_path(meta)}/binding",
                {
                    "apiVersion": "v1",
                    "kind": "Binding",
                    "metadata": {"name": meta["name"], "uid": meta["uid"]},
                    "target": {"apiVersion": "v1", "kind": "Node", "name": self._name},
                },
            )
        except ApiError as error:
            # Another node was faster, or the pod is gone; the watch tells.
            if error.status not in (404, 409):
                raise
            return
        known = self._pods.get(meta["uid"])
        if known is not None and "nodeName" not in known["spec"]:
            # At once, so that the next pod finds the room taken.
            self._pods[meta["uid"]] = {**known, "spec": {**known["spec"], "nodeName": self._name}}

    async def _tell_unschedulable(self, pod: dict[str, Any], message: str) -> None:
        condition = {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": message,
            "lastTransitionTime": now(),
        }
        meta = pod["metadata"]
        body = {"metadata": {"uid": meta["uid"]}, "status": {"conditions": [condition]}}
        await self._api.patch(f"{_path(meta)}/status", body, STRATEGIC)


def _path(meta: dict[str, Any]) -> str:
    return f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}"


def _waits(pod: dict[str, Any]) -> bool:
    spec = pod["spec"]
    return (
        "nodeName" not in spec
        and "deletionTimestamp" not in pod["metadata"]
        and not spec.get("schedulingGates")
        and spec.get("schedulerName") == "default-scheduler"
        and spec.get("restartPolicy") == "Never"
        and pod.get("status", {}).get("phase") not in _TERMINAL
    )


async def run(given: argparse.Namespace) -> None:
    """Be a node until SIGTERM."""
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    async with connect(given.kubeconfig) as api:
        settings = Settings(
            api=api,
            node=given.node,
            home=given.home.resolve(),
            claims=(given.claims or given.home / "claims").resolve(),
            images=read_table(given.images),
            shared=tuple(path.resolve() for path in given.share),
            runner=_RUNNERS[given.runtime],
        )
        capacity = {"cpu": given.cpu, "memory": given.memory, "pods": str(given.pod_capacity)}
        capacity["ephemeral-storage"] = given.disk
        logs = LogServer(settings)
        object_ = node_object(given.node, given.group, capacity)
        await register(api, object_, settings.host_ip, await logs.start())
        node = Node(settings, object_, logs)
        endless = [
            asyncio.create_task(beat(api, given.node, given.heartbeat)),
            asyncio.create_task(node.follow_pods()),
            asyncio.create_task(node.bind_pods()),
        ]
        stop = asyncio.create_task(ended.wait())
        done, _ = await asyncio.wait([stop, *endless], return_when=asyncio.FIRST_COMPLETED)
        node.end()
        for task in done - {stop}:
            task.result()


def main() -> None:
    """Read the command line and be a node."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--kubeconfig", type=Path, required=True)
    parser.add_argument("--node", required=True, help="the Node's name")
    parser.add_argument("--group", required=True, help="node group; its NodePool is generated")
    parser.add_argument("--home", type=Path, required=True, help="folder of pods and logs")
    parser.add_argument("--claims", type=Path, help="folder of <namespace>/<claim>")
    parser.add_argument("--images", type=Path, help="image name → entrypoint, as YAML")
    parser.add_argument("--share", type=Path, action="append", default=[], help="writable folder")
    parser.add_argument("--runtime", choices=_RUNNERS, default="processes")
    # A machine of the groups' usual size: what the table's largest pods need, some times over.
    parser.add_argument("--cpu", default="16")
    parser.add_argument("--memory", default="64Gi")
    parser.add_argument("--disk", default="200Gi")
    parser.add_argument("--pod-capacity", type=int, default=58)
    parser.add_argument("--heartbeat", type=float, default=1.0, help="seconds between leases")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    asyncio.run(run(given))


if __name__ == "__main__":
    main()
