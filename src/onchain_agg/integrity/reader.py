"""What `onchain_agg.integrity.reading` starts: imports Airflow once and forks for each file.

``python -m onchain_agg.integrity.reader FOLDER ANSWER`` writes a pickled `Reading` to ANSWER, or
the `ConfigError` that kept it from reading.
"""

import contextlib
import gc
import os
import pickle
import signal
import sys
import tempfile
import time
import traceback
from datetime import UTC, datetime
from pathlib import Path

from onchain_agg.errors import ConfigError
from onchain_agg.integrity import describing, waivers, watching
from onchain_agg.integrity.facts import DagFile, Reading
from onchain_agg.integrity.rules.parsing import SECONDS

# A slow read is repeated: the first one may have compiled modules or met a busy machine.
_REPEATS = 2
# Beyond Airflow's own limit, for a file that catches what that limit raises.
_GRACE_S = 5.0
_POLL_S = 0.002


def main(folder: Path, answer: Path) -> None:
    """Read *folder* and write what was found to *answer*."""
    # As in the dag-processor: look-ups go to the supervisor, never to the metadata database.
    os.environ["_AIRFLOW_PROCESS_CONTEXT"] = "client"
    found: Reading | ConfigError
    try:
        deployment = describing.deployment()
        describing.load_airflow(answer.parent)
        sys.path.append(str(folder))
        # A collection in a fork would copy all of Airflow's memory.
        gc.freeze()
        files = tuple(_best_read(path, folder) for path in describing.dag_files(folder))
        found = Reading(folder, files, deployment)
    except ConfigError as error:
        found = error
    answer.write_bytes(pickle.dumps(found))


def _best_read(path: Path, folder: Path) -> DagFile:
    best = _read_in_fork(path, folder)
    for _ in range(_REPEATS):
        if best.errors or best.seconds <= SECONDS:
            break
        best = min(best, _read_in_fork(path, folder), key=lambda one: one.seconds)
    return best


def _read_in_fork(path: Path, folder: Path) -> DagFile:
    began, clock = _now(), time.monotonic()
    with tempfile.NamedTemporaryFile() as told:
        child = os.fork()
        if child == 0:
            _read_and_exit(path, folder, Path(told.name))
        end = _wait(child, clock + describing.import_timeout(path) + _GRACE_S)
        read = _handed_over(told.read()) or end
    if isinstance(read, DagFile):
        return read
    return DagFile(
        path=path,
        name=path.relative_to(folder).as_posix(),
        seconds=time.monotonic() - clock,
        read_from=began,
        read_to=_now(),
        errors=(read,),
    )


def _handed_over(data: bytes) -> DagFile | str | None:
    """Return what a fork wrote, or why it cannot be read; None where the fork wrote nothing."""
    try:
        read: DagFile | str | None = pickle.loads(data) if data else None  # noqa: S301 - the fork's
    # An object of a class that only the fork knows may raise any.
    except Exception as error:
        return f"{type(error).__name__}: what was read of the file cannot be handed on: {error}"
    return read


def _wait(child: int, deadline: float) -> str:
    """Wait for *child*, stop what is left of it, and return how it ended."""
    ended, status = os.waitpid(child, os.WNOHANG)
    while not ended and time.monotonic() < deadline:
        time.sleep(_POLL_S)
        ended, status = os.waitpid(child, os.WNOHANG)
    # What the file started; it is gone already where the file started nothing.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    if not ended:
        os.waitpid(child, 0)
        return "TimeoutError: the file was still being read when the time for it was over."
    code = os.waitstatus_to_exitcode(status)
    how = f"signal {-code}" if code < 0 else f"exit code {code}"
    return f"SystemExit: the file ended the process that read it, with {how}."


def _read_and_exit(path: Path, folder: Path, told: Path) -> None:
    os.setsid()
    silence = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(silence, stream)
    try:
        data = pickle.dumps(_read(path, folder))
    # A fork must not run on into what its parent does.
    except BaseException:
        data = pickle.dumps(traceback.format_exc())
    told.write_bytes(data)
    os._exit(0)


def _read(path: Path, folder: Path) -> DagFile:
    began = _now()
    with watching.watched(path) as seen:
        clock = time.perf_counter()
        dags, errors = describing.imported(path, folder)
        seconds = time.perf_counter() - clock
    ended = _now()
    stored, more_errors = describing.storable(dags)
    name = path.relative_to(folder).as_posix()
    return DagFile(
        path=path,
        name=name,
        seconds=seconds,
        read_from=began,
        read_to=ended,
        errors=errors + more_errors,
        loads=seen.loads(),
        calls=seen.calls(),
        dags=describing.dag_facts(stored, path, name),
        waivers=waivers.noted(path),
    )


def _now() -> datetime:
    return datetime.now(UTC)  # noqa: TID251 - a start_date may be the moment of the reading


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
