"""What a local run reads: block files, a node, or the sample that ships with the package."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from urllib3.exceptions import LocationParseError
from urllib3.util import parse_url

from onchain_agg.chains import Chain, EvmChain, UtxoChain, all_chains, chain_named
from onchain_agg.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Input:
    """One chain's source, and which of its blocks.

    Attributes:
        connection: The Airflow connection ``onchain_<chain>``, as its JSON form takes it.
        first: First block to read; None for the chain's next.
        last: Last block to read, included; None for the newest.
    """

    chain: str
    connection: dict[str, Any]
    first: int | None = None
    last: int | None = None

    @property
    def conf(self) -> dict[str, int]:
        """Return the DAG run's configuration."""
        bounds = {"first": self.first, "last": self.last}
        return {name: number for name, number in bounds.items() if number is not None}


@dataclass(frozen=True, kw_only=True)
class Request:
    """The options as they were typed; an empty text is an option that was not given."""

    blocks: str = ""
    btc_rpc: str = ""
    evm_rpc: str = ""
    chain: str = ""
    first: str = ""
    last: str = ""


def checked(request: Request) -> Input | None:
    """Return the input that *request* names, or None for the sample.

    Raises:
        ConfigError: An option is wrong or missing; names it, its value and the cure.
    """
    first, last = _bounds(request)
    given = [name for name in ("blocks", "btc_rpc", "evm_rpc") if getattr(request, name)]
    if len(given) > 1:
        raise ConfigError(f"{' and '.join(map(str.upper, given))} are both set. Set one of them.")
    if not given:
        if request.chain or request.first or request.last:
            raise ConfigError(
                "CHAIN, FROM and TO belong to an input. Set BLOCKS, BTC_RPC or EVM_RPC too, "
                "or none of them for the sample."
            )
        return None
    chain = _chain(request, EvmChain if request.evm_rpc else UtxoChain)
    connection: dict[str, Any]
    if request.evm_rpc:
        connection = {"conn_type": "onchain_evm", "host": _url("EVM_RPC", request.evm_rpc)}
    elif request.btc_rpc:
        connection = {"conn_type": "onchain_bitcoin", "host": _url("BTC_RPC", request.btc_rpc)}
    else:
        extra = {"blocks": str(_block_path(request.blocks))}
        connection = {"conn_type": "onchain_bitcoin", "extra": extra}
    return Input(chain=chain.name, connection=connection, first=first, last=last)


def check_source(given: Input) -> None:
    """Ask the input's node or files once, so that a wrong one is told before anything starts.

    Raises:
        ConfigError: It serves another chain, or the range cannot be.
        SourceError: It does not answer, or does not reach the range.
    """
    # Only a given input pays for the decoders.
    from onchain_agg.sources.opening import open_source  # noqa: PLC0415
    from onchain_agg.warehouse.ingest import check_range  # noqa: PLC0415

    chain = chain_named(given.chain)
    host, extra = given.connection.get("host"), given.connection.get("extra", {})
    blocks = Path(extra["blocks"]) if "blocks" in extra else None
    source = open_source(chain, endpoints=[host] if host else (), blocks=blocks)
    source.check_chain()
    check_range(chain, source, given.first, given.last)


@contextmanager
def sample_inputs(home: Path) -> Iterator[tuple[Input, ...]]:
    """Serve the packaged sample and yield its two inputs; writes the genesis file under *home*."""
    # Only a run of the sample needs it.
    from onchain_agg import sample  # noqa: PLC0415

    genesis = home / "sample" / "genesis.json"
    genesis.parent.mkdir(parents=True, exist_ok=True)
    alloc = {f"0x{address.hex()}": {"balance": hex(wei)} for address, wei in _alloc(sample)}
    genesis.write_text(json.dumps({"alloc": alloc}))
    blocks = {"blocks": str(sample.block_dir())}
    with sample.running_replay() as url:
        extra = {"genesis": str(genesis)}
        yield (
            Input(
                chain="anvil",
                connection={"conn_type": "onchain_evm", "host": url, "extra": extra},
            ),
            Input(
                chain="regtest",
                connection={"conn_type": "onchain_bitcoin", "extra": blocks},
            ),
        )


def _alloc(sample: Any) -> list[tuple[bytes, int]]:
    return sorted(sample.genesis_alloc().items())


def _chain(request: Request, family: type[Chain]) -> Chain:
    names = sorted(name for name, chain in all_chains().items() if isinstance(chain, family))
    if not request.chain:
        if family is UtxoChain:
            return chain_named("bitcoin")
        raise ConfigError(f"EVM_RPC needs CHAIN. Set it to one of {', '.join(names)}.")
    chain = chain_named(request.chain)
    if not isinstance(chain, family):
        source = "EVM_RPC" if family is EvmChain else "BLOCKS and BTC_RPC"
        raise ConfigError(
            f"CHAIN is {chain.name!r}, which {source} cannot read. Set one of {', '.join(names)}."
        )
    return chain


def _bounds(request: Request) -> tuple[int | None, int | None]:
    first, last = _height("FROM", request.first), _height("TO", request.last)
    if first is not None and last is not None and first > last:
        raise ConfigError(f"FROM is {first}, which lies after TO, {last}. Swap them.")
    return first, last


def _height(name: str, text: str) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdigit()) or int(text) >= 2**63:
        raise ConfigError(f"{name} is {text!r}. Write a block number: 0 or more, digits only.")
    return int(text)


def _url(name: str, text: str) -> str:
    try:
        url = parse_url(text)
    except LocationParseError as error:
        raise ConfigError(f"{name} is not a URL. Write http://host:port.") from error
    if url.scheme not in {"http", "https"} or not url.host:
        # The text may hold a password or a key, so it is not repeated.
        raise ConfigError(f"{name} is not the address of a node. Write http://host:port.")
    return text


def _block_path(text: str) -> Path:
    path = Path(text).expanduser().resolve()
    if not path.exists():
        raise ConfigError(f"BLOCKS is {text!r}, which does not exist. Correct the path.")
    if path.is_dir() and next(path.glob("blk*.dat"), None) is None:
        raise ConfigError(
            f"BLOCKS is {text!r}, which holds no blk*.dat. Name the node's `blocks` folder."
        )
    return path
