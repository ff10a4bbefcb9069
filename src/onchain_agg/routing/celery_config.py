"""Celery's configuration: ``[celery] celery_config_options`` names `CELERY_CONFIG`.

It is the Celery provider's own, made of the options in ``airflow.cfg``, so those keep working; acks
late and a prefetch of one are among its defaults. The scheduler reads it as well as the workers.
"""

from typing import Any

from airflow.providers.celery.executors.default_celery import DEFAULT_CELERY_CONFIG
from airflow.providers.common.compat.sdk import conf

from onchain_agg.routing.recommended import finishing_time, visibility_timeout
from onchain_agg.routing.workload_file import configured_workloads

# What tasks import as they run. A worker's parent imports it once as it starts, and Airflow forks
# each task from there. None opens a file, a socket or a connection as it is imported. Clients of
# exchanges are not among them: a task needs one, and all of them take two seconds and 40 MB.
# The first four are for the DAG file, which every task reads before it runs.
PRELOADED = (
    "airflow.dag_processing.dagbag",
    "onchain_agg.plugin",
    "onchain_agg.routing.assignment",
    "onchain_agg.routing.decorators",
    "onchain_agg.metrics.compute",
    "onchain_agg.metrics.definitions",
    "onchain_agg.metrics.due",
    "onchain_agg.metrics.freshness",
    "onchain_agg.metrics.upkeep",
    "onchain_agg.operators.readiness",
    "onchain_agg.routing.spot",
    "onchain_agg.sources.block_files",
    "onchain_agg.sources.market",
    "onchain_agg.sources.opening",
    "onchain_agg.sources.sql_file",
    "onchain_agg.sources.sql_targets",
    "onchain_agg.warehouse.apply",
    "onchain_agg.warehouse.ingest",
    "onchain_agg.warehouse.retention",
    "onchain_agg.warehouse.schema",
    "onchain_agg.warehouse.sql_pull",
    "web3",
)

_TRANSPORT = "broker_transport_options"


def _configuration() -> dict[str, Any]:
    asked = DEFAULT_CELERY_CONFIG.get("imports", ())
    return {
        "worker_soft_shutdown_timeout": finishing_time(configured_workloads()),
        **DEFAULT_CELERY_CONFIG,
        "imports": (*((asked,) if isinstance(asked, str) else asked), *PRELOADED),
        _TRANSPORT: _transport_options(DEFAULT_CELERY_CONFIG.get(_TRANSPORT, {})),
    }


def _transport_options(given: dict[str, Any]) -> dict[str, Any]:
    """Return the options of the broker; a visibility timeout that the deployment set stays.

    The provider puts a default where the deployment set none, and only for brokers that have one.
    """
    if "visibility_timeout" not in given or _is_set("visibility_timeout"):
        return given
    return given | {"visibility_timeout": visibility_timeout(configured_workloads())}


def _is_set(option: str) -> bool:
    return option in (conf.getsection(f"celery_{_TRANSPORT}") or {})


CELERY_CONFIG: dict[str, Any] = _configuration()
