"""EVM transfer logs from anvil to Arrow, against only fetching the bytes and against web3.py.

Run from the repository: ``python -m benchmarks.evm_fetch [--blocks 500] [--rounds 5]``. Rounds are
interleaved, so that a busy machine slows every contestant alike; look at the ratios.
"""
# ruff: noqa: INP001, T201 - a script, which prints its result.

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from onchain_agg.chains import EvmChain, chain_named
from onchain_agg.sources.batch import Batch
from onchain_agg.sources.evm import Content, EvmSource
from onchain_agg.sources.evm_logs import TRANSFER
from onchain_agg.sources.rpc import HttpAnswer, Rpc, Send, http_send
from tests.nodes.anvil import running_anvil
from tests.nodes.evm_contracts import DEFAULT_GAS, Contract, deploy
from tests.nodes.json_rpc import JsonRpc

TRANSFERS_A_BLOCK = 450
TRANSACTIONS_A_BLOCK = 18
HOLDERS = 2_000
WEB3_BLOCKS = 20  # web3.py is so slow that a slice is measured and scaled by its logs
TIMEOUT_S = 60.0
# More than one transaction's gas, because each pays 25 customers.
NODE_OPTIONS = (
    *("--gas-limit", "100000000", "--block-base-fee-per-gas", "0", "--gas-price", "0"),
    *("--no-mining", "--order", "fifo", "--quiet"),
)


@dataclass(frozen=True)
class BuiltChain:
    """A live anvil whose blocks *first* to *last* carry *transfers* transfers of *coins*."""

    url: str
    first: int
    last: int
    transfers: int
    coins: tuple[str, ...]


@dataclass(frozen=True)
class Spent:
    """One run: *logs* handled in *wall* seconds with *cpu* seconds of this process."""

    logs: int
    wall: float
    cpu: float


@contextmanager
def built_chain(blocks: int = 500, holders: int = HOLDERS) -> Iterator[BuiltChain]:
    """Yield a fresh chain of that many blocks with `TRANSFERS_A_BLOCK` ERC-20 transfers each."""
    with running_anvil(*NODE_OPTIONS) as url:
        rpc = JsonRpc(url)
        sender = rpc.call("eth_accounts")[0]
        wallet = deploy(rpc, sender, "ExchangeWallet")
        coins = [deploy(rpc, sender, "Coin", f"Coin {n}", f"C{n}", 18) for n in (1, 2)]
        rpc.call("evm_mine")
        for coin in coins:
            coin.send(rpc, sender, "mint", wallet.address, 2**255)
        rpc.call("evm_mine")
        first = int(rpc.call("eth_blockNumber"), 16) + 1
        for number in range(blocks):
            rpc.batch(_payments(sender, wallet, coins, number, holders))
        last = int(rpc.call("eth_blockNumber"), 16)
        rpc.close()
        addresses = tuple(coin.address for coin in coins)
        yield BuiltChain(url, first, last, blocks * TRANSFERS_A_BLOCK, addresses)


def _payments(
    sender: str, wallet: Contract, coins: list[Contract], number: int, population: int
) -> list[tuple[object, ...]]:
    """Return the calls that send one block's payments and then mine it."""
    each = TRANSFERS_A_BLOCK // TRANSACTIONS_A_BLOCK
    calls: list[tuple[object, ...]] = []
    for k in range(TRANSACTIONS_A_BLOCK):
        start = (number * TRANSACTIONS_A_BLOCK + k) * each
        holders = [f"0x{0xABC0000 + (start + i) % population:040x}" for i in range(each)]
        amounts = [2**100 + start + i for i in range(each)]
        data = wallet.calldata("payTokens", coins[k % 2].address, holders, amounts)
        fields = {"from": sender, "to": wallet.address, "data": data, "gas": hex(DEFAULT_GAS)}
        calls.append(("eth_sendTransaction", fields))
    return [*calls, ("evm_mine",)]


def main() -> None:
    """Build the chain, run the rounds and print the table."""
    options = _options()
    if options.rss_of:
        _print_peak(*options.rss_of)
        return
    started = time.perf_counter()
    with built_chain(options.blocks) as chain:
        took = time.perf_counter() - started
        print(
            f"anvil: {options.blocks} blocks, {chain.transfers:,} transfers, built in {took:.1f} s"
        )
        _print_rounds(chain, options.rounds)
        _print_memory(chain)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blocks", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rss-of", nargs=4, metavar=("URL", "CONTENT", "FIRST", "LAST"))
    return parser.parse_args()


