"""The package's options, and the only reader of ``airflow.cfg [onchain_agg]``.

An option comes from the environment (``ONCHAIN_AGG_<OPTION>``), else from Airflow's configuration
where Airflow is set up, else from its default. Airflow is imported only when it has a configuration
to read, so a notebook needs none.
"""

import csv
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from onchain_agg.chains import ERC20, ERC721, ERC1155, Asset, EvmChain, all_chains, chain_named
from onchain_agg.errors import ConfigError, OnchainAggError
from onchain_agg.sources.evm_address import lower_address

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from onchain_agg.warehouse.parquet_store import ParquetStore

_SECTION = "onchain_agg"
_ENV = "ONCHAIN_AGG_"
_AIRFLOW_ENV = f"AIRFLOW__{_SECTION.upper()}__"
_ASSET_COLUMNS = ("chain", "address", "symbol", "decimals", "start_block", "whale_threshold")
# These may follow, in any order; an empty field is the default.
_MORE_COLUMNS = ("standard", "wraps", "bluechip")
_STANDARDS = {"": ERC20, "20": ERC20, "721": ERC721, "1155": ERC1155}
_FLAGS = {"": False, "false": False, "true": True}
_MAX_UINT256 = 2**256 - 1

_Value = TypeVar("_Value")

AirflowConf = Callable[[str], str | None]


@dataclass(frozen=True, kw_only=True)
class RoutingOptions:
    """What a deployment chose for where tasks run.

    Attributes:
        workloads_file: YAML laid over the packaged ``workloads.yaml``; None for that alone.
        kubernetes_executor: The executor that ``queue="kubernetes"`` stands for, as it is named in
            ``[core] executor``.
        strict_queues: Whether a task of an unknown queue keeps its DAG from being imported.
        pod_templates: Folder of the pod templates where the scheduler reads them.
    """

    workloads_file: Path | None
    kubernetes_executor: str
    strict_queues: bool
    pod_templates: Path


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a deployment chose.

    Attributes:
        home: Folder of what this machine keeps: the embedded PostgreSQL, Airflow's home, logs.
        warehouse_url: The warehouse's SQLAlchemy URL; None for the embedded server under *home*.
        assets_file: CSV of further tracked assets; None for only those of the chain definitions.
        refresh_minutes: An open day is computed again at most this often.
        archive_url: Root of the archive, a folder or ``s3://bucket/prefix``; None for no archive.
        hot_days: Days of facts that stay in the warehouse when they are archived.
    """

    home: Path
    warehouse_url: str | None
    assets_file: Path | None
    refresh_minutes: int
    archive_url: str | None = None
    hot_days: int = 90


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Return the options of this process, from *environ* (default: the process environment).

    Raises:
        ConfigError: An option has a value that it cannot have; names option, value and cure.
    """
    value = _options(os.environ if environ is None else environ)
    assets = value("assets_file")
    return Settings(
        home=Path(value("home") or ".onchain-agg").expanduser().resolve(),
        warehouse_url=value("warehouse_url"),
        assets_file=_existing("file", "assets_file", assets, Path.is_file) if assets else None,
        refresh_minutes=_at_least_one("refresh_minutes", value("refresh_minutes") or "10"),
        archive_url=value("archive_url"),
        hot_days=_at_least_one("hot_days", value("hot_days") or "90"),
    )


def load_routing_options(environ: Mapping[str, str] | None = None) -> RoutingOptions:
    """Return the options of routing, from *environ* (default: the process environment).

    Raises:
        ConfigError: An option has a value that it cannot have; names option, value and cure.
    """
    environ = os.environ if environ is None else environ
    value = _options(environ)
    own = value("workloads_file")
    templates = value("pod_templates") or str(_airflow_home(environ) / "pod_templates")
    return RoutingOptions(
        workloads_file=_existing("file", "workloads_file", own, Path.is_file) if own else None,
        kubernetes_executor=value("kubernetes_executor") or "KubernetesExecutor",
        strict_queues=_truth("strict_queues", value("strict_queues") or "False"),
        # The scheduler reads them, perhaps on another machine, so nothing is looked for here.
        pod_templates=Path(templates).expanduser(),
    )


def sources_folder(environ: Mapping[str, str] | None = None) -> Path | None:
    """Return the folder of the declared SQL sources; None where none is configured.

    Raises:
        ConfigError: It is no folder; names option, value and cure.
    """
    text = _options(os.environ if environ is None else environ)("sources_folder")
    return _existing("folder", "sources_folder", text, Path.is_dir) if text else None


def warehouse_url(settings: Settings) -> str:
    """Return the warehouse's URL; starts the embedded server where no other is configured.

    Raises:
        ConfigError: The embedded server is not installed or cannot start.
    """
    if settings.warehouse_url:
        return settings.warehouse_url
    # Starting a server needs far more than reading an option does.
    from onchain_agg.warehouse.embedded import embedded_url  # noqa: PLC0415

    return embedded_url(settings.home)


@contextmanager
def configured_warehouse() -> Iterator["Engine"]:
    """Yield an engine on the configured warehouse, which must be migrated.

    Raises:
        ConfigError: It cannot be used, or is not migrated.
        SourceError: It does not answer.
    """
    # Reading an option must not cost a database driver.
    from onchain_agg.warehouse.engine import engine_for  # noqa: PLC0415
    from onchain_agg.warehouse.schema import check_migrated  # noqa: PLC0415

    engine = engine_for(warehouse_url(load_settings()))
    try:
        check_migrated(engine)
        yield engine
    finally:
        engine.dispose()


def archive_of(settings: Settings) -> "ParquetStore | None":
    """Return the configured archive, or None where there is none. Nothing is opened."""
    if settings.archive_url is None:
        return None
    # Reading an option must not cost Arrow.
    from onchain_agg.warehouse.parquet_store import ParquetStore  # noqa: PLC0415

    return ParquetStore(settings.archive_url)


