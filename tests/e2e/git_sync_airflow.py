"""An Airflow that reads DAG files from git-sync's links."""

import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from onchain_agg.local import processes
from onchain_agg.local.environment import Site, airflow_environment
from onchain_agg.local.job import running_airflow
from onchain_agg.local.rest import AirflowApi, DagRun
from onchain_agg.settings import load_settings
from tests.e2e.git_sync_dags import NOTES, Note, notes
from tests.fakes.servers_home import AIRFLOW, servers_home

# Airflow reads its home as it is imported, and writes a configuration file there.
os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp(prefix="onchain-agg-airflow-"))

_PARTS = ("api-server", "scheduler", "dag-processor")
_OPTIONS = {
    # As often as Airflow can, which counts whole seconds.
    "DAG_PROCESSOR__REFRESH_INTERVAL": "1",
    "DAG_PROCESSOR__BUNDLE_REFRESH_CHECK_INTERVAL": "1",
    "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "1",
    "DAG_PROCESSOR__PARSING_PROCESSES": "2",
    # Else a version that follows another within 30 s waits for the end of that time.
    "CORE__MIN_SERIALIZED_DAG_UPDATE_INTERVAL": "0",
}
_WAIT_S = 120.0
# Each look is a question to Airflow's API, whose answer takes a while itself.
_PAUSE_S = 0.1


@dataclass(frozen=True)
class Bundle:
    """A bundle with one DAG of the same name, in a folder of that name below *link*."""

    name: str
    link: Path
    pinned: bool

    def configuration(self) -> dict[str, object]:
        """Return what `dag_bundle_config_list` says of it."""
        if self.pinned:
            kind = "onchain_agg.bundles.GitSyncDagBundle"
            return self._entry(kind, link=str(self.link), folder=self.name)
        kind = "airflow.dag_processing.bundles.local.LocalDagBundle"
        return self._entry(kind, path=str(self.link / self.name))

    def _entry(self, kind: str, **arguments: str) -> dict[str, object]:
        return {"name": self.name, "classpath": kind, "kwargs": arguments}


@dataclass(frozen=True)
class Airflow:
    """A running Airflow, and what its DAG files wrote down."""

    site: Site
    api: AirflowApi
    folder: Path

    def parses(self, dag_id: str) -> list[Note]:
        """Return the notes of all readings of the DAG's file, by whomever."""
        return [one for one in self.notes(dag_id) if one.event == "parse"]

    def notes(self, dag_id: str) -> list[Note]:
        """Return all notes of the DAG."""
        return [one for one in notes(self.folder) if one.dag_id == dag_id]

    def version(self, dag_id: str) -> str:
        """Return the commit of the DAG's newest version."""
        query = "order_by=-version_number&limit=1"
        answer = self.api._call("GET", f"/api/v2/dags/{dag_id}/dagVersions?{query}")
        (newest,) = answer["dag_versions"]
        return str(newest["bundle_version"])

    def await_version(self, dag_id: str, commit: str) -> None:
        """Return once *commit* was read, and the DAG's newest version is that of it.

        Airflow gives what it read the bundle's version of the moment when the reading ended, so the
        version alone may come from a reading of the commit before.
        """
        self.wait(
            lambda: (
                any(one.worktree == commit for one in self.parses(dag_id))
                and self.version(dag_id) == commit
            ),
            f"{dag_id} at {commit}",
        )

    def await_parses(self, dag_id: str, further: int = 4) -> list[Note]:
        """Return the notes of that many *further* readings of the DAG's file, or more."""
        known = len(self.parses(dag_id))
        self.wait(lambda: len(self.parses(dag_id)) >= known + further, f"parses of {dag_id}")
        return self.parses(dag_id)[known:]

    def task_log(self, run: DagRun, task_id: str) -> str:
        """Return all logs of the task."""
        places = self.site.logs.glob(
            f"dag_id={run.dag_id}/run_id={run.run_id}/task_id={task_id}/**/*.log"
        )
        return "\n".join(place.read_text() for place in places)

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        """Return once *condition* holds."""
        deadline = time.monotonic() + _WAIT_S
        while not condition():
            assert time.monotonic() < deadline, f"not within {_WAIT_S} s: {what}"
            time.sleep(_PAUSE_S)


@contextmanager
def airflow(shared: Path, *bundles: Bundle) -> Iterator[Airflow]:
    """Run Airflow on *bundles*; its DAGs are read once."""
    with servers_home(shared) as home:
        (folder := home / "notes").mkdir()
        (folder / "notes.jsonl").touch()
        port = processes.free_port()
        site = Site(home=home / AIRFLOW, dags=home / "unused", port=port, quick=False)
        environment = _environment(site, home, bundles) | {NOTES: str(folder)}
        needed = {one.name for one in bundles}
        with running_airflow(site, environment, home, _PARTS, needed) as (api, _):
            yield Airflow(site, api, folder)


def _environment(site: Site, home: Path, bundles: tuple[Bundle, ...]) -> Mapping[str, str]:
    settings = load_settings({"ONCHAIN_AGG_HOME": str(home)})
    options = _OPTIONS | {
        "DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps(
            [one.configuration() for one in bundles]
        )
    }
    return {
        **airflow_environment(site, settings, "postgresql+psycopg:///unused"),
        **{f"AIRFLOW__{name}": value for name, value in options.items()},
        # The worktrees are mounted read-only where Airflow reads them.
        "PYTHONDONTWRITEBYTECODE": "1",
    }
