"""The status of a pod as a kubelet writes it, made of the states of its containers."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

_NOT_INITIALIZED = "ContainersNotInitialized"
_NOT_READY = "ContainersNotReady"


def now() -> str:
    """Return the time as the API writes it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


@dataclass
class Record:
    """What is known of one container."""

    spec: dict[str, Any]
    id: str
    state: dict[str, Any] = field(
        default_factory=lambda: {"waiting": {"reason": "ContainerCreating"}}
    )

    @property
    def name(self) -> str:
        """Return the container's name."""
        return str(self.spec["name"])

    @property
    def exit_code(self) -> int | None:
        """Return the exit code, or None while it has not ended."""
        ended = self.state.get("terminated")
        return None if ended is None else int(ended["exitCode"])

    def wait(self, reason: str, message: str = "") -> None:
        """Note why the container does not run yet."""
        self.state = {"waiting": {"reason": reason} | ({"message": message} if message else {})}

    def run(self) -> None:
        """Note that the container runs from now on."""
        self.state = {"running": {"startedAt": now()}}

    def end(self, code: int, reason: str, message: str = "") -> None:
        """Note how the container ended."""
        began = self.state.get("running", {}).get("startedAt")
        ended: dict[str, Any] = {"exitCode": code, "reason": reason, "finishedAt": now()}
        if message:
            ended["message"] = message
        if began:
            ended |= {"startedAt": began, "containerID": self.id}
        self.state = {"terminated": ended}

    def status(self, *, is_init: bool) -> dict[str, Any]:
        """Return the entry of the container in the pod's status."""
        started = "running" in self.state
        return {
            "name": self.name,
            "image": self.spec["image"],
            "imageID": "",
            "restartCount": 0,
            # An init container is ready once it has done its work.
            "ready": self.exit_code == 0 if is_init else started,
            "started": started,
            "state": self.state,
            "lastState": {},
        } | ({} if "waiting" in self.state else {"containerID": self.id})


@dataclass
class PodRecord:
    """What is known of a pod."""

    inits: list[Record]
    mains: list[Record]
    host_ip: str
    started: str = field(default_factory=now)
    # Set where the pod ends for another reason than its containers' ends.
    reason: str = ""
    message: str = ""
    _conditions: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def phase(self) -> str:
        """Return the phase of a pod whose containers are never restarted."""
        codes = [one.exit_code for one in self.mains]
        failed_init = any(one.exit_code not in (None, 0) for one in self.inits)
        if failed_init or (None not in codes and (any(codes) or self.reason)):
            return "Failed"
        if None not in codes:
            return "Succeeded"
        began = any("waiting" not in one.state for one in self.mains)
        return "Running" if began else "Pending"

    def status(self) -> dict[str, Any]:
        """Return the pod's status."""
        status = {
            "phase": self.phase,
            "startTime": self.started,
            "hostIP": self.host_ip,
            "hostIPs": [{"ip": self.host_ip}],
            # Pods share the machine's network.
            "podIP": self.host_ip,
            "podIPs": [{"ip": self.host_ip}],
            "conditions": self._all_conditions(),
            "initContainerStatuses": [one.status(is_init=True) for one in self.inits],
            "containerStatuses": [one.status(is_init=False) for one in self.mains],
        }
        if self.reason:
            status |= {"reason": self.reason, "message": self.message}
        return status

    def _all_conditions(self) -> list[dict[str, Any]]:
        open_inits = [one.name for one in self.inits if one.exit_code != 0]
        unready = [one.name for one in self.mains if "running" not in one.state]
        if self.phase in ("Succeeded", "Failed"):
            why = "PodCompleted" if self.phase == "Succeeded" else "PodFailed"
            not_ready = (why, "")
        else:
            not_ready = (_NOT_READY, f"containers with unready status: [{' '.join(unready)}]")
        not_initialized = (
            _NOT_INITIALIZED,
            f"containers with incomplete status: [{' '.join(open_inits)}]",
        )
        return [
            self._condition("PodReadyToStartContainers", holds=True),
            self._condition("Initialized", holds=not open_inits, why=not_initialized),
            self._condition("Ready", holds=not unready, why=not_ready),
            self._condition("ContainersReady", holds=not unready, why=not_ready),
        ]

    def _condition(
        self, kind: str, *, holds: bool, why: Sequence[str] = ("", "")
    ) -> dict[str, Any]:
        reason, message = ("", "") if holds else why
        wanted = {
            "type": kind,
            "status": str(holds),
            # null takes an older one away.
            "reason": reason or None,
            "message": message or None,
        }
        before = self._conditions.get(kind, {})
        same = before.get("status") == wanted["status"]
        changed = before["lastTransitionTime"] if same else now()
        self._conditions[kind] = {**wanted, "lastTransitionTime": changed}
        return self._conditions[kind]
