"""One Airflow whose scheduler and Celery worker are restarted with the settings of either side."""
# ruff: noqa: INP001 - run from the repository, never installed.

import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from benchmarks.routing_dags import DAG_IDS, WARM_UP, dag_file
from onchain_agg.errors import ConfigError, OnchainAggError
from onchain_agg.local import processes
from onchain_agg.local.broker import Broker
from onchain_agg.local.environment import Site, airflow_environment
from onchain_agg.local.job import prepared_warehouse, start_airflow
from onchain_agg.local.rest import AirflowApi
from onchain_agg.local.workers import Worker, serving
from onchain_agg.routing.recommended import recommended_settings
from onchain_agg.routing.workload_file import configured_workloads
from onchain_agg.settings import Settings, load_settings, warehouse_url
from onchain_agg.warehouse import embedded

DEFAULTS, OURS = "Airflow's defaults", "our settings"
CONCURRENCY = 4
_WORKER = Worker(name="bench", queues=("default",), concurrency=CONCURRENCY)
_SHARED = ("api-server", "dag-processor")
_RESTARTED = ("scheduler", _WORKER.program.name)
_READY_S = 120.0
_RUN = """
SELECT extract(epoch FROM run.end_date), run.state, count(task.id),
       count(task.id) FILTER (WHERE task.state = 'success' AND task.try_number = 1)
  FROM dag_run AS run
  LEFT JOIN task_instance AS task ON task.dag_id = run.dag_id AND task.run_id = run.run_id
 WHERE run.run_id = %s
 GROUP BY run.state, run.end_date
"""


@dataclass(frozen=True)
class Deployment:
    """An Airflow in which the parts that both sides share run."""

    site: Site
    api: AirflowApi
    parts: tuple[processes.Part, ...]
    environments: Mapping[str, Mapping[str, str]]
    metadata: str

    @contextmanager
    def side(self, name: str) -> Iterator[None]:
        """Run a scheduler and a worker with the settings of *name* while the block runs."""
        programs = ("scheduler", _WORKER.program)
        parts = processes.start(self.site, self.environments[name], programs, beside=self.parts)
        try:
            self._wait(parts)
            self.seconds(WARM_UP, timeout_s=_READY_S)
            yield
        finally:
            processes.stop(self.site.home, _RESTARTED)

    def seconds(self, dag_id: str, timeout_s: float) -> float:
        """Run *dag_id* once and return the seconds from the trigger to the run's end.

        Raises:
            ConfigError: A task did not succeed at its first try, or it takes longer.
        """
        began = time.time()
        run_id = self.api.trigger(dag_id, {}).run_id
        what = f"A run of {dag_id} did not end (logs in {self.site.logs})"
        processes.wait_until(lambda: self._ended(run_id) > 0, timeout_s, what)
        return self._ended(run_id) - began

    def _ended(self, run_id: str) -> float:
        """Return when the run ended, in seconds since 1970; 0 while it has not."""
        # Not by REST: it would keep the server that the tasks talk to busy.
        with psycopg.connect(self.metadata) as connection:
            row = connection.execute(_RUN, (run_id,)).fetchone()
        if row is None:
            raise ConfigError(f"Airflow forgot the run {run_id}.")
        ended, state, tasks, at_once = row
        if ended is None:
            return 0
        if state != "success" or at_once < tasks:
            raise ConfigError(
                f"The run {run_id} ended as {state}, with {at_once} of {tasks} tasks done at the "
                f"first try. Its logs are in {self.site.logs}."
            )
        return float(ended)

    def _wait(self, parts: tuple[processes.Part, ...]) -> None:
        def ready() -> bool:
            processes.check_alive(self.site, parts)
            return serving(self.site, (_WORKER,))

        what = f"The worker does not answer (logs in {self.site.logs})"
        processes.wait_until(ready, _READY_S, what)


@contextmanager
def deployment(tasks: Mapping[str, int]) -> Iterator[Deployment]:
    """Yield an Airflow of this run's own that knows the benchmark's DAGs.

    Nothing is left of it but, after an error that names a log, the folder of the logs.

    Args:
        tasks: How many mapped tasks each of the DAGs of `routing_dags` has.
    """
    # A short path, because PostgreSQL's socket lies in it.
    home = rubbish = Path(tempfile.mkdtemp(prefix="oagg-"))
    settings = load_settings({"ONCHAIN_AGG_HOME": str(home)})
    site = Site(
        home=home / "airflow",
        dags=home / "dags",
        port=processes.free_port(),
        quick=True,
        broker=Broker(port=processes.free_port()),
    )
    site.dags.mkdir()
    (site.dags / "bench.py").write_text(dag_file(tasks), encoding="utf-8")
    api = AirflowApi(site.url)
    try:
        with prepared_warehouse(settings):
            pass
        environments = _environments(site, settings)
        processes.migrate_metadata(site, environments[DEFAULTS], home)
        parts = _shared(site, api, environments[DEFAULTS])
        metadata = embedded.embedded_url(home, "airflow").replace("+psycopg:", ":")
        yield Deployment(site, api, parts, environments, metadata)
    except OnchainAggError:
        rubbish = home / "postgres"
        raise
    finally:
        api.close()
        processes.stop(site.home)
        embedded.stop(home)
        shutil.rmtree(rubbish, ignore_errors=True)


def _shared(
    site: Site, api: AirflowApi, environment: Mapping[str, str]
) -> tuple[processes.Part, ...]:
    """Start what both sides share and return it once Airflow knows the DAGs."""
    parts = start_airflow(
        api, site, environment, (*_SHARED, "scheduler"), set(DAG_IDS), workers=(_WORKER,)
    )
    for dag_id in DAG_IDS:
        api.unpause(dag_id)
    stopped = processes.stop(site.home, _RESTARTED)
    return tuple(part for part in parts if part not in stopped)


def _environments(site: Site, settings: Settings) -> Mapping[str, Mapping[str, str]]:
    """Return the variables of each side; what the local Airflow alone needs is in both."""
    ours = airflow_environment(site, settings, warehouse_url(settings))
    advised = {one.variable: one.value for one in recommended_settings(configured_workloads())}
    both = {name: value for name, value in ours.items() if name not in advised} | {
        # Celery alone: no pod can be started here, and no task asks for one.
        "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
        # Compiled modules are kept, as on any installed Airflow: else what the defaults import
        # again with each task would seem dearer than it is.
        "PYTHONPYCACHEPREFIX": str(settings.home / "bytecode"),
        "PYTHONDONTWRITEBYTECODE": "",
    }
    # Not the local Airflow's own, which is for one job that a person waits for.
    both.pop("AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME", None)
    return {DEFAULTS: both, OURS: advised | both}
