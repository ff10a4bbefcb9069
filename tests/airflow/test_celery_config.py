"""Celery's configuration: the provider's own and more, and what workers load ahead of tasks."""

import ast
import json
import subprocess
import sys
from importlib import import_module, reload
from pathlib import Path

import pytest
from airflow.configuration import conf
from airflow.providers_manager import ProvidersManager

from onchain_agg.routing.recommended import recommended_settings
from onchain_agg.routing.workload_file import PACKAGED, configured_workloads, load_workloads

pytestmark = pytest.mark.airflow

_SRC = Path(__file__).parents[2] / "src" / "onchain_agg"
_SAFE = """
import gc, json, os, socket, sys, threading
from importlib import import_module

def sockets():
    links = (f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd"))
    return sorted(os.readlink(link) for link in links if os.path.exists(link))

import airflow.sdk
import airflow.providers.standard.operators.python
from sqlalchemy import Engine

def engines():
    # By type: isinstance() would wake Airflow's lazy modules.
    return {id(one) for one in gc.get_objects() if issubclass(type(one), Engine)}

before, of_airflow = sockets(), engines()
for name in json.loads(sys.argv[1]):
    import_module(name)
opened = [link for link in sockets() if link not in before]
made = len(engines() - of_airflow)
threads = [thread.name for thread in threading.enumerate()]
reading, writing = os.pipe()
child = os.fork()
if child == 0:
    import pyarrow, pyarrow.compute
    from web3 import Web3
    table = pyarrow.table({"n": range(100_000)})
    total = pyarrow.compute.sum(table["n"]).as_py()
    os.write(writing, json.dumps([total, Web3.keccak(b"").hex()[:8]]).encode())
    os._exit(0)
os.close(writing)
computed = json.loads(os.read(reading, 1000))
os.waitpid(child, 0)
loaded = sorted(name for name in sys.modules if name.split(".")[0] in ("onchain_agg", "web3"))
print(json.dumps([opened, made, threads, computed, loaded]))
"""


@pytest.fixture
def configured(monkeypatch):
    """Return the function that reads the configuration as those options of Airflow make it."""
    provider = import_module("airflow.providers.celery.executors.default_celery")
    own = import_module("onchain_agg.routing.celery_config")

    def read(**options):
        for name, value in options.items():
            monkeypatch.setenv(f"AIRFLOW__{name.upper()}", value)
        configured_workloads.cache_clear()
        reload(provider)
        return reload(own).CELERY_CONFIG, provider.DEFAULT_CELERY_CONFIG

    yield read
    monkeypatch.undo()
    read()


def test_it_is_the_providers_but_for_imports_and_two_timeouts(configured):
    config, default = configured(celery__broker_url="redis://r:6379/0")

    assert {name for name in config if config[name] != default.get(name)} == {
        "imports",
        "broker_transport_options",
        "worker_soft_shutdown_timeout",
    }
    assert config["worker_soft_shutdown_timeout"] == 60
    assert config["broker_transport_options"] == {"visibility_timeout": 4200}
    assert (config["task_acks_late"], config["worker_prefetch_multiplier"]) == (True, 1)


def test_options_of_the_deployment_stay(configured):
    config, _ = configured(
        celery__broker_url="redis://r:6379/0",
        celery__task_acks_late="False",
        celery__worker_prefetch_multiplier="4",
        celery__extra_celery_config='{"imports": ["json"], "worker_soft_shutdown_timeout": 9}',
        celery_broker_transport_options__visibility_timeout="777",
        celery_broker_transport_options__master_name="mymaster",
    )

    assert config["imports"][0] == "json"
    assert "web3" in config["imports"]
    assert config["worker_soft_shutdown_timeout"] == 9
    assert (config["task_acks_late"], config["worker_prefetch_multiplier"]) == (False, 4)
    assert config["broker_transport_options"] == {
        "visibility_timeout": 777,
        "master_name": "mymaster",
    }


def test_other_options_of_the_broker_keep_the_visibility_timeout_of_the_table(configured):
    config, _ = configured(
        celery__broker_url="sentinel://r:26379",
        celery_broker_transport_options__master_name="mymaster",
    )

    assert config["broker_transport_options"] == {
        "visibility_timeout": 4200,
        "master_name": "mymaster",
    }


def test_a_longer_queue_of_the_deployment_makes_the_visibility_timeout_longer(
    configured, monkeypatch, tmp_path
):
    (tmp_path / "own.yaml").write_text("workloads: {nft_worker: {timeout: 5h}}\n")
    monkeypatch.setenv("ONCHAIN_AGG_WORKLOADS_FILE", str(tmp_path / "own.yaml"))

    config, _ = configured(celery__broker_url="redis://r:6379/0")

    assert config["broker_transport_options"] == {"visibility_timeout": 5 * 3600 + 600}


def test_a_broker_without_visibility_timeouts_gets_none(configured):
    config, _ = configured(celery__broker_url="amqp://guest@rabbit//")

    assert config["broker_transport_options"] == {}


def test_airflow_takes_it_by_the_name_that_is_recommended(configured):
    name = "onchain_agg.routing.celery_config.CELERY_CONFIG"
    config, _ = configured(celery__celery_config_options=name)

    assert conf.getimport("celery", "celery_config_options") is config


def test_a_process_that_only_reads_it_loads_nothing_ahead():
    code = "import sys, onchain_agg.routing.celery_config; print('web3' in sys.modules)"

    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout

    assert printed.splitlines()[-1] == "False"


_AUDIT = "onchain_agg.metrics.holder_audit"


def test_what_workers_load_ahead_is_safe_to_fork_and_all_that_tasks_import():
    preloaded = import_module("onchain_agg.routing.celery_config").PRELOADED

    printed = subprocess.run(
        [sys.executable, "-c", _SAFE, json.dumps(preloaded)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout

    opened, engines, threads, computed, loaded = json.loads(printed.splitlines()[-1])
    assert (opened, engines, threads) == ([], 0, ["MainThread"])
    assert computed == [4999950000, "c5d24601"]
    late = set().union(*(_imported_late(path) for path in _task_files()))
    assert "onchain_agg.metrics.compute" in late
    # An audit runs in a pod, which loads nothing ahead.
    assert late - set(loaded) == {_AUDIT}


def _task_files() -> list[Path]:
    files = [*_SRC.glob("operators/*.py"), *_SRC.glob("hooks/*.py")]
    # Triggers run in the triggerer, and a sensor only names them.
    return [path for path in files if path.name not in {"triggers.py", "source_table.py"}]


def _imported_late(path: Path) -> set[str]:
    """Return this package's modules that functions of *path* import as they run."""
    functions = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.FunctionDef)]
    return {
        node.module
        for function in functions
        for node in ast.walk(function)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("onchain_agg.")
    }


def test_every_recommended_option_is_one_of_airflow_or_a_provider():
    ProvidersManager().initialize_providers_configuration()
    settings = recommended_settings(load_workloads(PACKAGED))

    # Celery's broker decides what that section may hold, so nothing declares it.
    declared = [one for one in settings if one.section != "celery_broker_transport_options"]
    unknown = [
        f"[{one.section}] {one.option}"
        for one in declared
        if conf.get_default_value(one.section, one.option) is None
        and not conf.has_option(one.section, one.option)
    ]
    assert unknown == []
    assert len(settings) - len(declared) == 1