def _print_rounds(chain: BuiltChain, rounds: int) -> None:
    bodies = recorded(chain)
    contestants: dict[str, Callable[[], int]] = {
        "bytes only": lambda: bytes_only(chain, bodies, 1),
        "bytes only, two at once": lambda: bytes_only(chain, bodies, 2),
        "ours, logs to Arrow": lambda: _ours(chain, "logs"),
        "ours, full to Arrow": lambda: _ours(chain, "full"),
        f"web3.py, {WEB3_BLOCKS} blocks, scaled": lambda: web3_logs(chain),
    }
    spent: dict[str, list[Spent]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, run in contestants.items():
            spent[name].append(_measured(run))
    medians = {name: _median(runs, chain.transfers) for name, runs in spent.items()}
    base, ours = medians["bytes only"], medians["ours, logs to Arrow"]
    fastest = {name: min(run.wall / run.logs for run in runs) for name, runs in spent.items()}
    heads = f"{'wall s':>9}{'CPU s':>9}{'logs/s':>11}{'wall x':>9}{'best x':>9}{'CPU x':>9}"
    print(f"\n{'median of ' + str(rounds):34}{heads}")
    for name, m in medians.items():
        speed = chain.transfers / m.wall
        best = fastest[name] / fastest["bytes only"]
        ratios = f"{m.wall / base.wall:>9.2f}{best:>9.2f}{m.cpu / ours.cpu:>9.2f}"
        print(f"{name:34}{m.wall:>9.2f}{m.cpu:>9.2f}{speed:>11,.0f}{ratios}")
    print("wall x: medians against bytes only; best x: the fastest rounds, which a busy machine")
    print("disturbs least.  CPU x: against ours, logs to Arrow.")


def recorded(chain: BuiltChain) -> list[bytes]:
    """Return the bodies of the requests that reading the logs makes."""
    bodies: list[bytes] = []
    send = http_send(TIMEOUT_S)

    def recording(url: str, body: bytes) -> HttpAnswer:
        bodies.append(body)
        return send(url, body)

    _read(source(chain.url, "logs", recording), chain.first, chain.last)
    return bodies


def bytes_only(chain: BuiltChain, bodies: list[bytes], workers: int) -> int:
    """Send those requests, *workers* at once, and return the chain's transfers."""
    send = http_send(TIMEOUT_S)
    with ThreadPoolExecutor(workers) as pool:
        size = sum(pool.map(lambda body: len(send(chain.url, body).body), bodies))
    return chain.transfers if size else 0


def _ours(chain: BuiltChain, content: Content) -> int:
    return _read(source(chain.url, content), chain.first, chain.last)


def source(url: str, content: Content, send: Send | None = None) -> EvmSource:
    """Return the source under test, over *send* where it is given."""
    chain = chain_named("anvil")
    if not isinstance(chain, EvmChain):
        raise TypeError(f"{chain.name} is not an EVM chain.")
    return EvmSource(chain, Rpc([url], send=send), content=content)


def _read(source: EvmSource, first: int, last: int) -> int:
    return sum(_transfers(batch) for batch in source.read(first, last))


def _transfers(batch: Batch) -> int:
    return int(batch.tables["token_transfer"].num_rows)


def web3_logs(chain: BuiltChain) -> int:
    """Return how many transfers web3.py fetched and decoded in the first `WEB3_BLOCKS` blocks."""
    from web3 import Web3

    web3 = Web3(Web3.HTTPProvider(chain.url))
    event = web3.eth.contract(abi=json.loads(_TRANSFER_ABI)).events.Transfer()
    last = min(chain.first + WEB3_BLOCKS - 1, chain.last)
    found = web3.eth.get_logs({"fromBlock": chain.first, "toBlock": last, "topics": [TRANSFER]})
    return len([event.process_log(entry) for entry in found])


_TRANSFER_ABI = """[{"type": "event", "name": "Transfer", "anonymous": false, "inputs": [
    {"name": "from", "type": "address", "indexed": true},
    {"name": "to", "type": "address", "indexed": true},
    {"name": "value", "type": "uint256", "indexed": false}]}]"""


def _measured(run: Callable[[], int]) -> Spent:
    wall, cpu = time.perf_counter(), time.process_time()
    logs = run()
    return Spent(logs, time.perf_counter() - wall, time.process_time() - cpu)


def _median(runs: list[Spent], logs: int) -> Spent:
    """Return the median run, scaled to that many logs."""
    return Spent(
        logs,
        statistics.median(run.wall * logs / run.logs for run in runs),
        statistics.median(run.cpu * logs / run.logs for run in runs),
    )


def _print_memory(chain: BuiltChain) -> None:
    tenth = chain.first + (chain.last - chain.first) // 10
    print(f"\n{'peak memory, MB':34}{'nothing':>10}{'R':>10}{'10 R':>10}")
    for content in ("logs", "full"):
        ranges = [(1, 0), (chain.first, tenth), (chain.first, chain.last)]
        peaks = [_peak_of(chain.url, content, *each) for each in ranges]
        print(f"{'ours, ' + content:34}" + "".join(f"{peak:>10.0f}" for peak in peaks))


def _peak_of(url: str, content: str, first: int, last: int) -> float:
    """Return the peak memory of a fresh process that reads the range, in MB."""
    command = [sys.executable, "-m", "benchmarks.evm_fetch", "--rss-of", url, content]
    done = subprocess.run(  # noqa: S603 - this very script
        [*command, str(first), str(last)], capture_output=True, text=True, check=True
    )
    return float(done.stdout)


def _print_peak(url: str, content: Content, first: str, last: str) -> None:
    _read(source(url, content), int(first), int(last))
    # Linux; getrusage would count the parent's memory at the time of the fork.
    status = Path("/proc/self/status").read_text()
    print(int(status.partition("VmHWM:")[2].split()[0]) / 1024)


if __name__ == "__main__":
    main()
