"""A scripted EVM node, and a source that reads it without a network."""

import json

from onchain_agg.chains import EvmChain
from onchain_agg.sources.evm import EvmSource
from onchain_agg.sources.evm_logs import TRANSFER
from onchain_agg.sources.rpc import HttpAnswer, Rpc, RpcLimits

CHAIN = EvmChain(name="toy", conn_id="onchain_toy", confirmations=3, batch_blocks=10, chain_id=5)
ALICE, BOB, TOKEN = ("0x" + digit * 40 for digit in "abe")
MISSING = {"code": -32601, "message": "the method does not exist/is not available"}


class Node:
    """A chain of blocks with one token transfer each; `before` sees every request first."""

    def __init__(self, tip, **options):
        self.blocks = [f"0x{height + 1:064x}" for height in range(tip + 1)]
        self.missing = set(options.get("missing", ()))
        self.most_blocks = options.get("most_blocks", 10**9)
        self.most_calls = options.get("most_calls", 10**9)
        self.chain_id = options.get("chain_id", 5)
        self.finalized = options.get("finalized")
        self.difficulty = options.get("difficulty", "0x0")
        self.pruned_below = options.get("pruned_below", 0)
        self.before = lambda method, params: None
        self.asked = []

    def fork(self, height):
        """Replace the blocks from *height* on."""
        self.blocks[height:] = [f"0xf{h[3:]}" for h in self.blocks[height:]]

    def send(self, _, body):
        requests = json.loads(body)
        if isinstance(requests, dict):
            return self._sent(self._reply(requests))
        if len(requests) > self.most_calls:
            return self._sent({"error": {"code": -32600, "message": "batch size too large"}})
        return self._sent([self._reply(request) for request in requests])

    def _sent(self, body):
        return HttpAnswer(200, json.dumps(body).encode())

    def _reply(self, request):
        method, params = request["method"], request["params"]
        self.asked.append((method, params))
        self.before(method, params)
        if method in self.missing:
            return {"id": request["id"], "error": MISSING}
        answer = getattr(self, method)(*params)
        return {"id": request["id"]} | (
            answer if isinstance(answer, dict) and "error" in answer else {"result": answer}
        )

    def eth_chainId(self):  # noqa: N802 - the node's own name for it, here and below
        return hex(self.chain_id)

    def eth_getBlockByNumber(self, which, full):  # noqa: N802
        tip = len(self.blocks) - 1
        height = {"latest": tip, "finalized": self.finalized}.get(which)
        if which == "finalized" and height is None:
            return {"error": {"code": -32602, "message": "unknown block tag"}}
        height = int(which, 16) if height is None else height
        if not self.pruned_below <= height <= tip:
            return None
        return {
            "number": hex(height),
            "hash": self.blocks[height],
            "parentHash": self.blocks[height - 1] if height else "0x" + 64 * "0",
            "timestamp": hex(1_600_000_000 + height),
            "size": "0x20d",
            "gasUsed": "0x5208",
            "miner": BOB,
            "difficulty": self.difficulty,
            "baseFeePerGas": "0x2",
            "transactions": [self._transaction(height) if full else self._tx_hash(height)],
        }

    def eth_getBlockReceipts(self, number):  # noqa: N802
        return [self._receipt(int(number, 16))]

    def eth_getTransactionReceipt(self, tx_hash):  # noqa: N802
        return self._receipt(int(tx_hash[3:], 16))

    def eth_getLogs(self, wanted):  # noqa: N802
        first, last = int(wanted["fromBlock"], 16), int(wanted["toBlock"], 16)
        if last - first + 1 > self.most_blocks:
            return {"error": {"code": -32005, "message": "query returned more than 10000 results"}}
        return [self._log(height) for height in range(first, last + 1)]

    def trace_block(self, number):
        height = int(number, 16)
        call = {"action": {"callType": "call"}, "traceAddress": [], "type": "call"}
        return [call | {"blockHash": self.blocks[height], "transactionPosition": 0}]

    def debug_traceBlockByHash(self, _, __):  # noqa: N802
        return [{"result": {"type": "CALL", "from": ALICE, "to": BOB}}]

    def _tx_hash(self, height):
        return f"0xd{height:063x}"

    def _transaction(self, height):
        return {"hash": self._tx_hash(height), "from": ALICE, "to": BOB, "value": hex(height)}

    def _receipt(self, height):
        return {
            "transactionHash": self._tx_hash(height),
            "blockHash": self.blocks[height],
            "gasUsed": "0xa",
            "effectiveGasPrice": "0x3",
            "status": "0x1",
            "logs": [self._log(height)],
        }

    def _log(self, height):
        return {
            "address": TOKEN,
            "topics": [TRANSFER, *("0x" + 24 * "0" + who[2:] for who in (ALICE, BOB))],
            "data": f"0x{height:064x}",
            "blockHash": self.blocks[height],
            "transactionHash": self._tx_hash(height),
            "transactionIndex": "0x0",
            "logIndex": "0x0",
        }


def scripted_source(*nodes, **options):
    by_url = {f"http://node{i}": node for i, node in enumerate(nodes)}
    rpc = Rpc(
        list(by_url),
        RpcLimits(batch_calls=options.pop("batch_calls", 100)),
        send=lambda url, body: by_url[url].send(url, body),
    )
    return EvmSource(CHAIN, rpc, **options)


def column(batches, table, name):
    return [value for batch in batches for value in batch.tables[table][name].to_pylist()]


def amounts_of(batches):
    amounts = column(batches, "token_transfer", "amount")
    return [int.from_bytes(amount, "big") for amount in amounts]
