"""What Airflow asks a provider package for: connection types and the options of airflow.cfg.

Every Airflow process imports this module as it starts, so it imports nothing itself.
"""

from typing import Any

_DOCUMENTED = "https://airflow.apache.org/docs/apache-airflow/stable/howto/connection.html"


def get_provider_info() -> dict[str, Any]:
    """Return the provider's description in the form of Airflow's ``provider_info.schema.json``."""
    return {
        "package-name": "onchain-agg",
        "name": "On-chain aggregation",
        "description": f"Precomputes metrics from chain data. `Connections <{_DOCUMENTED}>`__.",
        "connection-types": [_EVM, _BITCOIN, _MARKET],
        # The schema calls it `path`, but Airflow 3.3 reads `class-name`.
        "task-decorators": [
            {"name": "light", "class-name": "onchain_agg.routing.decorators.light_task"},
            {"name": "heavy", "class-name": "onchain_agg.routing.decorators.heavy_task"},
        ],
        "config": {"onchain_agg": {"description": "Options of onchain-agg.", "options": _OPTIONS}},
        "hooks": [
            {
                "integration-name": "Chain nodes",
                "python-modules": ["onchain_agg.hooks.bitcoin", "onchain_agg.hooks.evm"],
            },
            {"integration-name": "Exchanges", "python-modules": ["onchain_agg.hooks.market"]},
        ],
        "triggers": [
            {
                "integration-name": "Source tables",
                "python-modules": ["onchain_agg.operators.triggers"],
            }
        ],
    }


def _extra(label: str, kind: str, description: str, **rules: Any) -> dict[str, Any]:
    schema = {"type": [kind, "null"], **rules}
    return {"label": label, "description": description, "schema": schema}


_LIMITS = {
    "timeout_s": _extra(
        "Timeout (s)", "number", "Silence after which a call fails.", exclusiveMinimum=0
    ),
    "calls_per_second": _extra(
        "Calls per second", "number", "Limit of each endpoint.", exclusiveMinimum=0
    ),
}
_URL_HINT = "several, in order of preference, with commas between"
_EVM = {
    "connection-type": "onchain_evm",
    "hook-class-name": "onchain_agg.hooks.evm.EvmHook",
    "hook-name": "On-chain: EVM node",
    "ui-field-behaviour": {
        "hidden-fields": ["schema", "port", "login"],
        "relabeling": {"host": "URL", "password": "API key"},
        "placeholders": {
            "host": f"https://node.example/v2 ({_URL_HINT})",
            "password": "Takes the place of {api_key} in the URL, else follows it as a path",
        },
    },
    "conn-fields": {
        "genesis": _extra("Genesis file", "string", "JSON of the genesis allocation."),
        "content": _extra(
            "Content",
            "string",
            "full, or logs for token transfers alone.",
            enum=["full", "logs", None],
        ),
        **_LIMITS,
    },
}
_BITCOIN = {
    "connection-type": "onchain_bitcoin",
    "hook-class-name": "onchain_agg.hooks.bitcoin.BitcoinHook",
    "hook-name": "On-chain: Bitcoin-family node",
    "ui-field-behaviour": {
        "hidden-fields": ["schema", "port"],
        "relabeling": {"host": "URL", "login": "RPC user", "password": "RPC password"},
        "placeholders": {"host": f"http://127.0.0.1:8332 ({_URL_HINT})"},
    },
    "conn-fields": {
        "blocks": _extra("Block files", "string", "A blk*.dat file or a folder of them."),
        **_LIMITS,
    },
}
_MARKET = {
    "connection-type": "onchain_market",
    "hook-class-name": "onchain_agg.hooks.market.MarketHook",
    "hook-name": "On-chain: exchange",
    "ui-field-behaviour": {
        "hidden-fields": ["schema", "port"],
        "relabeling": {"host": "Exchange", "login": "API key", "password": "Secret"},
        "placeholders": {
            "host": "kraken (an exchange's id in ccxt)",
            "login": "Public data needs no key",
        },
    },
    "conn-fields": {
        "sandbox": _extra("Sandbox", "boolean", "Whether to use the exchange's test system."),
        "url": _extra(
            "URL", "string", "Takes the place of scheme and host in every URL, for a proxy."
        ),
        **_LIMITS,
    },
}
_OPTIONS = {
    "warehouse_url": {
        "description": "SQLAlchemy URL of the warehouse; empty: the embedded PostgreSQL.",
        "version_added": "0.1.0",
        "type": "string",
        "sensitive": True,
        "example": "postgresql+psycopg://onchain:secret@db.example:5432/onchain",
        "default": "",
    },
    "home": {
        "description": "Folder of what this machine keeps; the embedded PostgreSQL is in it.",
        "version_added": "0.1.0",
        "type": "string",
        "example": "/var/lib/onchain-agg",
        "default": ".onchain-agg",
    },
    "assets_file": {
        "description": "CSV of tracked assets beyond those of the chain definitions.",
        "version_added": "0.1.0",
        "type": "string",
        "example": "/etc/onchain-agg/assets.csv",
        "default": "",
    },
    "sources_folder": {
        "description": "Folder of the YAML files that declare SQL tables as sources; empty: none.",
        "version_added": "0.1.0",
        "type": "string",
        "example": "/etc/onchain-agg/sources",
        "default": "",
    },
    "refresh_minutes": {
        "description": "An open day is computed again at most this often.",
        "version_added": "0.1.0",
        "type": "integer",
        "example": None,
        "default": "10",
    },
    "archive_url": {
        "description": (
            "Where final days of facts are archived: a folder or s3://bucket/prefix; "
            "empty: there is no archive."
        ),
        "version_added": "0.1.0",
        "type": "string",
        "example": "s3://onchain/archive",
        "default": "",
    },
    "hot_days": {
        "description": "Days of facts that stay in the warehouse when they are archived.",
        "version_added": "0.1.0",
        "type": "integer",
        "example": None,
        "default": "90",
    },
    "workloads_file": {
        "description": "YAML laid over the packaged table of queues and sizes of pod.",
        "version_added": "0.1.0",
        "type": "string",
        "example": "/etc/onchain-agg/workloads.yaml",
        "default": "",
    },
    "kubernetes_executor": {
        "description": (
            'What queue="kubernetes" stands for: an executor, as it is named in [core] executor.'
        ),
        "version_added": "0.1.0",
        "type": "string",
        "example": "LocalExecutor",
        "default": "KubernetesExecutor",
    },
    "strict_queues": {
        "description": "Whether a DAG with a task of an unknown queue is an import error.",
        "version_added": "0.1.0",
        "type": "boolean",
        "example": None,
        "default": "False",
    },
    "pod_templates": {
        "description": (
            "Folder of the pod templates where the scheduler reads them; "
            "empty: pod_templates in AIRFLOW_HOME."
        ),
        "version_added": "0.1.0",
        "type": "string",
        "example": "/opt/airflow/pod_templates",
        "default": "",
    },
}
