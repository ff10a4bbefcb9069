"""Records the sample that ships in ``onchain_agg.sample`` from real nodes: ``make sample``.

Needs the npm packages of ``tests/nodes`` and litecoind. Everything is a function of fixed seeds,
keys and times, so recording again gives the same bytes as long as the nodes' versions stay. Run it
from the checkout: ``python -m scripts.record_sample [folder]``.
"""
# ruff: noqa: T201 - a script beside the package, whose output is for a person

import json
import lzma
import sys
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

from onchain_agg import sample
from onchain_agg.chains.regtest import CHAIN as REGTEST
from onchain_agg.sample import replay
from scripts import sample_evm_chain, sample_regtest_chain
from tests.nodes import evm_contracts
from tests.nodes.anvil import available as anvil_available
from tests.nodes.anvil import running_anvil
from tests.nodes.json_rpc import JsonRpc
from tests.nodes.litecoind import Litecoind, running_litecoind
from tests.nodes.litecoind import available as litecoind_available

_PACKAGED = Path(sample.__file__).parent
_RECORDING = sample.recording_file().relative_to(_PACKAGED)
_BLOCK_FILE = (sample.block_dir() / "blk00000.dat").relative_to(_PACKAGED)
_MOVED_TO = {"call": "to", "create": "address", "suicide": "refundAddress"}


def main() -> int:
    """Record both chains; return the process's exit code."""
    missing = [
        why for why in (anvil_available(), evm_contracts.available(), litecoind_available()) if why
    ]
    if missing:
        print("\n".join(missing), file=sys.stderr)
        return 1
    folder = Path(sys.argv[1]) if sys.argv[1:] else _PACKAGED
    facts = {"anvil": record_anvil(folder), "regtest": record_regtest(folder)}
    path = folder / "expected.json"
    path.write_text(json.dumps(facts, indent=1, sort_keys=True) + "\n")
    for file in (folder / _RECORDING, folder / _BLOCK_FILE, path):
        print(f"{file}: {file.stat().st_size:,} bytes")
    return 0


def record_anvil(folder: Path) -> dict[str, Any]:
    """Make the EVM chain, write its recording below *folder* and return what the node says.

    Raises:
        SampleError: The recording, replayed, answers otherwise than the node.
    """
    with running_anvil(*sample_evm_chain.ANVIL_ARGS) as url:
        rpc = JsonRpc(url)
        story = sample_evm_chain.Story(rpc, rpc.call("eth_accounts"))
        sample_evm_chain.play(story)
        rows = _evm_rows(rpc)
        people = _people(rows, story)
        header = _header(rpc, people)
        path = folder / _RECORDING
        path.parent.mkdir(parents=True, exist_ok=True)
        text = "".join(_line(row) for row in [header, *rows])
        path.write_bytes(lzma.compress(text.encode()))
        _check_replay(rpc, path)
        return _evm_facts(story, header, people)


def record_regtest(folder: Path) -> dict[str, Any]:
    """Make the Bitcoin-family chain, write its block file and return what the node says."""
    with running_litecoind() as node:
        story = sample_regtest_chain.Story(node, sample_regtest_chain.people(node))
        sample_regtest_chain.play(story)
        path = folder / _BLOCK_FILE
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_without_the_reserve((node.blocks_dir / "blk00000.dat").read_bytes()))
        return _utxo_facts(node)


def _line(row: dict[str, Any]) -> str:
    return json.dumps(row, separators=(",", ":")) + "\n"


def _evm_rows(rpc: JsonRpc) -> list[dict[str, Any]]:
    heights = [hex(n) for n in range(int(rpc.call("eth_blockNumber"), 16) + 1)]
    blocks = rpc.batch(("eth_getBlockByNumber", height, True) for height in heights)
    receipts = rpc.batch(("eth_getBlockReceipts", height) for height in heights)
    traces = rpc.batch(("trace_block", height) for height in heights)
    return [
        {"block": block, "receipts": of_block, "traces": moves}
        for block, of_block, moves in zip(blocks, receipts, traces, strict=True)
    ]