def extra_assets(settings: Settings) -> dict[str, tuple[Asset, ...]]:
    """Return the tracked assets that ``assets_file`` adds, by chain; empty where there is no file.

    Raises:
        ConfigError: A line is wrong; names file, line, column and cure.
    """
    if settings.assets_file is None:
        return {}
    assets: dict[str, tuple[Asset, ...]] = {}
    with settings.assets_file.open(newline="", encoding="utf-8") as file:
        lines = csv.DictReader(file)
        names = tuple(lines.fieldnames or ())
        needed = len(_ASSET_COLUMNS)
        if names[:needed] != _ASSET_COLUMNS or not {*names[needed:]} <= {*_MORE_COLUMNS}:
            raise ConfigError(
                f"{settings.assets_file}: the first line must be {','.join(_ASSET_COLUMNS)!r};"
                f" {', '.join(_MORE_COLUMNS)} may follow."
            )
        for line in lines:
            try:
                chain, asset = _asset(line)
            except (OnchainAggError, ValueError) as error:
                raise ConfigError(
                    f"{settings.assets_file}, line {lines.line_num}: {error}"
                ) from error
            assets[chain] = (*assets.get(chain, ()), asset)
    return assets


def _asset(line: Mapping[str, str | None]) -> tuple[str, Asset]:
    text = {
        column: (line.get(column) or "").strip() for column in (*_ASSET_COLUMNS, *_MORE_COLUMNS)
    }
    chain = chain_named(text["chain"]) if text["chain"] else None
    if chain is None:
        raise ConfigError(f"chain is empty; name one of {', '.join(all_chains())}.")
    address = text["address"] or None
    if address is not None:
        address = _checked_address(address, isinstance(chain, EvmChain))
    if not text["symbol"]:
        raise ConfigError("symbol is empty; give the asset a short name.")
    return chain.name, Asset(
        symbol=text["symbol"],
        address=address,
        decimals=_whole("decimals", text["decimals"], 255),
        start_block=_whole("start_block", text["start_block"], 2**63 - 1),
        whale_threshold=_whole("whale_threshold", text["whale_threshold"], _MAX_UINT256),
        standard=_standard(text["standard"], is_token=address is not None),
        wraps=lower_address(text["wraps"]) if text["wraps"] else None,
        bluechip=_one_of("bluechip", text["bluechip"], _FLAGS),
    )


def _standard(text: str, *, is_token: bool) -> int:
    standard = _one_of("standard", text, _STANDARDS)
    if standard != _STANDARDS[""] and not is_token:
        raise ConfigError(f"standard is {text!r}, but address is empty; name the collection.")
    return standard


def _one_of(column: str, text: str, known: Mapping[str, _Value]) -> _Value:
    if text not in known:
        written = ", ".join(filter(None, known))
        raise ConfigError(f"{column} is {text!r}; write one of {written}, or leave it empty.")
    return known[text]


def _checked_address(text: str, evm: bool) -> str:  # noqa: FBT001 - private, one caller
    """Return the address in lower case; one in mixed case must carry its checksum (EIP-55)."""
    if not evm:
        raise ConfigError(f"address is {text!r}, but the chain has no tokens; leave it empty.")
    return lower_address(text)


def _whole(column: str, text: str, most: int) -> int:
    if not (text.isascii() and text.isdigit()) or int(text) > most:
        raise ConfigError(f"{column} is {text!r}; write a whole number from 0 to {most}.")
    return int(text)


def _at_least_one(option: str, text: str) -> int:
    if not (text.isascii() and text.isdigit()) or int(text) < 1:
        raise ConfigError(
            f"Option [{_SECTION}] {option} is {text!r}. Set a whole number of at least 1, "
            f"in airflow.cfg or as {_ENV}{option.upper()}."
        )
    return int(text)


def _existing(what: str, option: str, text: str, is_there: Callable[[Path], bool]) -> Path:
    path = Path(text).expanduser().resolve()
    if not is_there(path):
        raise ConfigError(
            f"Option [{_SECTION}] {option} is {text!r}, which is not a {what}. Correct the path, "
            f"in airflow.cfg or as {_ENV}{option.upper()}, or remove the option."
        )
    return path


def _truth(option: str, text: str) -> bool:
    if text.lower() not in {"true", "false"}:
        raise ConfigError(
            f"Option [{_SECTION}] {option} is {text!r}. Set True or False, "
            f"in airflow.cfg or as {_ENV}{option.upper()}."
        )
    return text.lower() == "true"


def _options(environ: Mapping[str, str]) -> AirflowConf:
    airflow = _airflow_conf(environ)
    return lambda option: environ.get(_ENV + option.upper()) or airflow(option) or None


def _airflow_home(environ: Mapping[str, str]) -> Path:
    return Path(environ.get("AIRFLOW_HOME") or "~/airflow").expanduser()


def _airflow_conf(environ: Mapping[str, str]) -> AirflowConf:
    """Return a reader of Airflow's section, or one that knows nothing where Airflow is not set up.

    Importing Airflow writes a configuration file where there is none, so it is imported only where
    it already runs or has one.
    """
    configured = (
        "airflow.configuration" in sys.modules
        or Path(environ.get("AIRFLOW_CONFIG") or _airflow_home(environ) / "airflow.cfg").is_file()
        or any(name.startswith(_AIRFLOW_ENV) for name in environ)
    )
    if not configured or find_spec("airflow") is None:
        return lambda _option: None
    from airflow.configuration import conf  # noqa: PLC0415 - see the docstring

    def read(option: str) -> str | None:
        text: str | None = conf.get(_SECTION, option, fallback=None)
        return text

    return read
