"""Runs one container of a pod by podman: `python -m tests.e2e.pod_process_podman <file>`.

It takes the same file and prints the same lines as `pod_process`. Podman adds what processes do not
have: a cgroup with the memory limit, the runtime's seccomp profile, and a runtime that is used in
production. The container's root is a folder with what an image of this machine would hold.

Podman keeps its state in the pod's folder, in a PID namespace that dies with this process. So a
node that is killed takes its containers along, and pods do not share locks.
"""

import json
import os
import select
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from tests.e2e.pod_process_kernel import (
    NEW_MOUNTS,
    NEW_PIDS,
    NODEV,
    NOSUID,
    PRIVATE,
    REC,
    die_with_parent,
    mount,
    unshare,
)
from tests.e2e.pod_process_root import FILES, OWNED, SYSTEM

_INIT = Path(__file__).with_name("pod_process_init.py")
_HANDLED = {signal.SIGTERM, signal.SIGQUIT, signal.SIGCHLD, signal.SIGINT}
_LOOK_S = 0.05
_CGROUP = "onchain-agg-e2e-"
_OUT_OF_MEMORY = {"exitCode": 137, "reason": "OOMKilled"}
# Of this container alone. Podman wants a path of less than 50 characters for what runs.
_OWN_MEMORY = Path("/dev/shm")  # noqa: S108
# Podman's own exit codes: the command cannot be run; it was not found.
_NOT_STARTED = (126, 127)
# What programs read in /etc and what holds no secret.
_CONFIGURATION = (
    "alternatives", "ca-certificates", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "localtime",
    "mime.types", "nsswitch.conf", "protocols", "services", "ssl",
)  # fmt: skip
_SETTINGS = """
[containers]
# The defaults are beyond what this process may set where it runs in a container itself.
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "none"
lock_type = "file"
{runtime}
"""


def main() -> None:
    """Run the container that the file of the first argument describes."""
    container = json.loads(Path(sys.argv[1]).read_text())
    parent = os.getppid()
    die_with_parent()
    if os.getppid() != parent:
        return
    signal.pthread_sigmask(signal.SIG_BLOCK, _HANDLED)
    _remove_cgroups()
    # Podman would leave its cgroup behind when it is killed.
    container["cgroup"] = f"/{_CGROUP}{os.getpid()}"
    unshare(NEW_MOUNTS | NEW_PIDS)
    first = os.fork()
    if first == 0:
        die_with_parent()
        _be_first(container)
    while True:
        told = signal.sigtimedwait(_HANDLED, _LOOK_S)
        if told is not None and told.si_signo == signal.SIGTERM:
            os.kill(first, signal.SIGTERM)
        elif told is not None and told.si_signo in (signal.SIGQUIT, signal.SIGINT):
            os.kill(first, signal.SIGKILL)
        if os.waitpid(first, os.WNOHANG)[0]:
            _remove_cgroups()
            return


def _remove_cgroups() -> None:
    """Remove the empty cgroups of this container, and of those whose node was killed.

    There is a hierarchy for each controller (version 1) or one for all; a name holds a process id.
    """
    top = Path("/sys/fs/cgroup")
    for cgroup in (*top.glob(f"{_CGROUP}*"), *top.glob(f"*/{_CGROUP}*")):
        owner = cgroup.name.removeprefix(_CGROUP)
        if owner != str(os.getpid()) and Path("/proc", owner).exists():
            continue
        for below in (*(path for path in cgroup.iterdir() if path.is_dir()), cgroup):
            with suppress(OSError):
                below.rmdir()


def _be_first(container: dict[str, Any]) -> NoReturn:
    """Run podman in this PID namespace, whose first process this is, to the container's end."""
    try:
        mount("none", Path("/"), "", REC | PRIVATE)
        mount("proc", Path("/proc"), "proc", NOSUID | NODEV)
        mount("tmpfs", _OWN_MEMORY, "tmpfs", NOSUID | NODEV, "mode=1777")
        _tell(_run(container))
    except OSError as error:
        _tell({"not_created": str(error)})
    os._exit(0)


def _run(container: dict[str, Any]) -> dict[str, Any]:
    root = Path(container["root"])
    place = root.parent
    _make_root(root, container)
    environment = _environment(place)
    pid_file = place / "first.pid"
    podman = [
        *("podman", f"--root={place / 'storage'}"),
        *(f"--runroot={_OWN_MEMORY / 'run'}", f"--tmpdir={_OWN_MEMORY / 'tmp'}"),
    ]
    with Path(container["log"]).open("ab") as log:
        process = subprocess.Popen(
            [*podman, "run", f"--pidfile={pid_file}", "--name=it", *_options(container)],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment,
            preexec_fn=_unblock,  # noqa: PLW1509 - this process has one thread
        )  # fmt: skip
    out_of_memory = _supervise(process, pid_file)
    ended = _end(process.returncode, [*podman, "inspect", "it"], environment, container["log"])
    remove = [*podman, "rm", "--force", "it"]
    subprocess.run(remove, env=environment, capture_output=True, check=False)
    return _OUT_OF_MEMORY if out_of_memory and ended.get("exitCode") == 137 else ended