def _people(rows: list[dict[str, Any]], story: sample_evm_chain.Story) -> list[str]:
    """Return every address that may hold something, in order."""
    found: set[str | None] = {*story.accounts, *sample_evm_chain.HOLDERS, sample_evm_chain.MINER}
    for row in rows:
        found.add(row["block"]["miner"])
        for trace in row["traces"]:
            action, result = trace["action"], trace.get("result") or {}
            found |= {action.get("from"), action.get("address"), result.get("address")}
            found.add(action.get(_MOVED_TO[trace["type"]]))
    return sorted(address for address in found if address)


def _header(rpc: JsonRpc, people: list[str]) -> dict[str, Any]:
    return {
        "chain_id": rpc.call("eth_chainId"),
        "client": rpc.call("web3_clientVersion"),
        **{tag: int(_bare_block(rpc, tag)["number"], 16) for tag in ("safe", "finalized")},
        "alloc": _ether(rpc, people, "0x0"),
        "balances": _ether(rpc, people, "latest"),
    }


def _bare_block(rpc: JsonRpc, block: str) -> dict[str, Any]:
    call = ("eth_getBlockByNumber", block, False)
    answer: dict[str, Any] = rpc.call(*call)
    return answer


def _ether(rpc: JsonRpc, people: list[str], block: str) -> dict[str, str]:
    answers = rpc.batch(("eth_getBalance", address, block) for address in people)
    return {who: wei for who, wei in zip(people, answers, strict=True) if wei != "0x0"}


def _check_replay(rpc: JsonRpc, path: Path) -> None:
    """Ask the node and its replay the same, logs with random filters included."""
    calls = [*_block_calls(rpc), *_log_calls(rpc)]
    with replay.serving(replay.load(path)) as url:
        for call, said, replayed in zip(
            calls, rpc.batch(calls), JsonRpc(url).batch(calls), strict=True
        ):
            if said != replayed:
                raise sample_evm_chain.SampleError(f"The replay of {call} differs from the node.")


def _block_calls(rpc: JsonRpc) -> list[tuple[Any, ...]]:
    tags = ("latest", "finalized", "safe", "earliest", "0x1", "0x64", "0x7fffff")
    block = _bare_block(rpc, "0x64")
    return [
        *((method,) for method in ("eth_chainId", "net_version", "eth_blockNumber")),
        *(("eth_getBlockByNumber", tag, full) for tag in tags for full in (False, True)),
        *((method, tag) for tag in tags for method in ("eth_getBlockReceipts", "trace_block")),
        ("eth_getBlockByHash", block["hash"], True),
        ("eth_getBlockByHash", "0x" + "ab" * 32, False),
        ("eth_getBalance", sample_evm_chain.MINER, "latest"),
        ("eth_getBalance", sample_evm_chain.MINER, "0x0"),
        ("eth_getTransactionReceipt", "0x" + "ab" * 32),
    ]


def _log_calls(rpc: JsonRpc) -> list[tuple[Any, ...]]:
    random = Random(1)  # noqa: S311 - must repeat
    every = rpc.call("eth_getLogs", {"fromBlock": "0x0", "toBlock": "latest"})
    filters: list[dict[str, Any]] = [{}, {"blockHash": every[9]["blockHash"]}]
    for log in random.sample(every, 60):
        first = max(0, int(log["blockNumber"], 16) - random.randrange(3))
        wanted: dict[str, Any] = {
            "fromBlock": hex(first),
            "toBlock": hex(first + random.randrange(90)),
        }
        kept = [
            random.choice((topic, None, [topic, every[0]["topics"][0]])) for topic in log["topics"]
        ]
        other = random.choice(every)["address"]
        addresses = random.choice((None, log["address"], [log["address"], other]))
        wanted |= {"address": addresses} if addresses else {}
        filters.append(wanted | {"topics": kept[: random.randint(0, len(kept))]})
    return [("eth_getLogs", wanted) for wanted in filters]


