"""The main job: set up, start Airflow, load the input through its DAGs, tell what came out."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from sqlalchemy import Engine

from onchain_agg.chains import chain_named
from onchain_agg.errors import ConfigError, OnchainAggError
from onchain_agg.local import processes
from onchain_agg.local.environment import Site, airflow_environment
from onchain_agg.local.follow import Watch, follow
from onchain_agg.local.inputs import Input, sample_inputs
from onchain_agg.local.progress import Snapshot, bars, snapshot
from onchain_agg.local.rest import AirflowApi
from onchain_agg.local.sample_market import import_sample_market
from onchain_agg.local.workers import Worker, redis_programs, serving
from onchain_agg.metrics.definitions import sync
from onchain_agg.routing.workload_file import configured_workloads
from onchain_agg.settings import Settings, archive_of, extra_assets, warehouse_url
from onchain_agg.warehouse.engine import engine_for
from onchain_agg.warehouse.ingest import MAX_RANGES
from onchain_agg.warehouse.schema import migrate

_READY_S = 180.0
_AFTER_API = ("scheduler", "triggerer")
_WITHOUT_TRIGGERER = ("api-server", "scheduler", "dag-processor")


@dataclass(frozen=True)
class Outcome:
    """What a job changed: the warehouse before and after it."""

    before: Snapshot
    after: Snapshot

    def sentence(self) -> str:
        """Return in a sentence what was written."""
        blocks = self.after.blocks - self.before.blocks
        windows = self.after.written_since(self.before)
        waiting = f" {self.after.dirty:,} days wait for their next refresh." * bool(
            self.after.dirty
        )
        if not blocks and not windows:
            return f"Nothing new: every window was already up to date.{waiting}"
        return f"Loaded {blocks:,} blocks and wrote {windows:,} windows.{waiting}"


def run_job(settings: Settings, given: Input | None, dags: Path, console: Console) -> Outcome:
    """Load *given* (None: the sample) through the DAGs in *dags* and return what that changed.

    Airflow runs for this job only; the embedded server stays up.

    Raises:
        ConfigError: The deployment or the input is wrong.
        RunFailedError: A DAG run failed.
        SourceError: The warehouse or Airflow does not answer.
    """
    with ExitStack() as stack:
        inputs = (given,) if given else stack.enter_context(sample_inputs(settings.home))
        engine = stack.enter_context(prepared_warehouse(settings))
        if given is None:
            import_sample_market(engine)
        site = Site(
            home=settings.home / "airflow", dags=dags, port=processes.free_port(), quick=True
        )
        console.print("Starting Airflow …")
        environment = airflow_environment(site, settings, warehouse_url(settings), inputs)
        needed = {f"ingest_{one.chain}" for one in inputs}
        api, parts = stack.enter_context(
            running_airflow(site, environment, settings.home, _WITHOUT_TRIGGERER, needed)
        )
        return _load(_Job(site, api, parts, engine, inputs), console)


@contextmanager
def prepared_warehouse(settings: Settings) -> Iterator[Engine]:
    """Yield an engine on the warehouse, migrated and in line with the definitions.

    Raises:
        ConfigError: The warehouse cannot be used or may not be migrated.
        SourceError: It does not answer.
    """
    engine = engine_for(warehouse_url(settings))
    try:
        migrate(engine)
        sync(engine, extra_assets(settings), archive=archive_of(settings))
        yield engine
    finally:
        engine.dispose()


@contextmanager
def running_airflow(
    site: Site,
    environment: Mapping[str, str],
    home: Path,
    names: Sequence[str],
    needed: set[str],
    workers: Sequence[Worker] = (),
) -> Iterator[tuple[AirflowApi, tuple[processes.Part, ...]]]:
    """Run an Airflow while the block runs, and yield it as `start_airflow` makes it ready.

    The folder *home* is the one whose embedded server has Airflow's tables.

    Raises:
        ConfigError: As `start_airflow`, or one of this home runs already.
    """
    # Before the block that stops what it started: a running Airflow is somebody else's.
    processes.check_stopped(site.home)
    processes.migrate_metadata(site, environment, home)
    api = AirflowApi(site.url)
    try:
        yield api, start_airflow(api, site, environment, names, needed, workers)
    finally:
        api.close()
        processes.stop(site.home)


def start_airflow(
    api: AirflowApi,
    site: Site,
    environment: Mapping[str, str],
    names: Sequence[str],
    needed: set[str],
    workers: Sequence[Worker] = (),
) -> tuple[processes.Part, ...]:
    """Start the parts *names* and return them once Airflow has read the DAGs *needed*.

    The scheduler comes after the API server: a task that starts before it fails its first try.
    A site with a broker gets its Redis as well. Each of *workers* then takes tasks of its queues.

    Raises:
        ConfigError: A process ended, a DAG file cannot be imported, or it takes too long.
    """
    first = (name for name in names if name not in _AFTER_API)
    on_celery = (*redis_programs(site), *(worker.program for worker in workers))
    parts = processes.start(site, environment, (*on_celery, *first))
    what = f"Airflow did not get ready (logs in {site.logs})"

    def answering() -> bool:
        processes.check_alive(site, parts)
        return api.answers()

    def ready() -> bool:
        processes.check_alive(site, parts)
        return api.healthy() and _knows(api, site, needed, parts) and serving(site, workers)

    processes.wait_until(answering, _READY_S, what)
    # The scheduler would leave a task of a pool that does not exist waiting for good.
    api.set_pools(configured_workloads().pools)
    rest = [name for name in names if name in _AFTER_API]
    parts = processes.start(site, environment, rest, beside=parts)
    processes.wait_until(ready, _READY_S, what)
    return parts


def _knows(api: AirflowApi, site: Site, needed: set[str], parts: Sequence[processes.Part]) -> bool:
    """Return whether this DAG processor, not an earlier one, has read the DAGs *needed*."""
    began = min(part.created for part in parts)
    if needed <= api.dag_ids(parsed_after=began):
        return True
    if errors := api.import_errors(since=began):
        raise ConfigError(f"A DAG file of {site.dags} cannot be imported. {errors[0]}")
    return False


@dataclass(frozen=True)
class _Job:
    site: Site
    api: AirflowApi
    parts: tuple[processes.Part, ...]
    engine: Engine
    inputs: Sequence[Input]

    @property
    def chains(self) -> list[str]:
        return [one.chain for one in self.inputs]

    @property
    def ingest_dags(self) -> list[str]:
        return [f"ingest_{chain}" for chain in self.chains]

    def observe(self) -> Snapshot:
        return snapshot(self.engine, self.chains)

    def check(self) -> None:
        processes.check_alive(self.site, self.parts)


def _load(job: _Job, console: Console) -> Outcome:
    before = job.observe()
    with bars(console) as drawn:
        watch = Watch(
            api=job.api,
            logs=job.site.logs,
            woken=lambda dag_id: not dag_id.startswith("ingest_"),
            release=lambda: _pause(job),
            observe=job.observe,
            check=job.check,
            bars=drawn,
            asked=_asked(job.inputs),
            old=frozenset(job.api.runs("failed")),
        )
        try:
            now, after = before, _round(job, watch, before)
            # A run takes a bounded number of ranges, so a long input takes several.
            while after.blocks - now.blocks >= _full_round(job):
                now, after = after, _round(job, watch, before)
        finally:
            _pause(job)
    return Outcome(before, after)


def _round(job: _Job, watch: Watch, before: Snapshot) -> Snapshot:
    """Trigger the ingest runs, follow them to the end and return the warehouse then."""
    runs = [job.api.trigger(f"ingest_{one.chain}", one.conf) for one in job.inputs]
    for dag_id in job.api.dag_ids():
        if dag_id in job.ingest_dags or watch.woken(dag_id):
            job.api.unpause(dag_id)
    return follow(watch, runs, before)


def _pause(job: _Job) -> None:
    """Keep the ingest DAGs from following their own schedule, now and at the next start."""
    with suppress(OnchainAggError):
        for dag_id in job.ingest_dags:
            job.api.pause(dag_id)
        for run in job.api.runs("queued", "running"):
            if run.dag_id in job.ingest_dags:
                job.api.delete(run)


def _full_round(job: _Job) -> int:
    return MAX_RANGES * min(chain_named(chain).batch_blocks for chain in job.chains)


def _asked(inputs: Sequence[Input]) -> int | None:
    total = 0
    for one in inputs:
        if one.first is None or one.last is None:
            return None
        total += one.last - one.first + 1
    return total
