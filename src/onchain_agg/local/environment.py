"""The environment that makes Airflow's processes one local Airflow under the package's home."""

import base64
import json
import os
import secrets
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from onchain_agg.errors import ConfigError
from onchain_agg.local.broker import Broker
from onchain_agg.local.inputs import Input
from onchain_agg.routing.recommended import recommended_settings
from onchain_agg.routing.workload_file import configured_workloads
from onchain_agg.settings import Settings
from onchain_agg.warehouse.embedded import embedded_url

_LOOPBACK = "127.0.0.1"
# Tasks at a time on each of two Celery workers: they share few cores with the rest of Airflow.
WORKER_TASKS = 2


@dataclass(frozen=True, kw_only=True)
class Site:
    """Where the local Airflow lives.

    Attributes:
        home: AIRFLOW_HOME.
        dags: The DAG folder.
        port: Loopback port of the API server and its pages.
        quick: For one job that a person waits for: looks for new DAG files never.
        broker: Redis of the Celery workers, which then run all tasks but those of the kubernetes
            queue; None for LocalExecutor alone.
    """

    home: Path
    dags: Path
    port: int
    quick: bool
    broker: Broker | None = None

    @property
    def url(self) -> str:
        """Return the address of the API server and its pages."""
        return f"http://{_LOOPBACK}:{self.port}"

    @property
    def logs(self) -> Path:
        """Return the folder of all logs."""
        return self.home / "logs"


def airflow_environment(
    site: Site, settings: Settings, warehouse: str, inputs: Iterable[Input] = ()
) -> dict[str, str]:
    """Return the variables of every Airflow process; starts the embedded server where needed.

    The API accepts every caller without a password, so it listens on loopback only.

    Raises:
        ConfigError: The embedded server cannot start, or the table of queues is wrong.
    """
    metadata = embedded_url(settings.home, "airflow")
    site.home.mkdir(parents=True, exist_ok=True)
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("AIRFLOW_")}
    return {
        **inherited,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
        # A proxy must not be asked for a process on this machine.
        "NO_PROXY": f"{_LOOPBACK},localhost",
        "no_proxy": f"{_LOOPBACK},localhost",
        "AIRFLOW_HOME": str(site.home),
        "ONCHAIN_AGG_HOME": str(settings.home),
        "ONCHAIN_AGG_WAREHOUSE_URL": warehouse,
        # It stands in for pods, with a broker or without.
        "ONCHAIN_AGG_KUBERNETES_EXECUTOR": "LocalExecutor",
        **{one.variable: one.value for one in recommended_settings(configured_workloads())},
        **{f"AIRFLOW__{name}": value for name, value in _options(site, metadata).items()},
        **{
            f"AIRFLOW_CONN_ONCHAIN_{one.chain.upper()}": json.dumps(one.connection)
            for one in inputs
        },
    }


def dag_folder(given: str) -> Path:
    """Return the DAG folder: *given*, else ``dags`` here, else that of the checkout.

    Raises:
        ConfigError: It holds no DAG file.
    """
    checkout = Path(__file__).parents[3] / "dags"
    candidates = [Path(given).expanduser()] if given else [Path("dags"), checkout]
    for folder in candidates:
        if next(folder.glob("*.py"), None) is not None:
            return folder.resolve()
    raise ConfigError(
        f"No DAG file lies in {' or '.join(map(str, candidates))}. Name the DAG folder with --dags."
    )


def _options(site: Site, metadata: str) -> dict[str, str]:
    psycopg2 = metadata.replace("postgresql+psycopg:", "postgresql+psycopg2:")
    # How long a parsed DAG file is trusted, and how often the folder is looked through, seconds.
    parse_again, look_again = ("3600", "3600") if site.quick else ("30", "10")
    return {
        **_secrets(site.home),
        "CORE__DAGS_FOLDER": str(site.dags),
        **_executors(site.broker),
        "CORE__EXECUTION_API_SERVER_URL": f"{site.url}/execution/",
        # A file under ten lines need not hold the words that safe mode looks for.
        "CORE__DAG_DISCOVERY_SAFE_MODE": "False",
        "CORE__LOAD_EXAMPLES": "False",
        "CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        # Who may press the Test button may reach any host; here that is this machine's own user.
        "CORE__TEST_CONNECTION": "Enabled",
        "DATABASE__SQL_ALCHEMY_CONN": psycopg2,
        "API__HOST": _LOOPBACK,
        "API__PORT": str(site.port),
        "API__BASE_URL": site.url,
        "API__WORKERS": "1",
        "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": parse_again,
        "DAG_PROCESSOR__REFRESH_INTERVAL": look_again,
        "DAG_PROCESSOR__PARSING_PROCESSES": "1",
        "LOGGING__BASE_LOG_FOLDER": str(site.logs),
        # On a busy machine the server's first answers take longer than the default of 5 s.
        "WORKERS__EXECUTION_API_TIMEOUT": "60",
    }


def _executors(broker: Broker | None) -> dict[str, str]:
    cores = max(2, os.cpu_count() or 2)
    if broker is None:
        return {"CORE__EXECUTOR": "LocalExecutor", "CORE__PARALLELISM": str(cores)}
    return {
        "CORE__EXECUTOR": "CeleryExecutor,LocalExecutor",
        # Of both together: as many as LocalExecutor may run while the workers are full.
        "CORE__PARALLELISM": str(cores + 2 * WORKER_TASKS),
        "CELERY__BROKER_URL": broker.url,
    }


def _secrets(home: Path) -> dict[str, str]:
    """Return the keys that all processes share; made once, readable by this user only."""
    path = home / "secrets.json"
    if not path.exists():
        made = {
            "CORE__FERNET_KEY": base64.urlsafe_b64encode(os.urandom(32)).decode(),
            "API__SECRET_KEY": secrets.token_urlsafe(48),
            "API_AUTH__JWT_SECRET": secrets.token_urlsafe(48),
        }
        path.touch(mode=0o600)
        path.write_text(json.dumps(made))
    kept: dict[str, str] = json.loads(path.read_text())
    return kept