def _evm_facts(
    story: sample_evm_chain.Story, header: dict[str, Any], people: list[str]
) -> dict[str, Any]:
    rpc = story.rpc
    tip = _bare_block(rpc, "latest")
    return {
        "chain_id": int(header["chain_id"], 16),
        "finalized": header["finalized"],
        "genesis_alloc": {who: str(int(wei, 16)) for who, wei in header["alloc"].items()},
        "native_balances": {who: str(int(wei, 16)) for who, wei in header["balances"].items()},
        "tip": {"height": int(tip["number"], 16), "hash": tip["hash"]},
        "erc20": {name: _coin_facts(story, name, people) for name in story.coins},
        "erc721": _piece_facts(story),
        "erc1155": _item_facts(story),
    }


def _coin_facts(story: sample_evm_chain.Story, name: str, people: list[str]) -> dict[str, Any]:
    coin = story.contracts[name]
    calls = [
        ("eth_call", {"to": coin.address, "data": coin.calldata("balanceOf", who)}, "latest")
        for who in people
    ]
    answers = [coin.decode("balanceOf", answer) for answer in story.rpc.batch(calls)]
    balances = {who: str(amount) for who, amount in zip(people, answers, strict=True) if amount}
    _check(name, balances, {who: str(n) for who, n in story.coins[name].items() if n})
    return {
        "address": coin.address,
        "decimals": coin.read(story.rpc, "decimals"),
        "total_supply": str(coin.read(story.rpc, "totalSupply")),
        "balances": balances,
    }


def _piece_facts(story: sample_evm_chain.Story) -> dict[str, Any]:
    deck = story.contracts["DECK"]
    owners = {n: deck.read(story.rpc, "ownerOf", n) for n in sorted(story.pieces)}
    _check("DECK", owners, dict(sorted(story.pieces.items())))
    return {
        "address": deck.address,
        "owners": {str(number): owner for number, owner in owners.items()},
        "balances": dict(Counter(owners.values())),
    }


def _item_facts(story: sample_evm_chain.Story) -> dict[str, Any]:
    items = story.contracts["Items"]
    held = {key: items.read(story.rpc, "balanceOf", *key) for key, n in story.items.items() if n}
    _check("Items", held, {key: n for key, n in story.items.items() if n})
    return {
        "address": items.address,
        "balances": [[who, number, str(n)] for (who, number), n in sorted(held.items())],
    }


def _check(name: str, said: dict[Any, Any], believed: dict[Any, Any]) -> None:
    if said != believed:
        raise sample_evm_chain.SampleError(f"{name}: the node's balances are not the script's.")


def _without_the_reserve(data: bytes) -> bytes:
    """Cut the zeros that the node keeps behind the last block for those to come."""
    at = 0
    while data[at : at + 4] == REGTEST.magic:
        at += 8 + int.from_bytes(data[at + 4 : at + 8], "little")
    return data[:at]


def _utxo_facts(node: Litecoind) -> dict[str, Any]:
    satoshi = sample_regtest_chain.satoshi
    tip = node.call("gettxoutsetinfo")
    hashes = node.rpc.batch(("getblockhash", height) for height in range(tip["height"] + 1))
    blocks = node.rpc.batch(("getblock", block_hash, 2) for block_hash in hashes)
    # Block statistics need the undo data that the genesis block does not have.
    stats = [None, *node.rpc.batch(("getblockstats", block_hash) for block_hash in hashes[1:])]
    outputs = [out for block in blocks for tx in block["tx"] for out in tx["vout"]]
    return {
        "tip": {"height": tip["height"], "hash": tip["bestblock"]},
        "unspent": {"outputs": tip["txouts"], "amount": satoshi(tip["total_amount"])},
        "script_types": dict(Counter(out["scriptPubKey"]["type"] for out in outputs)),
        "blocks": [_block_facts(*each) for each in zip(blocks, stats, strict=True)],
    }


def _block_facts(block: dict[str, Any], stats: dict[str, Any] | None) -> dict[str, Any]:
    facts = {key: block[key] for key in ("height", "hash", "time", "mediantime", "size")}
    if stats is None:
        return facts | {"txs": block["nTx"]}
    # The node's total_out leaves the coinbase out, and its fees are the subsidy's rest.
    names = ("txs", "ins", "outs", "total_out", "totalfee", "subsidy")
    return facts | {key: stats[key] for key in names}


if __name__ == "__main__":
    sys.exit(main())
