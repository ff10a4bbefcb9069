"""One running Airflow for the tests of this folder, which one process runs."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import urllib3
from sqlalchemy import Engine

from onchain_agg.local import processes
from onchain_agg.local.environment import Site, airflow_environment
from onchain_agg.local.inputs import Input, sample_inputs
from onchain_agg.local.job import prepared_warehouse, running_airflow
from onchain_agg.metrics.registry import all_datasets
from onchain_agg.settings import load_settings, warehouse_url
from tests.conftest import REAL_DATA
from tests.fakes.published import BLOCK_FILE
from tests.fakes.servers_home import AIRFLOW, servers_home
from tests.fakes.warehouse import RUNNING

DAGS = Path(__file__).parents[3] / "dags"
_PARTS = ("api-server", "scheduler", "dag-processor")
# Some sixty tasks of a few seconds each, on two cores that other tests may share.
_RUN_S = 300.0
_WAKE_S = 3.0
_UNFINISHED = "&state=queued&state=running"


@dataclass(frozen=True)
class Deployment:
    """A running Airflow with the project's DAGs, and the warehouse that they fill."""

    url: str
    engine: Engine

    def run(self, dag_id: str, **conf: object) -> tuple[str, dict[str, str]]:
        """Run *dag_id* and return the state of the first run that then worked, and of its tasks.

        That may be one of the DAG's own schedule, which does the same.
        """
        ended = {run["dag_run_id"] for run in self._runs(dag_id) if run["end_date"]}
        body = {"logical_date": None, "conf": conf}
        asked = self._call("POST", f"dags/{dag_id}/dagRuns", body)["dag_run_id"]
        self._call("PATCH", f"dags/{dag_id}", {"is_paused": False})
        self._wait(lambda: asked in {r["dag_run_id"] for r in self._runs(dag_id) if r["end_date"]})
        if dag_id.startswith("ingest_"):
            self._call("PATCH", f"dags/{dag_id}", {"is_paused": True})
        worked = [r for r in self._runs(dag_id) if r["end_date"] and r["dag_run_id"] not in ended]
        first = min(worked, key=lambda run: run["start_date"])
        return first["state"], {task["task_id"]: task["state"] for task in self._tasks(first)}

    def settle(self) -> None:
        """Wait until the events of the tasks that ended are runs, and no run is left."""
        time.sleep(_WAKE_S)
        # A paused DAG's runs wait for good.
        self._wait(
            lambda: all(run["dag_id"].startswith("ingest_") for run in self._runs("~", _UNFINISHED))
        )

    def woken(self, dag_id: str) -> list[tuple[str | None, str]]:
        """Return partition key and state of the runs of *dag_id* that events started, in order."""
        return [
            (run["partition_key"], run["state"])
            for run in self._runs(dag_id)
            if run["run_type"] == "asset_triggered"
        ]

    def tries(self, dag_id: str) -> dict[str, int]:
        """Return how often each task of the newest run of *dag_id* was tried."""
        return {task["task_id"]: task["try_number"] for task in self._tasks(self._runs(dag_id)[-1])}

    def _runs(self, dag_id: str, filters: str = "") -> list[dict[str, Any]]:
        path = f"dags/{dag_id}/dagRuns?limit=100&order_by=run_after{filters}"
        return self._call("GET", path)["dag_runs"]

    def _tasks(self, run: dict[str, Any]) -> list[dict[str, Any]]:
        path = f"dags/{run['dag_id']}/dagRuns/{quote(run['dag_run_id'])}/taskInstances?limit=100"
        return self._call("GET", path)["task_instances"]

    def _call(self, method: str, path: str, body: object = None) -> Any:
        answer = urllib3.request(method, f"{self.url}/api/v2/{path}", json=body, timeout=10.0)
        assert answer.status < 300, f"{method} {path}: {answer.status} {answer.data!r}"
        return answer.json()

    def _wait(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _RUN_S
        while not condition():
            assert time.monotonic() < deadline, f"runs are still left after {_RUN_S} s"
            time.sleep(0.3)


def _published_blocks() -> tuple[Input, ...]:
    """Return Bitcoin's first blocks as an input, where the real data is."""
    path = REAL_DATA / BLOCK_FILE
    if not path.is_file():
        return ()
    connection = {"conn_type": "onchain_bitcoin", "extra": {"blocks": str(path)}}
    return (Input(chain="bitcoin", connection=connection),)


# Of the package: its Airflow would take time from the tests after it.
@pytest.fixture(scope="package")
def deployment(shared_folder: Path) -> Iterator[Deployment]:
    """An Airflow on an embedded PostgreSQL, with the sample and Bitcoin's first blocks to read."""
    with ExitStack() as stack:
        home = stack.enter_context(servers_home(shared_folder))
        settings = load_settings({"ONCHAIN_AGG_HOME": str(home)})
        inputs = (*stack.enter_context(sample_inputs(home)), *_published_blocks())
        engine = stack.enter_context(prepared_warehouse(settings))
        site = Site(home=home / AIRFLOW, dags=DAGS, port=processes.free_port(), quick=True)
        environment = airflow_environment(site, settings, warehouse_url(settings), inputs)
        needed = {"ingest_anvil", "sweep", *all_datasets()}
        api, _ = stack.enter_context(running_airflow(site, environment, home, _PARTS, needed))
        for name in all_datasets().keys() - RUNNING:
            # Every run is a process, and these tests are about none of those data sets.
            api.pause(name)
        yield Deployment(site.url, engine)
