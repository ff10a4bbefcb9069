"""One pod on the node: from its binding to the report of its end."""

import asyncio
import json
import logging
import shutil
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeVar

from tests.e2e.kubelet_container import Settings, description
from tests.e2e.kubelet_status import PodRecord, Record
from tests.e2e.node_api import STRATEGIC, UNREACHABLE, ApiError
from tests.e2e.node_images import ROOT, ImagePullError
from tests.e2e.node_objects import NotYetError, Objects
from tests.e2e.node_volumes import make_volumes

_Made = TypeVar("_Made")

_AGAIN_S = 0.3
_KILLED = 137
_LOG = logging.getLogger("kubelet")


class _StoppedError(Exception):
    """The pod ends before what it waits for is there."""


class PodRun:
    """Runs a pod's containers, each at most once, and keeps its status true."""

    def __init__(self, settings: Settings, pod: dict[str, Any]) -> None:
        self.pod = pod
        self.over = False
        self._settings = settings
        self._objects = Objects(settings.api, pod, settings.host_ip)
        meta = pod["metadata"]
        self._path = f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}"
        self._uid = meta["uid"]
        inits = pod["spec"].get("initContainers", [])
        self._record = PodRecord(
            [self._new(one) for one in inits],
            [self._new(one) for one in pod["spec"]["containers"]],
            settings.host_ip,
        )
        if inits:
            for one in (*self._record.inits, *self._record.mains):
                one.wait("PodInitializing")
        self._processes: list[Process] = []
        self._stopping = asyncio.Event()
        self._changed = asyncio.Event()
        self._deleted = False
        self._gone = False
        # An earlier process of this node ran it, and its containers died with that.
        self._began_before = "startTime" in pod.get("status", {})
        self._kill_at = float("inf")

    async def live(self) -> None:
        """Run the pod to its end, report it, and take the object away if that was asked for."""
        reporting = asyncio.create_task(self._report())
        self._changed.set()
        self._set_deadline()
        try:
            await self._run_all()
        except _StoppedError:
            self._close_records()
        self.over = True
        self._changed.set()
        await reporting
        shutil.rmtree(self._settings.pod_folder(self._uid), ignore_errors=True)
        if self._deleted:
            await remove(self._settings, self.pod)

    def update(self, pod: dict[str, Any]) -> None:
        """Take note of the pod's new version; once it is to be deleted, its containers end."""
        self.pod = pod
        if "deletionTimestamp" in pod["metadata"]:
            self._deleted = True
            self._stop(float(pod["metadata"].get("deletionGracePeriodSeconds", 0)))

    def vanish(self) -> None:
        """End the containers at once, and report nothing: there is no such pod any more."""
        self._gone = True
        self._stop(0.0)

    def abandon(self) -> None:
        """Kill the containers, as the machine's power switch would."""
        for process in self._processes:
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGQUIT)

    def _new(self, spec: dict[str, Any]) -> Record:
        return Record(spec, f"process://{self._uid}/{spec['name']}")

    async def _run_all(self) -> None:
        if self._began_before:
            raise _StoppedError
        volumes = await self._patiently(self._volumes, self._record.mains, "ContainerCreating")
        for one in self._record.inits:
            await self._run(one, volumes)
            if one.exit_code != 0:
                return
        ends = await asyncio.gather(
            *(self._run(one, volumes) for one in self._record.mains), return_exceptions=True
        )
        for error in filter(None, ends):
            raise error

    async def _volumes(self) -> dict[str, Any]:
        folder = self._settings.pod_folder(self._uid)
        return await make_volumes(self.pod, folder, self._settings.claims, self._objects)

    async def _run(self, one: Record, volumes: dict[str, Any]) -> None:
        """Run a container to its end; one that cannot be created waits for the pod's end."""

        async def describe() -> dict[str, Any]:
            return await description(self._settings, self.pod, one.spec, volumes, self._objects)

        told = await self._patiently(describe, [one], "CreateContainerConfigError")
        file = self._settings.pod_folder(self._uid) / "containers" / one.name / "container.json"
        file.write_text(json.dumps(told))
        self._settings.log(self.pod, one.name).parent.mkdir(parents=True, exist_ok=True)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", self._settings.runner, str(file),
            cwd=ROOT, stdin=DEVNULL, stdout=PIPE, start_new_session=True,
        )  # fmt: skip
        self._processes.append(process)
        if self._stopping.is_set():
            process.terminate()
        await self._listen(one, process)
        self._processes.remove(process)
        if "waiting" in one.state:
            await self._stopping.wait()
            raise _StoppedError

    async def _listen(self, one: Record, process: Process) -> None:
        """Note what the container's process tells, until it ends."""
        assert process.stdout is not None
        async for line in process.stdout:
            told = json.loads(line)
            if "started" in told:
                one.run()
            elif "not_created" in told:
                one.wait("CreateContainerError", told["not_created"])
            elif "not_started" in told:
                one.end(128, "StartError", told["not_started"])
            else:
                one.end(told["exitCode"], told["reason"])
            self._changed.set()
        code = await process.wait()
        if "running" in one.state or code < 0:
            # It died before it could tell, itself by a signal or with the container.
            ended_by = -code if code < 0 and code != -signal.SIGQUIT else signal.SIGKILL
            one.end(128 + ended_by, "Error")
            self._changed.set()

    async def _patiently(
        self, make: Callable[[], Awaitable[_Made]], records: list[Record], reason: str
    ) -> _Made:
        """Return what *make* returns once it can; until then *records* wait for *reason*.

        Raises:
            _StoppedError: The pod ends first.
        """
        while not self._stopping.is_set():
            try:
                return await make()
            except NotYetError as error:
                self._wait(records, reason, str(error))
            except ImagePullError as error:
                self._wait(records, "ErrImagePull", str(error))
            except (*UNREACHABLE, ApiError) as error:
                _LOG.info("%s: %s", self._path, error)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), _AGAIN_S)
        raise _StoppedError

    def _wait(self, records: list[Record], reason: str, message: str) -> None:
        wanted = {"waiting": {"reason": reason, "message": message}}
        if any(one.state != wanted for one in records):
            for one in records:
                one.wait(reason, message)
            self._changed.set()

    def _set_deadline(self) -> None:
        seconds = self.pod["spec"].get("activeDeadlineSeconds")
        if seconds is not None:
            asyncio.get_running_loop().call_later(seconds, self._exceed)

    def _exceed(self) -> None:
        if not self.over and not self._stopping.is_set():
            self._record.reason = "DeadlineExceeded"
            self._record.message = "Pod was active on the node longer than the specified deadline"
            self._stop(float(self.pod["spec"].get("terminationGracePeriodSeconds", 30)))

    def _stop(self, grace_s: float) -> None:
        """Ask the containers to end, and kill them after *grace_s*; an earlier end wins."""
        if not self._stopping.is_set():
            self._stopping.set()
            for process in self._processes:
                with suppress(ProcessLookupError):
                    process.terminate()
        loop = asyncio.get_running_loop()
        if loop.time() + grace_s < self._kill_at:
            self._kill_at = loop.time() + grace_s
            loop.call_at(self._kill_at, self.abandon)

    def _close_records(self) -> None:
        """Give a pod that ends before its containers ran the end that a kubelet writes."""
        for one in (*self._record.inits, *self._record.mains):
            if "waiting" in one.state:
                one.end(
                    _KILLED,
                    "ContainerStatusUnknown",
                    "The container could not be located when the pod was terminated",
                )

    async def _report(self) -> None:
        """Write the status each time it changed, until the pod is over."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            last = self.over
            if not self._gone:
                await self._write()
            if last:
                return

    async def _write(self) -> None:
        body = {"metadata": {"uid": self._uid}, "status": self._record.status()}
        try:
            await self._settings.api.insist("PATCH", f"{self._path}/status", body, STRATEGIC)
        except ApiError as error:
            _LOG.warning("status of %s: %s", self._path, error)
            if error.status in (404, 409):
                self.vanish()


async def remove(settings: Settings, pod: dict[str, Any]) -> None:
    """Take a pod whose containers have ended out of the API, as only its kubelet may."""
    meta = pod["metadata"]
    body = {"gracePeriodSeconds": 0, "preconditions": {"uid": meta["uid"]}}
    try:
        await settings.api.insist(
            "DELETE", f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}", body
        )
    except ApiError as error:
        _LOG.info("deletion of %s: %s", meta["name"], error)
