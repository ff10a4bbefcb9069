"""Opens the source of a chain from where it is: node URLs, or block files."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from onchain_agg.chains import EvmChain, UtxoChain
from onchain_agg.errors import ConfigError
from onchain_agg.sources.batch import BlockSource
from onchain_agg.sources.rpc import Rpc


def open_source(
    chain: EvmChain | UtxoChain,
    *,
    endpoints: Sequence[str] | Rpc = (),
    blocks: Path | None = None,
    genesis: Path | None = None,
    content: str = "full",
) -> BlockSource:
    """Return the source that reads *chain*.

    Nothing is read or connected to yet; `BlockSource.check_chain` does that.

    Args:
        chain: The chain.
        endpoints: URLs of its nodes, the preferred one first, or a client that asks them.
        blocks: A block file of a Bitcoin-family node, or a directory of them.
        genesis: EVM: a genesis file (``alloc`` by address), so that native balances are complete.
        content: EVM: ``full``, or ``logs`` for headers and token transfers alone, which costs a
            fifth; there are no transactions and no native transfers then.

    Raises:
        ConfigError: Neither or both of *endpoints* and *blocks*, files that are not there, or an
            unknown *content*.
    """
    if bool(endpoints) == (blocks is not None):
        raise ConfigError(
            f"{chain.name}: give the URL of a node or a path to block files, and only one of them."
        )
    if isinstance(chain, EvmChain):
        return _evm(chain, endpoints, blocks, genesis, content)
    # Only one of the families' decoders is needed, and they take long to import.
    from onchain_agg.sources.bitcoin import BitcoinRpcSource, BlockFileSource  # noqa: PLC0415

    if blocks is None:
        return BitcoinRpcSource(chain, endpoints)
    if not blocks.exists():
        raise ConfigError(f"{chain.name}: there is no block file or directory {blocks}.")
    return BlockFileSource(chain, blocks)


def _evm(
    chain: EvmChain,
    endpoints: Sequence[str] | Rpc,
    blocks: Path | None,
    genesis: Path | None,
    content: str,
) -> BlockSource:
    from onchain_agg.sources.evm import Content, EvmSource  # noqa: PLC0415 - as above

    if blocks is not None:
        raise ConfigError(
            f"{chain.name} is read from a node; block files are of Bitcoin-family chains."
        )
    if content not in {"full", "logs"}:
        raise ConfigError(f"{chain.name}: content is {content!r}. Write full or logs.")
    alloc = read_genesis(genesis) if genesis else None
    wanted: Content = "logs" if content == "logs" else "full"
    return EvmSource(chain, endpoints, genesis_alloc=alloc, content=wanted)


def read_genesis(path: Path) -> dict[bytes, int]:
    """Return the balance in wei of each account of a genesis file.

    The allocation stands under ``alloc`` (geth) or ``accounts`` (chain specifications), or is the
    whole document; a balance is a decimal or ``0x`` number. Accounts without one are left out.

    Raises:
        ConfigError: No such file, or it holds no allocation.
    """
    try:
        document = msgspec.json.decode(path.read_bytes())
        alloc = document.get("alloc") or document.get("accounts") or document
        balances = {
            bytes.fromhex(address.removeprefix("0x")): int(str(_balance(account)), 0)
            for address, account in alloc.items()
        }
        return {address: balance for address, balance in balances.items() if balance}
    except FileNotFoundError:
        raise ConfigError(f"There is no genesis file {path}.") from None
    except (msgspec.DecodeError, AttributeError, ValueError) as error:
        raise ConfigError(
            f"{path} is not a genesis file with an 'alloc' of balances: {error}"
        ) from error


def _balance(account: object) -> object:
    return account.get("balance", 0) if isinstance(account, dict) else account