def _supervise(process: subprocess.Popen[bytes], pid_file: Path) -> bool:
    """Hand SIGTERM on until podman ends; return whether the kernel killed for want of memory.

    Podman's own flag misses a kill of which the container's first process is not the victim.
    """
    asked_to_end, out_of_memory, first, events = False, False, None, None
    while process.poll() is None:
        # The first process's end wakes it up while its cgroup is still there.
        if select.select([first] if first is not None else [], [], [], _LOOK_S)[0]:
            first = None
        told = signal.sigtimedwait(_HANDLED, 0)
        asked_to_end = asked_to_end or (told is not None and told.si_signo == signal.SIGTERM)
        if events is not None:
            out_of_memory = out_of_memory or _killed_in(events)
        elif pid_file.exists() and (text := pid_file.read_text()):
            events = _memory_events(int(text))
            with suppress(ProcessLookupError):
                first = os.pidfd_open(int(text))
            _tell({"started": int(text)})
        if events is not None and asked_to_end:
            asked_to_end = False
            process.send_signal(signal.SIGTERM)
    return out_of_memory


def _memory_events(pid: int) -> Path:
    """Return the file that counts what the kernel killed in the cgroup of process *pid*."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if "memory" in controllers.split(","):
                return Path(f"/sys/fs/cgroup/memory{path}/memory.oom_control")
            if line.startswith("0::") and path != "/":
                return Path(f"/sys/fs/cgroup{path}/memory.events")
    return Path("/nonexistent")


def _killed_in(events: Path) -> bool:
    try:
        lines = events.read_text().splitlines()
    except OSError:
        return False
    return any(line.startswith("oom_kill ") and not line.endswith(" 0") for line in lines)


def _end(code: int, inspect: list[str], environment: dict[str, str], log: str) -> dict[str, Any]:
    asked = subprocess.run(inspect, env=environment, capture_output=True, text=True, check=False)
    state = json.loads(asked.stdout or "[{}]")[0].get("State", {})
    if not state.get("StartedAt", "0001").startswith("0001"):
        if state.get("OOMKilled"):
            return _OUT_OF_MEMORY
        return {"exitCode": code, "reason": "Completed" if code == 0 else "Error"}
    lines = Path(log).read_text(errors="replace").splitlines() or [f"podman ended with {code}"]
    return {"not_started" if code in _NOT_STARTED else "not_created": lines[-1]}


def _unblock() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _HANDLED)


def _make_root(root: Path, container: dict[str, Any]) -> None:
    for name in SYSTEM:
        _copy(Path("/", name), root / name, deep=False)
    for path in ("tmp", "var/tmp", "run"):
        (root / path).mkdir(parents=True)
        (root / path).chmod(0o1777)
    for path in OWNED:
        (place := root / path.lstrip("/")).mkdir(parents=True)
        place.chmod(0o775)
        os.chown(place, 50000, 0)
    (root / "etc").mkdir()
    for path, text in {**FILES, **container["files"]}.items():
        (root / path.lstrip("/")).write_text(text)
    for name in _CONFIGURATION:
        _copy(Path("/etc", name), root / "etc" / name, deep=True)


def _copy(path: Path, place: Path, *, deep: bool) -> None:
    """Put the machine's *path* at *place*; of a folder that is not *deep*, only a place for it."""
    if path.is_symlink():
        place.symlink_to(path.readlink())
    elif path.is_dir() and deep:
        shutil.copytree(path, place, symlinks=True)
    elif path.is_dir():
        place.mkdir()
    elif path.exists():
        shutil.copy2(path, place)


def _environment(place: Path) -> dict[str, str]:
    runtime = 'runtime = "runc"' if shutil.which("runc") else ""
    settings = place / "containers.conf"
    settings.write_text(_SETTINGS.format(runtime=runtime))
    return {
        "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin",
        "HOME": str(place),
        "CONTAINERS_CONF": str(settings),
    }


def _options(container: dict[str, Any]) -> list[str]:
    command = container["command"]
    options = [
        "--network=host", "--log-driver=none", "--no-hosts",
        f"--cgroup-parent={container['cgroup']}",
        f"--hostname={container['hostname']}", "--uts=private", "--read-only-tmpfs=false",
        f"--workdir={container['folder']}", f"--user={container['user']}:{container['group']}",
        *(f"--group-add={group}" for group in container["groups"]),
        *(f"--env={name}={value}" for name, value in container["environment"].items()),
        *(f"--volume={_volume(one)}" for one in container["mounts"]),
        *(f"--volume=/{name}:/{name}:ro" for name in SYSTEM
          if name != "sys" and not Path("/", name).is_symlink() and Path("/", name).is_dir()),
        # The command's first word is the program, whatever it is.
        f"--entrypoint={json.dumps(command[:1])}",
    ]  # fmt: skip
    if container["init"]:
        # The environment's Python takes the place of dumb-init, as in `pod_process`.
        command = [sys.executable, "-I", str(_INIT), *command]
        options[-1] = f"--entrypoint={json.dumps(command[:1])}"
    if container["read_only"]:
        options.append("--read-only")
    if container["drop_all"]:
        options.append("--cap-drop=ALL")
    if container["no_new_rights"]:
        options.append("--security-opt=no-new-privileges")
    if container["memory"] is not None:
        options += [f"--memory={container['memory']}", f"--memory-swap={container['memory']}"]
    return [*options, "--rootfs", container["root"], *command[1:]]


def _volume(one: dict[str, Any]) -> str:
    return f"{one['source']}:{one['path']}:{'ro' if one['read_only'] else 'rw'},rbind"


def _tell(line: dict[str, Any]) -> None:
    print(json.dumps(line), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
